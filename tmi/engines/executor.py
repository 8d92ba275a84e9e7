"""The work itself: a data set is made, a network built, a probe put to it, and each is kept in the store at once.

Every engine does it here, in its own process or in a worker's; what is at hand is not made twice.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tmi.errors import DamagedFileError, DataFileError, InputError, PluginError, StoreError, TmiError
from tmi.hashing import digest
from tmi.networks import train_once as trained
from tmi.probing.mutation import State, first_change, state_of
from tmi.runtime.time_limit import TimedOut, time_limit
from tmi.stages import Stage
from tmi.store.leases import Busy, Leases, WornOut
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.plan import Planned

from .job import JobResult, Keep
from .provenance import record_of

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset


_DOING: dict[Stage, str] = {Stage.DATASET: "making the data set", Stage.NETWORK: "building the network", Stage.PROBE: "the probe"}
_SAMPLE = 8  # images on which a restored network must agree with the one that was kept


class _Made(NamedTuple):
    """What a plug-in returned, the seconds that it took, and the warnings that it gave."""

    value: Any
    seconds: float
    warnings: list[str]


class Executor:
    """The data set and the network at hand, one of each.

    Parameters
    ----------
    store : Store
    claims : Leases
        Of the run.
    timeout : float, optional
        Seconds that a data set, a network or a probe may take.
    keep : {"all", "networks", "results"}
        What is written besides the results.
    last_resort : callable, optional
        What to do about one that cannot be interrupted, called with the cell and the stage; see `tmi.runtime.time_limit`.
    """

    def __init__(
        self,
        store: Store,
        claims: Leases,
        *,
        timeout: float | None = None,
        last_resort: Callable[[Planned, Stage], Any] | None = None,
        keep: Keep = "all",
    ) -> None:
        self._store, self._claims = store, claims
        self._timeout, self._last_resort = timeout, last_resort
        self._keeps = {"all": ("dataset", "network"), "networks": ("network",), "results": ()}[keep]
        self._held: dict[str, tuple[Hashable, _Made | _Failed]] = {}
        self._state: State | None = None

    def work(self, planned: Planned, stage: Stage = Stage.PROBE) -> JobResult:
        """Do a piece of work, unless the store has it.

        Parameters
        ----------
        planned : Planned
        stage : {"dataset", "network", "probe"}

        Returns
        -------
        JobResult
            Whatever a plug-in raises is in it; `KeyboardInterrupt` alone comes through.
        """
        outcome, begun = JobResult(planned, stage), time.perf_counter()
        try:
            self._work(planned, outcome)
        except Busy:
            outcome.busy = True
        except _Failed as failed:
            outcome.failed, outcome.message, outcome.traceback = failed.stage, str(failed), failed.traceback
            outcome.mistake, outcome.ended = failed.mistake, failed.ended
        except StoreError as error:
            outcome.failed, outcome.message, outcome.fatal = stage, str(error), True
        except (Exception, SystemExit) as error:  # such as images that cannot be rendered
            outcome.failed, outcome.message, outcome.traceback = stage, message_of(error), _text_block(traceback.format_exc())
        outcome.seconds = time.perf_counter() - begun
        return outcome

    def _work(self, planned: Planned, outcome: JobResult) -> None:
        if outcome.stage == Stage.PROBE and self._is_there(planned, outcome):
            return
        data = self._dataset(planned, outcome)
        if outcome.stage == Stage.DATASET:
            return
        network = self._network(planned, data.value, outcome)
        if outcome.stage == Stage.PROBE:
            with self._claimed(Stage.PROBE, planned.key, outcome):
                if not self._is_there(planned, outcome):  # somebody may just have finished it
                    self._probe(planned, network, data, outcome)

    def _is_there(self, planned: Planned, outcome: JobResult) -> bool:
        if planned.key is not None and self._store.has(Stage.PROBE, planned.key):
            with _remarking(outcome):
                outcome.stored = self._store.read(planned.key)
        return outcome.stored is not None

    def _dataset(self, planned: Planned, outcome: JobResult) -> _Made:
        key, choice, seed = planned.dataset_key, planned.cell.dataset, planned.cell.seed

        def restored() -> _Made | None:
            found = self._store.load_dataset(key) if key is not None else None
            return None if found is None else _Made(found[0], found[1]["seconds"], found[1]["warnings"])

        def make() -> _Made:
            generate = planned.registry.generate
            made = self._run(planned, Stage.DATASET, lambda: generate(choice.component.name, seed=seed, **choice.params))
            if key is not None and Stage.DATASET in self._keeps and _is_current(planned, Stage.DATASET, outcome):
                record = record_of(planned, Stage.DATASET, made.seconds, notes=made.value.notes, warnings=made.warnings)
                try:
                    self._store.write_dataset(key, made.value, record)
                except (InputError, MemoryError) as error:
                    reason = _text(error) or "not enough memory"
                    outcome.remarks.append(
                        f"data set {choice.component.name}: is not kept ({reason}); every process that needs it makes it again"
                    )
            return made

        return self._hold(Stage.DATASET, planned.dataset_id, key, outcome, restored, make)

    def _network(self, planned: Planned, data: Dataset, outcome: JobResult) -> _Made:
        key = planned.network_key

        def restored() -> _Made | None:
            kept = self._store.load_network(key) if key is not None else None
            if kept is None:
                return None
            training, record = kept
            try:
                with nullcontext() if training is None else trained.weights(training.weights, training.history):
                    return _Made(self._build(planned, data).value, record["seconds"], record["warnings"])
            except (_Failed, DamagedFileError) as failed:
                if isinstance(failed, _Failed) and not isinstance(failed.error, DamagedFileError):
                    raise
                self._store.set_aside(Stage.NETWORK, key or "", str(failed))
                return None

        def make() -> _Made:
            with trained.recording() as training:
                made = self._build(planned, data)
            if key is not None and Stage.NETWORK in self._keeps and _is_current(planned, Stage.NETWORK, outcome):
                self._keep_network(planned, data, made, training, outcome)
            return made

        return self._hold(Stage.NETWORK, (planned.dataset_id, planned.network_id), key, outcome, restored, make)

    def _keep_network(self, planned: Planned, data: Dataset, made: _Made, training: trained.Trained, outcome: JobResult) -> None:
        from tmi.store.networks import why_not_kept

        record = record_of(planned, Stage.NETWORK, made.seconds, network=made.value, warnings=made.warnings)
        images = (data.test if len(data.test) else data.train).images[:_SAMPLE]
        name = planned.cell.network.component.name
        reason = why_not_kept(made.value, training, lambda: self._build(planned, data).value, images)
        if reason:
            outcome.remarks.append(
                f"network {name}: its training is not kept ({_text(reason)}); every process that needs it trains it again"
            )
        try:
            self._store.write_network(planned.network_key or "", made.value, None if reason else training, record)
        except (InputError, MemoryError) as error:
            reason = _text(error) or "not enough memory"
            outcome.remarks.append(f"network {name}: is not kept ({reason}); every process that needs it makes it again")

    def _build(self, planned: Planned, data: Dataset) -> _Made:
        choice, seed = planned.cell.network, planned.cell.seed
        build = planned.registry.build
        return self._run(planned, Stage.NETWORK, lambda: build(choice.component.name, data, seed=seed, **choice.params))

    def _hold(
        self,
        stage: Stage,
        wanted: Hashable,
        key: str | None,
        outcome: JobResult,
        restored: Callable[[], _Made | None],
        make: Callable[[], _Made],
    ) -> _Made:
        """Return what is at hand, else what the store has, else what is made now."""
        if self._held.get(stage, (None, None))[0] != wanted:
            self._state = None
            self._held.pop(stage, None)  # let go of the old one before there is a new one
            if stage == Stage.DATASET:
                self._held.pop(Stage.NETWORK, None)
            made: _Made | _Failed | None
            try:
                with _remarking(outcome):
                    made = restored()
                if made is None:
                    with self._claimed(stage, key, outcome):
                        with _remarking(outcome):
                            made = restored() if self._store.has(stage, key) else None  # somebody made it meanwhile
                        made = made or make()
            except _Failed as failed:
                made = failed
            self._held[stage] = wanted, made
        held = self._held[stage][1]
        if isinstance(held, _Failed):
            raise held
        return held

    @contextmanager
    def _claimed(self, stage: Stage, key: str | None, outcome: JobResult) -> Iterator[None]:
        if key is not None and stage != outcome.stage:
            # Nobody else needs what could not be kept, and other workers of this run may make it for their jobs just now.
            key = digest([key, self._claims.run, str(outcome.planned.cell), outcome.stage])
        try:
            with self._claims.hold(key):
                yield
        except WornOut as worn:
            times = {1: "once", 2: "twice"}.get(self._claims.attempts, f"{self._claims.attempts} times")
            raise _Failed(stage, WorkerEnded(f"{_DOING[stage]} ended its worker process {times}"), ended=worn.pids) from None

    def _probe(self, planned: Planned, built: _Made, generated: _Made, outcome: JobResult) -> None:
        network: Network = built.value
        data: Dataset = generated.value
        choice, seed = planned.cell.probe, planned.cell.seed
        probe = planned.registry.probe
        before = self._state or state_of(data, network)  # the state before a probe is the one after the probe before it
        changed = ""
        try:
            made = self._run(
                planned, Stage.PROBE, lambda: probe(choice.component.name, network, data, seed=seed, **choice.params)
            )
        finally:
            held = dict(self._held)
            self._held.clear()  # the next cell gets them made anew, unless they are as they were
            self._state = state_of(data, network)
            changed = first_change(before, self._state)
            if not changed:
                self._held = held
        if changed:
            text = f"the probe changed {changed} in place, which other probes share; let it work on a copy"
            raise _Failed(Stage.PROBE, PluginError(text))
        took = {"dataset": generated.seconds, "network": built.seconds, "probe": made.seconds}
        said = list(dict.fromkeys([*generated.warnings, *built.warnings, *made.warnings]))
        record = record_of(planned, Stage.PROBE, took, network=network, notes=data.notes, warnings=said)
        if not made.value.applicable:
            record["not_applicable"] = "; ".join(made.value.notes) or "the probe gave no metric and no array"
        self._keep(planned, made.value, record, outcome)

    def _keep(self, planned: Planned, result: ProbeResult, record: dict[str, Any], outcome: JobResult) -> None:
        stored = Stored(planned.key or "", dict(result.metrics), record, tuple(result.notes))
        if planned.key is None:
            outcome.remarks.append(
                f"{planned.cell}: its code cannot be fingerprinted, so the result is not kept; "
                "functions in files and packages can be, those typed into an interpreter cannot"
            )
        elif _is_current(planned, Stage.PROBE, outcome):
            try:
                self._store.write(planned.key, result, record)
            except InputError as error:
                raise _Failed(Stage.PROBE, error) from error
            self._store.failures.clear(planned.key)
            outcome.stored = stored
            return
        outcome.stored, outcome.result = stored, result

    def _run(self, planned: Planned, stage: Stage, function: Callable[[], Any]) -> _Made:
        """Call a plug-in."""
        last_resort = None if self._last_resort is None else lambda: self._last_resort(planned, stage)  # type: ignore[misc]
        start = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with time_limit(self._timeout, last_resort):
                    value = function()
        except TimedOut as error:
            raise _Failed(stage, error, message=too_long(self._timeout, stage)) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plug-in leaves by, such as sys.exit or a cancelled task
            raise _Failed(stage, error) from error
        seconds = round(time.perf_counter() - start, 6)
        return _Made(value, seconds, list(dict.fromkeys(_text(w.message) for w in caught)))


class WorkerEnded(TmiError):
    """Work that ended its worker process as often as it was begun: out of memory, or a crash."""


class _Failed(Exception):
    """A plug-in that failed; the failure of a data set or network serves every cell that needs it."""

    def __init__(self, stage: Stage, error: BaseException, message: str = "", ended: Sequence[int] = ()) -> None:
        super().__init__(message or message_of(error))
        self.stage, self.error, self.ended = stage, error, list(ended)
        self.mistake = stage != Stage.PROBE and isinstance(error, InputError | DataFileError)
        self.traceback = _text_block("".join(traceback.format_exception(error)))


def too_long(seconds: float | None, stage: Stage) -> str:
    """Say that a time limit was reached."""
    return f"{_DOING[stage]} took longer than the limit of {seconds:g} s"


@contextmanager
def _remarking(outcome: JobResult) -> Iterator[None]:
    """Gather what the store warns of: a person should read it, wherever the work is done."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    outcome.remarks += [_text(w.message) for w in caught]


def _is_current(planned: Planned, stage: Stage, outcome: JobResult) -> bool:
    """Whether the code is still the one that is in the key."""
    choices = planned.cell.choices[: len(stage.so_far)]
    used = [(str(choice), choice.component) for choice in choices]
    for choice in choices:
        used += [(one.text, one.component) for one in planned.registry.references(choice.component, choice.params)]
    changed = [name for name, component in used if not component.is_current()]
    if changed and stage == Stage.PROBE:
        outcome.remarks.append(f"{planned.cell}: the code of {changed[0]} changed meanwhile, so the result is not kept")
    return not changed


def message_of(error: BaseException) -> str:
    """Return what an exception says in one line; its type and the place where it was raised, unless it is one of tmi's."""
    text = _text(error)
    if isinstance(error, TmiError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}".removesuffix(": ") + place


def _text(error: object) -> str:
    try:
        text = str(error)
    except Exception:  # a plug-in's exception may have no words
        text = "without a message"
    return " ".join(_text_block(text).split())


def _text_block(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # a file's name may not be UTF-8
