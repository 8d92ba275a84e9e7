from __future__ import annotations

import itertools

import pytest

from tmi import EngineError
from tmi.engines.local_workers import LocalWorkers


class Ended:
    """A process that ended as soon as it was started."""

    stdin = None
    numbers = itertools.count(2**22 + 1)  # no process has such a number

    def __init__(self) -> None:
        self.pid = next(self.numbers)

    def poll(self) -> int:
        return -9

    wait = poll


def exits(workers: LocalWorkers) -> int:
    """How many processes may end before the run gives up."""

    def supervise_on() -> None:
        while True:
            workers.supervise()

    with pytest.raises(EngineError, match=r"end as soon as they start \(signal SIGKILL ended it\)"):
        supervise_on()
    return len(workers.exits)


@pytest.mark.parametrize(("count", "attempts"), [(1, 2), (8, 2), (2, 20)])
def test_every_worker_may_have_a_cell_that_ends_it(monkeypatch, count, attempts):
    monkeypatch.setattr(LocalWorkers, "_start", lambda self, number: Ended())
    monkeypatch.setattr(LocalWorkers, "_last_line", lambda self, number: "")
    with LocalWorkers("tcp://nowhere:1", count, 2**30, 1, attempts) as workers:
        assert exits(workers) > count * attempts
