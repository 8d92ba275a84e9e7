from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.tmi import toys
from tests.tmi.maintenance.helpers import contents, store_file
from tmi import Store
from tmi.maintenance.inventory import StoreFile
from tmi.maintenance.read import read_file
from tmi.maintenance.recompute import Candidate, choose
from tmi.maintenance.verify import verify
from tmi.plugins.registry import with_files
from tmi.probing.result import LabelledArray
from tmi.stages import Stage


@pytest.mark.parametrize(("factor", "likeness"), [(1 + 1e-7, "close"), (1 + 1e-4, "different")])
def test_a_metric_that_is_not_computed_again(store, registry, factor, likeness):
    key = next(store.keys())
    result, record = store.load(key), store.read(key).record
    store.write(key, replace(result, metrics={**result.metrics, "total": result.metrics["total"] * factor}), record)
    store.flush()
    report = verify(store, registry=registry)
    (comparison,) = [c for c in report.recomputed if c.likeness != "equal"]
    assert (comparison.file.key, comparison.likeness) == (key, likeness)
    assert comparison.text.startswith("metric total: ")
    assert report.ok == (likeness == "close")
    verify(store, registry=registry, repair=True)
    assert (key in store) == (likeness == "close")
    assert verify(store, registry=registry).ok


def test_an_array_that_is_not_computed_again(store, registry):
    key = next(store.keys())
    result, record = store.load(key), store.read(key).record
    logits = result.arrays["logits"]
    changed = logits.values.copy()
    changed[1, 0] += 0.5
    store.write(key, replace(result, arrays={"logits": LabelledArray(logits.dims, changed)}), record)
    store.flush()
    report = verify(store, registry=registry)
    assert [line for line in report.problems() if f"result {key}: differs" in line and "'logits': up to 0.5" in line]


def test_a_network_and_a_data_set_that_are_not_made_again(store, registry):
    import torch

    key = next(store.keys("network"))
    record = read_file(store_file(store, "network", key)).record
    data, dataset_record = store.load_dataset(record["keys"]["dataset"])
    network = registry.build(record["network"]["name"], data, seed=record["seed"])
    with torch.no_grad():
        network.module[1].weight[0, 0] += 1.0
    store.write_network(key, network, None, record)
    other = tmi.Dataset(data.task, data.test, data.train, notes=data.notes, name=data.name, seed=data.seed, params=data.params)
    store.write_dataset(record["keys"]["dataset"], other, dataset_record)
    store.flush()
    report = verify(store, registry=registry)
    lines = report.problems()
    assert any(line.startswith(f"network {key}: differs") and "weight" in line for line in lines), lines
    assert any(line.startswith(f"dataset {record['keys']['dataset']}: differs") for line in lines), lines
    assert len(lines) == 2  # the result is as it is computed
    verify(store, registry=registry, repair=True)
    assert not store.has("network", key)
    assert verify(store, registry=registry).ok


def test_a_probe_that_fails_now(store, registry, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("too much")

    monkeypatch.setattr(registry, "probe", fail)
    report = verify(store, registry=registry, sample=1, repair=True)
    assert not report.ok
    (line,) = report.problems()
    assert "cannot be computed again (MemoryError: too much" in line
    assert len(list(store.keys())) == 3  # it may be the machine's fault


def test_a_network_that_fails_now(store, registry, monkeypatch):
    monkeypatch.setattr(registry, "build", lambda *_, **__: 1 / 0)
    report = verify(store, registry=registry, sample=1, repair=True)
    assert sorted((str(c.file.kind), c.likeness) for c in report.recomputed) == [
        ("dataset", "equal"), ("network", "failed"), ("probe", "failed"),
    ]  # fmt: skip
    assert all("cannot be computed again (ZeroDivisionError: " in line for line in report.problems())
    assert report.repairs == []


THREADED = '''
import tmi
import torch


@tmi.hookimpl
def tmi_network_builders():
    return {"threaded": "STEM:threaded"}


def threaded(data, *, seed: int) -> tmi.Network:
    """Return a network that shows by how many threads it was trained."""
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))

    def fit():
        with torch.no_grad():
            module[1].weight.fill_(float(torch.get_num_threads()))

    tmi.train_once(module, fit)
    return tmi.Network(module, ["1"], "trained", task=getattr(data, "task", data))
'''


def test_each_file_is_computed_with_the_threads_of_its_first_time(tmp_path):
    """A later run takes the network from the store, trained with another number of threads."""
    files = [toys.plugin(tmp_path), toys.plugin(tmp_path, "threaded", THREADED)]
    suite = toys.suite(tmp_path, toys.BASE.replace("toy-net", "threaded"), head='plugins = ["toys.py", "threaded.py"]')
    more = toys.suite(
        tmp_path,
        toys.BASE.replace("toy-net", "threaded") + "scale = 2.0",
        head='plugins = ["toys.py", "threaded.py"]',
        name="more.toml",
    )
    store = Store(tmp_path / "store")
    (first,) = tmi.run(suite, store, threads=1)
    (second,) = tmi.run(more, store, threads=2)
    store.path(first.key).unlink()
    assert (first.record["threads"], second.record["threads"]) == (1, 2)
    report = verify(store, registry=with_files(files))
    assert [comparison.likeness for comparison in report.recomputed] == ["equal"] * 3, report.problems()


def test_nothing_is_left_of_the_temporary_store(store, registry, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = contents(store.folder)
    assert len(verify(store, registry=registry, sample=1).recomputed) == 3
    assert list((tmp_path / "temporary").iterdir()) == []
    assert contents(store.folder) == before


def test_time(store, registry):
    report = verify(store, registry=registry, seconds=0)
    assert (report.recomputed, report.passed_over, report.ok) == ([], 3, True)
    assert any("3 results would take too long" in line for line in report.lines())


def test_the_sample_is_drawn_by_its_seed():
    candidates = [candidate(index, 1.0) for index in range(20)]
    chosen = choose(candidates, 3, 7, 60.0)
    assert choose(candidates[::-1], 3, 7, 60.0) == chosen
    assert len({choose(candidates, 3, seed, 60.0)[0][0].file.key for seed in range(20)}) > 5


@given(st.lists(st.floats(0, 100), max_size=10), st.integers(0, 5), st.floats(0, 200))
def test_the_sample_keeps_to_its_time(took, count, seconds):
    candidates = [candidate(index, value) for index, value in enumerate(took)]
    chosen, passed_over = choose(candidates, count, 0, seconds)
    assert sum(candidate.seconds for candidate in chosen) <= seconds * (1 + 1e-9)
    assert len(chosen) <= count
    if len(chosen) < count:  # the others took too long
        assert len(chosen) + passed_over == len(took)


def candidate(index: int, seconds: float) -> Candidate:
    file = StoreFile(Stage.PROBE, f"{index:064x}", Path("x"), 1, 1)
    return Candidate(file, {"seconds": {"probe": seconds, "odd": "?"}}, ())
