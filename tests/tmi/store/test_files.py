"""A file is whole or not there; what is left over is removed, what is damaged is noticed."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from tests.tmi.store.helpers import KEY, OTHER, RECORD, RESULT, same, small
from tmi import DamagedFileError, ProbeResult, Store, StoreError
from tmi.store import files
from tmi.store.failures import Failure


def test_every_flipped_byte_is_seen(store):
    data = small(store)
    path = store.path(KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
            assert store.load(KEY) is None, place
    path.write_bytes(data)
    assert store.load(KEY).metrics == {"a": 1.0}


def test_every_cut_is_seen(store):
    data = small(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in [*range(0, len(data), 64), len(data) - 1]:
            store.path(KEY).write_bytes(data[:length])
            assert store.read(KEY) is None, length
        store.path(KEY).write_bytes(data + b"\0")
        assert store.read(KEY) is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EIO])
def test_no_space_leaves_what_was_there(kept, monkeypatch, code):
    def refuse(*_arguments):
        raise OSError(code, os.strerror(code))

    for owner, name in ((Path, "replace"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(StoreError, match=rf"cannot keep a result \({os.strerror(code)}\)"):
                kept.write(KEY, ProbeResult({"new": 1}), {})
    same(RESULT, kept.load(KEY))
    assert list(kept.folder.rglob("*.tmp")) == []


def test_interrupted_while_writing(kept, monkeypatch):
    def interrupt(_file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kept.write(OTHER, RESULT, {})
    assert OTHER not in kept
    assert list(kept.folder.rglob("*.tmp")) == []


def test_a_file_that_cannot_be_read_is_not_damaged(kept, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError, match=r"cannot read .*Permission denied"):
        kept.read(KEY)
    monkeypatch.undo()
    assert kept.read(KEY) is not None


def test_left_behind_files_are_swept_and_living_ones_are_not(store):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    results = store.folder / "results"
    living = results / files.temporary_name("living")
    dead = results / files.temporary_name("dead").replace(f".{os.getpid()}.", f".{ended.pid}.")
    away, old = (results / f".{name}.another-host.{ended.pid}.abcdef01.tmp" for name in ("away", "old"))
    for path in (living, dead, away, old):
        path.write_text("half a file")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    store.prepare()
    assert [path.exists() for path in (living, dead, away, old)] == [True, False, True, False]


def test_hosts_with_dots(store, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node7.cluster.example.org")
    path = store.folder / "results" / files.temporary_name("mine")
    path.write_text("half a file")
    store.prepare()
    assert path.exists()


@pytest.fixture
def dead(store):
    """Return the name of a temporary file of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return files.temporary_name("dead").replace(f".{os.getpid()}.", f".{ended.pid}.")


def test_only_the_folders_of_a_store_are_swept(store, dead, tmp_path):
    """With ``--store .`` the folder is a user's working folder, and another store or a link may be in it."""
    outside = tmp_path / "outside"
    ours = [
        store.folder,
        store.folder / "results",
        store.folder / "leases",
        store.folder / "failures",
        *(store.folder / kind / "ab" for kind in ("results", "datasets", "networks", "failures")),
    ]
    others = [
        store.folder / "project",
        store.folder / "project" / "results" / "ab",
        store.folder / ".git",
        store.folder / "results" / "notes",
        store.folder / "results" / "ab" / "deeper",
        outside,
        outside / "ab",
    ]
    for folder in (*ours, *others):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / dead).write_text("half a file")
    (store.folder / "results" / "cd").symlink_to(outside)
    shutil.rmtree(store.folder / "networks")
    (store.folder / "networks").symlink_to(outside)
    store.prepare()
    assert [folder for folder in ours if (folder / dead).exists() and "networks" not in folder.parts] == []
    assert [folder for folder in others if not (folder / dead).exists()] == []


def test_what_is_no_plain_file_is_not_swept(store, dead, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    links = [store.folder / "results" / dead, store.folder / "results" / dead.replace("dead", "away")]
    links[0].symlink_to(precious)
    links[1].mkdir()
    store.prepare()
    assert precious.read_text() == "mine"
    assert links[0].is_symlink()
    assert links[1].is_dir()


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_modes_follow_the_umask(tmp_path, umask):
    """A group that shares a store writes to all of its files."""
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "store")
        store.prepare()
        store.write(KEY, RESULT, RECORD)
        store.flush()
        store.failures.write(KEY, Failure("a cell", "it failed"))
        with store.leases("a run").hold(OTHER):
            modes = {path: path.stat().st_mode for path in (store.folder, *store.folder.rglob("*"))}
    finally:
        os.umask(before)
    assert {path.name for path in modes} >= {"index.sqlite", f"{KEY}.h5", f"{KEY}.json", OTHER, ".gitignore", "01"}
    for path, mode in modes.items():
        assert mode == (0o040777 if path.is_dir() else 0o100666) & ~umask, path


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "missing"])
def test_what_is_no_plain_file_is_not_read(tmp_path, kind):
    path = tmp_path / "file"
    (tmp_path / "target").write_text("{}")
    {"link": lambda: path.symlink_to(tmp_path / "target"), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "missing": str}[
        kind
    ]()
    with pytest.raises(FileNotFoundError if kind == "missing" else DamagedFileError):
        files.read_sealed(path)
    with pytest.raises((OSError, ValueError)):
        files.read_json(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "[" * 100_000, "\xff"])
def test_what_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "file").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r".*"):
        files.read_json(tmp_path / "file")


def test_json_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    files.write_json(path, {"a": "ü"})
    assert files.read_json(path) == {"a": "ü"}

    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="full"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": "ü"}
    assert [other.name for other in path.parent.iterdir()] == ["file"]


def test_running_processes():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert files.is_running(os.getpid())
    assert not files.is_running(ended.pid)
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert files.is_running(killed.pid)
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not waited for
    assert not files.is_running(killed.pid)
    killed.wait()
    assert not files.is_running(0)
    assert not files.is_running(-1)
    assert files.is_running(10**30)  # no number that this system knows: better kept than lost
