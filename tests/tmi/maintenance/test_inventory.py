from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.tmi.maintenance.helpers import age, contents, flip, paths
from tmi import Store
from tmi.maintenance import inventory
from tmi.maintenance.export import export
from tmi.maintenance.info import info
from tmi.maintenance.prune import prune
from tmi.maintenance.verify import verify
from tmi.store import leases


@pytest.fixture
def outside(store, tmp_path):
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
    if (store.folder / leases.FOLDER).exists():
        shutil.rmtree(store.folder / leases.FOLDER)
    (store.folder / leases.FOLDER).symlink_to(outside)
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


def test_named_and_left_alone(store, registry, outside):
    before = contents(outside)
    summary = info(store)
    assert summary["kinds"]["result"]["count"] == 3
    assert summary["kinds"]["network"]["count"] == 0
    assert len(summary["strange"]) == 11
    assert all(name.isprintable() for name in summary["strange"])
    assert sum("symbolic link" in why for why in summary["strange"].values()) == 6
    flip(paths(store, "dataset")[0])
    report = verify(store, registry=registry, repair=True)
    assert len(report.damaged) == 1
    assert f"{store.folder / 'damaged'}: is a symbolic link, so nothing is set aside" in report.repairs
    assert len(report.strange) == 11
    pruned = prune(store, max_size=0)
    assert sorted(file.kind for file in pruned.removed) == ["dataset"] * 3 + ["probe"] * 3
    assert contents(outside) == before
    assert (store.folder / "thesis").is_dir()
    assert (store.folder / "results" / "notes\x1b[2J\n.txt").exists()


def test_export_leaves_them_out(store, outside, tmp_path):
    export(store, tmp_path / "out", with_data=True)
    assert len(list(Store(tmp_path / "out").keys())) == 3
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_what_a_store_holds_besides_its_files(store):
    (store.folder / ".gitignore").write_text("*")
    (store.folder / "results.csv").write_text("")
    with store.leases("a run").hold(f"run-{'0' * 32}"):  # as a run on a Dask scheduler does
        contents = inventory.take_inventory(store)
    assert (contents.strange, contents.running, contents.stale) == ([], [], [])


@pytest.mark.parametrize("name", ["results/.gitignore", "results/results.csv", "ab/x", "failures/ab/index.sqlite", "leases/x.h5"])
def test_what_lies_in_the_wrong_place(store, name):
    path = store.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    strange = inventory.take_inventory(store).strange
    assert [entry.path for entry in strange] == [path if path.parent.name != "ab" or "failures" in name else path.parent]


def test_a_file_that_is_not_utf8_and_one_with_a_line_break(store):
    for name in (b"damaged\xff", b"a\nb"):
        (store.folder / "damaged").mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(store.folder / "damaged") + b"/" + name)).write_text("x")
    contents = inventory.take_inventory(store)
    assert (len(contents.damaged), contents.strange) == (2, [])


def test_unreadable_folder(store, monkeypatch):
    locked = paths(store, "probe")[0].parent
    scandir = os.scandir

    def refuse(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(inventory.os, "scandir", refuse)
    summary = info(store)
    assert summary["unreadable"] == {str(locked): "cannot be looked into (Permission denied)"}
    assert summary["kinds"]["result"]["count"] == 2
    report = verify(store, sample=0)
    assert not report.ok
    assert report.problems() == [f"{locked}: cannot be looked into (Permission denied)"]
    assert prune(store, max_size=0, dry_run=True).notes == report.problems()
