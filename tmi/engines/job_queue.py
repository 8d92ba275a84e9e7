"""The jobs of a run, in the order in which they cost least, and the worker that each is for.

Cells that share a data set or a network belong together: a worker stays with the data set and the network that it holds in
memory, a data set or network that is in no store is made by one worker while the others do something else, and one that cannot be
made fails all its cells at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from tmi.stages import Stage
from tmi.suites.plan import Planned

from .job import Job, JobResult, Keep
from .running import Running

_PAUSE = 0.25  # seconds for which a job that another run holds is left alone
_MOST_OTHERS = 255  # networks that a job may train beside its own


@dataclass
class _Shared:
    """A data set or a network, and the cells that need it.

    Attributes
    ----------
    id : hashable
    first : Planned
        The first cell that needs it.
    ready : bool
        Whether it has been made.
    in_progress : bool
        Whether a worker makes it now.
    not_before : float
        Of the monotonic clock: until then another run is expected to hold it.
    owner : str or None
        Of a network: the worker that makes it, or alone has it in memory because the store does not keep it. No other worker gets
        its cells, and this worker gets no others until they are given out, since it holds one network at a time.
    networks : dict
        Of a data set.
    cells : deque
        Of a network: those that have not been given out.
    group : hashable or None
        Of a network: equal for those that may be trained in one call; None for one that is trained alone.
    """

    id: Hashable
    first: Planned
    ready: bool = False
    in_progress: bool = False
    not_before: float = 0.0
    owner: str | None = None
    networks: dict[Hashable, _Shared] = field(default_factory=dict)
    cells: deque[Planned] = field(default_factory=deque)
    group: Hashable | None = None

    def has_to_wait(self) -> bool:
        return self.in_progress or time.monotonic() < self.not_before


class JobQueue:
    """The cells of a plan that are still to be computed.

    Parameters
    ----------
    cells : iterable of Planned
    in_store : callable
        ``(stage, key) -> bool``: whether the store has a data set or a network.
    running : Running, optional
        Gets each job when it is given out, until it is done.
    keep : {"all", "networks", "results"}
        What the store keeps. Networks that it does not keep are trained alone, and where it does not keep data sets, those of one
        data set are trained together.
    """

    def __init__(
        self,
        cells: Iterable[Planned],
        in_store: Callable[[Stage, str | None], bool],
        running: Running | None = None,
        keep: Keep = "all",
    ) -> None:
        self._running = running or Running()
        self._datasets: dict[Hashable, _Shared] = {}
        self._in_store, self._kept = in_store, keep
        self._of_one_dataset: set[Hashable] = set()  # groups of which none has networks of several data sets
        self._current: dict[str, tuple[Hashable, Hashable]] = {}  # the data set and network of each worker's last job
        self._postponed: deque[tuple[float, Planned]] = deque()
        self._given_out: set[Job] = set()
        self._remarks: list[str] = []
        for planned in cells:
            self._add(planned)

    def __bool__(self) -> bool:
        """Whether any job is left, given out or not."""
        return bool(self._datasets or self._postponed or self._given_out)

    def next(self, worker: str = "", workers: int = 1) -> Job | None:
        """Give out a job.

        Parameters
        ----------
        worker : str
            The one that is to do it: it continues with the network, or else the data set, of its last job.
        workers : int
            How many there are: networks that may be trained together are divided among them.

        Returns
        -------
        Job or None
            None if there is nothing to do, or nothing yet.
        """
        self._add_postponed()
        for dataset, network in self._in_order_for(worker):
            job = self._job(dataset, network, worker, workers)
            if job is not None:
                self._current[worker] = dataset.id, network.id
                self._given_out.add(job)
                self._running.begin(job, job.planned, job.stage, worker)
                return job
        return None

    def done(self, job: Job, result: JobResult) -> Iterator[JobResult]:
        """Note the result of a job.

        Parameters
        ----------
        job : Job
        result : JobResult

        Yields
        ------
        JobResult
            Of every cell that is settled by it: the job's own, or all that need what could not be made; and a fatal one.
        """
        self._given_out.discard(job)
        self._running.end(job)
        shared = self._shared(job)
        self._release(job, result)
        # The remarks on a data set or a network go out with the next cell.
        result.remarks, self._remarks = [*self._remarks, *result.remarks], []
        if result.fatal:  # the store fails: the next job would lose its work as well
            self._datasets.clear()
            self._postponed.clear()
            yield result
        elif result.busy:
            self._remarks = result.remarks
            if job.stage == Stage.PROBE:
                self._postponed.append((time.monotonic() + _PAUSE, job.planned))
            if shared is not None:
                shared.in_progress, shared.not_before = False, time.monotonic() + _PAUSE
                if not shared.ready:
                    shared.owner = None
        elif result.failed in (Stage.DATASET, Stage.NETWORK):
            if job.stage == Stage.PROBE:
                yield result
            yield from self._fail(result)
        elif job.stage == Stage.PROBE:
            yield result
        elif shared is not None:
            self._remarks = result.remarks
            shared.in_progress, shared.ready = False, True
            if not result.only_in_memory:
                shared.owner = None

    def lost(self, worker: str) -> None:
        """Note that a worker is gone, and what it had in memory with it."""
        self._current.pop(worker, None)
        for dataset in self._datasets.values():
            for network in dataset.networks.values():
                if network.owner == worker:
                    network.owner, network.ready = None, False

    def _add(self, planned: Planned) -> None:
        dataset = self._datasets.get(planned.dataset_id)
        if dataset is None:
            stored = self._in_store(Stage.DATASET, planned.dataset_key)
            dataset = self._datasets[planned.dataset_id] = _Shared(planned.dataset_id, planned, ready=stored)
        network = dataset.networks.get(planned.network_id)
        if network is None:
            stored = self._in_store(Stage.NETWORK, planned.network_key)
            group = None if stored or self._kept == "results" else planned.group_id
            network = dataset.networks[planned.network_id] = _Shared(planned.network_id, planned, ready=stored, group=group)
        network.cells.append(planned)

    def _add_postponed(self) -> None:
        while self._postponed and self._postponed[0][0] <= time.monotonic():
            self._add(self._postponed.popleft()[1])

    def _in_order_for(self, worker: str) -> Iterator[tuple[_Shared, _Shared]]:
        """Yield data sets and networks with jobs: the worker's own first, then those of no worker, then the other workers'."""
        dataset_id, network_id = self._current.get(worker, (None, None))
        own = self._datasets.get(dataset_id)
        if own is not None:
            current = own.networks.get(network_id)
            if current is not None:
                yield own, current
                if current.owner == worker:
                    return
            yield from ((own, network) for network in own.networks.values())
        others = {dataset for other, (dataset, _) in self._current.items() if other != worker}
        for of_others in (False, True):
            for dataset in self._datasets.values():
                if dataset is not own and (dataset.id in others) == of_others:
                    yield from ((dataset, network) for network in dataset.networks.values())

    def _job(self, dataset: _Shared, network: _Shared, worker: str, workers: int) -> Job | None:
        if dataset.has_to_wait() or network.has_to_wait() or network.owner not in (None, worker):
            return None
        if not dataset.ready:
            dataset.in_progress = True
            return Job(network.first, Stage.DATASET)
        if not network.ready:
            network.in_progress, network.owner = True, worker
            return Job(network.first, Stage.NETWORK, self._others(dataset, network, worker, workers))
        planned = network.cells.popleft()
        if not network.cells:
            del dataset.networks[network.id]
            if not dataset.networks:
                del self._datasets[dataset.id]
        return Job(planned, Stage.PROBE)

    def _others(self, dataset: _Shared, network: _Shared, worker: str, workers: int) -> tuple[Planned, ...]:
        """Assign to a worker its share of the networks that may be trained together with one."""
        if network.group is None:
            return ()
        datasets = [dataset]
        if self._kept == "all" and network.group not in self._of_one_dataset:
            datasets += [its for its in self._datasets.values() if its is not dataset and not its.has_to_wait()]
        free = [
            (its, other)
            for its in datasets
            for other in its.networks.values()
            if other.group == network.group and not (other.ready or other.has_to_wait() or other.owner)
        ]
        chosen = free[: min(_MOST_OTHERS, -(-(1 + len(free)) // workers) - 1)]
        for its, other in chosen:
            its.in_progress, other.in_progress, other.owner = its.in_progress or not its.ready, True, worker
        return tuple(other.first for _, other in chosen)

    def _release(self, job: Job, result: JobResult) -> None:
        """Find out which networks of a group were made. The others are given out again."""
        of_others: dict[Hashable, bool] = {}  # by group, whether one of another data set was made
        for planned in (job.planned, *job.others):
            dataset = self._datasets.get(planned.dataset_id)
            network = None if dataset is None else dataset.networks.get(planned.network_id)
            if network is None or dataset is None:
                continue
            if planned.network_key in result.separate:
                network.group = None
            if planned is job.planned:
                continue
            if not dataset.ready:
                dataset.in_progress, dataset.ready = False, self._in_store(Stage.DATASET, planned.dataset_key)
            network.in_progress, network.owner, network.ready = False, None, self._in_store(Stage.NETWORK, planned.network_key)
            if result.busy:
                network.not_before = time.monotonic() + _PAUSE
            elif planned.dataset_id != job.planned.dataset_id and network.group is not None:
                of_others[network.group] = of_others.get(network.group, False) or network.ready
        # Networks too large to be trained with others need not wait for one another.
        self._of_one_dataset.update(group for group, was_made in of_others.items() if not was_made)

    def _shared(self, job: Job) -> _Shared | None:
        dataset = self._datasets.get(job.planned.dataset_id)
        if dataset is None or job.stage == Stage.DATASET:
            return dataset
        return dataset.networks.get(job.planned.network_id)

    def _fail(self, result: JobResult) -> Iterator[JobResult]:
        dataset = self._datasets.get(result.planned.dataset_id)
        if dataset is None:
            return
        ids = list(dataset.networks) if result.failed == Stage.DATASET else [result.planned.network_id]
        for id in ids:
            network = dataset.networks.pop(id, None)
            for planned in network.cells if network is not None else ():
                yield JobResult(
                    planned, message=result.message, failed=result.failed, traceback=result.traceback, mistake=result.mistake
                )
        if not dataset.networks:
            del self._datasets[dataset.id]
