from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tmi import StoreError
from tmi.store import files
from tmi.store import leases as module
from tmi.store.leases import Busy, Leases, TooManyAttempts, is_alive, read, sweep

KEY = "a" * 64


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "leases"


def put(folder, name=KEY, age=0.0, **fields):
    """Write the lease of another run."""
    folder.mkdir(exist_ok=True)
    lease = {"run": "other", "host": socket.gethostname(), "pid": os.getpid(), "ended": []} | fields
    (folder / name).write_text(json.dumps(lease))
    os.utime(folder / name, (time.time() - age,) * 2)
    return folder / name


def dead() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_lease_stands_while_the_work_goes_on(folder):
    mine, other = Leases(folder, "mine"), Leases(folder, "other")
    with mine.hold(KEY):
        assert read(folder / KEY).run == "mine"
        assert is_alive(folder / KEY, read(folder / KEY))
        with pytest.raises(Busy), other.hold(KEY):
            pytest.fail("two at a time")
        with other.hold("b" * 64):
            pass
    assert list(folder.iterdir()) == []
    with other.hold(KEY):
        assert read(folder / KEY).ended == ()


def test_what_a_kill_leaves_of_a_lease_is_swept(folder, monkeypatch):
    """Killed between writing and linking: the name says whose it is, so that it can be swept up."""
    monkeypatch.setattr(os, "link", lambda *_: os._exit(0))
    child = os.fork()
    if not child:
        try:
            with Leases(folder, "mine").hold(KEY):
                pass
        finally:
            os._exit(1)  # whatever is raised: a child that returned would be a second pytest on the first one's pipes
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(list(folder.iterdir())) == 1
    assert files.sweep([folder]) == 1
    assert list(folder.iterdir()) == []


def test_work_that_no_other_process_can_use_has_no_lease(folder):
    with Leases(folder, "mine").hold(None):
        assert not folder.exists()


def test_a_lease_goes_with_an_error(folder):
    with pytest.raises(ZeroDivisionError), Leases(folder, "mine").hold(KEY):
        _ = 1 / 0
    assert not (folder / KEY).exists()


@pytest.mark.parametrize(
    "lease",
    [
        {"pid": None},
        {"host": "elsewhere", "age": module.STALE + 1},
        {"age": module.STALE + 1},
        {"age": -module.STALE - 1e6},
        {"pid": -1},
        {"pid": 0},
    ],
    ids=str,
)
def test_the_lease_of_somebody_gone_is_taken_over(folder, lease):
    put(folder, **(lease | ({"pid": dead()} if lease.get("pid", 1) is None else {})))
    with Leases(folder, "mine").hold(KEY):
        assert (read(folder / KEY).run, read(folder / KEY).ended) == ("mine", ())


@pytest.mark.parametrize("lease", [{"host": "elsewhere", "pid": 1}, {}], ids=["another machine", "another process"])
def test_the_lease_of_somebody_alive_is_left(folder, lease):
    path = put(folder, **lease)
    with pytest.raises(Busy), Leases(folder, "mine").hold(KEY):
        pytest.fail("it is another's")
    assert read(path).run == "other"


def test_a_worker_that_ends_in_a_group_counts_against_nothing(folder):
    put(folder, run="mine", pid=dead(), in_group=True)
    with pytest.raises(Busy), Leases(folder, "mine", attempts=1).hold(KEY, in_group=True):
        raise AssertionError("from now on it is done alone")
    with Leases(folder, "mine", attempts=1).hold(KEY):
        assert read(folder / KEY).ended == ()
    with Leases(folder, "mine").hold(KEY, in_group=True):
        assert read(folder / KEY).in_group


def test_work_that_ends_its_workers_is_given_up(folder):
    leases = Leases(folder, "mine", attempts=3)
    first, second, third = (2**22 + number for number in (1, 2, 3))  # no process has such a number
    for pid, ended in ((first, []), (second, [first])):
        put(folder, run="mine", pid=pid, ended=ended)
        with leases.hold(KEY):
            assert read(folder / KEY).ended == (*ended, pid)
    put(folder, run="mine", pid=third, ended=[first, second])
    with pytest.raises(TooManyAttempts) as caught, leases.hold(KEY):
        pytest.fail("often enough")
    assert caught.value.pids == (first, second, third)
    assert not (folder / KEY).exists(), "the next run tries again"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run": 1}', '{"run":"x","host":"y","pid":1e400,"ended":[]}', "[" * 10**5]
)
def test_a_lease_that_says_nothing_is_no_lease(folder, text):
    folder.mkdir()
    (folder / KEY).write_text(text)
    assert read(folder / KEY) is None
    with Leases(folder, "mine").hold(KEY):
        assert read(folder / KEY).run == "mine"


def test_what_is_no_file_is_no_lease(folder):
    folder.mkdir()
    (folder / KEY).mkdir()
    os.mkfifo(folder / "pipe")
    assert read(folder / "pipe") is None
    with Leases(folder, "mine").hold(KEY):
        pass


def test_a_full_disk_is_said(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match=r"cannot be written to .No space left on device"), Leases(folder, "mine").hold(KEY):
        pytest.fail("there is no lease")


def test_signs_of_life(folder, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    leases = Leases(folder, "mine")
    with leases.hold(KEY):
        os.utime(folder / KEY, (0, 0))
        until = time.monotonic() + 10
        while (folder / KEY).stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.02)
        assert (folder / KEY).stat().st_mtime > 0
    leases.close()


def test_sweeping(folder):
    stays = put(folder, "b" * 64)
    goes = [put(folder, "c" * 64, pid=dead()), put(folder, "d" * 64, host="elsewhere", age=module.STALE + 1)]
    young, old, foreign = (folder / name for name in ("e" * 64, "f" * 64, "foreign"))
    for path in (young, old, foreign):
        path.write_text("")
    os.utime(old, (0, 0))
    os.utime(foreign, (0, 0))
    sweep(folder)
    assert sorted(folder.iterdir()) == sorted([stays, young, foreign])
    assert not any(path.exists() for path in goes)
    sweep(folder / "nosuch")
    (folder.parent / "link").symlink_to(folder)
    os.utime(young, (0, 0))
    sweep(folder.parent / "link")
    assert young.exists(), "through a link nothing is removed"


def test_a_file_system_without_links(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refuse)
    folder.mkdir()
    with Leases(folder, "mine").hold(KEY):
        assert read(folder / KEY).run == "mine"
        with pytest.raises(Busy), Leases(folder, "other").hold(KEY):
            pytest.fail("it is another's")
    assert not list(folder.iterdir())


def test_a_worker_of_the_same_run_that_still_works_keeps_its_lease(folder):
    """Work may be given out again because the scheduler lost sight of a worker: that is no attempt that ended a process."""
    leases = Leases(folder, "mine", attempts=2)
    path = put(folder, run="mine", pid=os.getppid())
    with pytest.raises(Busy), leases.hold(KEY):
        pytest.fail("the other worker holds it")
    assert read(path).ended == ()
    for other in ({"pid": os.getpid()}, {"host": "elsewhere", "pid": 7}, {"pid": dead()}):
        put(folder, run="mine", **other)
        with leases.hold(KEY):
            assert read(path).ended == (other["pid"],)
