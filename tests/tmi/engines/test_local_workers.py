from __future__ import annotations

import itertools
import signal

import pytest

from tmi import EngineError
from tmi.engines.local_workers import LocalWorkers


class Ended:
    """A process that ended as soon as it was started."""

    stdin = None
    numbers = itertools.count(2**22 + 1)  # no process has such a number

    def __init__(self, code: int) -> None:
        self.pid, self.code = next(self.numbers), code

    def poll(self) -> int:
        return self.code

    wait = poll


def exits(workers: LocalWorkers) -> int:
    """How many processes may end before the run gives up."""

    def supervise_on() -> None:
        while True:
            workers.supervise()

    with pytest.raises(EngineError, match=r"end as soon as they start \((signal \w+ ended it|it left with status 1)\)"):
        supervise_on()
    return len(workers.exits)


@pytest.mark.parametrize("code", [1, -signal.SIGSEGV, -signal.SIGKILL])
@pytest.mark.parametrize(("count", "attempts"), [(1, 2), (8, 2), (2, 20)])
def test_every_worker_may_have_a_cell_that_ends_it(monkeypatch, count, attempts, code):
    monkeypatch.setattr(LocalWorkers, "_start", lambda self, number: Ended(code))
    monkeypatch.setattr(LocalWorkers, "_last_line", lambda self, number: "")
    with LocalWorkers("tcp://nowhere:1", count, 2**30, 1, attempts) as workers:
        assert exits(workers) > count * (attempts + (20 if code == -signal.SIGKILL else 0))


def test_progress_counts_from_the_start_again(monkeypatch):
    monkeypatch.setattr(LocalWorkers, "_start", lambda self, number: Ended(1))
    with LocalWorkers("tcp://nowhere:1", 1, 2**30, 1, 2) as workers:
        for _ in range(100):
            workers.supervise()
            workers.note_progress()
        assert len(workers.exits) == 100
