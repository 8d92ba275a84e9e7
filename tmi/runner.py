"""Runs a suite: plan, store and engine come together and give `Results`."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .engines import Outcome, serial
from .errors import InputError
from .plan import Planned, make_plan
from .results import Entry, Results, Status
from .store import Store, Stored
from .suite import Suite, load_suite

if TYPE_CHECKING:
    from .registry import Registry


class Watcher(Protocol):
    """What wants to know how a run goes on; see `tmi.display`."""

    def start(self, todo: int, cached: int) -> None:
        """Before the first cell is computed."""

    def done(self, outcome: Outcome) -> None:
        """After each."""


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    store: str | Path | Store | None = None,
    workers: int = 1,
    *,
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
        Only 1 so far.
    only : str or iterable of str
        Patterns over the cells' names; see `tmi.plan.make_plan`.
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
    StoreError
        If the store cannot be written to, before anything runs.
    KeyboardInterrupt
        As it comes; what is finished is kept, and the next run goes on from there.
    """
    if workers != 1:
        raise InputError(f"workers: this version computes in one process, so it must be 1, got {workers!r}")
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins, registry=registry)
    store = store if isinstance(store, Store) else Store(store)
    plan = make_plan(suite, only)
    found = {id(p): store.read(p.key) if p.key else None for p in plan}
    todo = [p for p in plan if found[id(p)] is None]
    outcomes: dict[int, Entry] = {}
    if todo:
        store.prepare()
        from .display import watching

        with watching(watcher) as told:
            told.start(len(todo), len(plan) - len(todo))
            for outcome in serial(todo):
                outcomes[id(outcome.planned)] = _keep(store, suite, outcome)
                told.done(outcome)
    entries = [outcomes.get(id(p)) or _entry(suite, p, "ok", found[id(p)], cached=True) for p in plan]
    return _results(suite, entries, store)


def collect(
    suite: str | Path | Mapping[str, Any] | Suite,
    store: str | Path | Store | None = None,
    *,
    only: str | Iterable[str] = (),
    plugins: str | Path | Iterable[str | Path] = (),
) -> Results:
    """Return what the store has of a suite, computing nothing; cells that it lacks have the status ``missing``.

    Parameters
    ----------
    suite, store, only, plugins
        As for `run`.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite, plugins=plugins)
    store = store if isinstance(store, Store) else Store(store)
    entries = []
    for planned in make_plan(suite, only):
        stored = store.read(planned.key) if planned.key else None
        entries.append(_entry(suite, planned, "ok" if stored else "missing", stored, cached=stored is not None))
    return _results(suite, entries, store)


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


def _keep(store: Store, suite: Suite, outcome: Outcome) -> Entry:
    planned, result = outcome.planned, outcome.result
    if result is None:
        return _entry(suite, planned, "failed", message=outcome.message, traceback=outcome.traceback, mistake=outcome.mistake)
    record = _record(outcome)
    more: dict[str, Any] = {"metrics": dict(result.metrics), "record": record, "notes": result.notes}
    changed = [choice for choice in planned.cell.choices if not choice.component.is_current()]
    if changed:
        warnings.warn(f"{planned.cell}: the code of {changed[0]} changed meanwhile, so the result is not kept", stacklevel=3)
        return _entry(suite, planned, "ok", _result=result, **more)
    if planned.key:
        try:
            store.write(planned.key, result, record)
        except InputError as error:
            outcome.result, outcome.message = None, str(error)
            return _keep(store, suite, outcome)
        return _entry(suite, planned, "ok", **more)
    warnings.warn(
        f"{planned.cell}: its code cannot be fingerprinted, so the result is not kept; "
        "functions in files and packages can be, those typed into an interpreter cannot",
        stacklevel=3,
    )
    return _entry(suite, planned, "ok", _result=result, **more)


def _record(outcome: Outcome) -> dict[str, Any]:
    """Provenance: everything that made a number, and what only accompanied it."""
    import torch

    from . import __version__, keys

    cell = outcome.planned.cell
    return {
        "tmi": __version__,
        "versions": keys.versions(),
        "seed": cell.seed,
        **{
            choice.kind: {
                "name": choice.component.name,
                "params": choice.params,
                "plugin": choice.component.plugin.name,
                "origin": choice.component.plugin.origin,
            }
            for choice in cell.choices
        },
        "keys": {"dataset": outcome.planned.dataset_key, "network": outcome.planned.network_key},
        "data": outcome.notes,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "seconds": {name: round(value, 6) for name, value in outcome.seconds.items()},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "warnings": outcome.warnings,
    }
