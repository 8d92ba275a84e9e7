from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace

import pytest

import tmi
from tests.tmi.maintenance.helpers import contents, edit, flip, lease, leave_behind, metrics_of, paths, reseal
from tmi import StoreError
from tmi.maintenance.info import info
from tmi.maintenance.verify import verify
from tmi.store import files, leases
from tmi.store.store import FOLDERS


def test_all_well(store, registry):
    before = contents(store.folder)
    report = verify(store, registry=registry)
    assert report.ok, report.problems()
    assert report.problems() == []
    assert dict(report.checked) == {"dataset": 3, "network": 3, "probe": 3}
    assert report.size == sum(path.stat().st_size for kind in FOLDERS for path in paths(store, kind))
    assert [comparison.likeness for comparison in report.recomputed] == ["equal"] * 9
    assert sorted(comparison.file.kind for comparison in report.recomputed) == sorted(["dataset", "network", "probe"] * 3)
    assert (report.unknown, report.gone, report.wrong_rows, report.not_comparable) == (0, 0, [], [])
    assert any("9 equal bit for bit, 0 agree to 1e-05 (relative), 0 differ" in line for line in report.lines())
    assert contents(store.folder) == before


HOW = ["flipped", "cut", "empty", "foreign", "renamed", "other kind"]
KINDS = ["probe", "dataset", "network"]


@pytest.mark.parametrize(
    ("how", "kind"),
    # Every damage to one kind of file and every kind with two damages are quick enough; the other pairs are slow.
    [
        pytest.param(how, kind, marks=[pytest.mark.slow] if (i - j) % len(KINDS) else [])
        for i, how in enumerate(HOW)
        for j, kind in enumerate(KINDS)
    ],
)
def test_damage_and_repair(store, registry, kind, how):
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
    report = verify(store, registry=registry, sample=0)
    assert not report.ok
    assert [file.path for file, _ in report.damaged] == [path]
    assert [line.startswith(f"{path}: is damaged (") for line in report.problems()] == [True]
    assert path.exists()
    repaired = verify(store, registry=registry, sample=0, repair=True)
    assert not repaired.ok
    assert not path.exists()
    assert any("set aside as" in line for line in repaired.repairs)
    assert [aside.name.startswith(path.name) for aside in (store.folder / "damaged").iterdir()] == [True]
    after = verify(store, registry=registry)
    assert after.ok, after.problems()
    assert (after.unknown, after.gone) == (0, 0)
    assert after.problems() == after.repairs == []


def test_what_was_set_aside_is_computed_again_as_it_was(run_folder, store, registry):
    before = {path: path.read_bytes() for kind in ("dataset", "network") for path in paths(store, kind)}
    metrics = metrics_of(store)
    for kind in FOLDERS:
        for path in paths(store, kind):
            flip(path)
    assert len(verify(store, registry=registry, repair=True).damaged) == 9
    assert list(store.keys()) == []
    tmi.run(run_folder / "suite.toml", store, only="p")
    assert metrics_of(store) == metrics
    assert {path for kind in ("dataset", "network") for path in paths(store, kind)} == set(before)
    assert verify(store, registry=registry).ok


def test_a_record_that_is_none(store, registry):
    path = paths(store, "probe")[0]
    edit(path, lambda header: header.update(record=["x"]))
    report = verify(store, registry=registry, sample=0)
    assert [why.startswith("it is no result (") for _, why in report.damaged] == [True]


def test_a_newer_layout_is_no_damage(store, registry):
    path = paths(store, "network")[0]
    edit(path, lambda header: header.update(version=99))
    report = verify(store, registry=registry, sample=0, repair=True)
    assert report.ok, report.problems()
    assert [file.why for file in report.newer] == ["was written by a newer tmi (layout 99, this one reads 1)"]
    assert path.exists()


def test_a_newer_layout_whose_arrays_this_version_cannot_read(store, registry):
    path = paths(store, "probe")[0]
    edit(path, lambda header: header.update(version=99), lambda file: file.create_group("tensors"))
    report = verify(store, registry=registry, sample=0, repair=True)
    assert report.ok, report.problems()
    assert [file.path for file in report.newer] == [path]
    with pytest.raises(StoreError, match=r"newer tmi \(layout 99"):
        store.load(path.stem)
    assert path.exists()
    edit(path, lambda header: header.update(version=1))
    assert verify(store, registry=registry, sample=0).damaged


def test_a_file_that_may_not_be_read(store, registry, monkeypatch):
    path = paths(store, "dataset")[0]
    read = files.read_sealed

    def refuse(asked):
        if asked == path:
            raise PermissionError(13, "Permission denied")
        return read(asked)

    monkeypatch.setattr("tmi.store.format.read_sealed", refuse)
    report = verify(store, registry=registry, sample=0, repair=True)
    assert report.problems() == [f"{path}: cannot be read (Permission denied)"]
    assert path.exists()


def test_what_is_left_behind(store, registry):
    leave_behind(store)
    assert verify(store, registry=registry, sample=0).left_behind == 2
    assert "removed 2 files left behind" in verify(store, registry=registry, sample=0, repair=True).repairs
    after = verify(store, registry=registry, sample=0, repair=True)
    assert (after.left_behind, after.repairs) == (0, [])


def test_a_running_run_is_left_alone(store, registry):
    mine = paths(store, "probe")[0].with_name(files.temporary_name("d" * 64))
    mine.write_bytes(b"half")
    with lease(store, "d" * 64):
        report = verify(store, registry=registry, sample=0, repair=True)
        assert (report.left_behind, report.repairs) == (0, [])
        assert (store.folder / leases.FOLDER / ("d" * 64)).exists()
    assert mine.exists()


def test_index(store, registry):
    key = next(store.keys())
    (row,) = store.index.read("probe", {key: files.stamp(store.path(key))}).values()
    content = json.loads(row.content)
    content["metrics"][0][1] += 1.0
    store.index.add([replace(row, content=tmi.hashing.canonical(content))])  # with a valid seal
    assert store.read_all([key])[key].metrics != store.read(key).metrics
    report = verify(store, registry=registry, sample=0)
    assert report.problems() == [f"index: says something else than {store.path(key)}"]
    assert "index: rebuilt from the files" in verify(store, registry=registry, sample=0, repair=True).repairs
    assert store.read_all([key])[key].metrics == store.read(key).metrics
    assert verify(store, registry=registry, sample=0).ok


def test_index_out_of_step(store, registry):
    paths(store, "network")[0].unlink()
    report = verify(store, registry=registry, sample=0)
    assert (report.ok, report.unknown, report.gone) == (True, 0, 1)
    store.index.path.unlink()
    report = verify(store, registry=registry, sample=0)
    assert (report.ok, report.unknown, report.gone) == (True, 8, 0)
    verify(store, registry=registry, sample=0, repair=True)
    assert info(store)["index"]["rows"] == 8
    assert (info(store)["index"]["unknown"], info(store)["index"]["gone"]) == (0, 0)


def test_index_that_is_none(store, registry):
    store.index.path.write_bytes(b"no database at all" * 100)
    report = verify(store, registry=registry, sample=0)
    assert [line.startswith("index: ") for line in report.problems()] == [True]
    verify(store, registry=registry, sample=0, repair=True)
    after = verify(store, registry=registry, sample=0)
    assert after.ok, after.problems()
    assert (after.unknown, after.gone) == (0, 0)


def test_code_that_changed(store, registry, monkeypatch):
    monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
    report = verify(store, registry=registry)
    assert report.ok
    assert (report.recomputed, report.not_comparable) == ([], ["3 results: code or versions changed"])


def test_no_code_of_a_file_is_run(store, tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for kind in FOLDERS:
        for path in paths(store, kind):
            edit(path, lambda header: header["record"].update(dataset={**header["record"]["dataset"], "origin": str(evil)}))
    report = verify(store)
    assert report.ok, report.problems()
    assert report.not_comparable == [f"3 results: made with a plug-in file that is not loaded; give --plugin {evil}"]
    assert not (tmp_path / "ran").exists()
    assert "evil_2epy" not in " ".join(sys.modules)
