from __future__ import annotations

import csv
import json
import os

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.maintenance.helpers import contents, flip, paths
from tmi import InputError, Store, StoreError
from tmi.maintenance.export import export, write_table
from tmi.maintenance.info import info
from tmi.maintenance.prune import prune
from tmi.maintenance.verify import verify
from tmi.runs.runner import load_results
from tmi.store import files


def test_a_store_and_a_table(store, registry, tmp_path):
    before = contents(store.folder)
    exported = export(store, tmp_path / "out")
    out = Store(tmp_path / "out")
    assert dict(exported.counts) == {"probe": 3}
    assert (exported.rows, exported.notes) == (6, [])
    assert {path.name: path.read_bytes() for path in paths(out, "probe")} == {
        path.name: path.read_bytes() for path in paths(store, "probe")
    }
    assert list(out.keys("dataset")) == []
    rows = list(csv.DictReader((out.folder / "results.csv").open(encoding="utf-8")))
    assert len(rows) == 6
    for row in rows:
        stored = store.read(row["key"])
        assert float(row["value"]) == stored.metrics[row["metric"]]
        assert (row["dataset"], row["network"], row["probe"]) == ("toy-data", "toy-net", "toy-probe")
        assert json.loads(row["probe_params"]) == {"scale": 1.0, "metric": "l1"}
        assert int(row["seed"]) == stored.record["seed"]
    summary = info(out)
    assert (summary["index"]["unknown"], summary["index"]["gone"], summary["strange"]) == (0, 0, {})
    assert verify(out, registry=registry).ok
    assert contents(store.folder) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_it_answers_a_run(run_folder, store, registry, tmp_path):
    (tmp_path / "out").mkdir()  # an empty folder will do
    exported = export(store, tmp_path / "out", with_data=True)
    assert dict(exported.counts) == {"probe": 3, "dataset": 3, "network": 3}
    assert all(entry.cached for entry in tmi.run(run_folder / "suite.toml", tmp_path / "out", only="p"))
    checked = verify(Store(tmp_path / "out"), registry=registry)
    assert [comparison.likeness for comparison in checked.recomputed] == ["equal"] * 9


def test_a_suite(run_folder, store, tmp_path):
    results = load_results(run_folder / "suite.toml", store, only="d/n/p seed 1")
    exported = export(store, tmp_path / "out", results, with_data=True)
    assert dict(exported.counts) == {"probe": 1, "dataset": 1, "network": 1}
    import pandas as pd

    frame = pd.read_csv(tmp_path / "out" / "results.csv", keep_default_na=False)
    assert list(frame.columns) == list(results.to_frame().columns)
    assert frame["value"].tolist() == results.to_frame()["value"].tolist()
    assert frame["key"].tolist() == results.to_frame()["key"].tolist()


def test_tables(run_folder, store, tmp_path):
    results = load_results(run_folder / "suite.toml", store)
    assert write_table(store, tmp_path / "suite.json", results).rows == 9
    assert json.loads((tmp_path / "suite.json").read_text()) == results.rows()
    assert write_table(store, tmp_path / "all.csv").rows == 6
    assert write_table(store, tmp_path / "all.json").rows == 6
    rows = json.loads((tmp_path / "all.json").read_text())
    with (tmp_path / "all.csv").open() as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "all.json", "store", "suite.json"]


@pytest.mark.parametrize("name", ["out.parquet", "out.txt"])
def test_other_tables(store, tmp_path, name):
    with pytest.raises(InputError, match=r"tables are written as .csv or .json"):
        write_table(store, tmp_path / name)


def test_places_that_are_taken(store, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = contents(tmp_path)
    for dest, why in [
        ("full", "is not empty"),
        ("file", "is no folder"),
        ("link", "is a symbolic link"),
        ("nowhere/out", "there is no folder"),
        ("store/out", "lies in the store itself"),
    ]:
        with pytest.raises(InputError, match=why):
            export(store, tmp_path / dest)
    assert contents(tmp_path) == before


def test_nothing_to_export(run_folder, store, tmp_path):
    results = load_results(run_folder / "suite.toml", Store(tmp_path / "other"))
    with pytest.raises(InputError, match="has no result of suite 'suite'"):
        export(store, tmp_path / "out", results)
    prune(store, max_size=0)
    with pytest.raises(InputError, match="has no result yet"):
        export(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_damaged_is_left_out(store, tmp_path):
    path = paths(store, "probe")[0]
    stamp = path.stat()
    flip(path)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the index still holds its row
    exported = export(store, tmp_path / "out")
    assert dict(exported.counts) == {"probe": 2}
    assert exported.rows == 4
    assert exported.notes == [f"{path}: is left out (its bytes are not those that were written)"]
    assert path.stem not in (tmp_path / "out" / "results.csv").read_text()


def test_data_sets_that_are_gone(store, tmp_path):
    prune(store, max_size=0, kinds=["dataset"])
    exported = export(store, tmp_path / "out", with_data=True)
    assert dict(exported.counts) == {"probe": 3, "network": 3}
    assert exported.notes == ["3 data sets not in the store; a run computes them again"]


def test_a_full_disk(store, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_sealed", full)
    with pytest.raises(StoreError, match=r"out: cannot be written \(No space left on device\)"):
        export(store, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_killed_export_is_no_export(run_folder, tmp_path):
    code = (
        "import os; from tmi import Store; from tmi.store import files; from tmi.maintenance.export import export\n"
        "write, count = files.write_sealed, []\n"
        "def die(*a, **k):\n"
        "    count.append(1)\n"
        "    if len(count) == 3: os._exit(9)\n"
        "    return write(*a, **k)\n"
        "files.write_sealed = die\n"
        f"export(Store({str(run_folder / 'store')!r}), 'out')\n"
    )
    assert toys.python("-c", code, folder=tmp_path).returncode == 9
    assert not (tmp_path / "out").exists()
    export(Store(run_folder / "store"), tmp_path / "out")
    assert len(list(Store(tmp_path / "out").keys())) == 3
