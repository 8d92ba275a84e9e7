"""The engine for several processes, on this machine or on a cluster: Dask workers do the jobs, this process gives them out.

A worker gets one job at a time and writes its files itself; only the result comes back. A worker that dies is replaced, and its
job is given out again.

Which job a worker gets, and what happens when it dies, is decided here and not by Dask's scheduler. With Dask's own means
(`LocalCluster` with nannies, ``retries``, ``allowed-failures``), 240 tasks of 80 ms on two workers, one killed every 2 to 4 s,
finished within 150 s in 1 of 7 runs; the work is 10 s.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tmi.errors import EngineError, InputError
from tmi.plugins.registry import GIVEN
from tmi.runtime.threads import available
from tmi.suites.plan import Planned

from .dask_worker import decode_result, encode_job, marker, work
from .job import Engine, Job, JobResult, Options
from .job_queue import JobQueue
from .local_workers import LocalWorkers

if TYPE_CHECKING:
    from distributed import Client, Future

_LOSSES = 25  # times that a job may be lost beside its attempts, which its lease counts: before it has the lease
_SHORT = 0.5  # seconds below which a job is short: the next one then waits at the worker
_INTERVAL = 0.5  # seconds between two requests for the list of workers
_FETCH = 1.0  # seconds that one try to fetch a result may take
_FETCHES = 20  # tries to fetch a result, after which the job is given out again
_SILENCE = 30.0  # seconds without an answer of the scheduler after which it counts as gone
_NO_WORKERS = 10.0  # seconds without any worker after which the user is warned
_RECONNECT = 10.0  # seconds in which a scheduler must be reached, at the start and after the connection broke


def engine(*, workers: int | None = None, scheduler: str | None = None, memory: str | float | None = None) -> Engine:
    """Return the engine.

    Parameters
    ----------
    workers : int, optional
        Processes to start on this machine.
    scheduler : str, optional
        Address of a Dask scheduler that has workers; one of the two is given.
    memory : str or float, optional
        Memory of each of the started workers; by default an equal share of the machine's.

    Raises
    ------
    InputError
        If Dask is not installed, or for a memory that is no size.
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

    def compute(cells: Sequence[Planned], options: Options) -> Generator[JobResult, None, None]:
        _check_all_registered(cells)
        leases = options.store.leases(options.run)
        try:
            with leases.hold(marker(options.run)):
                if scheduler is not None:
                    with _connected(scheduler) as client:
                        yield from _Dispatcher(client, cells, options).results()
                    return
                assert workers is not None
                threads = options.threads or max(1, available() // workers)
                with _local(workers, limit, threads, options.attempts) as (client, local):
                    yield from _Dispatcher(client, cells, replace(options, threads=threads), local).results()
        finally:
            leases.close()

    return compute


def _check_all_registered(cells: Sequence[Planned]) -> None:
    """Refuse functions that were given to a suite: workers find functions by their registered names."""
    for choice in (choice for planned in cells for choice in planned.cell.choices):
        if choice.component.plugin == GIVEN:
            raise InputError(
                f"{choice.kind} {choice.label}: the function {choice.component.name!r} cannot be sent to other processes; "
                "register it in a plug-in file, or compute in this process (workers=1)"
            )


@dataclass
class _InFlight:
    """A job that a worker has."""

    job: Job
    worker: str
    future: Future[Any]
    fetches: int = 0


class _Dispatcher:
    """Gives jobs to workers that are free, and collects the results.

    Dask names the state of a future; what each means here:

    - ``pending``: the worker has the job, unless the worker is no longer in the scheduler's list: then the job is lost.
    - ``finished``: the result is in the worker's memory. The worker may die before it is fetched.
    - ``error``: the job's code could not be run there, which is the same for every job; or Dask gave the job up (`KilledWorker`).
    - ``lost``: its worker died after it finished. ``cancelled``: the connection to the scheduler broke, or the scheduler was
      restarted, or it forgot the job.

    A job that is lost is given out again; if it had finished, the store has its result. Whether the scheduler is gone, the client
    itself says: it reconnects for a while, then it closes.
    """

    def __init__(self, client: Client, cells: Sequence[Planned], options: Options, local: LocalWorkers | None = None) -> None:
        self._client, self._options, self._local = client, options, local
        self._queue = JobQueue(cells, options.store.has, options.running, options.keep)
        self._in_flight: list[_InFlight] = []
        self._changed = threading.Event()  # set when the state of a future changes
        self._workers: list[str] = []
        self._seconds: dict[str, float] = {}  # what the last job of each worker took
        self._losses: Counter[tuple[int, str]] = Counter()
        self._next_request = 0.0
        self._last_answer = time.monotonic()
        self._without_workers_since: float | None = time.monotonic()
        self._number = 0

    def results(self) -> Iterator[JobResult]:
        """Yield the result of each cell."""
        stop = self._options.stop
        while self._queue:
            if self._local is not None:
                self._local.supervise()
            if time.monotonic() >= self._next_request:
                yield from self._check_workers()
                self._next_request = time.monotonic() + _INTERVAL
            if stop.asked and not self._in_flight:
                return
            if not stop.asked and self._client.status == "running":
                self._give_out()
            self._changed.wait(0.1 if self._in_flight else 0.05)
            self._changed.clear()
            for flight in [flight for flight in self._in_flight if flight.future.status != "pending"]:
                yield from self._collect(flight)

    def _give_out(self) -> None:
        counts = Counter(flight.worker for flight in self._in_flight)
        for worker in self._workers:
            # Where jobs are short the next one waits at the worker, so that the way there and back takes no time.
            for _ in range((2 if self._seconds.get(worker, _SHORT) < _SHORT else 1) - counts[worker]):
                job = self._queue.next(worker, len(self._workers))
                if job is not None:
                    self._submit(job, worker)

    def _submit(self, job: Job, worker: str) -> None:
        self._number += 1
        future = self._client.submit(
            work,
            encode_job(job, self._options),
            key=f"tmi-{self._options.run}-{self._number}",
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._in_flight.append(_InFlight(job, worker, future))
        future.add_done_callback(lambda _: self._changed.set())

    def _collect(self, flight: _InFlight) -> Iterator[JobResult]:
        """Fetch the result of a job whose future has changed its state."""
        status = flight.future.status
        if status == "error":
            self._raise_unless_given_up(flight.future)
        elif status == "finished" and flight.fetches < _FETCHES:
            flight.fetches += 1
            try:
                answer = flight.future.result(timeout=_FETCH)
            except Exception:  # the worker or the scheduler did not answer: _check_workers finds out whether it is gone
                return
            result = decode_result(answer, flight.job, self._options.store)
            self._seconds[flight.worker] = result.seconds
            if self._local is not None:
                self._local.note_progress()
                exits = dict.fromkeys(self._local.exits[pid] for pid in result.ended if pid in self._local.exits)
                result.message += f" ({', '.join(exits)})" if exits else ""
            self._in_flight.remove(flight)
            flight.future.release()
            yield from self._queue.done(flight.job, result)
            return
        yield from self._lost(flight)

    def _raise_unless_given_up(self, future: Future[Any]) -> None:
        from distributed.scheduler import KilledWorker

        error = future.exception(timeout=_FETCH)
        if not isinstance(error, KilledWorker):
            why = f"{type(error).__name__}: {error}"
            raise EngineError(f"the workers cannot do the jobs ({why}); what is finished is kept") from error

    def _check_workers(self) -> Iterator[JobResult]:
        """Ask the scheduler for its workers; the jobs of those that are gone are given out again."""
        if self._client.status not in ("running", "connecting") or time.monotonic() > self._last_answer + _SILENCE:
            raise EngineError("the scheduler is gone; what is finished is kept, and the next run continues from there")
        if self._client.status == "connecting":  # it has cancelled all futures
            return
        try:
            scheduler: Any = self._client.scheduler  # Client.nthreads would ask the same, without a limit on the time
            addresses = self._client.sync(scheduler.ncores, workers=None, callback_timeout=_RECONNECT)
        except Exception:  # the connection breaks in many ways; the client's status and the time since the last answer decide
            return
        self._last_answer = time.monotonic()
        for worker in set(self._workers).difference(addresses):
            self._queue.lost(worker)
            self._seconds.pop(worker, None)
        self._workers = sorted(addresses)
        for flight in [flight for flight in self._in_flight if flight.worker not in addresses]:
            yield from self._lost(flight)
        self._warn_without_workers()

    def _lost(self, flight: _InFlight) -> Iterator[JobResult]:
        """Give a job out again, as one that another run holds. Its lease counts how often it was begun."""
        self._in_flight.remove(flight)
        with suppress(Exception):  # without a scheduler there is nothing to cancel
            flight.future.cancel()
        job = flight.job
        self._losses[id(job.planned), job.stage] += 1
        if self._losses[id(job.planned), job.stage] <= _LOSSES + self._options.attempts:
            # One of a group may have ended the worker: from now on each is trained alone.
            separate = [planned.network_key for planned in (job.planned, *job.others) if planned.network_key is not None]
            result = JobResult(job.planned, job.stage, busy=True, separate=separate)
        else:
            result = JobResult(job.planned, job.stage, message="its worker ended again and again", failed=job.stage)
        yield from self._queue.done(job, result)

    def _warn_without_workers(self) -> None:
        if self._workers:
            self._without_workers_since = None
        elif (
            self._local is None
            and self._without_workers_since is not None
            and time.monotonic() - self._without_workers_since > _NO_WORKERS
        ):
            self._without_workers_since = None
            warnings.warn("the scheduler has no workers yet; the run waits for them", stacklevel=2)


@contextmanager
def _local(workers: int, memory: int, threads: int, attempts: int) -> Iterator[tuple[Client, LocalWorkers]]:
    """Start a scheduler in this process, and workers in processes of their own."""
    from distributed import Client, LocalCluster

    addresses = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        _quiet(),
        LocalCluster(n_workers=0, silence_logs=logging.CRITICAL, **addresses) as cluster,
        Client(cluster, set_as_default=False) as client,
        LocalWorkers(cluster.scheduler_address, workers, memory, threads, attempts) as local,
    ):
        yield client, local


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    try:
        socket.create_connection(get_address_host_port(address), _RECONNECT).close()  # a client that fails prints a traceback
        client = Client(address, timeout=_RECONNECT, set_as_default=False)
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
    """Keep Dask from logging that workers died: this engine handles it."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
