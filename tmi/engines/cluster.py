"""The engine for several processes, here or on a cluster: Dask workers do the work, this process gives it out.

A worker gets one job at a time and writes its file itself; only what became of it comes back. A worker that dies is replaced, by
its nanny or by the cluster, and its job is given out again.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, InputError
from ..plan import Planned
from ..threads import available
from ..work import Outcome
from . import Engine, Orders
from .agenda import Agenda, Job

if TYPE_CHECKING:
    from distributed import Client, Future

_DEATHS = 10  # workers that may die before a job begins to count, at its import of torch, say
_LOOK = 1.0  # seconds between two looks at which workers there are


def engine(*, workers: int | None = None, scheduler: str | None = None, memory: str | float | None = None) -> Engine:
    """Return the engine.

    Parameters
    ----------
    workers : int, optional
        Processes to start on this machine.
    scheduler : str, optional
        Address of a Dask scheduler that has workers; one of the two is given.
    memory : str or float, optional
        What one of the started workers may take; by default an equal share of the machine's.

    Raises
    ------
    InputError
        If Dask is not installed, or the memory is not understood.
    """
    try:
        import distributed  # noqa: F401
        from dask.utils import parse_bytes
    except ImportError:
        raise InputError("workers: Dask is not installed; pip install 'tmi-interp[dask]'") from None
    if memory is not None:
        if scheduler is not None:
            raise InputError("memory: a scheduler's workers have their own limits, given where they are started")
        try:
            limit = parse_bytes(memory)
        except (ValueError, AttributeError, TypeError):
            raise InputError(f'memory: expected bytes, or text as "4 GB"; got {memory!r}') from None
        if limit < 2**28:
            raise InputError(f"memory: torch alone takes 256 MB; got {memory!r}")
        memory = str(limit)

    def compute(cells: Sequence[Planned], orders: Orders) -> Iterator[Outcome]:
        claims = orders.store.claims(orders.run)
        if workers is not None and orders.threads is None:
            orders = replace(orders, threads=max(1, available() // workers))
        try:
            with claims.hold(marker(orders.run)), _client(workers, scheduler, memory, orders.threads) as client:
                yield from _Dispatch(client, cells, orders).outcomes()
        finally:
            claims.close()

    return compute


def marker(run: str) -> str:
    """Name of the claim that stands while a run goes on: a worker that does not see it has another folder."""
    return f"run-{run}"


class _Dispatch:
    """Gives out jobs to workers as they are free."""

    def __init__(self, client: Client, cells: Sequence[Planned], orders: Orders) -> None:
        self._client, self._orders = client, orders
        self._agenda = Agenda(cells, orders.store.has)
        self._flying: dict[str, tuple[Future[Any], Job, str]] = {}
        self._landed: queue.Queue[str] = queue.Queue()
        self._workers: list[str] = []
        self._looked = 0.0
        self._number = 0

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what became of each cell."""
        stop = self._orders.stop
        while self._agenda:
            if not stop.asked:
                self._give_out()
            elif not self._flying:
                return
            try:
                name = self._landed.get(timeout=0.1 if self._flying else 0.05)
            except queue.Empty:
                self._look_for_lost()
                continue
            yield from self._land(name)

    def _give_out(self) -> None:
        flying = Counter(worker for _, _, worker in self._flying.values())
        for worker in self._present():
            if not flying[worker]:
                job = self._agenda.next(worker)
                if job is None:
                    continue
                self._submit(job, worker)

    def _submit(self, job: Job, worker: str) -> None:
        from .worker import order_of, work

        self._number += 1
        name = f"tmi-{self._orders.run}-{self._number}"
        order = order_of(job, self._orders)
        # Another worker takes over if this one goes away.
        future = self._client.submit(work, order, key=name, workers=[worker], allow_other_workers=True, pure=False)
        self._flying[name] = future, job, worker
        future.add_done_callback(lambda done: self._landed.put(done.key))

    def _land(self, name: str) -> Iterator[Outcome]:
        from .worker import outcome_of

        if name not in self._flying:
            return
        future, job, _ = self._flying.pop(name)
        try:
            outcome = outcome_of(future.result(timeout=60), job, self._orders.store)
        except EngineError:
            raise
        except Exception as error:
            outcome = self._lost(job, error)
        finally:
            future.release()
        yield from self._agenda.done(job, outcome)

    def _lost(self, job: Job, error: Exception) -> Outcome:
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            message = "its worker ended again and again, before the work began; is the memory limit too low?"
            return Outcome(job.planned, job.stage, message=message, failed=job.stage)
        # Code that cannot be imported there, a scheduler that is gone: it would be the same for every other cell.
        raise EngineError(f"the workers cannot go on ({type(error).__name__}: {error}); what is finished is kept") from error

    def _present(self) -> list[str]:
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            try:
                self._workers = sorted(self._client.nthreads())
            except Exception as error:
                raise EngineError(f"the scheduler is gone ({type(error).__name__}: {error}); what is finished is kept") from error
        return self._workers

    def _look_for_lost(self) -> None:
        """A scheduler that goes away takes its futures with it, and tells nobody."""
        if any(future.status in ("cancelled", "lost") for future, _, _ in self._flying.values()):
            raise EngineError("the scheduler is gone; what is finished is kept, and the next run goes on from there")
        self._present()


@contextmanager
def _client(workers: int | None, scheduler: str | None, memory: Any, threads: int | None) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    # A worker that dies is the rule that this engine is for, and no news.
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        if scheduler is not None:
            with _connected(scheduler) as client:
                yield client
            return
        assert workers is not None
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS}),
            LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
            _nannies(cluster.scheduler_address, workers, memory, threads) as nannies,
            Client(cluster, set_as_default=False) as client,
        ):
            nannies.wait_for_one(client)
            yield client
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
        raise EngineError(f"scheduler {address}: cannot be reached ({error or type(error).__name__})") from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=5)


@contextmanager
def _nannies(address: str, workers: int, memory: Any, threads: int | None) -> Iterator[_Nannies]:
    command = [sys.executable, "-m", "tmi.engines.nannies", address, "--nworkers", str(workers), "--nthreads", "1"]
    command += ["--memory-limit", str(memory or "auto"), "--no-dashboard", "--death-timeout", "60"]
    with tempfile.TemporaryDirectory(prefix="tmi-workers-") as folder, tempfile.TemporaryFile("w+b") as log:
        process = subprocess.Popen(
            [*command, "--local-directory", folder],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=_environment(threads),
            start_new_session=True,
        )
        try:
            yield _Nannies(process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # they hold nothing: what is finished is in the store
            process.wait()


def _environment(threads: int | None) -> dict[str, str]:
    made = dict(os.environ)
    # Arrays never go through Dask: only the limit at which a worker is ended is wanted, not the ones at which it waits.
    for name in ("TARGET", "SPILL", "PAUSE"):
        made[f"DASK_DISTRIBUTED__WORKER__MEMORY__{name}"] = "False"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        made[f"DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__{name}"] = str(threads or 1)
    # Plug-in packages that lie in the caller's folder, or on its path, are found there too.
    made["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
    return made


class _Nannies:
    def __init__(self, process: subprocess.Popen[bytes], log: Any) -> None:
        self._process, self._log = process, log

    def wait_for_one(self, client: Client, seconds: float = 120.0) -> None:
        """Wait until a worker is there.

        Raises
        ------
        EngineError
            If they do not start; with the last that they said.
        """
        until = time.monotonic() + seconds
        while not client.nthreads():
            if self._process.poll() is not None or time.monotonic() > until:
                self._log.seek(0)
                said = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
                raise EngineError(f"the workers did not start ({' '.join(said) or 'they said nothing'})")
            time.sleep(0.05)
