"""What is to be done, in the order in which it is best done, and by whom.

Cells that share a data set or a network belong together: a worker goes on with what it has at hand, a data set or a network that
nobody has made is made by one worker while the others do something else, and what cannot be made fails all its cells at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from tmi.stages import Stage
from tmi.suites.plan import Planned

from .job import Job, JobResult

_PAUSE = 0.25  # seconds for which work that another run is at is left alone


@dataclass
class _Shared:
    """A data set or a network: who needs it, and whether it is there."""

    id: Hashable
    first: Planned
    ready: bool = False
    making: bool = False
    later: float = 0.0
    networks: dict[Hashable, _Shared] = field(default_factory=dict)
    cells: deque[Planned] = field(default_factory=deque)

    def waits(self) -> bool:
        return self.making or time.monotonic() < self.later


class JobQueue:
    """The cells of a plan that are still to be computed.

    Parameters
    ----------
    cells : iterable of Planned
    is_there : callable
        ``(stage, key) -> bool``: whether the store has a data set or a network.
    """

    def __init__(self, cells: Iterable[Planned], is_there: Callable[[Stage, str | None], bool]) -> None:
        self._datasets: dict[Hashable, _Shared] = {}
        self._is_there = is_there
        self._at_hand: dict[str, tuple[Hashable, Hashable]] = {}
        self._later: list[tuple[float, Planned]] = []
        self.given: set[Job] = set()
        for planned in cells:
            self._add(planned)

    def __bool__(self) -> bool:
        """Whether anything is left, given out or not."""
        return bool(self._datasets or self._later or self.given)

    def next(self, worker: str = "") -> Job | None:
        """Give out a piece of work.

        Parameters
        ----------
        worker : str
            Who asks: it goes on with the network, or else the data set, of its last cell.

        Returns
        -------
        Job or None
            None if there is nothing to do, or nothing yet.
        """
        self._wake()
        for dataset, network in self._choices(worker):
            job = self._job(dataset, network)
            if job is not None:
                self._at_hand[worker] = dataset.id, network.id
                self.given.add(job)
                return job
        return None

    def done(self, job: Job, outcome: JobResult) -> Iterator[JobResult]:
        """Note what became of a piece of work.

        Parameters
        ----------
        job : Job
        outcome : JobResult

        Yields
        ------
        JobResult
            Of every cell that is settled by it: the job's own, or all that needed what could not be made; and a fatal one.
        """
        self.given.discard(job)
        shared = self._shared(job)
        if outcome.fatal:  # going on would make the same again, and lose it again
            self._datasets.clear()
            self._later.clear()
            yield outcome
        elif outcome.busy:
            if job.stage == Stage.PROBE:
                self._later.append((time.monotonic() + _PAUSE, job.planned))
            if shared is not None:
                shared.making, shared.later = False, time.monotonic() + _PAUSE
        elif outcome.failed in (Stage.DATASET, Stage.NETWORK):
            if job.stage == Stage.PROBE:
                yield outcome
            yield from self._fail(outcome)
        elif job.stage == Stage.PROBE:
            yield outcome
        elif shared is not None:
            shared.making, shared.ready = False, True

    def _add(self, planned: Planned) -> None:
        dataset = self._datasets.get(planned.dataset_id)
        if dataset is None:
            there = self._is_there(Stage.DATASET, planned.dataset_key)
            dataset = self._datasets[planned.dataset_id] = _Shared(planned.dataset_id, planned, ready=there)
        network = dataset.networks.get(planned.network_id)
        if network is None:
            there = dataset.ready and self._is_there(Stage.NETWORK, planned.network_key)
            network = dataset.networks[planned.network_id] = _Shared(planned.network_id, planned, ready=there)
        network.cells.append(planned)

    def _wake(self) -> None:
        if self._later and self._later[0][0] <= time.monotonic():
            self._add(self._later.pop(0)[1])

    def _choices(self, worker: str) -> Iterator[tuple[_Shared, _Shared]]:
        """Yield data sets and networks with work, those at hand first, then those that nobody has at hand, then the others."""
        dataset_id, network_id = self._at_hand.get(worker, (None, None))
        own = self._datasets.get(dataset_id)
        if own is not None:
            if network_id in own.networks:
                yield own, own.networks[network_id]
            yield from ((own, network) for network in own.networks.values())
        taken = {dataset for other, (dataset, _) in self._at_hand.items() if other != worker}
        for others in (False, True):
            for dataset in self._datasets.values():
                if dataset is not own and (dataset.id in taken) == others:
                    yield from ((dataset, network) for network in dataset.networks.values())

    def _job(self, dataset: _Shared, network: _Shared) -> Job | None:
        if dataset.waits() or network.waits():
            return None
        if not dataset.ready:
            dataset.making = True
            return Job(network.first, Stage.DATASET)
        if not network.ready:
            network.making = True
            return Job(network.first, Stage.NETWORK)
        planned = network.cells.popleft()
        if not network.cells:
            del dataset.networks[network.id]
            if not dataset.networks:
                del self._datasets[dataset.id]
        return Job(planned, Stage.PROBE)

    def _shared(self, job: Job) -> _Shared | None:
        dataset = self._datasets.get(job.planned.dataset_id)
        if dataset is None or job.stage == Stage.DATASET:
            return dataset
        return dataset.networks.get(job.planned.network_id)

    def _fail(self, outcome: JobResult) -> Iterator[JobResult]:
        dataset = self._datasets.get(outcome.planned.dataset_id)
        if dataset is None:
            return
        wanted = list(dataset.networks) if outcome.failed == Stage.DATASET else [outcome.planned.network_id]
        for id in wanted:
            network = dataset.networks.pop(id, None)
            for planned in network.cells if network is not None else ():
                yield JobResult(
                    planned,
                    message=outcome.message,
                    failed=outcome.failed,
                    traceback=outcome.traceback,
                    mistake=outcome.mistake,
                )
        if not dataset.networks:
            del self._datasets[dataset.id]
