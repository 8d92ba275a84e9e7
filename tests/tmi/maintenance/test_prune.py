from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.maintenance.helpers import DAY, age, contents, edit, flip, lease, metrics_of, paths
from tmi import InputError, ProbeResult, Store
from tmi.maintenance.info import info
from tmi.maintenance.prune import prune
from tmi.maintenance.verify import verify
from tmi.plugins.registry import with_files
from tmi.store.store import FOLDERS


def test_it_needs_a_criterion(store):
    with pytest.raises(InputError, match="at least one of older, unreachable and max_size"):
        prune(store, kinds=["probe"])


def test_older(store):
    old = [paths(store, kind)[0] for kind in FOLDERS]
    failure = sorted((store.folder / "failures").glob("??/*.json"))[0]
    for path in (*old, failure):
        age(path, 31)
    before = contents(store.folder)
    dry = prune(store, older=30 * DAY, dry_run=True)
    assert contents(store.folder) == before
    assert {file.path for file in dry.removed} == {*old, failure}
    pruned = prune(store, older=30 * DAY)
    assert pruned.removed == dry.removed
    assert pruned.summary().startswith("removed 1 result (")
    assert "1 failure (" in pruned.summary()
    assert dry.summary().startswith("would remove 1 result (")
    assert not any(path.exists() for path in (*old, failure))
    left = info(store)
    assert [kind["count"] for kind in left["kinds"].values()] == [2, 2, 2]
    assert left["failures"] == 2
    assert (left["index"]["gone"], left["index"]["rows"] + left["index"]["unknown"]) == (0, 6)


@pytest.mark.parametrize("kinds", [["dataset"], ["network", "probe"]])
def test_kinds(store, kinds):
    for kind in FOLDERS:
        for path in paths(store, kind):
            age(path, 2)
    pruned = prune(store, older=DAY, kinds=kinds)
    assert {file.kind for file in pruned.removed} == set(kinds)
    assert len(pruned.removed) == 3 * len(kinds)
    assert {kind for kind in FOLDERS if not paths(store, kind)} == set(kinds)


def test_what_is_being_computed_stays(store):
    held = list(store.keys())[1]
    with lease(store, held):
        pruned = prune(store, max_size=0)
        assert list(store.keys()) == [held]
        assert [note.startswith("6.") and "or being computed" in note for note in pruned.notes] == [True]
        age(store.path(held), 99)
        assert prune(store, older=DAY).removed == []
    assert len(prune(store, older=DAY).removed) == 1


def test_max_size(store):
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
            pruned = prune(store, max_size=limit, dry_run=True)
            assert [file.path for file in pruned.removed] == order[:count]
            assert pruned.size == left
    prune(store, max_size=sum(sizes[4:]))
    assert [path for path in order if path.exists()] == order[4:]
    assert info(store)["index"]["rows"] == 5


def test_max_size_comes_after_the_others(store, registry):
    result = paths(store, "probe")[0]
    age(result, 40)
    total = sum(path.stat().st_size for kind in FOLDERS for path in paths(store, kind))
    assert [file.path for file in prune(store, older=30 * DAY, max_size=total, dry_run=True).removed] == [result]
    pruned = prune(store, older=30 * DAY, max_size=total - result.stat().st_size - 1, dry_run=True)
    assert [file.kind for file in pruned.removed] == ["probe", "dataset"]


def test_everything_reachable_stays(store, registry):
    pruned = prune(store, unreachable=True, registry=registry)
    assert (pruned.removed, pruned.notes) == ([], [])


def test_unreachable(store, registry, monkeypatch):
    monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
    for path in paths(store, "network"):
        age(path, 2)
    pruned = prune(store, unreachable=True, older=DAY, registry=registry, dry_run=True)
    assert [file.kind for file in pruned.removed] == ["network"] * 3  # both must hold
    pruned = prune(store, unreachable=True, registry=registry)
    assert len(pruned.removed) == 9
    assert pruned.notes == []
    assert info(store)["failures"] == 3


def test_without_an_index(store, registry, monkeypatch):
    store.index.path.unlink()
    assert prune(store, unreachable=True, registry=registry, dry_run=True).removed == []
    flip(paths(store, "probe")[0])
    pruned = prune(store, unreachable=True, registry=registry, dry_run=True)
    assert pruned.notes == ["left alone: 1 result: cannot be read; tmi store verify says why"]
    monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
    assert len(prune(store, unreachable=True, registry=registry).removed) == 8


def test_a_plugin_file_that_is_not_loaded(run_folder, store):
    hint = f"made with a plug-in file that is not loaded; give --plugin {run_folder / 'toys.py'}"
    pruned = prune(store, unreachable=True)
    assert pruned.removed == []
    assert pruned.notes == [f"left alone: 3 {what}: {hint}" for what in ("data sets", "networks", "results")]


def test_another_plugin_file_of_its_name(run_folder, store, tmp_path):
    other = toys.plugin(tmp_path, text=toys.TOYS.replace("size.all", "size.of_all"))
    pruned = prune(store, unreachable=True, registry=with_files(other))
    assert pruned.removed == []
    assert len(pruned.notes) == 3
    same = tmp_path / "moved"
    same.mkdir()
    assert prune(store, unreachable=True, registry=with_files(toys.plugin(same))).notes == []  # the same, elsewhere


def test_a_name_that_its_plugin_no_longer_registers(store, registry):
    for path in paths(store, "probe"):
        edit(path, lambda header: header["record"]["probe"].update(name="gone-probe"))
    assert [file.kind for file in prune(store, unreachable=True, registry=registry).removed] == ["probe"] * 3


def test_a_plugin_that_is_not_installed(store, registry):
    for path in paths(store, "probe"):
        edit(path, lambda header: header["record"]["probe"].update(name="gone-probe", plugin="x", origin="x 1.0"))
    pruned = prune(store, unreachable=True, registry=registry)
    assert pruned.removed == []
    assert pruned.notes == ["left alone: 3 results: made with the plug-in x of x 1.0, which is not installed here"]


def test_a_file_without_a_record(store, registry):
    store.write("e" * 64, ProbeResult({"a": 1}), {"seed": 3})
    store.flush()
    pruned = prune(store, unreachable=True, registry=registry)
    assert (pruned.removed, pruned.notes) == ([], ["left alone: 1 result: without a record of what made it"])


def test_a_run_goes_on(run_folder, store):
    metrics = metrics_of(store)
    assert len(prune(store, max_size=0).removed) == 9
    results = tmi.run(run_folder / "suite.toml", store, only="p")
    assert not any(entry.cached for entry in results)
    assert metrics_of(store) == metrics


def test_what_cannot_be_removed_is_named(store, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tmi.maintenance.prune.delete", refuse)
    pruned = prune(store, max_size=0)
    assert pruned.removed == []
    assert len(pruned.notes) == 9
    assert all(note.endswith("cannot be removed (Permission denied)") for note in pruned.notes)


@pytest.mark.slow
def test_pruning_and_repairing_during_a_run(run_folder, registry, tmp_path):
    """Pruning and repairing as fast as possible beside a run: no cell fails, and no number is another one."""
    seeds = list(range(12))
    text = toys.BASE + "sweep.scale = [1.0, 2.0, 3.0, 4.0]"
    shutil.copyfile(run_folder / "toys.py", tmp_path / "toys.py")  # the same code: its keys are those of the toys that are loaded
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
