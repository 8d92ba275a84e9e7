from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

import tmi
from tests.tmi import toys
from tmi.runs import display


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_of(monkeypatch):
    """Take the place of standard error; called in the test itself, for pytest puts its own there after the fixtures."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


TRACKING = """
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"tracking": "STEM:tracking"}


def tracking(network, data) -> tmi.ProbeResult:
    \"\"\"Track.\"\"\"
    for _ in tmi.track(range(3), "[/x] [bold"):
        pass
    return tmi.ProbeResult({"a": len(list(tmi.track(iter("ab"), "nested", total=2)))})
"""

HOSTILE = """
[datasets."[/] [red] {x} \\\\"]
use = "toy-data"
sweep.samples = [1, 2]
[networks.n]
use = "toy-net"
[probes.bad]
use = "bad-probe"
how = "bracket"
[probes.p]
use = "tracking"
"""


def test_bars_in_a_terminal(monkeypatch, tmp_path):
    terminal = terminal_of(monkeypatch)
    toys.plugin(tmp_path)
    toys.plugin(tmp_path, "tracking", TRACKING)
    results = tmi.run(toys.suite(tmp_path, HOSTILE, head='plugins = ["toys.py", "tracking.py"]'), tmp_path / "store")
    assert len(results.failed) == 2
    assert results.values("a") == [2.0, 2.0]
    shown = terminal.getvalue()
    assert "failed" in shown
    assert "ValueError: [/bold] is [no] markup" in shown
    assert "[/] [red] {x}" in shown
    assert "[samples=1]" in shown


def test_nothing_elsewhere(tmp_path, capsys):
    toys.plugin(tmp_path)
    toys.plugin(tmp_path, "tracking", TRACKING)
    tmi.run(toys.suite(tmp_path, HOSTILE, head='plugins = ["toys.py", "tracking.py"]'), tmp_path / "store")
    assert capsys.readouterr() == ("", "")


def test_lines_for_logs(tmp_path, capsys):
    toys.plugin(tmp_path)
    content = toys.BASE + "[probes.bad]\nuse = 'bad-probe'\n"
    tmi.run(toys.suite(tmp_path, content), tmp_path / "store", watcher=display.Lines())
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "2 cells to compute, 0 in the store"
    assert err[1].startswith("  failed: d/n/bad seed 0: ValueError: the toy is broken: raise (toys.py, line ")
    assert err[2].startswith("  2/2 cells, 1 failed, ")
    assert err[2].endswith("last: d/n/bad seed 0")


def test_lines_come_now_and_then(monkeypatch, capsys, tmp_path):
    toys.plugin(tmp_path)
    suite = toys.suite(tmp_path, head='plugins = ["toys.py"]\nseeds = [0, 1, 2]')
    monkeypatch.setattr(display, "_EVERY", 0.0)
    tmi.run(suite, tmp_path / "store", watcher=display.Lines())
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_the_given_watcher_is_taken():
    mine = object()
    with display.watching(mine) as told:
        assert told is mine


def test_the_bars_are_gone_after_an_error(monkeypatch):
    terminal = terminal_of(monkeypatch)

    def interrupted():
        with display.watching(None) as told:
            told.start(3, 0, lambda: None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "0/3" in terminal.getvalue()
    Console(file=terminal).print("usable")
    assert list(tmi.track([1, 2], "x")) == [1, 2]
