"""The folder of a store as a whole: made, shared, killed, damaged, full."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.store.helpers import KEY, RECORD, RESULT, same
from tmi import Store, StoreError


def test_a_damaged_file_is_set_aside_and_can_be_written_again(kept):
    path = kept.path(KEY)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"store: {path.name} is damaged .it is cut short.*set aside as .*computed again"):
        assert kept.read(KEY) is None
    assert not path.exists()
    assert len(list((kept.folder / "damaged").iterdir())) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.read(KEY) is None
    kept.write(KEY, RESULT, RECORD)
    same(RESULT, kept.load(KEY))
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert kept.read(KEY) is None
    assert len(list((kept.folder / "damaged").iterdir())) == 2, "the first one is not overwritten within the same second"


def test_a_damaged_file_that_cannot_be_set_aside(kept):
    kept.path(KEY).write_bytes(b"")
    (kept.folder / "damaged").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be set aside"):
        assert kept.read(KEY) is None


def test_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    assert Store().folder == Path("tmi-store")
    monkeypatch.setenv("TMI_STORE", "elsewhere")
    assert Store().folder == Path("elsewhere")
    assert Store("here").folder == Path("here")
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


def test_foreign_files_do_no_harm(kept):
    results = kept.folder / "results"
    foreign = [
        results / "notes.txt",
        results / ".hidden.tmp",
        results / ".tmp",
        results / ".a.b.tmp",
        results / f".x.{socket.gethostname().rpartition('.')[2]}.{10**30}.y.tmp",
        results / f".x.{socket.gethostname().rpartition('.')[2]}.²³.y.tmp",
        results / "01" / "short.h5",
        results / "01" / "README",
        kept.folder / "mine.tmp",
    ]
    for path in foreign:
        path.write_text("mine")
    (results / "zz").mkdir()
    (results / ".a.folder.1.b.tmp").mkdir()
    kept.prepare()
    assert all(path.exists() for path in foreign)
    assert list(kept.keys()) == [KEY]
    same(RESULT, kept.load(KEY))


@pytest.mark.parametrize("where", ["file", "file/below", "file/below/deeper"])
def test_a_folder_that_cannot_be(tmp_path, where):
    (tmp_path / "file").write_text("I am a file")
    with pytest.raises(StoreError, match=r"store .*file.*: (is not a folder|cannot be written to \(Not a directory\))"):
        Store(tmp_path / where).prepare()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to(store, monkeypatch, code):
    def refuse(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StoreError, match=rf"cannot be written to \({os.strerror(code)}\)"):
        store.prepare()


def test_a_results_folder_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="cannot be written to"):
        Store(tmp_path).prepare()


def test_a_reader_sees_the_old_or_the_new_file_never_a_part(kept):
    writer = f"""
import numpy as np, tmi
store = tmi.Store({str(kept.folder)!r})
print("go", flush=True)
for i in range(10**6):
    store.write({KEY!r}, tmi.ProbeResult({{"i": i}}, {{"a": ("x", np.full(1000, i))}}), {{}})
"""
    process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"go\n"
        seen = set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(300):
                found = kept.load(KEY)
                seen.add(found.metrics.get("i", -1))
                assert all((a.values == found.metrics["i"]).all() for name, a in found.arrays.items() if name == "a")
    finally:
        process.kill()
        process.wait()
    assert len(seen) > 1


LOOP = """
import sys, tmi
sys.stderr = open("/dev/null", "w")
print("go", flush=True)
tmi.run("suite.toml", "store")
print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_at_any_moment(tmp_path):
    toys.plugin(tmp_path)
    toys.suite(tmp_path, head='plugins = ["toys.py"]\nseeds = [' + ", ".join(map(str, range(150))) + "]")
    random.seed(0)
    killed, grown = 0, []
    store = Store(tmp_path / "store")
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP], cwd=tmp_path, stdout=subprocess.PIPE, env=toys.environment(TMI_TOY_LOG="calls")
        )
        assert process.stdout.readline() == b"go\n"
        time.sleep(1.2 + random.random())
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert all(store.load(key) is not None for key in tuple(store.keys()))
        grown.append(len(list(store.keys())))
    assert grown == sorted(grown)
    assert killed > 2
    done = tmi.run(tmp_path / "suite.toml", tmp_path / "store")
    assert len(done) == 150
    assert not done.failed
    assert sum(entry.cached for entry in done) == grown[-1]
    assert list((tmp_path / "store").rglob("*.tmp")) == []
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len([c for c in calls if c.startswith("probe")]) <= grown[-1] + killed, "only the cell at hand is lost"


def test_git_ignores_a_new_store(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "prepared", "written"):
        store = Store(tmp_path / name)
        if name != "written":
            store.prepare()
        store.write(KEY, RESULT, RECORD)
        assert (store.folder / ".gitignore").read_text() == "*\n"
    done = subprocess.run(["git", "init", "-q", tmp_path], check=False)
    if done.returncode == 0:
        status = subprocess.run(
            ["git", "-C", tmp_path, "status", "--porcelain", "-uall"], capture_output=True, text=True, check=True
        )
        assert status.stdout == ""


@pytest.mark.parametrize("content", ["suite.toml", ".git", "results"])
def test_a_folder_that_is_somebodys_gets_no_gitignore(tmp_path, content):
    (tmp_path / content).mkdir()
    store = Store(tmp_path)
    store.prepare()
    store.write(KEY, RESULT, RECORD)
    assert not (tmp_path / ".gitignore").exists()


def test_an_older_gitignore_stays(tmp_path):
    (tmp_path / ".gitignore").write_text("!results\n")
    Store(tmp_path).prepare()
    assert (tmp_path / ".gitignore").read_text() == "!results\n"
