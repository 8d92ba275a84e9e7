"""What a worker process does: it gets orders as JSON, does the work, writes the files itself, and says what became of it.

The plug-ins are those that are installed where the worker runs, and the files that the order names. A worker whose code or
versions differ from the asker's would file its numbers under the wrong key, so it refuses.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tmi.errors import EngineError, TmiError
from tmi.hashing import canonical
from tmi.plugins.registry import Registry, with_files
from tmi.runtime.threads import limited
from tmi.stages import Stage
from tmi.store.failures import Failure
from tmi.store.index import IndexRow
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.keys import Keys
from tmi.suites.plan import Planned
from tmi.suites.suite import Cell, Choice

from .executor import Executor, too_long
from .job import Job, JobResult, Options
from .provenance import now

_one_at_a_time = threading.Lock()  # Captum is not safe in several threads
_state: _Worker | None = None


def order_of(job: Job, orders: Options) -> str:
    """Write a job as JSON."""
    planned, cell = job.planned, job.planned.cell
    return canonical(
        {
            "run": orders.run,
            "store": str(orders.store.folder.absolute()),
            "files": [str(file) for file in planned.registry.files],
            "threads": orders.threads,
            "timeout": orders.timeout,
            "attempts": orders.attempts,
            "keep": orders.keep,
            "stage": job.stage,
            "seed": cell.seed,
            "choices": [[c.kind, c.label, c.component.name, c.params, c.swept] for c in cell.choices],
            "keys": planned.keys,
        }
    )


def work(order: str) -> dict[str, Any]:
    """Do a job, and return what became of it as plain values; see `outcome_of`."""
    asked = json.loads(order)
    with _one_at_a_time:
        global _state
        if _state is None or _state.run != asked["run"]:
            if _state is not None:
                _state.close()
            _state = _Worker(asked)
        return _state.work(asked)


def outcome_of(answer: Mapping[str, Any], job: Job, store: Store) -> JobResult:
    """Read an answer.

    Raises
    ------
    EngineError
        If the worker cannot work for this run at all.
    """
    if "problem" in answer:
        raise EngineError(f"{answer['problem']}; what is finished is kept")
    fields = dict(answer)
    store.remember_rows([IndexRow(*row) for row in fields.pop("rows")])
    stored, result = fields.pop("stored"), fields.pop("result")
    if result is not None:
        from tmi.store.results import result_of

        result = result_of(result)
    if stored is not None:
        stored = Stored(**(stored | {"notes": tuple(stored["notes"])}))
    return JobResult(job.planned, job.stage, stored, result, **fields)


class _Worker:
    """What a worker process keeps from one job of a run to the next."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        import torch  # noqa: F401  # before the first claim: what ends a worker while it starts is no fault of a cell

        self.run: str = asked["run"]
        self._store = Store(asked["store"])
        self._claims = self._store.leases(self.run, asked["attempts"])
        self._bench = Executor(self._store, self._claims, timeout=asked["timeout"], last_resort=self._give_up, keep=asked["keep"])
        self._registry: Registry = with_files([Path(file) for file in asked["files"]])
        self._keys = Keys(self._registry)
        self._choices: dict[str, Choice] = {}
        self._timeout: float | None = asked["timeout"]

    def close(self) -> None:
        self._claims.close()

    def work(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        stage: Stage = asked["stage"]
        try:
            planned = self._planned(asked)
        except TmiError as error:  # a plug-in that is not there
            return {"problem": f"worker on {_here()}: {error}"}
        problem = self._problem(planned, asked)
        if problem:
            return {"problem": problem}
        key = planned.keys[stage]
        before = self._store.failures.read(key) if key is not None else None
        if (
            key is not None and before is not None and before.run == self.run
        ):  # an earlier attempt could not be interrupted, see _give_up
            if stage != "probe":  # of a cell it is kept, as the failure of that cell
                self._store.failures.clear(key)
            return _answer(JobResult(planned, stage, failed=stage, message=before.message), [])
        with limited(asked["threads"]):
            outcome = self._bench.work(planned, stage)
        return _answer(outcome, self._store.take_rows())

    def _planned(self, asked: Mapping[str, Any]) -> Planned:
        choices = [self._choice(*choice) for choice in asked["choices"]]
        cell = Cell(choices[0], choices[1], choices[2], asked["seed"])
        return Planned(cell, self._registry, *self._keys.of(cell))

    def _choice(self, kind: str, label: str, name: str, params: dict[str, Any], swept: dict[str, Any]) -> Choice:
        key = canonical([kind, label, name, params, swept])
        if key not in self._choices:
            self._choices[key] = Choice(kind, label, self._registry.find(kind, name), params, swept)
        return self._choices[key]

    def _problem(self, planned: Planned, asked: Mapping[str, Any]) -> str:
        if not (self._store.folder / "leases" / marker(self.run)).is_file():
            return (
                f"worker on {_here()}: does not see the store {self._store.folder}; it must be a folder that all machines share"
            )
        if planned.keys != asked["keys"]:
            return f"worker on {_here()}: has other code, data or versions of libraries than the process that asked it"
        return ""

    def _give_up(self, planned: Planned, stage: Stage) -> None:
        """Leave word, and end this process: a library does not come back to Python. The job is then given out again."""
        key = planned.keys[stage]
        if key is not None:
            message = too_long(self._timeout, stage)
            self._store.failures.write(key, Failure(str(planned.cell), message, run=self.run, finished=now()))
        os._exit(1)


def _answer(outcome: JobResult, rows: list[IndexRow]) -> dict[str, Any]:
    fields = ("message", "failed", "traceback", "mistake", "fatal", "busy", "seconds", "remarks", "ended")
    result = None
    if outcome.result is not None and outcome.stored is not None:
        from tmi.store.results import result_bytes

        try:
            result = result_bytes("", outcome.result, outcome.stored.record)
        except (ValueError, TypeError) as error:
            outcome.failed, outcome.message, outcome.stored = "probe", f"the result cannot be kept: {error}", None
    return {
        **{name: getattr(outcome, name) for name in fields},
        "stored": None if outcome.stored is None else asdict(outcome.stored),
        "result": result,
        "rows": [[getattr(row, name) for name in IndexRow.__slots__] for row in rows],
    }


def _here() -> str:

    return socket.gethostname()


def marker(run: str) -> str:
    """Name of the claim that stands while a run goes on: a worker that does not see it has another folder."""
    return f"run-{run}"
