"""The engine for several processes, here or on a cluster: Dask workers do the work, this process gives it out.

A worker gets one job at a time and writes its file itself; only what became of it comes back. A worker that dies is replaced,
and its job is given out again.
"""

from __future__ import annotations

import logging
import queue
import socket
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tmi.errors import EngineError, InputError
from tmi.runtime.threads import available
from tmi.suites.plan import Planned

from .dask_worker import marker
from .job import Engine, Job, JobResult, Options
from .job_queue import JobQueue
from .local_workers import LocalWorkers

if TYPE_CHECKING:
    from distributed import Client, Future

_DEATHS = 10  # workers that a job may lose before it begins, at the import of torch, say, or where it cannot be claimed
_SHORT = 0.5  # seconds below which a job is short: after Ctrl-C one more of them is done
_LOOK = 0.5  # seconds between two looks at which workers there are
_GATHER = 20.0  # seconds that fetching an answer may take
_ALONE = 10.0  # seconds without any worker after which a person is told


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
        except (ValueError, AttributeError, TypeError, OverflowError):
            raise InputError(f'memory: expected bytes, or text as "4 GB"; got {memory!r}') from None
        if limit < 2**28:
            raise InputError(f"memory: torch alone takes 256 MB; got {memory!r}")
    else:
        from distributed.system import MEMORY_LIMIT

        limit = int(0.95 * MEMORY_LIMIT / (workers or 1))

    def compute(cells: Sequence[Planned], orders: Options) -> Generator[JobResult, None, None]:
        claims = orders.store.leases(orders.run)
        try:
            with claims.hold(marker(orders.run)):
                if scheduler is not None:
                    with _connected(scheduler) as client:
                        yield from _Dispatch(client, cells, orders).outcomes()
                    return
                assert workers is not None
                threads = orders.threads or max(1, available() // workers)
                with _local(workers, limit, threads, orders.attempts) as (client, local):
                    yield from _Dispatch(client, cells, replace(orders, threads=threads), local).outcomes()
        finally:
            claims.close()

    return compute


class _Dispatch:
    """Gives out jobs to workers as they are free."""

    def __init__(self, client: Client, cells: Sequence[Planned], orders: Options, local: LocalWorkers | None = None) -> None:
        self._client, self._orders, self._local = client, orders, local
        self._agenda = JobQueue(cells, orders.store.has)
        self._flying: dict[str, tuple[Future[Any], Job, str]] = {}
        self._landed: queue.Queue[str] = queue.Queue()
        self._workers: list[str] = []
        self._lasted: dict[str, float] = {}
        self._lost: Counter[tuple[int, str]] = Counter()
        self._looked = 0.0
        self._alone_since: float | None = time.monotonic()
        self._number = 0

    def outcomes(self) -> Iterator[JobResult]:
        """Yield what became of each cell."""
        stop = self._orders.stop
        while self._agenda:
            if self._local is not None:
                self._local.tend()
            if time.monotonic() - self._looked > _LOOK:
                yield from self._look()
            if not stop.asked:
                self._give_out()
            elif not self._flying:
                return
            with suppress(queue.Empty):
                yield from self._land(self._landed.get(timeout=0.1 if self._flying else 0.05))

    def _give_out(self) -> None:
        flying = Counter(worker for _, _, worker in self._flying.values())
        for worker in self._workers:
            # Where jobs are short the next one waits at the worker, so that the way there and back costs nothing.
            for _ in range((2 if self._lasted.get(worker, _SHORT) < _SHORT else 1) - flying[worker]):
                job = self._agenda.next(worker)
                if job is not None:
                    self._submit(job, worker)

    def _submit(self, job: Job, worker: str) -> None:
        from .dask_worker import order_of, work

        self._number += 1
        name = f"tmi-{self._orders.run}-{self._number}"
        order = order_of(job, self._orders)
        # There and nowhere else: what becomes of it if that worker goes away is decided here, see _look.
        future = self._client.submit(work, order, key=name, workers=[worker], allow_other_workers=False, pure=False)
        self._flying[name] = future, job, worker
        future.add_done_callback(lambda done: self._landed.put(done.key))

    def _land(self, name: str) -> Iterator[JobResult]:
        from distributed.scheduler import KilledWorker

        from .dask_worker import outcome_of

        if name not in self._flying:
            return
        future, job, worker = self._flying.pop(name)
        try:
            outcome = outcome_of(future.result(timeout=_GATHER), job, self._orders.store)
            self._lasted[worker] = outcome.seconds
            if self._local is not None:
                self._local.worked()
                how = dict.fromkeys(self._local.ends[pid] for pid in outcome.ended if pid in self._local.ends)
                outcome.message += f" ({', '.join(how)})" if how else ""
        except (TimeoutError, KilledWorker):
            outcome = self._again(job)  # its worker ended, perhaps before its answer was fetched: then the store has it
        except EngineError:
            raise
        except Exception as error:
            # Code that cannot be imported there, a scheduler that is gone: it would be the same for every other cell.
            why = f"{type(error).__name__}: {error}"
            raise EngineError(f"the workers cannot go on ({why}); what is finished is kept") from error
        finally:
            future.release()
        yield from self._agenda.done(job, outcome)

    def _look(self) -> Iterator[JobResult]:
        """See which workers there are; what those had that went away is given out again."""
        self._looked = time.monotonic()
        gone = any(future.status in ("cancelled", "lost") for future, _, _ in self._flying.values())
        try:
            self._workers = sorted(self._client.nthreads())
        except Exception:
            gone = True
        if gone:  # a scheduler that goes away takes its futures with it
            raise EngineError("the scheduler is gone; what is finished is kept, and the next run goes on from there")
        self._tell_if_alone()
        for name, (future, job, worker) in list(self._flying.items()):
            if worker not in self._workers and not future.done():
                del self._flying[name]
                future.cancel()
                yield from self._agenda.done(job, self._again(job))

    def _again(self, job: Job) -> JobResult:
        """A job that was lost is as good as one that another run is at: its turn comes again. Leases say when it is enough."""
        self._lost[id(job.planned), job.stage] += 1
        if self._lost[id(job.planned), job.stage] <= _DEATHS + self._orders.attempts:
            return JobResult(job.planned, job.stage, busy=True)
        return JobResult(job.planned, job.stage, message="its worker ended again and again", failed=job.stage)

    def _tell_if_alone(self) -> None:
        if self._workers:
            self._alone_since = None
        elif self._local is None and self._alone_since is not None and time.monotonic() - self._alone_since > _ALONE:
            self._alone_since = None
            warnings.warn("the scheduler has no workers yet; the run waits for them", stacklevel=2)


@contextmanager
def _local(workers: int, memory: int, threads: int, attempts: int) -> Iterator[tuple[Client, LocalWorkers]]:
    """A scheduler in this process, and workers in processes of their own."""
    from distributed import Client, LocalCluster

    where = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        _quiet(),
        LocalCluster(n_workers=0, silence_logs=logging.CRITICAL, **where) as cluster,
        Client(cluster, set_as_default=False) as client,
        LocalWorkers(cluster.scheduler_address, workers, memory, threads, attempts) as local,
    ):
        yield client, local


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    try:
        socket.create_connection(get_address_host_port(address), 10).close()  # a client that fails leaves a traceback behind
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
        raise EngineError(f"scheduler {address}: cannot be reached ({error or type(error).__name__})") from error
    try:
        with _quiet():
            yield client
    finally:
        with suppress(Exception):
            client.close(timeout=5)


@contextmanager
def _quiet() -> Iterator[None]:
    """A worker that dies is what this engine is made for, and no news."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
