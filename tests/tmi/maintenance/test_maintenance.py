from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tests.tmi import toys
from tmi import InputError, ProbeResult, Store, StoreError
from tmi.maintenance import compare, inventory
from tmi.maintenance import delete as removal
from tmi.maintenance import read as reading
from tmi.maintenance import recompute as again
from tmi.maintenance import staleness as reach
from tmi.maintenance.export import export, write_table
from tmi.maintenance.info import info
from tmi.maintenance.prune import prune
from tmi.maintenance.verify import verify
from tmi.plugins.registry import with_files
from tmi.probing.result import LabelledArray
from tmi.runs.runner import collect
from tmi.runtime import formatting as units
from tmi.store import store as stores

DAY = 86400.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the toys, a suite of three seeds and one failing probe, and the store of its run."""
    folder = tmp_path_factory.mktemp("made")
    toys.plugin(folder)
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n', head='plugins = ["toys.py"]\nseeds = [0, 1, 2]')
    results = tmi.run(folder / "suite.toml", folder / "store")
    assert (len(results), len(results.failed)) == (6, 3)
    return folder


@pytest.fixture
def registry(made):
    return with_files(made / "toys.py")


@pytest.fixture
def store(made, tmp_path):
    """A copy of that store; the files keep their times."""
    shutil.copytree(made / "store", tmp_path / "store")
    return Store(tmp_path / "store")


def paths(store: Store, kind: str) -> list[Path]:
    return [store.path(key, kind) for key in store.keys(kind)]


def metrics_of(store: Store) -> dict[str, dict[str, float]]:
    return {path.stem: store.read(path.stem).metrics for path in paths(store, "probe")}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip(path: Path, at: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def reseal(path: Path, data: bytes) -> None:
    stores.files.write_sealed(path, data)


def edit(path: Path, change) -> None:
    """Change a file's header and seal it again: a hostile file, not a damaged one."""
    import io

    file = io.BytesIO(stores.files.read_sealed(path))
    with h5py.File(file, "r+") as opened:
        header = json.loads(opened["header"].asstr()[()])
        change(header)
        del opened["header"]
        opened["header"] = json.dumps(header)
    reseal(path, file.getvalue())


def claim(store: Store, key: str):
    return store.leases("a run").hold(key)


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("2GB", 2e9),
            ("500 MB", 5e8),
            ("1.5GiB", 1.5 * 2**30),
            ("10", 10),
            ("1kB", 1000),
            ("3 k", 3000),
            ("0", 0),
            ("2tib", 2**41),
        ],
    )
    def test_sizes(self, text, size):
        assert units.parse_size(text) == size

    @pytest.mark.parametrize(
        ("text", "seconds"), [("30d", 30 * DAY), ("12h", DAY / 2), ("2w", 14 * DAY), ("90min", 5400), ("1.5 d", 1.5 * DAY)]
    )
    def test_ages(self, text, seconds):
        assert units.parse_age(text) == seconds

    @pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e3", "2 XB", "1 2", "nan", "inf", "9" * 400, "١GB\x1b[2J"])
    def test_nonsense(self, text):
        for parse in (units.parse_size, units.parse_age):
            with pytest.raises(InputError, match="expected a") as error:
                parse(text)
            assert str(error.value).isprintable()

    def test_an_age_needs_a_unit(self):
        with pytest.raises(InputError, match="12h, 30d or 2w"):
            units.parse_age("30")

    @given(st.integers(0, 10**18))
    def test_a_size_as_text_is_near(self, size):
        text = units.size_text(size)
        assert abs(units.parse_size(text) - size) <= 0.01 * size if "e" not in text else size >= 10**15

    @given(st.text())
    def test_names_are_one_printable_line(self, text):
        assert units.shown(text).isprintable()

    def test_names_that_are_no_unicode(self):
        assert units.shown("a\udcffb\x1b[1m") == "a\\udcffb\\x1b[1m"

    def test_times(self):
        assert units.time_text(0) == "1970-01-01 00:00"
        assert units.time_text(1e300) == "unknown"


class TestInfo:
    def test_counts(self, store):
        found = info(store)
        assert {kind: one["count"] for kind, one in found["kinds"].items()} == {"result": 3, "dataset": 3, "network": 3}
        for kind, one in found["kinds"].items():
            assert one["size"] == sum(path.stat().st_size for path in paths(store, kind))
            assert one["seconds"] > 0
            assert one["oldest"] <= one["newest"]
        assert found["size"] == sum(len(data) for data in everything(store.folder).values())
        assert (found["failures"], found["damaged"], found["temporary"], found["running"]) == (3, {"count": 0, "size": 0}, 0, [])
        assert found["index"] == {"size": store.index.path.stat().st_size, "rows": 9, "unknown": 0, "gone": 0, "trouble": ""}
        assert found["versions"]["torch"] == {tmi.plugins.fingerprint.versions()["torch"]: 3}
        assert found["versions"]["tmi"] == {tmi.__version__: 3}
        assert found["strange"] == found["unreadable"] == {}
        json.dumps(found)

    def test_lines(self, store):
        text = "\n".join(inventory_lines(store))
        assert "failures: 3" in text
        assert "index: in step with the files" in text
        assert "being computed now: 0" in text

    def test_what_is_being_computed(self, store):
        with claim(store, "a" * 64):
            found = info(store)
            assert [(one["key"], one["pid"], one["run"]) for one in found["running"]] == [("a" * 64, os.getpid(), "a run")]
            assert any(line.startswith("  aaaaaaaaaaaa… on ") for line in inventory_lines(store))
        assert info(store)["running"] == []

    def test_what_is_left_behind(self, store):
        leave_behind(store)
        found = info(store)
        assert (found["temporary"], found["stale"], found["running"]) == (1, 1, [])
        assert found["strange"] == {}

    def test_index(self, store):
        paths(store, "probe")[0].unlink()
        assert info(store)["index"]["gone"] == 1
        store.index.path.unlink()
        assert info(store)["index"] == {"size": 0, "rows": 0, "unknown": 8, "gone": 0, "trouble": ""}
        store.index.path.write_text("no database")
        assert "is not the index of a store" in info(store)["index"]["trouble"]
        assert any("makes it anew" in line for line in inventory_lines(store))

    def test_an_empty_store(self, tmp_path):
        store = Store(tmp_path / "new")
        with pytest.raises(StoreError, match="there is no such folder"):
            info(store)
        store.prepare()
        assert info(store)["kinds"]["result"] == {"count": 0, "size": 0, "seconds": 0, "oldest": None, "newest": None}
        assert inventory_lines(store)

    def test_another_folder(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(StoreError, match="is no store, for it has none of results, datasets, networks"):
            info(Store(tmp_path))

    def test_unreadable_folder(self, store, monkeypatch):
        locked = paths(store, "probe")[0].parent
        scandir = os.scandir

        def refuse(path):
            if Path(path) == locked:
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(inventory.os, "scandir", refuse)
        found = info(store)
        assert found["unreadable"] == {str(locked): "cannot be looked into (Permission denied)"}
        assert found["kinds"]["result"]["count"] == 2
        checked = verify(store, sample=0)
        assert not checked.ok
        assert checked.problems() == [f"{locked}: cannot be looked into (Permission denied)"]
        assert prune(store, max_size=0, dry_run=True).notes == checked.problems()


def inventory_lines(store: Store) -> list[str]:
    from tmi.maintenance.info import lines

    return lines(info(store))


def leave_behind(store: Store) -> None:
    """As a killed run does: a temporary file and a claim of a process that is gone."""
    import socket

    gone = 2**22 + 1  # above the kernel's limit
    folder = paths(store, "probe")[0].parent
    (folder / f".{'b' * 64}.{socket.gethostname()}.{gone}.0123abcd.tmp").write_bytes(b"half")
    (store.folder / "leases").mkdir(exist_ok=True)
    left = {"run": "r", "host": socket.gethostname(), "pid": gone, "ended": []}
    (store.folder / "leases" / ("c" * 64)).write_text(json.dumps(left))


class TestVerify:
    def test_all_well(self, store, registry):
        before = everything(store.folder)
        found = verify(store, registry=registry)
        assert found.ok, found.problems()
        assert found.problems() == []
        assert dict(found.checked) == {"dataset": 3, "network": 3, "probe": 3}
        assert found.size == sum(path.stat().st_size for kind in stores.FOLDERS for path in paths(store, kind))
        assert [one.likeness for one in found.recomputed] == ["equal"] * 9
        assert sorted(one.found.kind for one in found.recomputed) == sorted(["dataset", "network", "probe"] * 3)
        assert (found.unknown, found.gone, found.wrong_rows, found.not_comparable) == (0, 0, [], [])
        assert any("9 equal bit for bit, 0 agree to 1e-05 (relative), 0 differ" in line for line in found.lines())
        assert everything(store.folder) == before

    @pytest.mark.parametrize("kind", ["probe", "dataset", "network"])
    @pytest.mark.parametrize("how", ["flipped", "cut", "empty", "foreign", "renamed", "other kind"])
    def test_damage_and_repair(self, store, registry, kind, how):
        path, other = paths(store, kind)[:2]
        if how == "flipped":
            flip(path)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "foreign":
            reseal(path, b"no HDF5")
        elif how == "renamed":
            shutil.copyfile(other, path)
        else:
            another = {"probe": "dataset", "dataset": "network", "network": "probe"}[kind]
            shutil.copyfile(paths(store, another)[0], path)
            edit(path, lambda header: header.update(key=path.stem))
        found = verify(store, registry=registry, sample=0)
        assert not found.ok
        assert [one.path for one, _ in found.damaged] == [path]
        assert [line.startswith(f"{path}: is damaged (") for line in found.problems()] == [True]
        assert path.exists()
        repaired = verify(store, registry=registry, sample=0, repair=True)
        assert not repaired.ok
        assert not path.exists()
        assert any("set aside as" in line for line in repaired.done)
        assert [aside.name.startswith(path.name) for aside in (store.folder / "damaged").iterdir()] == [True]
        after = verify(store, registry=registry)
        assert after.ok, after.problems()
        assert (after.unknown, after.gone) == (0, 0)
        assert after.problems() == after.done == []

    def test_what_was_set_aside_is_computed_again_as_it_was(self, made, store, registry):
        before = {path: path.read_bytes() for kind in ("dataset", "network") for path in paths(store, kind)}
        metrics = metrics_of(store)
        for kind in stores.FOLDERS:
            for path in paths(store, kind):
                flip(path)
        assert len(verify(store, registry=registry, repair=True).damaged) == 9
        assert list(store.keys()) == []
        tmi.run(made / "suite.toml", store, only="p")
        assert metrics_of(store) == metrics
        assert {path for kind in ("dataset", "network") for path in paths(store, kind)} == set(before)
        assert verify(store, registry=registry).ok

    def test_a_record_that_is_none(self, store, registry):
        path = paths(store, "probe")[0]
        edit(path, lambda header: header.update(record=["x"]))
        found = verify(store, registry=registry, sample=0)
        assert [why.startswith("it is no result (") for _, why in found.damaged] == [True]

    def test_a_newer_layout_is_no_damage(self, store, registry):
        path = paths(store, "network")[0]
        edit(path, lambda header: header.update(version=99))
        found = verify(store, registry=registry, sample=0, repair=True)
        assert found.ok, found.problems()
        assert [one.why for one in found.newer] == ["was written by a newer tmi (layout 99, this one reads 1)"]
        assert path.exists()

    def test_a_file_that_may_not_be_read(self, store, registry, monkeypatch):
        path = paths(store, "dataset")[0]
        read = stores.files.read_sealed

        def refuse(asked):
            if asked == path:
                raise PermissionError(13, "Permission denied")
            return read(asked)

        monkeypatch.setattr(stores.files, "read_sealed", refuse)
        found = verify(store, registry=registry, sample=0, repair=True)
        assert found.problems() == [f"{path}: cannot be read (Permission denied)"]
        assert path.exists()

    def test_what_is_left_behind(self, store, registry):
        leave_behind(store)
        assert verify(store, registry=registry, sample=0).left_behind == 2
        assert "removed 2 files left behind" in verify(store, registry=registry, sample=0, repair=True).done
        after = verify(store, registry=registry, sample=0, repair=True)
        assert (after.left_behind, after.done) == (0, [])

    def test_a_running_run_is_left_alone(self, store, registry):
        mine = paths(store, "probe")[0].with_name(stores.files.temporary_name("d" * 64))
        mine.write_bytes(b"half")
        with claim(store, "d" * 64):
            found = verify(store, registry=registry, sample=0, repair=True)
            assert (found.left_behind, found.done) == (0, [])
            assert (store.folder / "leases" / ("d" * 64)).exists()
        assert mine.exists()

    def test_index(self, store, registry):
        key = next(store.keys())
        (row,) = store.index.read("probe", {key: stores.files.stamp(store.path(key))}).values()
        content = json.loads(row.content)
        content["metrics"][0][1] += 1.0
        store.index.add([replace(row, content=tmi.hashing.canonical(content))])  # whoever wrote this knew the seal
        assert store.read_all([key])[key].metrics != store.read(key).metrics
        found = verify(store, registry=registry, sample=0)
        assert found.problems() == [f"index: says something else than {store.path(key)}"]
        assert "index: made anew from the files" in verify(store, registry=registry, sample=0, repair=True).done
        assert store.read_all([key])[key].metrics == store.read(key).metrics
        assert verify(store, registry=registry, sample=0).ok

    def test_index_out_of_step(self, store, registry):
        paths(store, "network")[0].unlink()
        found = verify(store, registry=registry, sample=0)
        assert (found.ok, found.unknown, found.gone) == (True, 0, 1)
        store.index.path.unlink()
        found = verify(store, registry=registry, sample=0)
        assert (found.ok, found.unknown, found.gone) == (True, 8, 0)
        verify(store, registry=registry, sample=0, repair=True)
        assert info(store)["index"]["rows"] == 8
        assert (info(store)["index"]["unknown"], info(store)["index"]["gone"]) == (0, 0)

    def test_index_that_is_none(self, store, registry):
        store.index.path.write_bytes(b"no database at all" * 100)
        found = verify(store, registry=registry, sample=0)
        assert [line.startswith("index: ") for line in found.problems()] == [True]
        verify(store, registry=registry, sample=0, repair=True)
        after = verify(store, registry=registry, sample=0)
        assert after.ok, after.problems()
        assert (after.unknown, after.gone) == (0, 0)

    @pytest.mark.parametrize(("factor", "likeness"), [(1 + 1e-7, "close"), (1 + 1e-4, "different")])
    def test_a_metric_that_is_not_computed_again(self, store, registry, factor, likeness):
        key = next(store.keys())
        result, record = store.load(key), store.read(key).record
        store.write(key, replace(result, metrics={**result.metrics, "total": result.metrics["total"] * factor}), record)
        store.flush()
        found = verify(store, registry=registry)
        (one,) = [one for one in found.recomputed if one.likeness != "equal"]
        assert (one.found.key, one.likeness) == (key, likeness)
        assert one.text.startswith("metric total: ")
        assert found.ok == (likeness == "close")
        verify(store, registry=registry, repair=True)
        assert (key in store) == (likeness == "close")
        assert verify(store, registry=registry).ok

    def test_an_array_that_is_not_computed_again(self, store, registry):
        key = next(store.keys())
        result, record = store.load(key), store.read(key).record
        logits = result.arrays["logits"]
        changed = logits.values.copy()
        changed[1, 0] += 0.5
        store.write(key, replace(result, arrays={"logits": LabelledArray(logits.dims, changed)}), record)
        store.flush()
        found = verify(store, registry=registry)
        assert [line for line in found.problems() if f"result {key}: differs" in line and "'logits': up to 0.5" in line]

    def test_a_network_and_a_data_set_that_are_not_made_again(self, store, registry):
        import torch

        from tmi.networks.train_once import Trained

        key = next(store.keys("network"))
        record = read(store, "network", key).record
        data, of = store.load_dataset(record["keys"]["dataset"])
        network = store.load_network(key, data.task).network
        with torch.no_grad():
            network.module[1].weight[0, 0] += 1.0
        store.write_network(key, network, data.test.images, data.task, Trained(), record)
        other = tmi.Dataset(
            data.task, data.test, data.train, notes=data.notes, name=data.name, seed=data.seed, params=data.params
        )
        store.write_dataset(record["keys"]["dataset"], other, of)
        store.flush()
        found = verify(store, registry=registry)
        lines = found.problems()
        assert any(line.startswith(f"network {key}: differs") and "weight" in line for line in lines), lines
        assert any(line.startswith(f"dataset {record['keys']['dataset']}: differs") for line in lines), lines
        assert len(lines) == 2  # the result is as it is computed
        verify(store, registry=registry, repair=True)
        assert not store.has("network", key)
        assert verify(store, registry=registry).ok

    def test_code_that_changed(self, store, registry, monkeypatch):
        monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
        found = verify(store, registry=registry)
        assert found.ok
        assert (found.recomputed, found.not_comparable) == ([], ["3 results: code or versions changed"])

    def test_no_code_of_a_file_is_run(self, store, tmp_path):
        evil = tmp_path / "evil.py"
        evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        for kind in stores.FOLDERS:
            for path in paths(store, kind):
                edit(path, lambda header: header["record"].update(dataset={**header["record"]["dataset"], "origin": str(evil)}))
        found = verify(store)
        assert found.ok, found.problems()
        assert found.not_comparable == [f"3 results: made with a plug-in file that is not loaded; give --plugin {evil}"]
        assert not (tmp_path / "ran").exists()
        assert "tmi_plugin_evil" not in " ".join(sys.modules)

    def test_a_probe_that_fails_now(self, store, registry, monkeypatch):
        def fail(*_, **__):
            raise MemoryError("too much")

        monkeypatch.setattr(registry, "probe", fail)
        found = verify(store, registry=registry, sample=1, repair=True)
        assert not found.ok
        (line,) = found.problems()
        assert "cannot be computed again (MemoryError: too much" in line
        assert len(list(store.keys())) == 3  # it may be the machine's fault

    def test_time(self, store, registry):
        found = verify(store, registry=registry, seconds=0)
        assert (found.recomputed, found.passed_over, found.ok) == ([], 3, True)
        assert any("3 results would take too long" in line for line in found.lines())

    def test_the_sample_is_drawn_by_its_seed(self):
        candidates = [candidate(index, 1.0) for index in range(20)]
        one = again.choose(candidates, 3, 7, 60.0)
        assert again.choose(candidates[::-1], 3, 7, 60.0) == one
        assert len({again.choose(candidates, 3, seed, 60.0)[0][0].found.key for seed in range(20)}) > 5

    @given(st.lists(st.floats(0, 100), max_size=10), st.integers(0, 5), st.floats(0, 200))
    def test_the_sample_keeps_to_its_time(self, took, count, seconds):
        candidates = [candidate(index, value) for index, value in enumerate(took)]
        chosen, passed_over = again.choose(candidates, count, 0, seconds)
        assert sum(one.seconds for one in chosen) <= seconds * (1 + 1e-9)
        assert len(chosen) <= count
        if len(chosen) < count:  # whatever is not in it did not fit
            assert len(chosen) + passed_over == len(took)


def candidate(index: int, seconds: float) -> again.Candidate:
    found = inventory.Found("probe", f"{index:064x}", Path("x"), 1, 1)
    return again.Candidate(found, {"seconds": {"probe": seconds, "odd": "?"}}, ())


def read(store: Store, kind: str, key: str) -> reading.Content:
    path = store.path(key, kind)
    return reading.read_file(inventory.Found(kind, key, path, *stores.files.stamp(path)))


class TestCompare:
    @given(hnp.arrays(np.float64, 4, elements=st.floats(-1e6, 1e6)), st.integers(0, 3), st.floats(-1e-3, 1e-3))
    def test_arrays(self, values, at, by):
        other = values.copy()
        other[at] += by
        likeness, text = compare.compare(labelled(values), labelled(other))
        scale = max(max(abs(v) for v in values), max(abs(v) for v in other))
        most = max(abs(a - b) for a, b in zip(values.tolist(), other.tolist(), strict=True))
        wanted = "equal" if values.tobytes() == other.tobytes() else "close" if most <= 1e-5 * scale else "different"
        assert likeness == wanted
        assert bool(text) == (likeness != "equal" and most > 0)

    @given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
    def test_each_metric_by_itself(self, a, b):
        likeness, _ = compare.compare(metrics(1e9, a), metrics(1e9, b))
        near = abs(a - b) <= 1e-5 * max(abs(a), abs(b), 1e-12)
        assert likeness == ("equal" if np.float64(a).tobytes() == np.float64(b).tobytes() else "close" if near else "different")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (np.array([1, 2]), np.array([1, 3])),
            (np.array([1, 2]), np.array([1.0, 2.0])),
            (np.array(["a"]), np.array(["b"])),
            (np.array([True]), np.array([False])),
            (np.zeros(2), np.zeros(3)),
            (np.array([np.nan, 1]), np.array([1, np.nan])),
            (np.array([np.inf]), np.array([-np.inf])),
            (np.array([np.nan]), np.array([np.inf])),
        ],
    )
    def test_different(self, one, other):
        likeness, text = compare.compare(labelled(one), labelled(other))
        assert likeness == "different"
        assert text

    @pytest.mark.parametrize("values", [np.array([np.nan, np.inf]), np.zeros(0), np.zeros((2, 0)), np.array(["a", "bc"])])
    def test_equal(self, values):
        assert compare.compare(labelled(values), labelled(values.copy())) == ("equal", "")

    def test_names(self):
        assert compare.compare(labelled(np.zeros(1)), {}) == ("different", "'x' is only stored")
        assert compare.compare({}, labelled(np.zeros(1))) == ("different", "'x' is only computed")


def labelled(values: np.ndarray) -> dict[str, LabelledArray]:
    return {"x": LabelledArray(tuple(f"d{i}" for i in range(values.ndim)), values)}


def metrics(*values: float) -> dict[str, LabelledArray]:
    names = [f"m{i}" for i in range(len(values))]
    return {"metric": LabelledArray(("metric",), np.array(names)), "metrics": LabelledArray(("metric",), np.array(values))}


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


class TestPrune:
    def test_it_needs_a_criterion(self, store):
        with pytest.raises(InputError, match="at least one of older, unreachable and max_size"):
            prune(store, kinds=["probe"])

    def test_older(self, store):
        old = [paths(store, kind)[0] for kind in stores.FOLDERS]
        failure = sorted((store.folder / "failures").glob("??/*.json"))[0]
        for path in (*old, failure):
            age(path, 31)
        before = everything(store.folder)
        dry = prune(store, older=30 * DAY, dry_run=True)
        assert everything(store.folder) == before
        assert {found.path for found in dry.removed} == {*old, failure}
        done = prune(store, older=30 * DAY)
        assert done.removed == dry.removed
        assert done.summary().startswith("removed 1 result (")
        assert "1 failure (" in done.summary()
        assert dry.summary().startswith("would remove 1 result (")
        assert not any(path.exists() for path in (*old, failure))
        left = info(store)
        assert [one["count"] for one in left["kinds"].values()] == [2, 2, 2]
        assert left["failures"] == 2
        assert (left["index"]["gone"], left["index"]["rows"] + left["index"]["unknown"]) == (0, 6)

    @pytest.mark.parametrize("kinds", [["dataset"], ["network", "probe"]])
    def test_kinds(self, store, kinds):
        for kind in stores.FOLDERS:
            for path in paths(store, kind):
                age(path, 2)
        done = prune(store, older=DAY, kinds=kinds)
        assert {found.kind for found in done.removed} == set(kinds)
        assert len(done.removed) == 3 * len(kinds)
        assert {kind for kind in stores.FOLDERS if not paths(store, kind)} == set(kinds)

    def test_what_is_being_computed_stays(self, store):
        held = list(store.keys())[1]
        with claim(store, held):
            done = prune(store, max_size=0)
            assert list(store.keys()) == [held]
            assert [note.startswith("6.") and "or being computed" in note for note in done.notes] == [True]
            age(store.path(held), 99)
            assert prune(store, older=DAY).removed == []
        assert len(prune(store, older=DAY).removed) == 1

    def test_max_size(self, store):
        ages = {"dataset": [1, 3, 2], "network": [9, 8, 7], "probe": [50, 60, 70]}
        order = []
        for kind in ("dataset", "network", "probe"):
            for path, days in zip(paths(store, kind), ages[kind], strict=True):
                age(path, days)
            order += [path for _, path in sorted(zip(ages[kind], paths(store, kind), strict=True), reverse=True)]
        sizes = [path.stat().st_size for path in order]
        for count in range(10):
            left = sum(sizes[count:])
            for limit in (left, left + 1):
                done = prune(store, max_size=limit, dry_run=True)
                assert [found.path for found in done.removed] == order[:count]
                assert done.size == left
        prune(store, max_size=sum(sizes[4:]))
        assert [path for path in order if path.exists()] == order[4:]
        assert info(store)["index"]["rows"] == 5

    def test_max_size_comes_after_the_others(self, store, registry):
        result = paths(store, "probe")[0]
        age(result, 40)
        total = sum(path.stat().st_size for kind in stores.FOLDERS for path in paths(store, kind))
        assert [found.path for found in prune(store, older=30 * DAY, max_size=total, dry_run=True).removed] == [result]
        done = prune(store, older=30 * DAY, max_size=total - result.stat().st_size - 1, dry_run=True)
        assert [found.kind for found in done.removed] == ["probe", "dataset"]

    def test_everything_reachable_stays(self, store, registry):
        done = prune(store, unreachable=True, registry=registry)
        assert (done.removed, done.notes) == ([], [])

    def test_unreachable(self, store, registry, monkeypatch):
        monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
        for path in paths(store, "network"):
            age(path, 2)
        done = prune(store, unreachable=True, older=DAY, registry=registry, dry_run=True)
        assert [found.kind for found in done.removed] == ["network"] * 3  # both must hold
        done = prune(store, unreachable=True, registry=registry)
        assert len(done.removed) == 9
        assert done.notes == []
        assert info(store)["failures"] == 3

    def test_without_an_index(self, store, registry, monkeypatch):
        store.index.path.unlink()
        assert prune(store, unreachable=True, registry=registry, dry_run=True).removed == []
        flip(paths(store, "probe")[0])
        done = prune(store, unreachable=True, registry=registry, dry_run=True)
        assert done.notes == ["left alone: 1 result: cannot be read; tmi store verify says why"]
        monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
        assert len(prune(store, unreachable=True, registry=registry).removed) == 8

    def test_a_plugin_file_that_is_not_loaded(self, made, store):
        hint = f"made with a plug-in file that is not loaded; give --plugin {made / 'toys.py'}"
        done = prune(store, unreachable=True)
        assert done.removed == []
        assert done.notes == [f"left alone: 3 {what}: {hint}" for what in ("data sets", "networks", "results")]

    def test_another_plugin_file_of_its_name(self, made, store, tmp_path):
        other = toys.plugin(tmp_path, text=toys.TOYS.replace("size.all", "size.of_all"))
        done = prune(store, unreachable=True, registry=with_files(other))
        assert done.removed == []
        assert len(done.notes) == 3
        same = tmp_path / "moved"
        same.mkdir()
        assert prune(store, unreachable=True, registry=with_files(toys.plugin(same))).notes == []  # the same, elsewhere

    def test_unknown_names(self, store, registry):
        for path in paths(store, "probe"):
            edit(path, rename_probe)
        assert [found.kind for found in prune(store, unreachable=True, registry=registry).removed] == ["probe"] * 3

    def test_a_file_without_a_record(self, store, registry):
        store.write("e" * 64, ProbeResult({"a": 1}), {"seed": 3})
        store.flush()
        done = prune(store, unreachable=True, registry=registry)
        assert (done.removed, done.notes) == ([], ["left alone: 1 result: without a record of what made it"])

    def test_a_run_goes_on(self, made, store):
        metrics = metrics_of(store)
        assert len(prune(store, max_size=0).removed) == 9
        results = tmi.run(made / "suite.toml", store, only="p")
        assert not any(entry.cached for entry in results)
        assert metrics_of(store) == metrics

    def test_a_file_that_was_replaced_meanwhile_stays(self, store):
        path = paths(store, "probe")[0]
        found = inventory.Found("probe", path.stem, path, *stores.files.stamp(path))
        os.utime(path, ns=(1, found.mtime_ns + 1))
        assert not removal.remove(store, found)
        assert path.exists()
        path.unlink()
        assert not removal.remove(store, found)

    def test_a_folder_that_became_a_link_meanwhile(self, store, tmp_path):
        path = paths(store, "probe")[0]
        found = inventory.Found("probe", path.stem, path, *stores.files.stamp(path))
        path.parent.rename(tmp_path / "elsewhere")
        path.parent.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            removal.remove(store, found)
        assert (tmp_path / "elsewhere" / path.name).exists()

    def test_what_cannot_be_removed_is_named(self, store, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tmi.maintenance.prune.remove", refuse)
        done = prune(store, max_size=0)
        assert done.removed == []
        assert len(done.notes) == 9
        assert all(note.endswith("cannot be removed (Permission denied)") for note in done.notes)


def rename_probe(header: dict) -> None:
    header["record"]["probe"].update(name="gone-probe", plugin="x", origin="x 1.0")


@pytest.mark.slow
def test_housekeeping_during_a_run(made, registry, tmp_path):
    """Pruning and repairing as fast as possible beside a run: no cell fails, and no number is another one."""
    seeds = list(range(12))
    text = toys.BASE + "sweep.scale = [1.0, 2.0, 3.0, 4.0]"
    shutil.copyfile(made / "toys.py", tmp_path / "toys.py")  # the same code: its keys are those of the toys that are loaded
    toys.suite(tmp_path, text, head=f'plugins = ["toys.py"]\nseeds = {seeds}')
    wanted = toys.command("run", "suite.toml", "--store", "quiet", "--json", "quiet.json", folder=tmp_path)
    assert wanted.returncode == 0, wanted.stderr
    store = Store(tmp_path / "busy")
    store.prepare()
    ran = subprocess.Popen(
        [sys.executable, "-m", "tmi.cli", "run", "suite.toml", "--store", "busy", "--json", "busy.json"],
        cwd=tmp_path,
        env=toys.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    removed = 0
    while ran.poll() is None:
        removed += len(prune(store, max_size=20_000).removed)
        assert verify(store, registry=registry, sample=0, repair=True).damaged == []
        info(store)
    assert ran.returncode == 0, ran.stderr.read()
    assert removed > 0
    rows = [json.loads((tmp_path / name).read_text()) for name in ("quiet.json", "busy.json")]
    assert [row["status"] for row in rows[1]] == ["ok"] * (12 * 4 * 2)
    assert [[row["metric"], row["value"], row["key"]] for row in rows[1]] == [
        [row["metric"], row["value"], row["key"]] for row in rows[0]
    ]
    assert verify(store, registry=registry, sample=0, repair=True).damaged == []
    assert verify(store, registry=registry, sample=0).ok


class TestStrange:
    @pytest.fixture
    def outside(self, store, tmp_path):
        """What a hostile store may hold: links to a folder outside, foreign files, a pipe, odd names."""
        outside = tmp_path / "outside"
        (outside / "ab").mkdir(parents=True)
        result = paths(store, "probe")[0]
        shutil.copyfile(result, outside / "ab" / f"{'ab' * 32}.h5")
        shutil.copyfile(result, outside / ("c" * 64))
        (outside / "thesis.tex").write_text("years of work")
        os.utime(outside / ("c" * 64), (1, 1))
        for path in outside.rglob("*"):
            age(path, 99)
        (store.folder / "results" / "ab").symlink_to(outside / "ab")
        shutil.rmtree(store.folder / "networks")
        (store.folder / "networks").symlink_to(outside)
        if (store.folder / "leases").exists():
            shutil.rmtree(store.folder / "leases")
        (store.folder / "leases").symlink_to(outside)
        (store.folder / "damaged").symlink_to(outside)
        shard = result.parent
        (shard / f"{shard.name}{'0' * 62}.h5").symlink_to(outside / "ab" / f"{'ab' * 32}.h5")
        (shard / f"{shard.name}{'1' * 62}.h5").symlink_to("/nowhere")
        (shard / f"{'f0' if shard.name != 'f0' else 'f1'}{'2' * 62}.h5").write_bytes(result.read_bytes())
        os.mkfifo(shard / f"{shard.name}{'3' * 62}.h5")
        (shard / f"{shard.name}{'4' * 62}.h5").mkdir()
        (store.folder / "results" / "notes\x1b[2J\n.txt").write_text("x")
        (store.folder / "thesis").mkdir()
        return outside

    def test_named_and_left_alone(self, store, registry, outside):
        before = everything(outside)
        found = info(store)
        assert found["kinds"]["result"]["count"] == 3
        assert found["kinds"]["network"]["count"] == 0
        assert len(found["strange"]) == 11
        assert all(name.isprintable() for name in found["strange"])
        assert sum("symbolic link" in why for why in found["strange"].values()) == 6
        flip(paths(store, "dataset")[0])
        checked = verify(store, registry=registry, repair=True)
        assert len(checked.damaged) == 1
        assert f"{store.folder / 'damaged'}: is a symbolic link, so nothing is set aside" in checked.done
        assert len(checked.strange) == 11
        done = prune(store, max_size=0)
        assert sorted(one.kind for one in done.removed) == ["dataset"] * 3 + ["probe"] * 3
        assert everything(outside) == before
        assert (store.folder / "thesis").is_dir()
        assert (store.folder / "results" / "notes\x1b[2J\n.txt").exists()

    def test_export_leaves_them_out(self, store, outside, tmp_path):
        export(store, tmp_path / "out", with_data=True)
        assert len(list(Store(tmp_path / "out").keys())) == 3
        assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


class TestExport:
    def test_a_store_and_a_table(self, store, registry, tmp_path):
        before = everything(store.folder)
        done = export(store, tmp_path / "out")
        out = Store(tmp_path / "out")
        assert dict(done.counts) == {"probe": 3}
        assert (done.rows, done.notes) == (6, [])
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
        found = info(out)
        assert (found["index"]["unknown"], found["index"]["gone"], found["strange"]) == (0, 0, {})
        assert verify(out, registry=registry).ok
        assert everything(store.folder) == before
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    def test_it_answers_a_run(self, made, store, registry, tmp_path):
        (tmp_path / "out").mkdir()  # an empty folder will do
        done = export(store, tmp_path / "out", with_data=True)
        assert dict(done.counts) == {"probe": 3, "dataset": 3, "network": 3}
        assert all(entry.cached for entry in tmi.run(made / "suite.toml", tmp_path / "out", only="p"))
        checked = verify(Store(tmp_path / "out"), registry=registry)
        assert [one.likeness for one in checked.recomputed] == ["equal"] * 9

    def test_a_suite(self, made, store, tmp_path):
        results = collect(made / "suite.toml", store, only="d/n/p seed 1")
        done = export(store, tmp_path / "out", results, with_data=True)
        assert dict(done.counts) == {"probe": 1, "dataset": 1, "network": 1}
        import pandas as pd

        frame = pd.read_csv(tmp_path / "out" / "results.csv", keep_default_na=False)
        assert list(frame.columns) == list(results.to_frame().columns)
        assert frame["value"].tolist() == results.to_frame()["value"].tolist()
        assert frame["key"].tolist() == results.to_frame()["key"].tolist()

    def test_tables(self, made, store, tmp_path):
        results = collect(made / "suite.toml", store)
        assert write_table(store, tmp_path / "suite.json", results).rows == 9
        assert json.loads((tmp_path / "suite.json").read_text()) == results.rows()
        assert write_table(store, tmp_path / "all.csv").rows == 6
        assert write_table(store, tmp_path / "all.json").rows == 6
        rows = json.loads((tmp_path / "all.json").read_text())
        with (tmp_path / "all.csv").open() as file:
            assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "all.json", "store", "suite.json"]

    @pytest.mark.parametrize("name", ["out.parquet", "out.txt"])
    def test_other_tables(self, store, tmp_path, name):
        with pytest.raises(InputError, match=r"tables are written as .csv or .json"):
            write_table(store, tmp_path / name)

    def test_places_that_are_taken(self, store, tmp_path):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").write_text("x")
        (tmp_path / "file").write_text("x")
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        before = everything(tmp_path)
        for dest, why in [
            ("full", "is not empty"),
            ("file", "is no folder"),
            ("link", "is a symbolic link"),
            ("nowhere/out", "there is no folder"),
            ("store/out", "lies in the store itself"),
        ]:
            with pytest.raises(InputError, match=why):
                export(store, tmp_path / dest)
        assert everything(tmp_path) == before

    def test_nothing_to_export(self, made, store, tmp_path):
        results = collect(made / "suite.toml", Store(tmp_path / "other"))
        with pytest.raises(InputError, match="has no result of suite 'suite'"):
            export(store, tmp_path / "out", results)
        prune(store, max_size=0)
        with pytest.raises(InputError, match="has no result yet"):
            export(store, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_what_is_damaged_is_left_out(self, store, tmp_path):
        path = paths(store, "probe")[0]
        stamp = path.stat()
        flip(path)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the index still believes in it
        done = export(store, tmp_path / "out")
        assert dict(done.counts) == {"probe": 2}
        assert done.rows == 4
        assert done.notes == [f"{path}: is left out (its bytes are not those that were written)"]
        assert path.stem not in (tmp_path / "out" / "results.csv").read_text()

    def test_data_sets_that_are_gone(self, store, tmp_path):
        prune(store, max_size=0, kinds=["dataset"])
        done = export(store, tmp_path / "out", with_data=True)
        assert dict(done.counts) == {"probe": 3, "network": 3}
        assert done.notes == ["3 data sets not in the store; a run makes them again"]

    def test_a_full_disk(self, store, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(stores.files, "write_sealed", full)
        with pytest.raises(StoreError, match=r"out: cannot be written \(No space left on device\)"):
            export(store, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["store"]

    def test_a_killed_export_is_no_export(self, made, tmp_path):
        code = (
            "import os; from tmi import Store; from tmi.store import files; from tmi.maintenance.export import export\n"
            "write, count = files.write_sealed, []\n"
            "def die(*a, **k):\n"
            "    count.append(1)\n"
            "    if len(count) == 3: os._exit(9)\n"
            "    return write(*a, **k)\n"
            "files.write_sealed = die\n"
            f"export(Store({str(made / 'store')!r}), 'out')\n"
        )
        assert toys.python("-c", code, folder=tmp_path).returncode == 9
        assert not (tmp_path / "out").exists()
        export(Store(made / "store"), tmp_path / "out")
        assert len(list(Store(tmp_path / "out").keys())) == 3


class TestReach:
    @given(
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
    )
    def test_any_record(self, value):
        judge = reach.Judge(tmi.plugins.registry.installed())
        for record in (
            {"dataset": value},
            {"seed": 0, "dataset": {"name": value, "params": value, "plugin": "", "origin": value}},
        ):
            assert judge.verdict("dataset", "a" * 64, record).state in ("unclear", "unknown")

    def test_a_broken_plugin(self, store, tmp_path):
        from tmi.plugins.component import Fault
        from tmi.plugins.host import load
        from tmi.plugins.registry import Registry

        host = load()
        host.faults.append(Fault("toys", "cannot import"))
        record = {"seed": 0, "dataset": {"name": "toy-data", "params": {}, "plugin": "toys", "origin": "toys 1.0"}}
        verdict = reach.Judge(Registry(host)).verdict("dataset", "a" * 64, record)
        assert (verdict.state, verdict.why) == ("unclear", "the plug-in toys is broken here")
        record["dataset"]["plugin"] = "another"
        assert reach.Judge(Registry(host)).verdict("dataset", "a" * 64, record).state == "unknown"
