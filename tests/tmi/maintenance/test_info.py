from __future__ import annotations

import json
import os

import pytest

import tmi
from tests.tmi.maintenance.helpers import contents, lease, leave_behind, paths
from tmi import Store, StoreError
from tmi.maintenance.info import info, lines


def test_counts(store):
    summary = info(store)
    assert {name: kind["count"] for name, kind in summary["kinds"].items()} == {"result": 3, "dataset": 3, "network": 3}
    for name, kind in summary["kinds"].items():
        assert kind["size"] == sum(path.stat().st_size for path in paths(store, name))
        assert kind["seconds"] > 0
        assert kind["oldest"] <= kind["newest"]
    assert summary["size"] == sum(len(data) for data in contents(store.folder).values())
    assert (summary["failures"], summary["damaged"], summary["temporary"], summary["running"]) == (
        3,
        {"count": 0, "size": 0},
        0,
        [],
    )
    assert summary["index"] == {"size": store.index.path.stat().st_size, "rows": 9, "unknown": 0, "gone": 0, "trouble": ""}
    assert summary["versions"]["torch"] == {tmi.plugins.fingerprint.versions()["torch"]: 3}
    assert summary["versions"]["tmi"] == {tmi.__version__: 3}
    assert summary["strange"] == summary["unreadable"] == {}
    json.dumps(summary)


def test_lines(store):
    text = "\n".join(info_lines(store))
    assert "failures: 3" in text
    assert "index: in step with the files" in text
    assert "being computed now: 0" in text


def test_what_is_being_computed(store):
    with lease(store, "a" * 64):
        summary = info(store)
        (running,) = summary["running"]
        assert (running["key"], running["pid"], running["run"]) == ("a" * 64, os.getpid(), "a run")
        assert any(line.startswith("  aaaaaaaaaaaa… on ") for line in info_lines(store))
    assert info(store)["running"] == []


def test_what_is_left_behind(store):
    leave_behind(store)
    summary = info(store)
    assert (summary["temporary"], summary["stale"], summary["running"]) == (1, 1, [])
    assert summary["strange"] == {}


def test_index(store):
    paths(store, "probe")[0].unlink()
    assert info(store)["index"]["gone"] == 1
    store.index.path.unlink()
    assert info(store)["index"] == {"size": 0, "rows": 0, "unknown": 8, "gone": 0, "trouble": ""}
    store.index.path.write_text("no database")
    summary = info(store)
    assert "is not the index of a store" in summary["index"]["trouble"]
    assert any("rebuilds it" in line for line in lines(summary))


def test_an_empty_store(tmp_path):
    store = Store(tmp_path / "new")
    with pytest.raises(StoreError, match="there is no such folder"):
        info(store)
    store.prepare()
    assert info(store)["kinds"]["result"] == {"count": 0, "size": 0, "seconds": 0, "oldest": None, "newest": None}
    assert info_lines(store)


def test_another_folder(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="is no store, for it has none of results, datasets, networks"):
        info(Store(tmp_path))


def info_lines(store):
    return lines(info(store))
