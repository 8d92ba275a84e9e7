"""What a worker process does: it reads a job from JSON, does it, writes the files itself, and returns the result as plain values.

The plug-ins are those that are installed where the worker runs, and the files that the job names. A worker whose code or versions
differ from those of the process that sent the job would file its numbers under the wrong key, so it refuses the job.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tmi.errors import EngineError, TmiError
from tmi.hashing import canonical
from tmi.plugins.registry import Registry, with_files
from tmi.runtime.threads import limited
from tmi.stages import Stage
from tmi.store import leases
from tmi.store.failures import Failure
from tmi.store.index import IndexRow
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.keys import Keys, paths_of
from tmi.suites.plan import Planned
from tmi.suites.suite import Cell, Choice

from .executor import Executor
from .job import Job, JobResult, Options
from .product import too_long
from .provenance import now

_one_job_at_a_time = threading.Lock()  # Captum is not safe in several threads
_worker: _Worker | None = None


def encode_job(job: Job, options: Options) -> str:
    """Write a job as JSON."""
    planned = job.planned
    return canonical(
        {
            "run": options.run,
            "store": str(options.store.folder.absolute()),
            "folder": str(planned.registry.folder or Path.cwd()),
            "files": [str(file) for file in planned.registry.files],
            "threads": options.threads,
            "timeout": options.timeout,
            "attempts": options.attempts,
            "keep": options.keep,
            "stage": job.stage,
            **_encode(planned),
            "others": [_encode(other) for other in job.others],
        }
    )


def _encode(planned: Planned) -> dict[str, Any]:
    cell = planned.cell
    return {
        "seed": cell.seed,
        "choices": [[c.kind, c.label, c.component.name, c.params, c.swept] for c in cell.choices],
        "keys": planned.keys,
        "contents": {
            path: planned.contents[path]
            for choice in cell.choices
            for path in paths_of(planned.registry, choice)
            if path in planned.contents
        },
    }


def work(text: str) -> dict[str, Any]:
    """Do the job that `encode_job` wrote, and return what `decode_result` reads."""
    request = json.loads(text)
    with _one_job_at_a_time:
        global _worker
        if _worker is None or _worker.run != request["run"]:
            if _worker is not None:
                _worker.close()
            _worker = _Worker(request)
        return _worker.work(request)


def decode_result(answer: Mapping[str, Any], job: Job, store: Store) -> JobResult:
    """Read what `work` returned for a job, and pass the index rows of the files that it wrote to the store.

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

    def __init__(self, request: Mapping[str, Any]) -> None:
        import torch  # noqa: F401  # before the first lease: a process that ends during this import counts against no cell

        # Dask's nanny starts its worker as a daemonic process, which may have no children; a plug-in may start some.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        self.run: str = request["run"]
        self._store = Store(request["store"])
        self._leases = self._store.leases(self.run, request["attempts"])
        self._timeout: float | None = request["timeout"]
        self._executor = Executor(
            self._store, self._leases, timeout=self._timeout, last_resort=self._give_up, keep=request["keep"]
        )
        self._registry: Registry = with_files([Path(file) for file in request["files"]]).at(Path(request["folder"]))
        self._keys = Keys(self._registry)
        self._choices: dict[str, Choice] = {}

    def close(self) -> None:
        self._leases.close()

    def work(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stage = Stage(request["stage"])
        try:
            planned, *others = [self._planned(cell) for cell in (request, *request["others"])]
        except TmiError as error:  # a plug-in that is not installed here
            return {"problem": f"worker on {socket.gethostname()}: {error}"}
        problem = self._problem([planned, *others], request)
        if problem:
            return {"problem": f"worker on {socket.gethostname()}: {problem}"}
        failure = self._recorded_timeout(planned, stage)
        if failure is not None:
            return _encode_result(JobResult(planned, stage, failed=stage, message=failure.message), [])
        with limited(request["threads"]):
            result = self._executor.work(planned, stage, others)
        return _encode_result(result, self._store.take_rows())

    def _planned(self, request: Mapping[str, Any]) -> Planned:
        choices = [self._choice(*choice) for choice in request["choices"]]
        cell = Cell(choices[0], choices[1], choices[2], request["seed"])
        # The content is that of the plan: a file that has changed since is found when a plug-in has read it.
        self._keys.contents.update(request["contents"])
        return Planned(cell, self._registry, *self._keys.of(cell), self._keys.contents)

    def _choice(self, kind: str, label: str, name: str, params: dict[str, Any], swept: dict[str, Any]) -> Choice:
        key = canonical([kind, label, name, params, swept])
        if key not in self._choices:
            self._choices[key] = Choice(kind, label, self._registry.find(kind, name), params, swept)
        return self._choices[key]

    def _problem(self, cells: Sequence[Planned], request: Mapping[str, Any]) -> str:
        if not (self._store.folder / leases.FOLDER / marker(self.run)).is_file():
            return f"does not see the store {self._store.folder}; it must be a folder that all machines share"
        if [planned.keys for planned in cells] != [cell["keys"] for cell in (request, *request["others"])]:
            return "has other code, data or versions of libraries than the process that sent the job"
        return ""

    def _give_up(self, planned: Planned | None, stage: Stage) -> None:
        """Record the timeout, unless it is a group's, then exit: native code cannot be interrupted. The job is done again."""
        import psutil

        key = None if planned is None else planned.keys[stage]
        if planned is not None and key is not None:
            message = too_long(self._timeout, stage)
            self._store.failures.write(key, Failure(str(planned.cell), message, run=self.run, finished=now()))
        # Forked children hold the connection to the scheduler, which would take this worker for alive.
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        os._exit(1)

    def _recorded_timeout(self, planned: Planned, stage: Stage) -> Failure | None:
        """Return the failure that `_give_up` recorded for this job in this run."""
        key = planned.keys[stage]
        failure = None if key is None else self._store.failures.read(key)
        if key is None or failure is None or failure.run != self.run:
            return None
        if stage != Stage.PROBE:  # of a cell it stays, as the failure of that cell
            self._store.failures.clear(key)
        return failure


def _encode_result(job_result: JobResult, rows: list[IndexRow]) -> dict[str, Any]:
    fields = (
        "message",
        "failed",
        "traceback",
        "mistake",
        "fatal",
        "busy",
        "seconds",
        "only_in_memory",
        "remarks",
        "unkept",
        "ended",
        "separate",
    )
    data = None
    if job_result.result is not None and job_result.stored is not None:
        from tmi.store.results import result_bytes

        try:
            data = result_bytes("", job_result.result, job_result.stored.record)
        except (ValueError, TypeError) as error:
            job_result.failed, job_result.message, job_result.stored = Stage.PROBE, f"the result cannot be kept: {error}", None
    return {
        **{name: getattr(job_result, name) for name in fields},
        "stored": None if job_result.stored is None else asdict(job_result.stored),
        "result": data,
        "rows": [[getattr(row, name) for name in IndexRow.__slots__] for row in rows],
    }


def marker(run: str) -> str:
    """Return the name of the lease that a run holds from start to end: a worker that does not see it has another folder."""
    return f"run-{run}"
