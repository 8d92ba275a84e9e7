"""Networks that are trained in one call: they are those that are trained alone, and what fails in company is done alone."""

from __future__ import annotations

import json
import warnings
from collections import Counter

import numpy as np
import pytest

import tmi
from tests.tmi import toys
from tmi import Store, load_suite
from tmi.engines import together as module
from tmi.engines.executor import Executor
from tmi.networks.train_once import Trained
from tmi.stages import Stage
from tmi.store import leases
from tmi.suites.plan import make_plan

BUILDER = '''
@tmi.hookimpl
def tmi_network_builders():
    return {"walk": "toys:walk"}


def state(seed, epochs, data):
    """A walk of so many steps; the first two coordinates are the data's."""
    import torch

    start = data.train.images[0].flatten().double().numpy()
    steps = np.random.default_rng(seed).normal(size=(epochs, 2, 4))
    weight = torch.tensor(start + steps.sum(0), dtype=torch.float32)
    return {"1.weight": weight}, {"loss": list(range(epochs))}


def train(requests):
    called("together " + " ".join(f"{r.seed}:{r.params['epochs']}" for r in requests))
    HOW_TRAIN
    return [None if r.params["alone"] else state(r.seed, r.params["epochs"], r.data) for r in requests]


def group(data, seed, params):
    HOW_GROUP
    return params["lr"]


@tmi.together(train, group)
def walk(data, *, seed: int, epochs: Count = 1, lr: float = 1.0, alone: bool = False, fail: bool = False) -> tmi.Network:
    """Walk."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))

    def fit():
        called(f"alone {seed}:{epochs}")
        if fail:
            raise tmi.InputError("the walk has no end")
        weights, history = state(seed, epochs, data)
        module.load_state_dict(weights)
        return history

    history = tmi.train_once(module, fit)
    return tmi.Network(module, ["1"], "trained", task=data.task, history=history)
'''

WALKS = toys.BASE.replace('"toy-net"', '"walk"\nsweep.epochs = [3, 1, 5]')
ALL = {f"{seed}:{epochs}" for seed in (0, 1, 2) for epochs in (1, 3, 5)}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Write a suite of three seeds and return its file."""
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))

    def written(content=WALKS, how_train="", how_group=""):
        text = toys.TOYS + BUILDER.replace("HOW_TRAIN", how_train).replace("HOW_GROUP", how_group)
        toys.plugin(tmp_path, text=text)
        return toys.suite(tmp_path, content, head='plugins = ["toys.py"]\nseeds = [0, 1, 2]')

    return written


def trainings(folder):
    """Return the networks that were trained in each call of ``train``, and those that their builder trained."""
    lines = [line.split() for line in toys.calls(folder)]
    assert max(Counter(tuple(line) for line in lines if line[0] == "data").values(), default=1) == 1
    return [set(line[1:]) for line in lines if line[0] == "together"], [line[1] for line in lines if line[0] == "alone"]


def trained(store) -> dict[str, Trained]:
    loaded = {key: store.load_network(key)[0] for key in store.keys("network")}
    assert all(loaded.values())
    return loaded


def test_networks_are_those_that_are_trained_alone(plan, tmp_path, monkeypatch):
    results = tmi.run(plan(), tmp_path / "store")
    assert {entry.status for entry in results} == {"ok"}
    assert trainings(tmp_path) == ([ALL], [])
    with monkeypatch.context() as alone:
        alone.setattr("tmi.suites.plan.Planned.group_id", None)
        expected = tmi.run(plan(), tmp_path / "alone")
    assert sorted(trainings(tmp_path)[1]) == sorted(ALL)
    assert [entry.metrics for entry in results] == [entry.metrics for entry in expected]
    assert [entry.key for entry in results] == [entry.key for entry in expected]
    one, other = (trained(Store(tmp_path / name)) for name in ("store", "alone"))
    assert one.keys() == other.keys()
    for key, network in one.items():
        for part in ("weights", "history"):
            mine, its = getattr(network, part), getattr(other[key], part)
            assert mine.keys() == its.keys()
            assert all(np.array_equal(mine[name], its[name]) and mine[name].dtype == its[name].dtype for name in mine)
    warm = tmi.run(plan(), tmp_path / "store")
    assert all(entry.cached for entry in warm)


def test_the_records_share_out_the_seconds(plan, tmp_path):
    results = tmi.run(plan(how_train="import time; time.sleep(0.9)"), tmp_path / "store")
    records = [Store(tmp_path / "store").load_network(key)[1] for key in Store(tmp_path / "store").keys("network")]
    assert {record["trained_together"] for record in records} == {9}
    assert all(0.1 <= record["seconds"] < 0.9 for record in records)
    assert all(0.1 <= entry.record["seconds"]["network"] < 0.9 for entry in results)
    assert sum(record["seconds"] for record in records) >= 0.9


def test_only_what_belongs_together_is_trained_together(plan, tmp_path):
    content = WALKS.replace("epochs = [3, 1, 5]", "epochs = [3, 1]\nsweep.lr = [1.0, 2.0]")
    tmi.run(plan(content + "[datasets.e]\nuse='toy-data'\nsamples=5"), tmp_path / "store")
    lines = [line.split()[1:] for line in toys.calls(tmp_path) if line.startswith("together")]
    assert [len(line) for line in lines] == [6, 6, 6, 6], "two data sets, two learning rates"


@pytest.mark.parametrize(("keep", "expected"), [("networks", [3, 3, 3]), ("results", [])])
def test_what_the_store_does_not_keep_is_not_shared(plan, tmp_path, keep, expected):
    results = tmi.run(plan(), tmp_path / "store", keep=keep)
    assert {entry.status for entry in results} == {"ok"}
    together, alone = trainings(tmp_path)
    assert [len(group) for group in together] == expected
    assert len(alone) == (0 if expected else 9)


def test_one_that_fails_fails_alone(plan, tmp_path):
    bad = "[networks.bad]\nuse = 'walk'\nalone = true\nfail = true\n"
    results = tmi.run(plan(WALKS + bad + bad.replace("bad", "shy").replace("fail = true", "epochs = 7")), tmp_path / "store")
    together, alone = trainings(tmp_path)
    assert together == [ALL | {f"{seed}:7" for seed in (0, 1, 2)}], "they are not tried together again"
    assert Counter(alone) == {name: 1 for seed in (0, 1, 2) for name in (f"{seed}:1", f"{seed}:7")}
    assert {entry.network: entry.status for entry in results} == {"n": "ok", "bad": "failed", "shy": "ok"}
    assert {entry.message for entry in results.failed} == {"the walk has no end"}


FAILURES = {
    "train raises": ("raise ValueError('no company')", "", "ValueError: no company"),
    "group raises": ("", "raise ValueError('no company')", "ValueError: no company"),
    "group cannot be hashed": ("", "return np.ones(2)", "unhashable type"),
    "too few states": ("return []", "", "returned 0 states for 9 networks"),
    "other names": ("return [({'2.weight': np.ones(3)}, {})] * len(requests)", "", "have no '1.weight'"),
    "no states": ("return [3] * len(requests)", "", "TypeError"),
}


@pytest.mark.parametrize(
    "failure",
    [pytest.param(name, marks=[] if name in ("train raises", "other names") else pytest.mark.slow) for name in FAILURES],
)
def test_a_group_that_fails_is_trained_alone(plan, tmp_path, failure):
    how_train, how_group, message = FAILURES[failure]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = tmi.run(plan(how_train=how_train, how_group=how_group), tmp_path / "store")
    assert {entry.status for entry in results} == {"ok"}
    together, alone = trainings(tmp_path)
    assert len(together) <= 1
    assert sorted(alone) == sorted(ALL)
    (text,) = {str(warning.message) for warning in caught}
    assert text.startswith("network walk: cannot be trained with others (")
    assert message in text
    assert text.endswith("; it is trained alone")


@pytest.mark.slow
def test_a_group_that_takes_too_long_is_trained_alone(plan, tmp_path):
    """Each network has the time of one."""
    suite = plan(how_train="import time; time.sleep(50 if len(requests) == 3 else 0.7)")
    with pytest.warns(UserWarning, match="took longer than the limit of 1.5 s"):
        results = tmi.run(suite, tmp_path / "store", timeout=0.5, only=["n[epochs=3]"])
    assert {entry.status for entry in results} == {"ok"}
    assert sorted(trainings(tmp_path)[1]) == ["0:3", "1:3", "2:3"]
    tmi.run(suite, tmp_path / "store", timeout=0.5)
    assert trainings(tmp_path)[1] == [], "six networks have 3 seconds"


def test_requests_have_what_the_builder_gets(plan, tmp_path):
    """A setting that names a component is a `Reference` there; the text, which can be hashed, for ``group``."""
    with_of = "alone: bool = False, of: Builder | None = None, "
    suite = plan(
        WALKS.replace("[networks.n]", "[networks.n]\nof = 'theorem1'"),
        how_train="called(f\"of {requests[0].params['of'].params}\")",
        how_group="return params['of'], params['lr']",
    )
    file = tmp_path / "toys.py"
    text = (
        file.read_text().replace("alone: bool = False, ", with_of).replace("params import Count", "params import Builder, Count")
    )
    file.write_text(text)
    results = tmi.run(suite, tmp_path / "store")
    assert {entry.status for entry in results} == {"ok"}
    assert "of {" in (tmp_path / "calls").read_text()
    assert len(trainings(tmp_path)[0]) == 1


def test_few_data_sets_are_held_at_once(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100)  # one has 64
    results = tmi.run(plan(), tmp_path / "store")
    assert {entry.status for entry in results} == {"ok"}
    together, alone = trainings(tmp_path)
    assert [len(group) for group in together] == [6, 3]
    assert alone == []


def test_what_another_run_trains_is_left_to_it(plan, tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    cells = list({planned.network_key: planned for planned in make_plan(load_suite(plan()))}.values())
    other, mine = (leases.Leases(store.folder / "leases", run) for run in ("other", "mine"))
    path = store.folder / "leases" / cells[1].network_key
    with other.hold(cells[1].network_key):
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": 1, "run": "other"}))  # a process that runs
        executor = Executor(store, mine)
        result = executor.work(cells[0], Stage.NETWORK, cells[1:])
        assert not result.failed
        assert not result.separate
        assert [store.has("network", planned.network_key) for planned in cells] == [True, False, *[True] * 7]
        assert executor.work(cells[1], Stage.NETWORK, cells[2:]).busy
    together, alone = trainings(tmp_path)
    assert ([len(group) for group in together], alone) == ([8], [])
    assert [file.name for file in (store.folder / "leases").iterdir()] == []


def test_a_network_in_the_store_is_not_trained_again(plan, tmp_path):
    suite = plan()
    tmi.run(suite, tmp_path / "store", only=["n[epochs=3]"])
    assert [len(group) for group in trainings(tmp_path)[0]] == [3]
    tmi.run(suite, tmp_path / "store")
    together, alone = trainings(tmp_path)
    assert together == [{name for name in ALL if not name.endswith(":3")}]
    assert alone == []
