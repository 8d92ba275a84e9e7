"""What is being computed, and for how long: read by the display from another thread, and by a signal handler."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tmi.runtime.formatting import format_duration
from tmi.stages import Stage
from tmi.suites.plan import Planned

_TEXT = {Stage.DATASET: "data set", Stage.NETWORK: "network", Stage.PROBE: "probe"}


@dataclass(frozen=True)
class Current:
    """A cell that is being computed.

    Attributes
    ----------
    job : object
        Distinguishes it from the others.
    cell : str
    stage : Stage
        Whether its data set is generated, its network built, or its probe applied.
    seconds : float
        For how long.
    """

    job: object
    cell: str
    stage: Stage
    seconds: float

    def __str__(self) -> str:
        return f"{self.cell} ({_TEXT[self.stage]}, for {format_duration(self.seconds)})"


@dataclass
class _Started:
    planned: Planned
    stage: Stage
    worker: str
    time: float


class Running:
    """The jobs that are given out. No lock: a signal handler may interrupt any of its functions, and reads it."""

    def __init__(self) -> None:
        self._jobs: dict[object, _Started] = {}

    def begin(self, job: object, planned: Planned, stage: Stage, worker: str = "") -> None:
        """Note that a worker was given a job."""
        self._jobs[job] = _Started(planned, stage, worker, time.monotonic())

    def set_stage(self, stage: Stage) -> None:
        """Note which stage the only job is at: one that applies a probe may have to make the network first."""
        for started in list(self._jobs.values()):
            if started.stage != stage:
                started.stage, started.time = stage, time.monotonic()

    def end(self, job: object) -> None:
        """Note that a job is finished or lost; the time of the next one, which waited at the same worker, begins."""
        ended = self._jobs.pop(job, None)
        for started in list(self._jobs.values()):
            if ended is not None and started.worker == ended.worker:
                started.time = time.monotonic()

    def current(self) -> list[Current]:
        """Return what each worker computes, the longest first. Another job of the same worker waits."""
        now = time.monotonic()
        first: dict[str, Current] = {}
        for job, started in list(self._jobs.items()):  # in the order in which they were given out
            current = Current(job, str(started.planned.cell), started.stage, now - started.time)
            first.setdefault(started.worker, current)
        return sorted(first.values(), key=lambda current: -current.seconds)


def in_words(current: list[Current], most: int = 3) -> str:
    """Write what is being computed in one line; only the first ones are named."""
    more = len(current) - most
    return ", ".join(map(str, current[:most])) + (f" and {more} more" if more > 0 else "")
