from __future__ import annotations

from types import SimpleNamespace

import pytest

from tmi.engines import running
from tmi.engines.running import Running, in_words
from tmi.stages import Stage


@pytest.fixture
def clock(monkeypatch):
    """The time that `running` sees, to be set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(running.time, "monotonic", lambda: clock.now)
    return clock


def cell(name):
    return SimpleNamespace(cell=name)


def test_the_first_job_of_each_worker_runs_and_the_next_one_waits(clock):
    jobs = Running()
    assert in_words(jobs.current()) == ""
    jobs.begin(1, cell("a"), Stage.PROBE, "x")
    clock.now = 5.0
    jobs.begin(2, cell("b"), Stage.DATASET, "x")
    jobs.begin(3, cell("c"), Stage.NETWORK, "y")
    clock.now = 125.0
    assert in_words(jobs.current()) == "a (probe, for 2 min), c (network, for 2 min)"
    jobs.end(1)
    clock.now = 128.0
    assert in_words(jobs.current()) == "c (network, for 2 min), b (data set, for 3.0 s)"
    assert in_words(jobs.current(), 1) == "c (network, for 2 min) and 1 more"
    jobs.end(3)
    jobs.end(2)
    jobs.end(2)
    assert jobs.current() == []


def test_the_stage_of_a_job_in_this_process(clock):
    jobs = Running()
    jobs.begin(1, cell("a"), Stage.PROBE)
    clock.now = 9.0
    jobs.set_stage(Stage.NETWORK)
    clock.now = 10.0
    jobs.set_stage(Stage.NETWORK)
    assert in_words(jobs.current()) == "a (network, for 1.0 s)"
    jobs.set_stage(Stage.PROBE)
    assert in_words(jobs.current()) == "a (probe, for 0.0 s)"
