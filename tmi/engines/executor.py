"""Does a job: generates the data set, builds the network, applies the probe, and writes each to the store at once.

Every engine uses it, in its own process or in a worker's. One data set and one network are held in memory for the next job.
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
from tmi.networks import train_once
from tmi.probing.mutation import State, first_change, state_of
from tmi.runtime.guard import Guard, SwitchWarning
from tmi.runtime.time_limit import TimedOut, time_limit
from tmi.stages import Stage
from tmi.store.leases import Busy, Leases, TooManyAttempts
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.plan import Planned

from .job import JobResult, Keep
from .provenance import record_of
from .unkept import Calls

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset


_DOING: dict[Stage, str] = {Stage.DATASET: "making the data set", Stage.NETWORK: "building the network", Stage.PROBE: "the probe"}
_SAMPLE = 8  # images on which a restored network must agree with the one that was kept


class _Product(NamedTuple):
    """What a plug-in returned, the seconds that it took, the warnings that it gave, and whether the store can give it again.

    ``unkept`` says why neither it nor what depends on it may be kept; see `tmi.engines.unkept`. ``threads`` is the number with
    which a network was trained whose training the store gave; None where it was made in this process.
    """

    value: Any
    seconds: float
    warnings: list[str]
    is_kept: bool = False
    unkept: dict[str, str] = {}  # noqa: RUF012  # never changed in place
    threads: int | None = None


class Executor:
    """Does jobs one after another, and holds the data set and the network of the last one.

    Parameters
    ----------
    store : Store
    leases : Leases
        Of the run.
    timeout : float, optional
        Seconds that a data set, a network or a probe may take.
    last_resort : callable, optional
        Called with the cell and the stage when one that takes longer cannot be interrupted; see `tmi.runtime.time_limit`.
    keep : {"all", "networks", "results"}
        What is written besides the results.
    at_stage : callable, optional
        Called with each stage before a plug-in is called for it.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        *,
        timeout: float | None = None,
        last_resort: Callable[[Planned, Stage], Any] | None = None,
        keep: Keep = "all",
        at_stage: Callable[[Stage], Any] = lambda stage: None,
    ) -> None:
        self._store, self._leases = store, leases
        self._timeout, self._last_resort, self._at_stage = timeout, last_resort, at_stage
        self._keeps = {"all": ("dataset", "network"), "networks": ("network",), "results": ()}[keep]
        self._in_memory: dict[str, tuple[Hashable, _Product | _Failed]] = {}
        self._state: State | None = None
        self._calls = Calls(store.folder)
        self._left: list[str] = []  # what plug-ins left changed in the job

    def work(self, planned: Planned, stage: Stage = Stage.PROBE) -> JobResult:
        """Do a job, unless the store has its result.

        Parameters
        ----------
        planned : Planned
        stage : {"dataset", "network", "probe"}

        Returns
        -------
        JobResult
            With the message of any error of a plug-in; `KeyboardInterrupt` alone is raised.
        """
        result, begun = JobResult(planned, stage), time.perf_counter()
        try:
            # A network's or data set's own code also runs outside the calls of the plug-in.
            with Guard(f"the code of {planned.cell}", report=result.remarks.append):
                self._work(planned, result)
        except Busy:
            result.busy = True
        except _Failed as failed:
            result.failed, result.message, result.traceback = failed.stage, str(failed), failed.traceback
            result.mistake, result.ended = failed.mistake, failed.ended
        except StoreError as error:
            result.failed, result.message, result.fatal = stage, str(error), True
        except (Exception, SystemExit) as error:  # such as images that cannot be rendered
            result.failed, result.message, result.traceback = stage, message_of(error), _text_block(traceback.format_exc())
        result.remarks += self._left
        self._left = []
        result.seconds = time.perf_counter() - begun
        return result

    def _work(self, planned: Planned, result: JobResult) -> None:
        if result.stage == Stage.PROBE and self._read_stored(planned, result):
            return
        data = self._dataset(planned, result)
        if result.stage == Stage.DATASET:
            return
        network = self._network(planned, data, result)
        if result.stage == Stage.NETWORK:
            result.only_in_memory = not network.is_kept
            return
        with self._leased(Stage.PROBE, planned.key, result):
            if not self._read_stored(planned, result):  # another run may just have finished it
                self._probe(planned, network, data, result)

    def _read_stored(self, planned: Planned, result: JobResult) -> bool:
        if planned.key is not None and self._store.has(Stage.PROBE, planned.key):
            with _collecting_warnings(result):
                result.stored = self._store.read(planned.key)
        return result.stored is not None

    def _dataset(self, planned: Planned, result: JobResult) -> _Product:
        key, choice, seed = planned.dataset_key, planned.cell.dataset, planned.cell.seed

        def read() -> _Product | None:
            stored = self._store.load_dataset(key) if key is not None else None
            return None if stored is None else _Product(stored[0], stored[1]["seconds"], stored[1]["warnings"], is_kept=True)

        def make() -> _Product:
            generate = planned.registry.generate
            product = self._run(planned, Stage.DATASET, lambda: generate(choice.component, seed=seed, **choice.params))
            if self._may_keep(planned, Stage.DATASET, product, result):
                record = record_of(planned, Stage.DATASET, product.seconds, data=product.value, warnings=product.warnings)
                try:
                    self._store.write_dataset(key or "", product.value, record)
                except (InputError, MemoryError) as error:
                    reason = _text(error) or "not enough memory"
                    result.remarks.append(
                        f"data set {choice.component.name}: is not kept ({reason}); every process that needs it makes it again"
                    )
            return product

        return self._get(Stage.DATASET, planned.dataset_id, key, result, read, make)

    def _network(self, planned: Planned, data_product: _Product, result: JobResult) -> _Product:
        key, data = planned.network_key, data_product.value

        def read() -> _Product | None:
            stored = self._store.load_network(key) if key is not None and not data_product.unkept else None
            if stored is None:
                return None
            training, record = stored
            try:
                with nullcontext() if training is None else train_once.weights(training.weights, training.history):
                    network = self._build(planned, data)
            except (_Failed, DamagedFileError) as failed:
                if isinstance(failed, _Failed) and not isinstance(failed.error, DamagedFileError):
                    raise
                self._store.set_aside(Stage.NETWORK, key or "", str(failed))
                return None
            is_kept = (training is not None or network.value.origin != "trained") and not network.unkept
            threads = record.get("threads") if training is not None else None
            return _Product(network.value, record["seconds"], record["warnings"], is_kept, network.unkept, threads)

        def make() -> _Product:
            with train_once.recording() as training:
                product = self._build(planned, data)
            product = product._replace(unkept=data_product.unkept | product.unkept)
            if self._may_keep(planned, Stage.NETWORK, product, result):
                return product._replace(is_kept=self._keep_network(planned, data, product, training, result))
            return product

        return self._get(Stage.NETWORK, (planned.dataset_id, planned.network_id), key, result, read, make)

    def _keep_network(
        self, planned: Planned, data: Dataset, product: _Product, training: train_once.Trained, result: JobResult
    ) -> bool:
        """Write a network to the store; return whether other processes get it from there without training it again."""
        from tmi.store.networks import why_not_kept

        record = record_of(planned, Stage.NETWORK, product.seconds, network=product.value, warnings=product.warnings)
        images = (data.test if len(data.test) else data.train).images[:_SAMPLE]
        name = planned.cell.network.component.name
        reason = why_not_kept(product.value, training, lambda: self._build(planned, data).value, images)
        if reason:
            result.remarks.append(
                f"network {name}: its training is not kept ({_text(reason)}); every process that needs it trains it again"
            )
        try:
            self._store.write_network(planned.network_key or "", product.value, None if reason else training, record)
        except (InputError, MemoryError) as error:
            reason = _text(error) or "not enough memory"
            result.remarks.append(f"network {name}: is not kept ({reason}); every process that needs it makes it again")
        return not reason

    def _build(self, planned: Planned, data: Dataset) -> _Product:
        choice, seed = planned.cell.network, planned.cell.seed
        build = planned.registry.build
        return self._run(planned, Stage.NETWORK, lambda: build(choice.component, data, seed=seed, **choice.params))

    def _get(
        self,
        stage: Stage,
        wanted: Hashable,
        key: str | None,
        result: JobResult,
        read: Callable[[], _Product | None],
        make: Callable[[], _Product],
    ) -> _Product:
        """Return the product that is in memory, else from the store, else make it."""
        if self._in_memory.get(stage, (None, None))[0] != wanted:
            self._state = None
            self._in_memory.pop(stage, None)  # before the new one is made: two at a time would take twice the memory
            if stage == Stage.DATASET:
                self._in_memory.pop(Stage.NETWORK, None)
            product: _Product | _Failed | None
            try:
                with _collecting_warnings(result):
                    product = read()
                if product is None:
                    with self._leased(stage, key, result):
                        with _collecting_warnings(result):
                            product = read() if self._store.has(stage, key) else None  # another run may just have made it
                        product = product or make()
            except _Failed as failed:
                product = failed
            self._in_memory[stage] = wanted, product
        product = self._in_memory[stage][1]
        if isinstance(product, _Failed):
            raise product
        result.unkept |= product.unkept
        return product

    def _may_keep(self, planned: Planned, stage: Stage, product: _Product, result: JobResult) -> bool:
        """Return whether a data set or a network is written to the store."""
        wanted = planned.keys[stage] is not None and stage in self._keeps and not product.unkept
        return wanted and _is_current(planned, stage, result)

    @contextmanager
    def _leased(self, stage: Stage, key: str | None, result: JobResult) -> Iterator[None]:
        if key is not None and stage != result.stage:
            # No other run can use what is not kept, and another worker of this run may make it for its own job at this moment.
            key = digest([key, self._leases.run, str(result.planned.cell), result.stage])
        try:
            with self._leases.hold(key):
                yield
        except TooManyAttempts as error:
            times = {1: "once", 2: "twice"}.get(self._leases.attempts, f"{self._leases.attempts} times")
            message = f"{_DOING[stage]} ended its worker process {times}"
            raise _Failed(stage, WorkerEnded(message), ended=error.pids) from None

    def _probe(self, planned: Planned, network_product: _Product, data_product: _Product, result: JobResult) -> None:
        network: Network = network_product.value
        data: Dataset = data_product.value
        choice, seed = planned.cell.probe, planned.cell.seed
        probe = planned.registry.probe
        before = self._state or state_of(data, network)  # the state before a probe is the one after the probe before it
        changed = ""
        try:
            product = self._run(planned, Stage.PROBE, lambda: probe(choice.component, network, data, seed=seed, **choice.params))
        finally:
            in_memory = dict(self._in_memory)
            self._in_memory.clear()  # the next cell gets new ones, unless these are unchanged
            self._state = state_of(data, network)
            changed = first_change(before, self._state)
            if not changed:
                self._in_memory = in_memory
        if changed:
            text = f"the probe changed {changed} in place, which other probes share; let it work on a copy"
            raise _Failed(Stage.PROBE, PluginError(text))
        seconds = {"dataset": data_product.seconds, "network": network_product.seconds, "probe": product.seconds}
        all_warnings = list(dict.fromkeys([*data_product.warnings, *network_product.warnings, *product.warnings]))
        record = record_of(planned, Stage.PROBE, seconds, network=network, data=data, warnings=all_warnings)
        record["network_threads"] = network_product.threads or record["threads"]
        if not product.value.applicable:
            record["not_applicable"] = "; ".join(product.value.notes) or "the probe gave no metric and no array"
        result.unkept |= product.unkept
        self._keep(planned, product.value, record, result)

    def _keep(self, planned: Planned, probe_result: ProbeResult, record: dict[str, Any], result: JobResult) -> None:
        stored = Stored(planned.key or "", dict(probe_result.metrics), record, tuple(probe_result.notes))
        if planned.key is not None and result.unkept:
            self._store.failures.clear(planned.key)
        elif planned.key is not None and _is_current(planned, Stage.PROBE, result):
            try:
                self._store.write(planned.key, probe_result, record)
            except InputError as error:
                raise _Failed(Stage.PROBE, error) from error
            self._store.failures.clear(planned.key)
            result.stored = stored
            return
        result.stored, result.result = stored, probe_result

    def _run(self, planned: Planned, stage: Stage, function: Callable[[], Any]) -> _Product:
        """Call a plug-in."""
        self._at_stage(stage)
        last_resort = None if self._last_resort is None else lambda: self._last_resort(planned, stage)  # type: ignore[misc]
        start = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with self._calls.watched(planned, stage) as unkept, time_limit(self._timeout, last_resort):
                    value = function()
                    seconds = round(time.perf_counter() - start, 6)
        except TimedOut as error:
            raise _Failed(stage, error, message=too_long(self._timeout, stage)) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also sys.exit, or the error of a cancelled task
            raise _Failed(stage, error) from error
        finally:
            self._left += [_text(w.message) for w in caught if issubclass(w.category, SwitchWarning)]
        return _Product(value, seconds, list(dict.fromkeys(_text(w.message) for w in caught)), unkept=unkept)


class WorkerEnded(TmiError):
    """A job ended its worker process in every attempt: out of memory, or a crash."""


class _Failed(Exception):
    """A plug-in failed; the failure of a data set or network is the failure of every cell that needs it."""

    def __init__(self, stage: Stage, error: BaseException, message: str = "", ended: Sequence[int] = ()) -> None:
        super().__init__(message or message_of(error))
        self.stage, self.error, self.ended = stage, error, list(ended)
        self.mistake = stage != Stage.PROBE and isinstance(error, InputError | DataFileError)
        self.traceback = _text_block("".join(traceback.format_exception(error)))


def too_long(seconds: float | None, stage: Stage) -> str:
    """Return the message for a time limit that was reached."""
    return f"{_DOING[stage]} took longer than the limit of {seconds:g} s"


@contextmanager
def _collecting_warnings(result: JobResult) -> Iterator[None]:
    """Put the store's warnings into the result, so that the user sees them from a worker process too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    result.remarks += [_text(w.message) for w in caught]


def _is_current(planned: Planned, stage: Stage, result: JobResult) -> bool:
    """Whether the code is still the one that the key was made of."""
    choices = planned.cell.choices[: len(stage.so_far)]
    used = [(str(choice), choice.component) for choice in choices]
    for choice in choices:
        used += [
            (reference.text, reference.component) for reference in planned.registry.references(choice.component, choice.params)
        ]
    changed = [name for name, component in used if not component.is_current()]
    if changed and stage == Stage.PROBE:
        result.remarks.append(f"{planned.cell}: the code of {changed[0]} changed during the run, so the result is not kept")
    return not changed


def message_of(error: BaseException) -> str:
    """Return an exception's message in one line, with its type and place unless it is one of tmi's own."""
    text = _text(error)
    if isinstance(error, TmiError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}".removesuffix(": ") + place


def _text(error: object) -> str:
    try:
        text = str(error)
    except Exception:  # __str__ of a plug-in's exception may fail
        text = "without a message"
    return " ".join(_text_block(text).split())


def _text_block(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # a file's name may not be UTF-8
