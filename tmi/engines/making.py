"""Makes the data sets and networks of cells, or reads them from the store, and writes each to the store at once."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError, InputError
from tmi.hashing import digest
from tmi.networks import train_once
from tmi.probing.mutation import State
from tmi.runtime.guard import SwitchWarning
from tmi.runtime.time_limit import TimedOut, time_limit
from tmi.stages import Stage
from tmi.store.leases import Leases, TooManyAttempts
from tmi.store.store import Store
from tmi.suites.plan import Planned

from .job import JobResult, Keep
from .product import DOING, Failed, Product, WorkerEnded, text_of, too_long
from .provenance import record_of
from .unkept import Calls

if TYPE_CHECKING:
    from tmi.tasks.dataset import Dataset

_SAMPLE = 8  # images on which a restored network must agree with the one that was kept


class Maker:
    """Makes data sets and networks, and holds the last one of each in memory.

    Parameters
    ----------
    store : Store
    leases : Leases
        Of the run.
    timeout : float, optional
        Seconds that a data set, a network or a probe may take.
    last_resort : callable, optional
        Called with the cell, or None for a group of networks, and the stage when one that takes longer cannot be interrupted;
        see `tmi.runtime.time_limit`.
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
        last_resort: Callable[[Planned | None, Stage], Any] | None = None,
        keep: Keep = "all",
        at_stage: Callable[[Stage], Any] = lambda stage: None,
    ) -> None:
        self._store, self._leases = store, leases
        self._timeout, self._last_resort, self._at_stage = timeout, last_resort, at_stage
        self._keeps = {"all": ("dataset", "network"), "networks": ("network",), "results": ()}[keep]
        self._in_memory: dict[str, tuple[Hashable, Product | Failed]] = {}
        self._of_group: dict[tuple[Stage, Hashable], Product] = {}  # what a group made that its cells have not used
        self._state: State | None = None
        self._calls = Calls(store.folder)
        self._left: list[str] = []  # what plug-ins left changed in the job

    def _dataset(self, planned: Planned, result: JobResult) -> Product:
        key, choice, seed = planned.dataset_key, planned.cell.dataset, planned.cell.seed

        def read() -> Product | None:
            laws = functools.partial(planned.registry.reference, "background")
            stored = self._store.load_dataset(key, laws) if key is not None else None
            return None if stored is None else Product(stored[0], stored[1]["seconds"], stored[1]["warnings"], is_kept=True)

        def make() -> Product:
            generate = planned.registry.generate
            product = self._run(planned, Stage.DATASET, lambda: generate(choice.component, seed=seed, **choice.params))
            if self._may_keep(planned, Stage.DATASET, product, result):
                record = record_of(planned, Stage.DATASET, product.seconds, data=product.value, warnings=product.warnings)
                try:
                    self._store.write_dataset(key or "", product.value, record)
                except (InputError, MemoryError) as error:
                    reason = text_of(error) or "not enough memory"
                    result.remarks.append(
                        f"data set {choice.component.name}: is not kept ({reason}); every process that needs it makes it again"
                    )
            return product

        return self._get(Stage.DATASET, planned.dataset_id, key, result, read, make)

    def _network(self, planned: Planned, data_product: Product, result: JobResult) -> Product:
        key, data = planned.network_key, data_product.value

        def read() -> Product | None:
            stored = self._store.load_network(key) if key is not None and not data_product.unkept else None
            if stored is None:
                return None
            training, record = stored
            try:
                with nullcontext() if training is None else train_once.weights(training.weights, training.history):
                    network = self._build(planned, data)
            except (Failed, DamagedFileError) as failed:
                if isinstance(failed, Failed) and not isinstance(failed.error, DamagedFileError):
                    raise
                self._store.set_aside(Stage.NETWORK, key or "", str(failed))
                return None
            is_kept = (training is not None or network.value.origin != "trained") and not network.unkept
            threads = record.get("threads") if training is not None else None
            return Product(network.value, record["seconds"], record["warnings"], is_kept, network.unkept, threads)

        def make() -> Product:
            with train_once.recording() as training:
                product = self._build(planned, data)
            product = product._replace(unkept=data_product.unkept | product.unkept)
            if self._may_keep(planned, Stage.NETWORK, product, result):
                return product._replace(is_kept=self._keep_network(planned, data, product, training, result))
            return product

        return self._get(Stage.NETWORK, (planned.dataset_id, planned.network_id), key, result, read, make)

    def _keep_network(
        self, planned: Planned, data: Dataset, product: Product, training: train_once.Trained, result: JobResult
    ) -> bool:
        """Write a network to the store; return whether other processes get it from there without training it again."""
        from tmi.store.networks import why_not_kept

        record = record_of(planned, Stage.NETWORK, product.seconds, network=product.value, warnings=product.warnings)
        images = (data.test if len(data.test) else data.train).images[:_SAMPLE]
        name = planned.cell.network.component.name
        reason = why_not_kept(product.value, training, lambda: self._build(planned, data).value, images)
        if reason:
            result.remarks.append(
                f"network {name}: its training is not kept ({text_of(reason)}); every process that needs it trains it again"
            )
        try:
            self._store.write_network(planned.network_key or "", product.value, None if reason else training, record)
        except (InputError, MemoryError) as error:
            reason = text_of(error) or "not enough memory"
            result.remarks.append(f"network {name}: is not kept ({reason}); every process that needs it makes it again")
        return not reason

    def _build(self, planned: Planned, data: Dataset) -> Product:
        choice, seed = planned.cell.network, planned.cell.seed
        build = planned.registry.build
        return self._run(planned, Stage.NETWORK, lambda: build(choice.component, data, seed=seed, **choice.params))

    def _get(
        self,
        stage: Stage,
        wanted: Hashable,
        key: str | None,
        result: JobResult,
        read: Callable[[], Product | None],
        make: Callable[[], Product],
    ) -> Product:
        """Return the product that is in memory, else from the store, else make it."""
        if self._in_memory.get(stage, (None, None))[0] != wanted:
            self._state = None
            self._in_memory.pop(stage, None)  # before the new one is made: two at a time would take twice the memory
            if stage == Stage.DATASET:
                self._in_memory.pop(Stage.NETWORK, None)
            product: Product | Failed | None
            try:
                product = self._of_group.pop((stage, wanted), None)
                if product is None:
                    with collecting_warnings(result):
                        product = read()
                if product is None:
                    with self._leased(stage, key, result):
                        with collecting_warnings(result):
                            product = read() if self._store.has(stage, key) else None  # another run may just have made it
                        product = product or make()
            except Failed as failed:
                product = failed
            self._in_memory[stage] = wanted, product
        product = self._in_memory[stage][1]
        if isinstance(product, Failed):
            raise product
        result.unkept |= product.unkept
        return product

    def _may_keep(self, planned: Planned, stage: Stage, product: Product, result: JobResult) -> bool:
        """Return whether a data set or a network is written to the store."""
        wanted = planned.keys[stage] is not None and stage in self._keeps and not product.unkept
        return wanted and is_current(planned, stage, result)

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
            message = f"{DOING[stage]} ended its worker process {times}"
            raise Failed(stage, WorkerEnded(message), ended=error.pids) from None

    def _run(
        self, planned: Planned, stage: Stage, function: Callable[[], Any], *, in_group: bool = False, networks: int = 1
    ) -> Product:
        """Call a plug-in; ``in_group`` if it works for other cells as well, and each of the networks has the time of one."""
        self._at_stage(stage)
        limit = None if self._timeout is None else self._timeout * networks
        cell, give_up = None if in_group else planned, self._last_resort
        last_resort = None if give_up is None else lambda: give_up(cell, stage)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with self._calls.watched(planned, stage) as unkept, time_limit(limit, last_resort):
                    value = function()
                    seconds = round(time.perf_counter() - start, 6)
        except TimedOut as error:
            raise Failed(stage, error, message=too_long(limit, stage)) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also sys.exit, or the error of a cancelled task
            raise Failed(stage, error) from error
        finally:
            self._left += [text_of(w.message) for w in caught if issubclass(w.category, SwitchWarning)]
        return Product(value, seconds, list(dict.fromkeys(text_of(w.message) for w in caught)), unkept=unkept)


@contextmanager
def collecting_warnings(result: JobResult) -> Iterator[None]:
    """Put the store's warnings into the result, so that the user sees them from a worker process too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    result.remarks += [text_of(w.message) for w in caught]


def is_current(planned: Planned, stage: Stage, result: JobResult) -> bool:
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
