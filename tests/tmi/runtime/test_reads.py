from __future__ import annotations

import linecache
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tmi.runtime import reads
from tmi.runtime.reads import Read, watching


def reads_of(function, *arguments, **options):
    with watching(**options) as watch:
        function(*arguments)
    return [read.path for read in watch.reads]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("1")
    time.sleep(0.01)
    return file


def test_what_is_read_and_by_whom(file):
    def inner():
        file.read_text()

    def outer():
        inner()
        os.listdir(file.parent)  # noqa: PTH208

    with watching({inner.__code__: "inner", outer.__code__: "outer"}) as watch:
        outer()
        file.read_text()
    assert list(watch.reads) == [Read(str(file), "inner"), Read(str(file.parent), "outer"), Read(str(file), "")]


def test_what_is_declared(file, tmp_path):
    other, link = tmp_path / "other", tmp_path / "link"
    other.mkdir()
    link.symlink_to(other)
    (other / "a").touch()

    def read():
        file.read_text()
        (link / "a").read_text()
        list(other.iterdir())

    assert reads_of(read) == [str(file), str(link / "a"), str(other)]
    for declared in (other, link):
        with watching(declared=[str(declared)]) as watch:
            read()
        assert [read.path for read in watch.reads] == [str(file)]
        assert watch.declared_reads == {str(declared)}
    assert reads_of(read, declared=[str(tmp_path)]) == reads_of(read, ignored=[str(tmp_path)]) == []
    assert reads_of(read, declared=[f"{tmp_path}/fi"]) == [str(file), str(link / "a"), str(other)], "not a folder"


def test_what_is_written_first_is_not_counted(tmp_path):
    import torch

    def write_and_read():
        with tempfile.TemporaryFile() as temporary:
            temporary.read()
        with tempfile.NamedTemporaryFile() as temporary:
            Path(temporary.name).read_text()
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["sh", "-c", "echo 1 > below"], cwd=folder, check=True)
            (Path(folder) / "below").read_text()
            os.listdir(folder)  # noqa: PTH208
        (tmp_path / "a").write_text("1")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").read_text()
        torch.save(torch.ones(1), tmp_path / "c")
        torch.load(tmp_path / "c")
        sqlite3.connect(tmp_path / "d").close()
        sqlite3.connect(tmp_path / "d").close()
        with (tmp_path / "e").open("w+") as opened:
            opened.read()

    assert reads_of(write_and_read) == []
    assert reads_of(lambda: (tmp_path / "b").read_text()) == [str(tmp_path / "b")], "the next call has not written it"


def test_what_is_not_counted(file):
    import matplotlib.figure
    import numba

    def plot():
        figure = matplotlib.figure.Figure()
        figure.gca().set_title("some text")
        with tempfile.TemporaryFile() as output:
            figure.savefig(output)

    def imports():
        for name in ("wave", "colorsys", "plistlib"):
            sys.modules.pop(name, None)
            __import__(name)

    def append():
        with file.open("a"):
            pass

    def missing():
        with suppress(FileNotFoundError):
            (file.parent / "missing").read_text()

    def fails():
        with suppress(OSError):
            os.open(file, os.O_RDONLY | os.O_DIRECTORY)

    for function in (
        plot,
        imports,
        append,
        missing,
        numba.njit(lambda x: x + 1).py_func.__call__,
        lambda: Path("/proc/self/status").read_text(),
        lambda: Path("/etc/hostname").exists(),
        lambda: Path(os.devnull).open().close(),
        lambda: Path(os.__file__).read_text(),
        lambda: linecache.updatecache(__file__),
        lambda: sqlite3.connect(":memory:").close(),
        lambda: file.stat(),
        lambda: urllib.request.urlopen("data:,1"),
    ):
        assert reads_of(function, *([1] if function.__class__.__name__ == "method-wrapper" else [])) == [], function
    assert reads_of(fails) == [str(file)]


def test_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reads_of(lambda: socket.create_connection(server.getsockname()).close()) == []

    def connect():
        with socket.socket() as client, suppress(OSError):
            client.settimeout(0.01)
            client.connect(("192.0.2.1", 80))  # an address for documentation

    assert reads_of(connect) == ["192.0.2.1:80"]

    def ask():
        with suppress(OSError):
            urllib.request.urlopen("http://127.0.0.1:9/x")

    assert reads_of(ask) == ["http://127.0.0.1:9/x"]


def test_other_threads_and_other_times_do_not_count(file):
    begin, done = threading.Event(), threading.Event()

    def outside():
        begin.wait()
        file.read_text()
        done.set()

    thread = threading.Thread(target=outside)
    thread.start()
    assert reads_of(lambda: begin.set() or done.wait()) == []
    thread.join()

    inside = threading.Thread(target=file.read_text)
    assert reads_of(lambda: inside.start() or inside.join()) == [str(file)]
    file.read_text()  # nothing is watched now


def test_nested_watches_and_an_error_inside(file):
    with watching() as outer:
        with suppress(ZeroDivisionError), watching() as inner:
            file.read_text()
            raise ZeroDivisionError
        file.stat()
    assert ([read.path for read in inner.reads], list(outer.reads)) == ([str(file)], [])
    assert not reads._active


def test_watching_costs_little():
    with watching():
        pass
    start = time.perf_counter()
    for _ in range(1000):
        with watching():
            pass
    assert time.perf_counter() - start < 0.1, "0.1 ms each"
