from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi.hashing import canonical
from tmi.runs.estimate import Costs, Estimate, Expected, TimeLeft
from tmi.store.index import Cost
from tmi.suites.plan import Planned
from tmi.suites.suite import Cell, Choice

KINDS = {"dataset": "dataset", "network": "network", "probe": "probe"}


def choice(kind, name, **params):
    return Choice(kind, f"{name} {canonical(params)}", SimpleNamespace(name=name, target=f"m:{name}"), params, params)


def cells(datasets, networks, probes, seeds=(0,), keyed=True):
    """Every combination, as a plan has them, with readable keys."""
    plan = []
    for d in datasets:
        for seed in seeds:
            for n in networks:
                for p in probes:
                    keys = [f"{d} {seed}", f"{d} {n} {seed}", f"{d} {n} {p} {seed}"]
                    plan.append(Planned(Cell(d, n, p, seed), None, *(keys if keyed else [None] * 3)))
    return plan


def cost(kind, name, seconds, size=0.0, count=1, **params):
    return Cost(kind, name, canonical(params), seconds, size, count)


D, N, P, Q = choice("dataset", "d"), choice("network", "n"), choice("probe", "p"), choice("probe", "q")
RECORDED = [
    cost("dataset", "d", 10, 100),
    cost("network", "n", 60, 1000),
    cost("probe", "p", 1, 10),
    cost("probe", "q", 5, 20),
]


def test_the_nearest_record_counts():
    costs = Costs([cost("probe", "p", 2, 20, 1, k=1), cost("probe", "p", 5, 50, 3, k=2), cost("network", "p", 99)])
    assert costs.of(choice("probe", "p", k=1)) == Expected(2, 20)
    assert costs.of(choice("probe", "p", k=2)) == Expected(5, 50)
    assert costs.of(choice("probe", "p", k=3)) == Expected((2 + 15) / 4, (20 + 150) / 4)
    assert costs.of(choice("network", "p")) == Expected(99, 0)
    assert costs.of(choice("dataset", "p")) is None
    assert costs.of(choice("probe", "q", k=1)) is None
    no_json = Choice("probe", "p", SimpleNamespace(name="p"), {"k": {1, 2}}, {})
    assert costs.of(no_json) == Expected(17 / 4, 170 / 4)
    assert Costs().of(P) is None


def test_nonsense_is_not_recorded():
    costs = Costs([cost("probe", "p", s) for s in (float("nan"), float("inf"), -1.0)] + [cost("probe", "p", 3, float("nan"))])
    assert costs.of(P) is None


def test_what_cells_share_counts_once():
    plan = cells([D], [N], [P, Q], seeds=[0, 1])
    estimate = Costs(RECORDED).estimate(plan)
    assert estimate == Estimate(4, 0, 2 * (10 + 60 + 1 + 5), 2 * (100 + 1000 + 10 + 20))
    twice = Costs(RECORDED).estimate([*plan, *plan])  # two tables of one content
    assert (twice.seconds, twice.size) == (estimate.seconds, estimate.size)


def test_what_the_store_has_costs_nothing():
    plan = cells([D], [N], [P, Q], seeds=[0, 1])
    have_datasets = {p.dataset_key for p in plan}
    have_networks = {plan[0].network_key}
    estimate = Costs(RECORDED).estimate(plan, have_datasets | have_networks)
    assert estimate == Estimate(4, 0, 60 + 2 * (1 + 5), 1000 + 2 * (10 + 20))
    assert Costs(RECORDED).estimate([]) == Estimate(0, 0, 0.0, 0.0)


def test_what_is_not_kept_takes_time_and_no_space():
    plan = cells([D], [N], [P, Q], seeds=[0, 1], keyed=False)
    assert Costs(RECORDED).estimate(plan) == Estimate(4, 0, 2 * (10 + 60 + 1 + 5), 0)


def test_several_workers_and_the_longest_chain():
    plan = cells([D], [N], [P, Q], seeds=range(6))
    total = 6 * 76
    for workers, seconds in ((1, total), (2, total / 2), (6, total / 6), (100, 10 + 60 + 5)):
        assert Costs(RECORDED).estimate(plan, workers=workers).seconds == pytest.approx(seconds)


def test_cells_without_a_record_are_counted_and_not_guessed():
    plan = cells([D], [N], [P, choice("probe", "new")])
    assert Costs(RECORDED).estimate(plan) == Estimate(2, 1, 71, 1110)
    plan = cells([D], [choice("network", "new")], [P, Q])
    assert Costs(RECORDED).estimate(plan) == Estimate(2, 2, 16, 130)
    assert Costs().estimate(plan) == Estimate(2, 2, 0, 0)
    have = {p.network_key for p in plan}
    assert Costs(RECORDED).estimate(plan, have) == Estimate(2, 0, 16, 130)


def test_the_words():
    assert (
        str(Estimate(30, 4, 725.0, 340e6, 2)) == "about 12 min on 2 workers, 340 MB, or more: 4 of 30 cells have no recorded cost"
    )
    assert str(Estimate(30, 1, 725.0, 340e6)) == "about 12 min, 340 MB, or more: 1 of 30 cells has no recorded cost"
    assert str(Estimate(30, 0, 725.0, 1.5e9)) == "about 12 min, 1.5 GB"
    assert str(Estimate(30, 0, 0.01, 1000.0)) == "less than 0.1 s, 1 kB"
    assert str(Estimate(0, 0, 0.0, 0.0)) == "nothing to compute"


def test_an_estimate_of_a_nearly_empty_store_is_none():
    """A store with the data sets alone of these cells gave "about 0.0 s"."""
    nothing = "how long it takes is not known, for the store has no cost of such cells"
    assert str(Estimate(3, 3, 0.0, 0.0)) == nothing
    assert str(Estimate(3, 3, 0.01, 1000.0)) == nothing
    little = str(Estimate(3, 2, 0.01, 1000.0))
    assert little == "how long it takes is not known, for 2 of 3 cells have no recorded cost"


names = st.sampled_from("abc")
choices = {
    kind: st.lists(
        st.builds(lambda name, k, kind=kind: choice(kind, name, k=k), names, st.integers(0, 2)), min_size=1, max_size=3
    )
    for kind in KINDS
}
recorded = st.lists(
    st.builds(
        lambda kind, name, k, seconds, size, count: cost(kind, name, seconds, size, count, k=k),
        st.sampled_from(list(KINDS.values())),
        names,
        st.integers(0, 2),
        st.integers(0, 50),
        st.integers(0, 50),
        st.integers(1, 3),
    ),
    max_size=12,
    unique_by=lambda c: (c.kind, c.name, c.params),
)
plans = st.builds(
    cells,
    choices["dataset"],
    choices["network"],
    choices["probe"],
    st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True),
)


def plain(recorded, choice):
    """Mean seconds by the words of `Costs.of`, without its tables."""
    same = [c for c in recorded if (c.kind, c.name) == (KINDS[choice.kind], choice.component.name)]
    exact = [c for c in same if c.params == canonical(choice.params)] or same
    count = sum(c.count for c in exact)
    return sum(c.seconds * c.count for c in exact) / count if exact else None


@given(plan=plans, recorded=recorded, workers=st.integers(1, 5), have=st.sets(st.integers(0, 30)))
def test_an_estimate_is_the_plain_sum(plan, recorded, workers, have):
    there = {key for i, p in enumerate(plan) if i in have for key in (p.dataset_key, p.network_key)}
    estimate = Costs(recorded).estimate(plan, there, workers)
    things = {}
    chains, unknown = [], 0
    for p in plan:
        parts = {p.dataset_key: p.cell.dataset, p.network_key: p.cell.network, p.key: p.cell.probe}
        of = {key: plain(recorded, c) for key, c in parts.items() if key not in there}
        unknown += None in of.values()
        things |= of
        chains.append(sum(s or 0 for s in of.values()))
    total = sum(s or 0 for s in things.values())
    assert estimate.seconds == pytest.approx(max(total / workers, max(chains)))
    assert (estimate.cells, estimate.unknown, estimate.workers) == (len(plan), unknown, workers)


def spent(i, per_network, dataset=10.0, network=60.0, probe=1.0):
    first = i % per_network == 0
    return {"dataset": dataset if first else 0.0, "network": network if first else 0.0, "probe": probe}


def test_time_left_of_a_run_that_goes_as_recorded():
    plan = cells([D], [N], [P, Q], seeds=range(5))
    left = TimeLeft(Costs(RECORDED), plan)
    expected = 5 * 76.0
    assert left.seconds() == pytest.approx(expected)
    for i, planned in enumerate(plan):
        seconds = spent(i, 2, probe=1.0 if planned.cell.probe is P else 5.0)
        left.update(planned, seconds)
        expected -= sum(seconds.values())
        assert left.seconds() == pytest.approx(expected, abs=1e-9)
    assert left.seconds() == 0


def test_time_left_with_a_number_of_workers_that_nobody_knows(monkeypatch):
    """A scheduler's workers come and go: how many are at it shows in what is done in which time."""
    now = [100.0]
    monkeypatch.setattr("tmi.runs.estimate.time", SimpleNamespace(monotonic=lambda: now[0]))
    plan = cells([D], [N], [P], range(20))
    left = TimeLeft(Costs([cost("probe", "p", 10), cost("dataset", "d", 0), cost("network", "n", 0)]), plan, None)
    assert left.seconds() == pytest.approx(200), "one, as far as is known"
    now[0] += 10
    for planned in plan[:4]:
        left.update(planned, {"probe": 10.0})
    assert left.seconds() == pytest.approx(160 / 4)


def test_time_left_starts_from_what_the_store_has():
    plan = cells([D], [N], [P, Q], seeds=range(5))
    left = TimeLeft(Costs(RECORDED), plan, 2, {key for p in plan for key in (p.dataset_key, p.network_key)})
    assert left.seconds() == pytest.approx(5 * 6 / 2)


def test_time_left_of_a_slower_machine():
    plan = cells([D], [N], [P], seeds=range(200))
    left = TimeLeft(Costs(RECORDED), plan)
    for planned in plan[:100]:
        before = left.seconds()
        left.update(planned, {"dataset": 20.0, "network": 120.0, "probe": 2.0})
        assert left.seconds() < 1.6 * before  # one cell does not turn everything over
    assert left.seconds() == pytest.approx(100 * 142, rel=0.02)


def test_time_left_without_any_record():
    plan = cells([D], [N], [P, Q, choice("probe", "r")], seeds=range(3))
    left = TimeLeft(Costs(), plan)
    assert left.seconds() is None
    left.update(plan[0], {"dataset": 4.0, "network": 10.0, "probe": 3.0})
    assert left.seconds() == pytest.approx(2 * (4 + 10) + 8 * 3)  # of q and r nothing is known: as p
    left.update(plan[1], {"dataset": 0.0, "network": 0.0, "probe": 5.0})
    assert left.seconds() == pytest.approx(2 * (4 + 10) + 2 * 3 + 2 * 5 + 3 * 4)  # r: the mean of all


def test_a_probe_without_a_record_beside_others():
    plan = cells([D], [N], [P, choice("probe", "new")], seeds=range(2))
    left = TimeLeft(Costs(RECORDED), plan)
    assert left.seconds() is None
    left.update(plan[0], {"dataset": 10.0, "network": 60.0, "probe": 1.0})
    assert left.seconds() == pytest.approx(70 + 1 + 2 * 1)


def test_the_last_cells_do_not_share_workers():
    plan = cells([D], [N], [P], seeds=range(3))
    left = TimeLeft(Costs(RECORDED), plan, workers=8)
    assert left.seconds() == pytest.approx(71)
    left.update(plan[0], spent(0, 1))
    left.update(plan[1], spent(0, 1))
    assert left.seconds() == pytest.approx(71)


def test_failures_and_what_other_processes_made_do_not_count_as_quick():
    plan = cells([D], [N], [P], seeds=range(10))
    left = TimeLeft(Costs(RECORDED), plan)
    for planned in plan[:5]:
        left.update(planned, {"dataset": 0.0, "network": 0.0, "probe": 0.0})
    assert left.seconds() == pytest.approx(5 * 71)
    left.update(plan[5], {"probe": float("nan")})
    left.update(plan[6], {})
    assert left.seconds() == pytest.approx(3 * 71)


def test_a_cell_counts_once():
    plan = cells([D], [N], [P], seeds=range(2))
    left = TimeLeft(Costs(RECORDED), plan)
    for _ in range(3):
        left.update(plan[0], spent(0, 1))
    assert left.seconds() == pytest.approx(71)
    left.update(cells([D], [N], [Q])[0], spent(0, 1))  # no cell of this run
    assert left.seconds() == pytest.approx(71)


def test_two_cells_of_one_result():
    plan = cells([D], [N], [P]) * 2
    left = TimeLeft(Costs(RECORDED), plan)
    assert left.seconds() == pytest.approx(71 / 1)
    left.update(plan[0], spent(0, 1))
    assert left.seconds() == pytest.approx(0)
    left.update(plan[1], {})
    assert left.seconds() == 0


@given(
    plan=plans,
    recorded=recorded,
    workers=st.integers(1, 5),
    times=st.lists(st.floats(0, 1e6), min_size=3, max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_time_left_is_never_nonsense(plan, recorded, workers, times, order):
    left = TimeLeft(Costs(recorded), plan, workers)
    order.shuffle(plan)
    for i, planned in enumerate(plan):
        now = left.seconds()
        assert now is None or 0 <= now < 1e9
        seconds = [times[(i + j) % len(times)] for j in range(3)]
        left.update(planned, dict(zip(KINDS, seconds, strict=True)))
        if seconds[2] > 0:
            assert left.seconds() is not None
    assert left.seconds() == 0


def test_ten_thousand_cells_are_quick():
    probes = [choice("probe", f"p{i}", k=j) for i in range(20) for j in range(5)]
    plan = cells([D], [N], probes, seeds=range(100))
    costs = Costs([*RECORDED, *(cost("probe", f"p{i}", 1.0, k=0) for i in range(10))])
    start = time.perf_counter()
    costs.estimate(plan, workers=4)
    left = TimeLeft(costs, plan, 4)
    for planned in plan:
        left.update(planned, {"dataset": 0.0, "network": 0.0, "probe": 1.0})
        left.seconds()
    taken = time.perf_counter() - start
    assert len(plan) == 10_000
    assert taken < 5  # 0.4 s; a busy machine is slower, a quadratic algorithm much slower


def test_nothing_heavy_is_imported():
    code = "import sys; import tmi.runs.estimate; sys.exit(any(m in sys.modules for m in ('torch', 'h5py', 'sqlite3', 'rich')))"
    subprocess.run([sys.executable, "-c", code], check=True)
