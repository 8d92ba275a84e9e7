"""Runs a suite: plan, store and engine come together and give `Results`."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tmi.engines.job import Engine, JobResult, Keep, Options
from tmi.engines.provenance import now
from tmi.engines.serial import serial
from tmi.errors import InputError, StoreError, did_you_mean
from tmi.runtime.signals import stoppable
from tmi.store.failures import Failure
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.plan import Planned, make_plan
from tmi.suites.reader import load_suite
from tmi.suites.suite import Suite

from .display import Watcher
from .results import Entry, Results, Status

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

    from .estimate import Estimate


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    store: str | Path | Store | None = None,
    workers: int = 1,
    *,
    scheduler: str | None = None,
    threads: int | None = None,
    memory: str | float | None = None,
    timeout: float | None = None,
    attempts: int = 2,
    keep: Keep = "all",
    fail_fast: bool = False,
    retry_failed: bool = False,
    only: str | Iterable[str] = (),
    plugins: str | Path | Iterable[str | Path] = (),
    registry: Registry | None = None,
    watcher: Watcher | None = None,
) -> Results:
    """Run a suite: what is in the store is taken from there, the rest is computed and kept.

    Parameters
    ----------
    suite : str, Path, mapping or Suite
        A registered name, the path of a TOML file, what such a file holds, or a loaded suite.
    store : str, Path or Store, optional
        By default the variable ``TMI_STORE``, else the folder ``tmi-store``.
    workers : int
        Processes that compute at the same time. 1 is this process; more need the extra ``dask``.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers compute instead; they must see the store's
        folder and have the same code.
    threads : int, optional
        Threads of each process. By default as many as torch takes; with several workers the cores are shared out.
    memory : str or float, optional
        What one worker may take, such as ``"4 GB"`` or bytes; one that takes more is ended. By default an equal share.
    timeout : float, optional
        Seconds that a data set, a network or a probe may take.
    attempts : int
        How often a cell is begun that ends its worker.
    keep : {"all", "networks", "results"}
        What is written to the store: all, so that no data set and no network is made twice; or less, where space is short.
    fail_fast : bool
        Whether to begin nothing new once a cell failed.
    retry_failed : bool
        Whether to compute only the cells that failed when they were last tried.
    only : str or iterable of str
        Patterns over the cells' names; see `tmi.suites.plan.make_plan`.
    plugins : path or iterable of path
        Plug-in files beside those that the suite names.
    registry : Registry, optional
        By default all installed plug-ins.
    watcher : Watcher, optional
        Told of every cell; by default a progress display in a terminal, and nothing elsewhere.

    Returns
    -------
    Results
        One entry a cell. A cell that fails becomes an entry with its message; the others go on.

    Raises
    ------
    SuiteError
        With everything that is wrong with the suite, before anything runs.
    InputError
        For a setting of the run that makes no sense, or a package that it needs and that is missing.
    StoreError
        If the store cannot be written to, before anything runs or when it is full; what is finished is kept.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM: the first lets what is running finish, the second does not. What is finished is kept, and the
        next run goes on from there.
    """
    engine = _engine(workers, scheduler, threads, memory, timeout, attempts)
    if keep not in get_args(Keep):
        raise InputError(f"keep {keep!r} is unknown{did_you_mean(keep, get_args(Keep))}")
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins, registry=registry)
    store = store if isinstance(store, Store) else Store(store)
    plan = make_plan(suite, only)
    found = store.read_all(p.key for p in plan if p.key)
    todo = [p for p in plan if p.key not in found]
    if retry_failed:
        failed = store.failures.keys()
        todo = [p for p in todo if p.key in failed]
    todo = list({_work(p): p for p in reversed(todo)}.values())[::-1]  # cells with one key are one piece of work
    done: dict[Hashable, JobResult] = {}
    if todo:
        store.prepare()
        orders = Options(store, uuid.uuid4().hex, threads, timeout, attempts, keep)
        cached = sum(p.key in found for p in plan)
        _compute(engine, todo, cached, orders, watcher, fail_fast, None if scheduler else workers, done)
    entries = []
    for p in plan:
        if _work(p) in done:
            entries.append(_settled(suite, p, done[_work(p)]))
            continue
        stored = found.get(p.key or "")
        entries.append(_entry(suite, p, "ok" if stored else "missing", stored, cached=stored is not None))
    return _results(suite, entries, store)


def _engine(workers: Any, scheduler: Any, threads: Any, memory: Any, timeout: Any, attempts: Any) -> Engine:
    """Choose the engine, and refuse settings that make no sense."""
    for name, value in (("workers", workers), ("threads", threads), ("attempts", attempts)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e9):
        raise InputError(f"timeout: expected seconds, more than 0, got {timeout!r}")
    if scheduler is not None and workers != 1:
        raise InputError("workers, scheduler: give one of them; a scheduler has its own workers")
    if workers == 1 and scheduler is None:
        if memory is not None:
            raise InputError("memory: it bounds worker processes; give workers as well, at least 2")
        return serial
    from tmi.engines.dask_engine import engine

    return engine(workers=None if scheduler else workers, scheduler=scheduler, memory=memory)


def _compute(
    engine: Engine,
    todo: Sequence[Planned],
    cached: int,
    orders: Options,
    watcher: Watcher | None,
    fail_fast: bool,
    workers: int | None,
    done: dict[Hashable, JobResult],
) -> None:
    from .display import watching
    from .estimate import Costs

    left = Costs(orders.store.index.costs()).time_left(todo, workers, *_there(todo, orders.store))
    lost: JobResult | None = None
    with watching(watcher) as told, stoppable(told.say) as stop:
        orders.stop = stop
        told.start(len(todo), cached, left.seconds)
        try:
            with closing(engine(todo, orders)) as outcomes:  # an exception's traceback would keep its workers alive
                for outcome in outcomes:
                    for remark in outcome.remarks:
                        warnings.warn(remark, stacklevel=3)
                    if outcome.fatal:
                        stop.asked, lost = True, outcome
                        continue
                    done[_work(outcome.planned)] = outcome
                    _note_failure(orders, outcome)
                    spent = {"probe": outcome.seconds} if outcome.stored is None else outcome.stored.record["seconds"]
                    left.update(outcome.planned, spent)
                    told.done(outcome)
                    stop.asked |= fail_fast and bool(outcome.failed)
        finally:
            orders.store.flush()
    if lost is not None:
        kept = sum(outcome.stored is not None for outcome in done.values()) + cached
        raise StoreError(f"{lost.message}; the {kept} results that there are stay, and the next run goes on from there")
    if stop.by_signal:
        raise KeyboardInterrupt


def _work(planned: Planned) -> Hashable:
    """The same for cells that are one piece of work, as tables with equal settings make them."""
    return planned.key or id(planned)


def _note_failure(orders: Options, outcome: JobResult) -> None:
    planned = outcome.planned
    if outcome.stored is None and planned.key is not None:
        failure = Failure(str(planned.cell), outcome.message, outcome.traceback, outcome.mistake, orders.run, now())
        orders.store.failures.write(planned.key, failure)


def _settled(suite: Suite, planned: Planned, outcome: JobResult) -> Entry:
    """Turn an outcome into a row; ``planned`` may be another cell of the same work."""
    if outcome.stored is not None:
        return _entry(suite, planned, "ok", outcome.stored, _result=outcome.result)
    return _entry(suite, planned, "failed", message=outcome.message, traceback=outcome.traceback, mistake=outcome.mistake)


def collect(
    suite: str | Path | Mapping[str, Any] | Suite,
    store: str | Path | Store | None = None,
    *,
    only: str | Iterable[str] = (),
    plugins: str | Path | Iterable[str | Path] = (),
) -> Results:
    """Return what the store has of a suite, computing nothing.

    Cells that it lacks have the status ``failed`` and the message of their failure if they failed when they were last tried, else
    ``missing``.

    Parameters
    ----------
    suite, store, only, plugins
        As for `run`.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins)
    store = store if isinstance(store, Store) else Store(store)
    plan = make_plan(suite, only)
    found = store.read_all(p.key for p in plan if p.key)
    failures = store.failures.keys() if len(found) < len(plan) else set()
    entries = []
    for planned in plan:
        stored = found.get(planned.key or "")
        failure = store.failures.read(planned.key) if stored is None and planned.key and planned.key in failures else None
        if failure is not None:
            entry = _entry(
                suite, planned, "failed", message=failure.message, traceback=failure.traceback, mistake=failure.mistake
            )
        else:
            entry = _entry(suite, planned, "ok" if stored else "missing", stored, cached=stored is not None)
        entries.append(entry)
    return _results(suite, entries, store)


def estimate(suite: Suite, store: Store, cells: Collection[str], workers: int = 1) -> Estimate:
    """Return what computing cells of a suite would take, by the costs that the store has recorded.

    Parameters
    ----------
    suite : Suite
    store : Store
    cells : collection of str
        Their names, as an `Entry` has them.
    workers : int
    """
    from .estimate import Costs

    todo = [p for p in make_plan(suite) if str(p.cell) in cells]
    return Costs(store.index.costs()).estimate(todo, *_there(todo, store), workers)


def _there(todo: Sequence[Planned], store: Store) -> tuple[set[str], set[str]]:
    """Return the keys of the data sets and networks of these cells that the store has."""
    datasets, networks = {p.dataset_key for p in todo if p.dataset_key}, {p.network_key for p in todo if p.network_key}
    return {key for key in datasets if store.has("dataset", key)}, {key for key in networks if store.has("network", key)}


def _results(suite: Suite, entries: list[Entry], store: Store) -> Results:
    return Results(
        entries,
        store,
        name=suite.name,
        description=suite.description,
        columns={column: kind for column, (kind, _) in suite.columns.items()},
        report=suite.report,
        registry=suite.registry,
    )


def _entry(suite: Suite, planned: Planned, status: Status, stored: Stored | None = None, **more: Any) -> Entry:
    cell = planned.cell
    of = {choice.kind: choice for choice in cell.choices}
    swept = {column: of[kind].swept.get(name) for column, (kind, name) in suite.columns.items()}
    if stored is not None:
        more |= {"metrics": stored.metrics, "record": stored.record, "notes": stored.notes}
    return Entry(
        str(cell), cell.dataset.label, cell.network.label, cell.probe.label, cell.seed, swept, status, planned.key, **more
    )
