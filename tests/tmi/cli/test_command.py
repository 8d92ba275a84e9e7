from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner

import tmi
from tests.tmi import toys
from tmi.cli import main as command_line
from tmi.cli.common import KINDS
from tmi.plugins.registry import installed

PLUGINS = 'plugins = ["toys.py"]'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    toys.plugin(tmp_path)
    toys.suite(tmp_path)
    return tmp_path


def call(*arguments, code=0):
    """Call the command; a mistake is said in lines that begin with "error:", never as a traceback."""
    done = CliRunner().invoke(command_line, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    if code == 2:
        assert done.stdout == ""
        said = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
        assert said
        usage = said[0].startswith("Usage:")  # click's own, which then say Error:
        assert usage or all(line.startswith("error: ") for line in said), done.stderr
    return done


def test_run(folder):
    done = call("run", "suite.toml", "--json", "rows.json", "--report", "out/report", "--store", "s")
    assert done.stdout.splitlines()[0] == "report: out/report/index.html"
    assert done.stdout.splitlines()[1].startswith("suite: 1 cells, 0 from the store, 0 failed, ")
    assert done.stderr.splitlines()[0] == "1 cells to compute, 0 in the store"
    rows = json.loads((folder / "rows.json").read_text())
    assert [(r["dataset"], r["network"], r["probe"], r["seed"], r["metric"], r["status"]) for r in rows] == [
        ("d", "n", "p", 0, "total", "ok"),
        ("d", "n", "p", 0, "size.all", "ok"),
    ]
    assert rows[1]["value"] == 8
    assert "suite: 1 cells, 1 from the store" in call("run", "suite.toml", "--store", "s").stdout
    assert not (folder / "tmi-store").exists()


def test_run_with_the_default_store(folder, monkeypatch):
    call("run", "suite.toml")
    assert (folder / "tmi-store" / "results").is_dir()
    monkeypatch.setenv("TMI_STORE", "other")
    assert "0 from the store" in call("run", "suite.toml").stdout
    assert (folder / "other" / "results").is_dir()


def test_some_cells_fail(folder):
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n')
    done = call("run", "suite.toml", "--json", "rows.json", "--report", "report", code=1)
    assert "suite: 2 cells, 0 from the store, 1 failed" in done.stdout
    assert "  failed: d/n/bad seed 0: ValueError: the toy is broken: raise" in done.stderr
    assert [r["status"] for r in json.loads((folder / "rows.json").read_text())] == ["ok", "ok", "failed"]
    assert (folder / "report" / "index.html").exists()
    assert "suite: 2 cells, 1 from the store, 1 failed" in call("run", "suite.toml", code=1).stdout
    assert "1 failed" not in call("run", "suite.toml", "--only", "*/p").stdout


def test_dry_run(folder):
    toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    done = call("run", "suite.toml", "--dry-run")
    assert done.stdout.splitlines() == [
        "compute  d/n/p seed 0", "compute  d/n/p seed 1",
        "2 cells: 2 to compute, 0 in the store; no recorded cost to estimate the time by",
    ]  # fmt: skip
    assert not (folder / "tmi-store").exists()
    call("run", "suite.toml", "--only", "seed 1")
    cached, estimate = call("run", "suite.toml", "--dry-run").stdout.splitlines()[1:]
    assert cached == "cached   d/n/p seed 1"
    assert re.fullmatch(r"2 cells: 1 to compute, 1 in the store; about [\d.]+ s, [\d.]+ kB", estimate), (
        "data sets and networks too"
    )
    assert call("run", "suite.toml", "--dry-run", "--only", "*seed 0").stdout.splitlines()[-1].startswith("1 cells: 1 to")


def test_dry_run_of_what_failed(folder):
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n', head=PLUGINS + "\nseeds = [0, 1]")
    call("run", "suite.toml", "--only", "seed 0", code=1)
    lines = call("run", "suite.toml", "--dry-run", "--retry-failed").stdout.splitlines()
    assert lines[:-1] == [
        "cached   d/n/p seed 0", "compute  d/n/bad seed 0, which failed before",
        "leave    d/n/p seed 1", "leave    d/n/bad seed 1",
    ]  # fmt: skip
    assert lines[-1].startswith("4 cells: 1 to compute, 1 in the store; ")
    assert "4 cells: 3 to compute, 1 in the store; " in call("run", "suite.toml", "--dry-run").stdout
    call("run", "suite.toml", "--retry-failed", code=1)
    assert "suite: 4 cells, 1 from the store, 1 failed, 2 not tried" in call("run", "suite.toml", "--retry-failed", code=1).stdout


def test_a_name_that_is_shown_can_be_given_to_only(folder):
    toys.suite(folder, toys.BASE.replace('"toy-data"', '"toy-data"\nsweep.samples = [1, 2]'))
    for line in call("run", "suite.toml", "--dry-run").stdout.splitlines()[:-1]:
        name = line.split(maxsplit=1)[1].partition(" seed")[0]
        assert "to compute" in call("run", "suite.toml", "--dry-run", "--only", name).stdout


def test_results(folder):
    toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    empty = call("results", "suite.toml")
    assert empty.stdout == ""
    assert empty.stderr == "2 of 2 cells are not in the store; tmi run suite.toml computes them\n"
    call("run", "suite.toml")
    done = call("results", "suite.toml", "--json", "r.json")
    assert done.stdout.splitlines()[0] == "d / n / p, 2 seeds"
    assert "  size.all  8 ± 0 [8, 8]" in done.stdout
    assert done.stderr == ""
    assert len(json.loads((folder / "r.json").read_text())) == 4
    assert "total" not in call("results", "suite.toml", "--metric", "size.all").stdout
    assert "1 seed" in call("results", "suite.toml", "--only", "seed 1").stdout
    assert 'did you mean "total"' in call("results", "suite.toml", "--metric", "totl", code=2).stderr


def test_report(folder):
    assert "the store has nothing of suite 'suite.toml'" in call("report", "suite.toml", code=2).stderr
    assert not (folder / "report").exists()
    call("run", "suite.toml")
    assert call("report", "suite.toml").stdout == "report: report/index.html\n"
    assert "Where the numbers came from" in (folder / "report" / "index.html").read_text()
    assert call("report", "suite.toml", "--report", "other").stdout == "report: other/index.html\n"


def test_list_and_describe(folder):
    everything = call("list", "--plugin", "toys.py")
    assert [line for line in everything.stdout.splitlines() if not line.startswith(" ")] == [
        "datasets", "networks", "probes", "methods", "measures", "suites", "reports",
    ]  # fmt: skip
    assert f"  toy-probe               Sum up the logits. [{folder / 'toys.py'}]" in everything.stdout
    probes = call("list", "probe", "--plugin", "toys.py").stdout
    assert "toy-probe" in probes
    assert "toy-data" not in probes
    assert "toy-probe" not in call("list").stdout
    shown = call("describe", "probe", "toy-probe", "--plugin", "toys.py").stdout
    assert "Sum up the logits." in shown
    assert "scale: float, default 1.0" in shown
    for kind in KINDS:
        for name in tmi.names(kind):
            assert name in call("describe", kind, name).stdout


def test_check(folder):
    assert call("check", "suite.toml").stdout == "suite.toml: ok, 1 cells\n"
    assert call("check", "paper").stdout.startswith("paper: ok, ")
    assert call("check", "toys.py").stdout.startswith("toys.py: ok, registers dataset toy-data, ")
    (folder / "bad.py").write_text("import tmi\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'a': 'bad:a', 'b': 'bad:b'}\n")
    assert len(call("check", "bad.py", code=2).stderr.splitlines()) == 2
    (folder / "broken.py").write_text("raise ValueError('two\\nlines')")
    assert len(call("check", "broken.py", code=2).stderr.splitlines()) == 1
    assert "there is no such file" in call("check", "nosuch.py", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "suite.toml"], 'did you mean "run"?'),
        (["run"], "Missing argument 'SUITE'"),
        (["run", "suite.toml", "--onyl", "x"], "--only"),
        (["run", "suite.toml", "extra"], "unexpected extra argument"),
        (["run", "nosuch.toml"], "error: suite 'nosuch.toml': there is no such file"),
        (["run", "papre"], 'did you mean "paper"?'),
        (["run", "suite.toml", "--plugin", "nosuch.py"], "plug-in file nosuch.py: there is no such file"),
        (["run", "suite.toml", "--only", "nosuch"], "matches no cell; known: d/n/p"),
        (["run", "suite.toml", "--store", "toys.py"], "error: store toys.py: is not a folder"),
        (["run", "suite.toml", "--store", "toys.py/x"], "error: store toys.py/x: cannot be written to"),
        (["list", "probes"], "'probes'"),
        (["describe", "prob", "accuracy"], "'prob'"),
        (["describe", "probe", "acuracy"], "error: probe 'acuracy' is unknown; did you mean \"accuracy\"?"),
        (["describe", "probe"], "Missing argument 'NAME'"),
        (["check", "nosuch"], "error: suite 'nosuch': there is no such file"),
        (["results", "nosuch"], "error: suite 'nosuch'"),
        (["results", "suite.toml", "--store", "toys.py"], "is not a folder"),
        (["report", "nosuch"], "error: suite 'nosuch'"),
        (["check", "/"], "error: suite '/'"),
        (["check", "x" * 5000], "error: "),
    ],
)
def test_a_wrong_call(folder, arguments, said):
    assert said in call(*arguments, code=2).stderr


def test_every_mistake_of_a_suite_is_a_line(folder):
    toys.suite(
        folder, toys.BASE + '[probes.x]\nuse = "accurcy"\n[networks.y]\nuse = "toy-net"\nwidht = 2\n', head="naem = 3\n" + PLUGINS
    )
    for command in (["run"], ["check"], ["results"], ["report"], ["run", "--dry-run"]):
        done = call(*command, "suite.toml", code=2)
        assert len(done.stderr.splitlines()) == 3, done.stderr
    assert not (folder / "tmi-store").exists()


@pytest.mark.parametrize("text", ["x = [", "x = nan", "", '[probes.p]\nuse = "toy-probe"\nscale = nan', "x = " + "[" * 10_000])
def test_bad_suites(folder, text):
    (folder / "bad.toml").write_text(text)
    call("run", "bad.toml", code=2)


def test_places_that_cannot_be_written_are_said_before_the_work(folder):
    assert "nosuch: there is no such folder" in call("run", "suite.toml", "--json", "nosuch/rows.json", code=2).stderr
    assert "toys.py: cannot be written to" in call("run", "suite.toml", "--report", "toys.py", code=2).stderr
    assert "toys.py: cannot be written to" in call("run", "suite.toml", "--json", "toys.py/rows.json", code=2).stderr
    assert not (folder / "tmi-store").exists()


def test_a_report_that_cannot_be_written(folder):
    call("run", "suite.toml")
    said = call("report", "suite.toml", "--report", "toys.py", code=2).stderr
    assert "error: report toys.py/index.html: cannot be written" in said


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
    assert said[2].startswith("1 of 1 cells are not in the store")
    assert len(said) == 3


TWENTY_LINES = '''
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"mean-margin": "margin:mean_margin"}


def mean_margin(network: tmi.Network, data: tmi.Dataset, *, scale: float = 0.5) -> tmi.ProbeResult:
    """Margin between the label's logit and the other one."""
    logits = network.logits(data.test.images)
    margin = logits.gather(1, data.test.labels[:, None])[:, 0] - logits.sum(1) / 2
    return tmi.ProbeResult({"margin": scale * margin.mean()})
'''


def test_a_probe_in_a_file_of_twenty_lines(folder):
    assert len(TWENTY_LINES.splitlines()) <= 20
    (folder / "margin.py").write_text(TWENTY_LINES)
    assert "mean-margin" in call("list", "probe", "--plugin", "margin.py").stdout
    assert call("check", "margin.py").stdout == "margin.py: ok, registers probe mean-margin\n"
    toys.suite(
        folder,
        '[datasets.s]\nuse = "squares"\nsamples = 4\ntest_samples = 4\n[networks.t]\nuse = "theorem1"\n'
        '[probes.m]\nuse = "mean-margin"\nsweep.scale = [1.0, 2.0]\n',
        head="",
    )
    call("run", "suite.toml", "--plugin", "margin.py", "--json", "rows.json")
    small, large = json.loads((folder / "rows.json").read_text())
    assert large["value"] == 2 * small["value"] > 0
    call("run", "suite.toml", code=2)


def test_ctrl_c_outside_the_cells(folder, monkeypatch):
    def interrupt(*_arguments, **_more):
        raise KeyboardInterrupt

    for where in ("tmi.suites.reader.load_suite", "tmi.runs.runner.run", "tmi.report.page.write"):
        with monkeypatch.context() as patch:
            patch.setattr(where, interrupt)
            assert "stopped" in call("run", "suite.toml", "--report", "r", code=130).stderr


# Fresh processes.

HEAVY = {"torch", "captum", "sklearn", "matplotlib", "h5py", "numpy", "pandas", "scipy", "numba", "rich", "jinja2"}
START = f"""
import sys
from tmi.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    assert not error.code, error.code
print(sorted({HEAVY!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["list", "probe"], ["run", "--help"]])
def test_help_and_lists_import_nothing_heavy(tmp_path, arguments):
    done = toys.python("-c", START, *arguments, folder=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 1


def test_importing_tmi_imports_nothing_heavy(tmp_path):
    done = toys.python("-c", f"import sys, tmi; print(sorted({HEAVY!r} & set(sys.modules)))", folder=tmp_path)
    assert done.stdout == "[]\n"


def test_the_installed_command(tmp_path):
    command = os.path.join(os.path.dirname(sys.executable), "tmi")  # noqa: PTH118, PTH120
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tmi, version {tmi.__version__}\n"


def test_the_reader_has_had_enough(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -u -m tmi.cli list | head -n 1", shell=True, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("datasets\n", "")


def test_help_names_every_option():
    for name, command in command_line.commands.items():
        text = call(name, "--help").stdout
        assert all(option in text for p in command.params for option in p.opts if option.startswith("--")), name
        assert all(p.help for p in command.params if p.param_type_name == "option" and p.name != "help"), name
