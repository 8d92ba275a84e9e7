"""Runs a suite: a plan, a store and an engine give `Results`."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tmi.engines.job import Engine, JobResult, Keep, Options
from tmi.engines.provenance import now
from tmi.engines.running import in_words
from tmi.engines.serial import serial
from tmi.errors import InputError, StoreError, did_you_mean
from tmi.runtime.signals import stoppable
from tmi.stages import Stage
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
        Threads of each process. By default as many as torch takes; with several workers the cores are shared out. Results agree
        bit for bit with the same number; with another one evaluations agree to rounding, and training gives another network.
    memory : str or float, optional
        What one worker may use, such as ``"4 GB"`` or bytes; a worker that uses more is ended. By default an equal share.
    timeout : float, optional
        Seconds that a data set, a network or a probe may take.
    attempts : int
        How often a cell is started that ends its worker process.
    keep : {"all", "networks", "results"}
        What is written to the store: everything, so that no data set and no network is made twice; or less, where space is short.
    fail_fast : bool
        Whether to start nothing new after the first failure.
    retry_failed : bool
        Whether to compute only the cells that failed in their last run.
    only : str or iterable of str
        Patterns over the cells' names; see `tmi.suites.plan.make_plan`.
    plugins : path or iterable of path
        Plug-in files beside those that the suite names.
    registry : Registry, optional
        By default all installed plug-ins.
    watcher : Watcher, optional
        Called for every finished cell; by default a progress display in a terminal, and nothing elsewhere.

    Returns
    -------
    Results
        One entry a cell. A cell that fails becomes an entry with its message; the other cells are still computed.

    Raises
    ------
    SuiteError
        With everything that is wrong with the suite, before anything runs.
    InputError
        For a setting of the run that is out of range, or a missing package that it needs.
    StoreError
        If the store cannot be written to, before anything runs or when it is full; what is finished is kept.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM. The first signal lets the running cells finish, the second does not. Finished cells are kept, and
        the next run continues from there.
    """
    engine = _engine(workers, scheduler, threads, memory, timeout, attempts)
    if keep not in get_args(Keep):
        raise InputError(f"keep {keep!r} is unknown{did_you_mean(keep, get_args(Keep))}")
    store = store if isinstance(store, Store) else Store(store)  # first: a plug-in may change the working folder
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins, registry=registry)
    plan = make_plan(suite, only)
    stored = store.read_all(planned.key for planned in plan if planned.key)
    todo = [planned for planned in plan if planned.key not in stored]
    if retry_failed:
        failed = store.failures.keys()
        todo = [planned for planned in todo if planned.key in failed]
    todo = list({_identity(planned): planned for planned in reversed(todo)}.values())[
        ::-1
    ]  # cells with one key are computed once
    results: dict[Hashable, JobResult] = {}
    if todo:
        store.prepare()
        options = Options(store, uuid.uuid4().hex, threads, timeout, attempts, keep)
        cached = sum(planned.key in stored for planned in plan)
        _compute(engine, todo, cached, options, watcher, fail_fast, None if scheduler else workers, results)
    entries = []
    for planned in plan:
        result = results.get(_identity(planned))
        if result is not None:
            entries.append(_entry_of(suite, planned, result))
        else:
            entries.append(_stored_entry(suite, planned, stored.get(planned.key or "")))
    return _results(suite, entries, store)


def _engine(workers: Any, scheduler: Any, threads: Any, memory: Any, timeout: Any, attempts: Any) -> Engine:
    """Choose the engine, and refuse settings that are out of range."""
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
    options: Options,
    watcher: Watcher | None,
    fail_fast: bool,
    workers: int | None,
    results: dict[Hashable, JobResult],
) -> None:
    """Compute cells, and fill ``results`` with what became of each."""
    from .display import watching
    from .estimate import Costs, TimeLeft

    store = options.store
    time_left = TimeLeft(Costs(store.index.costs()), todo, workers, _stored_keys(todo, store))
    fatal: JobResult | None = None
    shown: set[str] = set()
    running = options.running
    with watching(watcher, running) as display, stoppable(display.say, lambda: in_words(running.current())) as stop:
        options.stop = stop
        display.start(len(todo), cached, time_left.seconds)
        try:
            with closing(
                engine(todo, options)
            ) as stream:  # closed at once: an exception's traceback would keep the workers alive
                for result in stream:
                    for remark in result.remarks:
                        if remark not in shown:  # Python's own filter forgets what it has shown
                            shown.add(remark)
                            warnings.warn(remark, stacklevel=3)
                    for name, reason in result.unkept.items():
                        if name not in shown:
                            shown.add(name)
                            warnings.warn(reason, stacklevel=3)
                    if result.fatal:
                        stop.asked, fatal = True, result
                        continue
                    results[_identity(result.planned)] = result
                    _record_failure(options, result)
                    seconds = {Stage.PROBE: result.seconds} if result.stored is None else result.stored.record["seconds"]
                    time_left.update(result.planned, seconds)
                    display.done(result)
                    stop.asked |= fail_fast and bool(result.failed)
        finally:
            store.flush()
    if fatal is not None:
        kept = sum(result.stored is not None for result in results.values()) + cached
        raise StoreError(f"{fatal.message}; the {kept} finished results are kept, and the next run continues from there")
    if stop.by_signal:
        raise KeyboardInterrupt


def _identity(planned: Planned) -> Hashable:
    """The same for cells with one result, as tables with equal settings have."""
    return planned.key or id(planned)


def _record_failure(options: Options, result: JobResult) -> None:
    planned = result.planned
    if result.stored is None and planned.key is not None:
        failure = Failure(str(planned.cell), result.message, result.traceback, result.mistake, options.run, now())
        options.store.failures.write(planned.key, failure)


def load_results(
    suite: str | Path | Mapping[str, Any] | Suite,
    store: str | Path | Store | None = None,
    *,
    only: str | Iterable[str] = (),
    plugins: str | Path | Iterable[str | Path] = (),
    registry: Registry | None = None,
) -> Results:
    """Return what the store has of a suite; nothing is computed.

    Parameters
    ----------
    suite, store, only, plugins, registry
        As for `run`.

    Returns
    -------
    Results
        One entry a cell. A cell without a stored result has the status ``failed`` and its message if it failed in its last run,
        else ``missing``.

    Raises
    ------
    SuiteError
        With everything that is wrong with the suite.
    StoreError
        If the store cannot be read.
    """
    store = store if isinstance(store, Store) else Store(store)  # first: a plug-in may change the working folder
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins, registry=registry)
    plan = make_plan(suite, only)
    stored = store.read_all(planned.key for planned in plan if planned.key)
    failed = store.failures.keys() if len(stored) < len(plan) else set()
    entries = []
    for planned in plan:
        key = planned.key or ""
        failure = store.failures.read(key) if key in failed and key not in stored else None
        if failure is not None:
            entries.append(_failed_entry(suite, planned, failure.message, failure.traceback, failure.mistake))
        else:
            entries.append(_stored_entry(suite, planned, stored.get(key)))
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

    todo = [planned for planned in make_plan(suite) if str(planned.cell) in cells]
    return Costs(store.index.costs()).estimate(todo, _stored_keys(todo, store), workers)


def _stored_keys(todo: Sequence[Planned], store: Store) -> set[str]:
    """Return the keys of the data sets and networks of these cells that the store has."""
    keys = {(stage, planned.keys[stage]) for planned in todo for stage in (Stage.DATASET, Stage.NETWORK)}
    return {key for stage, key in keys if key is not None and store.has(stage, key)}


def _results(suite: Suite, entries: list[Entry], store: Store) -> Results:
    return Results(
        entries,
        store,
        name=suite.name,
        description=suite.description,
        columns={column: kind for column, (kind, _) in suite.columns.items()},
        report=suite.report,
        registry=suite.registry,
        source=suite.source,
    )


def _entry_of(suite: Suite, planned: Planned, result: JobResult) -> Entry:
    """Return the entry of a cell that was computed; ``planned`` may be another cell with the same key."""
    if result.stored is None:
        return _failed_entry(suite, planned, result.message, result.traceback, result.mistake)
    unstored = {"key": None} if result.unkept else {}
    return _stored_entry(suite, planned, result.stored, cached=False, _result=result.result, **unstored)


def _failed_entry(suite: Suite, planned: Planned, message: str, traceback: str, mistake: bool) -> Entry:
    return _entry(suite, planned, "failed", message=message, traceback=traceback, mistake=mistake)


def _stored_entry(suite: Suite, planned: Planned, stored: Stored | None, *, cached: bool = True, **fields: Any) -> Entry:
    if stored is None:
        return _entry(suite, planned, "missing")
    reason = stored.record.get("not_applicable", "")
    status: Status = "not applicable" if reason else "ok"
    fields |= {"metrics": stored.metrics, "record": stored.record, "notes": stored.notes}
    return _entry(suite, planned, status, message=reason, cached=cached, **fields)


def _entry(suite: Suite, planned: Planned, status: Status, **fields: Any) -> Entry:
    cell = planned.cell
    choices = {choice.kind: choice for choice in cell.choices}
    swept = {column: choices[kind].swept.get(name) for column, (kind, name) in suite.columns.items()}
    dataset, network, probe = (choice.label for choice in cell.choices)
    return Entry(str(cell), dataset, network, probe, cell.seed, swept, status, **{"key": planned.key, **fields})
