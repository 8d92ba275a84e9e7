from __future__ import annotations

from importlib import metadata

import pytest

from tests.tmi import toys
from tests.tmi.cli.calls import PLUGINS, call
from tmi.plugins.registry import installed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "suite.toml"], 'did you mean "run"?'),
        (["run"], "Missing argument 'SUITE'"),
        (["run", "suite.toml", "--onyl", "x"], "--only"),
        (["run", "suite.toml", "extra"], "unexpected extra argument"),
        (["run", "nosuch.toml"], "error: suite 'nosuch.toml': there is no such file"),
        (["run", "papre"], 'did you mean "paper"?'),
        (["run", "suite.toml", "--plugin", "."], "is a folder"),
        (["run", "suite.toml", "--plugin", "nosuch.py"], "plug-in file nosuch.py: there is no such file"),
        (["run", "suite.toml", "--only", "nosuch"], "matches no cell; known: d/n/p"),
        (["run", "suite.toml", "--store", "toys.py"], "error: store toys.py: is not a folder"),
        (["run", "suite.toml", "--store", "toys.py/x"], "error: store toys.py/x: cannot be written to"),
        (["list", "probess"], "'probess'"),
        (["run", "siute.toml"], 'did you mean "suite.toml"?'),
        (["run", "."], "error: suite '.': is a folder; a suite is a name or a TOML file, as suite.toml"),
        (["run", "toys.py"], "give plug-ins to one with --plugin toys.py, or check it with tmi check toys.py"),
        (["run", "nosuch.py"], "there is no such file, and a suite is no Python file"),
        (["results", "suite.toml", "--store", "nowhere"], "error: store nowhere: there is no such folder"),
        (["results", "nosuch.h5"], "error: nosuch.h5: cannot be read"),
        (["results", "suite.toml", "--out", "nosuch/t.csv"], "error: nosuch: there is no such folder"),
        (["results", "suite.toml", "--json", "-", "--out", "-"], "standard output takes one of the two"),
        (["run", "suite.toml", "-q", "-v"], "--quiet and --verbose exclude each other"),
        (["data", "lst"], 'did you mean "list"?'),
        (["completion", "tcsh"], "'tcsh'"),
        (["describe", "prob", "accuracy"], "'prob'"),
        (["describe", "probe", "acuracy"], "error: probe 'acuracy' is unknown; did you mean \"accuracy\"?"),
        (["describe", "probe"], "Missing argument 'NAME'"),
        (["check", "nosuch"], "error: suite 'nosuch': there is no such file"),
        (["results", "nosuch"], "error: suite 'nosuch'"),
        (["results", "suite.toml", "--store", "toys.py"], "is not a folder"),
        (["report", "nosuch"], "error: suite 'nosuch'"),
        (["check", "/"], "error: /: is no package"),
        (["check", "x" * 5000], "error: "),
    ],
)
def test_a_wrong_call(folder, arguments, said):
    assert said in call(*arguments, code=2).stderr


def test_a_broken_plugin_is_warned_of(folder):
    (folder / "clash.py").write_text("import tmi\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'accuracy': 'clash:a'}\n")
    for arguments in (["list"], ["run", "suite.toml"], ["results", "suite.toml"], ["describe", "probe", "accuracy"]):
        done = call(*arguments, "--plugin", "clash.py")
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
        assert "plug-in clash: probe 'accuracy' refused: the name is taken by plug-in tmi_probes" in line


class BrokenEntryPoint:
    """An installed plug-in that cannot be imported."""

    name, value, dist = "zz-broken", "zz_broken", None

    def load(self):
        raise ImportError("zz is broken")


COMMANDS = [
    ["list"],
    ["list", "probe"],
    ["describe", "probe", "accuracy"],
    ["check", "suite.toml"],
    ["run", "suite.toml"],
    ["run", "suite.toml", "--dry-run"],
    ["results", "suite.toml"],
    ["results", "suite.toml", "--failed"],
    ["report", "suite.toml"],
    ["store", "verify"],
    ["store", "prune", "--unreachable"],
    ["store", "export", "out", "--suite", "suite.toml"],
]


@pytest.mark.parametrize("named_by", ["--plugin", "suite"])
def test_a_broken_installed_plugin_gives_one_warning_a_command(folder, monkeypatch, named_by):
    """However the command comes to its registry: by itself, with a file, or with the files of a suite."""
    installed_ones = metadata.entry_points(group="tmi")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [*installed_ones, BrokenEntryPoint()])
    plugin = ["--plugin", "toys.py"] if named_by == "--plugin" else []
    content = {} if named_by == "--plugin" else {"head": PLUGINS}
    toys.suite(folder, **content)
    call("run", "suite.toml", *plugin)
    for arguments in COMMANDS:
        takes_plugin = "--suite" in arguments or arguments[0] != "store" or arguments[1] != "export"
        installed.cache_clear()
        done = call(*arguments, *(plugin if takes_plugin else []))
        warned = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
        assert len(warned) == 1, (arguments, warned)
        assert "zz is broken" in warned[0]
    installed.cache_clear()


@pytest.mark.slow
def test_warnings_are_one_line(folder):
    """A damaged file, a clash in a suite's own plug-in."""
    toys.plugin(folder, "clash", toys.TOYS.replace('"toy-probe": ', '"accuracy": "STEM:toy_probe", "toy-probe": '))
    toys.suite(folder, head='plugins = ["clash.py"]')
    done = toys.command("run", "suite.toml", folder=folder)
    assert done.returncode == 0, done.stderr
    for path in (folder / "tmi-store").rglob("*.h5"):
        path.write_bytes(b"")
    done = toys.command("results", "suite.toml", folder=folder)
    said = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in said[:-1]), said
    assert "'accuracy' refused" in said[0]
    assert "is damaged" in said[1]
    assert said[2].startswith("1 of 1 cell not in the store")
    assert len(said) == 3
