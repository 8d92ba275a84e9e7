from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

import tmi
from tests.tmi import toys
from tmi.engines.running import Running
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


@pytest.mark.parametrize(("variable", "coloured"), [("X", True), ("NO_COLOR", False), ("CLICOLOR", False)])
def test_bars_without_colours(monkeypatch, tmp_path, variable, coloured):
    for name in ("NO_COLOR", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    terminal = terminal_of(monkeypatch)
    monkeypatch.setenv(variable, "0")
    toys.plugin(tmp_path)
    suite = toys.suite(tmp_path, toys.BASE.replace('"toy-probe"', '"bad-probe"'))
    assert len(tmi.run(suite, tmp_path / "store").failed) == 1
    assert bool(re.search(r"\x1b\[(?:[0-9]+;)*3[0-9]", terminal.getvalue())) is coloured


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
    with display.watching(mine, Running()) as told:
        assert told is mine


def test_the_bars_are_gone_after_an_error(monkeypatch):
    terminal = terminal_of(monkeypatch)

    def interrupted():
        with display.watching(None, Running()) as told:
            told.start(3, 0, lambda: None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "0/3" in terminal.getvalue()
    Console(file=terminal).print("usable")
    assert list(tmi.track([1, 2], "x")) == [1, 2]


SLEEPING = """
import time
import tmi


@tmi.hookimpl
def tmi_dataset_generators():
    return {"slow-data": "STEM:slow_data"}


@tmi.hookimpl
def tmi_network_builders():
    return {"slow-net": "STEM:slow_net"}


@tmi.hookimpl
def tmi_probes():
    return {"slow-probe": "STEM:slow_probe"}


def slow_data(*, seed: int) -> tmi.Dataset:
    \"\"\"Sleep.\"\"\"
    time.sleep(0.5)
    return tmi.generate("squares", seed=seed, samples=8, test_samples=4)


def slow_net(data) -> tmi.Network:
    \"\"\"Sleep.\"\"\"
    time.sleep(0.5)
    return tmi.build("theorem1", data)


def slow_probe(network, data) -> tmi.ProbeResult:
    \"\"\"Sleep.\"\"\"
    time.sleep(0.5)
    return tmi.ProbeResult({"a": 1.0})
"""

SLOW = '[datasets.d]\nuse = "slow-data"\n[networks.n]\nuse = "slow-net"\n[probes.p]\nuse = "slow-probe"\n'
STAGES = ("data set", "network", "probe")


@pytest.fixture
def sleeping(tmp_path, monkeypatch):
    """A suite whose stages take half a second, and a display that names them after an eighth."""
    for name, value in {"_LONG": (0.125, 10.0), "_LOOK": 0.02, "_EVERY": 0.05}.items():
        monkeypatch.setattr(display, name, value)
    toys.plugin(tmp_path, "sleeping", SLEEPING)
    return toys.suite(tmp_path, SLOW, head='plugins = ["sleeping.py"]')


@pytest.mark.parametrize("watched", [True, False])
def test_what_takes_long_is_named_without_a_terminal(sleeping, tmp_path, capsys, watched):
    tmi.run(sleeping, tmp_path / "store", watcher=display.Lines() if watched else None)
    named = [line.strip() for line in capsys.readouterr().err.splitlines() if "still running" in line]
    assert len(named) == 3
    for line, stage in zip(named, STAGES, strict=True):
        assert line.startswith(f"still running: d/n/p seed 0 ({stage}, for 0.")
    tmi.run(sleeping, tmp_path / "store")
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_what_a_worker_computes_for_long_is_named(sleeping, tmp_path, capsys):
    tmi.run(sleeping, tmp_path / "store", workers=2)
    err = capsys.readouterr().err
    for stage in STAGES:
        assert f"still running: d/n/p seed 0 ({stage}, for " in err


def test_bars_show_what_is_being_computed(sleeping, tmp_path, monkeypatch):
    terminal = terminal_of(monkeypatch)
    tmi.run(sleeping, tmp_path / "store")
    for stage in STAGES:
        assert f"0 in the store · d/n/p seed 0 ({stage}, for 0." in terminal.getvalue()


def test_what_takes_long_is_named_less_and_less_often():
    assert [display._reminder(count) for count in range(6)] == [60, 300, 1800, 3600, 5400, 7200]


def test_a_network_that_is_made_again_for_a_probe(sleeping, tmp_path, capsys):
    """The job is the probe's; what takes long is the network, whose training the store does not keep."""
    tmi.run(sleeping, tmp_path / "store")
    sleeping.write_text(sleeping.read_text().replace('"slow-probe"', '"accuracy"'))
    capsys.readouterr()
    tmi.run(sleeping, tmp_path / "store")
    assert "still running: d/n/p seed 0 (network, for " in capsys.readouterr().err
