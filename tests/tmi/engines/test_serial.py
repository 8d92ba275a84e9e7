from __future__ import annotations

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.engines.counting import DATASETS, NETWORKS, counts, write_suite
from tmi import load_suite
from tmi.engines.job import Options
from tmi.engines.serial import serial
from tmi.store.store import Store
from tmi.suites.plan import make_plan


@pytest.mark.parametrize("keep", ["all", "networks", "results"])
@pytest.mark.parametrize("builder", ["toy-net", "kept-net"])
def test_every_data_set_and_network_is_made_once(tmp_path, monkeypatch, keep, builder):
    suite = write_suite(tmp_path, monkeypatch, builder)
    results = tmi.run(suite, tmp_path / "store", keep=keep)
    assert {entry.status for entry in results} == {"ok"}
    assert counts(tmp_path) == (dict.fromkeys(DATASETS, 1), dict.fromkeys(NETWORKS, 1))


def test_nothing_is_begun_after_a_request_to_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))
    toys.plugin(tmp_path)
    plan = make_plan(load_suite(toys.suite(tmp_path, toys.BASE + "sweep.scale = [1, 2, 3]\n")))
    store = Store(tmp_path / "store")
    store.prepare()
    options = Options(store, "a run")
    results = []
    for result in serial(plan, options):
        results.append(result)
        options.stop.asked = len(results) == 2
    assert [result.planned for result in results] == plan[:2]


def test_what_another_run_computes_comes_last(tmp_path):
    toys.plugin(tmp_path)
    plan = make_plan(load_suite(toys.suite(tmp_path, toys.BASE + "sweep.scale = [1, 2, 3]\n")))
    store = Store(tmp_path / "store")
    store.prepare()
    with store.leases("another run").hold(plan[0].key):
        results = serial(plan, Options(store, "a run"))
        first = [next(results), next(results)]
    assert [result.planned for result in [*first, *results]] == [plan[1], plan[2], plan[0]]
