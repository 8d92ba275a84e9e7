from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi.engines import job_queue as module
from tmi.engines.job import JobResult
from tmi.engines.job_queue import JobQueue


@dataclass(frozen=True)
class Cell:
    """As much of a planned cell as a queue reads."""

    dataset: str
    network: str
    probe: str
    key: str | None = field(default=None, compare=False)

    @property
    def dataset_id(self):
        return self.dataset

    @property
    def network_id(self):
        return self.dataset, self.network

    @property
    def dataset_key(self):
        return self.dataset

    @property
    def network_key(self):
        return f"{self.dataset}/{self.network}"

    @property
    def group_id(self):
        return self.network if self.network == "g" else None


def cells(datasets: str = "ab", networks: str = "mn", probes: str = "pq") -> list[Cell]:
    return [Cell(d, n, p) for d in datasets for n in networks for p in probes]


def nothing_there(stage, key):
    return False


def ok(job) -> JobResult:
    return JobResult(job.planned, job.stage, stored=object() if job.stage == "probe" else None)  # type: ignore[arg-type]


def unstored(job) -> JobResult:
    """The result of a job whose network the store cannot keep."""
    return JobResult(job.planned, job.stage, only_in_memory=job.stage == "network")


def said(job) -> str:
    c = job.planned
    return {"dataset": c.dataset, "network": c.dataset + c.network, "probe": c.dataset + c.network + c.probe}[job.stage]


def test_one_worker_takes_a_suites_order():
    plan = JobQueue(cells(), nothing_there)
    done = []
    while plan:
        job = plan.next()
        done.append(said(job))
        list(plan.done(job, ok(job)))
    assert done == ["a", "am", "amp", "amq", "an", "anp", "anq", "b", "bm", "bmp", "bmq", "bn", "bnp", "bnq"]


def test_networks_of_a_group_are_divided_among_the_workers():
    stored: set[str] = set()
    plan = JobQueue(cells("abcdef", "g", "p"), lambda stage, key: key in stored)
    first, second = plan.next("one", 2), plan.next("two", 2)
    assert (said(first), said(second)) == ("a", "b")
    assert list(plan.done(first, ok(first))) == []
    third = plan.next("one", 2)
    assert (said(third), [other.dataset for other in third.others]) == ("ag", ["c", "d"]), "b is being made"
    list(plan.done(second, ok(second)))
    fourth = plan.next("two", 2)
    assert (said(fourth), [other.dataset for other in fourth.others]) == ("bg", ["e"])
    assert said(plan.next("three", 2)) == "f", "it is no worker's yet"
    assert plan.next("four", 2) is None
    stored |= {"c", "d", "c/g"}
    list(plan.done(third, ok(third)))
    assert [said(plan.next("one", 2)) for _ in range(2)] == ["agp", "cgp"]
    again = plan.next("one", 2)
    assert (said(again), again.others) == ("dg", ()), "its data set was made, and the network was not"


def test_networks_of_a_group_that_was_lost_are_made_one_by_one():
    stored: set[str] = set()
    plan = JobQueue(cells("abc", "g", "p"), lambda stage, key: key in stored)
    list(plan.done(plan.next("one"), JobResult(cells("a", "g", "p")[0], "dataset")))
    job = plan.next("one")
    assert [other.dataset for other in job.others] == ["b", "c"]
    stored |= {"b", "b/g"}
    plan.lost("one")
    keys = [planned.network_key for planned in (job.planned, *job.others)]
    assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True, separate=keys))) == []
    time.sleep(2 * module._PAUSE)
    done = []
    while plan:
        job = plan.next("two")
        assert job.others == ()
        done.append(said(job))
        list(plan.done(job, ok(job)))
    assert done == ["ag", "agp", "bgp", "c", "cg", "cgp"]


def test_networks_that_are_not_trained_with_those_of_other_data_sets_do_not_wait_for_them():
    plan = JobQueue(cells("abc", "g", "p"), lambda stage, key: key in ("a", "b", "c"))
    others = []
    while plan:
        job = plan.next()
        others.append([other.dataset for other in job.others])
        list(plan.done(job, ok(job)))
    assert others == [["b", "c"], [], [], [], [], []]


def test_networks_of_a_group_that_are_not_kept_are_made_one_by_one():
    for keep, others in (("all", "cd"), ("networks", ""), ("results", "")):
        plan = JobQueue(cells("acd", "g", "p"), nothing_there, keep=keep)
        list(plan.done(plan.next(), JobResult(cells("a", "g", "p")[0], "dataset")))
        assert "".join(other.dataset for other in plan.next().others) == others


def test_what_the_store_has_is_not_made():
    plan = JobQueue(cells("a"), lambda stage, key: key in ("a", "a/n"))
    done = []
    while plan:
        job = plan.next()
        done.append(said(job))
        list(plan.done(job, ok(job)))
    assert done == ["am", "amp", "amq", "anp", "anq"]


def test_two_workers_do_not_make_the_same_thing():
    plan = JobQueue(cells(), nothing_there)
    first, second = plan.next("one"), plan.next("two")
    assert (said(first), said(second)) == ("a", "b")
    assert plan.next("three") is None, "both are being made"
    list(plan.done(first, ok(first)))
    third, fourth = plan.next("one"), plan.next("three")
    assert (said(third), said(fourth)) == ("am", "an")
    list(plan.done(third, ok(third)))
    assert [said(plan.next("one")) for _ in range(2)] == ["amp", "amq"]
    assert plan.next("one") is None, "its own network is done, the other is being made, and so is the other data set"


def test_workers_share_the_cells_of_a_network_that_is_stored():
    plan = JobQueue(cells("a", "m", "pqr"), nothing_there)
    for _ in range(2):
        job = plan.next("one")
        list(plan.done(job, ok(job)))
    assert {said(plan.next("one")), said(plan.next("two"))} == {"amp", "amq"}


def test_the_cells_of_a_network_that_is_not_stored_are_its_workers():
    plan = JobQueue(cells("a", "mn", "pqr"), nothing_there)
    job = plan.next("one")
    list(plan.done(job, unstored(job)))
    for worker in ("one", "two"):
        job = plan.next(worker)
        assert said(job) == {"one": "am", "two": "an"}[worker]
        list(plan.done(job, unstored(job)))
    assert plan.next("three") is None, "both networks are in another worker's memory"
    assert [said(plan.next("two")) for _ in range(3)] == ["anp", "anq", "anr"]
    assert plan.next("two") is None
    first, second = plan.next("one"), plan.next("one")
    plan.lost("one")
    for job in (first, second):
        assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True))) == []
    time.sleep(2 * module._PAUSE)
    job = plan.next("two")
    assert said(job) == "am", "made again, since its worker is gone"
    list(plan.done(job, unstored(job)))
    assert plan.next("three") is None
    assert {said(plan.next("two")) for _ in range(3)} == {"amp", "amq", "amr"}


@settings(deadline=None)
@given(st.data())
def test_a_network_that_is_not_stored_is_made_once_a_life_of_its_worker(data):
    """Any workers, any order of results, workers that die: a cell is given to the worker that has its network in memory."""
    monkey = pytest.MonkeyPatch()
    monkey.setattr(module, "_PAUSE", 0.0)
    plan_cells = data.draw(st.permutations(cells("ab", "mn", "pqr")))
    stored = data.draw(st.sets(st.sampled_from(["a", "b", "a/m"])))
    plan = JobQueue(plan_cells, lambda stage, key: key in stored)
    memory: dict[str, str | None] = {}
    in_flight, settled, deaths, made = [], [], 0, []
    while plan:
        worker = data.draw(st.sampled_from("xyz"))
        if deaths < 3 and data.draw(st.integers(0, 9)) == 0:
            deaths += 1
            plan.lost(worker)
            memory.pop(worker, None)
            for job in [job for other, job in in_flight if other == worker]:
                assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True))) == []
            in_flight = [(other, job) for other, job in in_flight if other != worker]
            continue
        job = plan.next(worker)
        if job is not None:
            in_flight.append((worker, job))
        if in_flight and (job is None or data.draw(st.booleans())):
            # The jobs of one worker finish in the order in which it got them.
            worker, job = in_flight.pop(0)
            key = job.planned.network_key
            if job.stage == "network":
                made.append(key)
                memory[worker] = key
            elif job.stage == "probe" and key not in stored:
                assert memory.get(worker) == key
            settled += list(plan.done(job, ok(job) if key in stored else unstored(job)))
    monkey.undo()
    assert sorted(str(result.planned) for result in settled) == sorted(map(str, plan_cells))
    assert len(made) <= len(set(made)) + 2 * deaths


def test_what_cannot_be_made_fails_all_that_need_it():
    plan = JobQueue(cells(), nothing_there)
    job = plan.next()
    failed = list(plan.done(job, JobResult(job.planned, job.stage, message="no", failed="dataset", mistake=True)))
    assert [(o.planned, o.message, o.failed, o.mistake) for o in failed] == [(c, "no", "dataset", True) for c in cells("a")]
    job = plan.next()
    list(plan.done(job, ok(job)))
    job = plan.next()
    assert said(job) == "bm"
    failed = list(plan.done(job, JobResult(job.planned, job.stage, message="no", failed="network")))
    assert [o.planned for o in failed] == cells("b", "m")
    assert said(plan.next()) == "bn"


def test_a_failing_probe_fails_itself():
    plan = JobQueue(cells("a", "m"), lambda *_: True)
    job = plan.next()
    (failed,) = plan.done(job, JobResult(job.planned, "probe", message="no", failed="probe"))
    assert failed.planned == job.planned
    assert said(plan.next()) == "amq"


def test_what_another_run_is_at_comes_later(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    plan = JobQueue(cells("ab", "m", "p"), nothing_there)
    job = plan.next()
    assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True))) == []
    assert said(plan.next()) == "b", "something else meanwhile"
    time.sleep(0.06)
    assert said(plan.next()) == "a"
    plan = JobQueue(cells("a", "m", "p"), lambda *_: True)
    job = plan.next()
    assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True))) == []
    assert plan.next() is None
    assert plan
    time.sleep(0.06)
    assert said(plan.next()) == "amp"


@settings(deadline=None)
@given(st.data())
def test_every_cell_is_settled_once_whatever_happens(data):
    """Any workers, any order of their answers, anything failing: each cell is settled once, and shared work done once."""
    monkey = pytest.MonkeyPatch()
    monkey.setattr(module, "_PAUSE", 0.0)
    plan_cells = data.draw(st.permutations(cells("abc", "mg", "pq")))
    there = data.draw(st.sets(st.sampled_from(["a", "b", "a/m", "b/g", "c/m"])))
    broken = data.draw(st.sets(st.sampled_from(["a", "bm", "cg", "amp", "bgq"])))
    plan = JobQueue(plan_cells, lambda stage, key: key in there)
    flying, settled, made = [], [], []
    names = {"a": "a", "b": "b", "c": "c"} | {d + n: f"{d}/{n}" for d in "abc" for n in "mg"}
    while plan:
        worker = data.draw(st.sampled_from("xyz"))
        job = plan.next(worker, 3)
        if job is not None:
            flying.append(job)
        if job is None or (flying and data.draw(st.booleans())):
            assert flying, "somebody must be at something"
            job = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            separate = []
            for other in job.others:  # those that a group makes, and their data sets
                if not {other.dataset, other.dataset + other.network} & broken and data.draw(st.booleans()):
                    made += [other.dataset] * (other.dataset not in there) + [other.dataset + other.network]
                    there |= {other.dataset, other.network_key}
                elif data.draw(st.booleans()):
                    separate.append(other.network_key)
            if data.draw(st.booleans()):
                assert list(plan.done(job, JobResult(job.planned, job.stage, busy=True, separate=separate))) == []
                continue
            outcome = replace(ok(job), separate=separate)
            if said(job) in broken:
                outcome = JobResult(job.planned, job.stage, message="no", failed=job.stage)
            if job.stage != "probe":
                made.append(said(job))
                there.add(names[said(job)])
            settled += list(plan.done(job, outcome))
    monkey.undo()
    assert sorted(str(o.planned) for o in settled) == sorted(map(str, plan_cells))
    assert len(made) == len(set(made))


@pytest.mark.parametrize("stage", ["dataset", "network", "probe"])
def test_nothing_is_given_out_when_the_store_has_failed(stage):
    plan = JobQueue(cells(), nothing_there)
    job = plan.next()
    while job.stage != stage:
        list(plan.done(job, ok(job)))
        job = plan.next()
    full = JobResult(job.planned, stage, failed=stage, message="no space left", fatal=True)
    assert list(plan.done(job, full)) == [full], "said at once, and not when a cell is reached"
    assert not plan
