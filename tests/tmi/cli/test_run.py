from __future__ import annotations

import errno
import json
import re

import pytest
from click.testing import CliRunner

from tests.tmi import toys
from tests.tmi.cli.calls import PLUGINS, call
from tmi.cli import main as command_line


def test_run(folder):
    done = call("run", "suite.toml", "--json", "rows.json", "--report", "out/report", "--store", "s")
    assert done.stdout.splitlines()[0] == "report: out/report/index.html"
    assert done.stdout.splitlines()[1].startswith("suite: 1 cell, 0 from the store, 0 failed, ")
    assert done.stderr.splitlines()[0] == "1 cell to compute, 0 in the store"
    rows = json.loads((folder / "rows.json").read_text())
    assert [(r["dataset"], r["network"], r["probe"], r["seed"], r["metric"], r["status"]) for r in rows] == [
        ("d", "n", "p", 0, "total", "ok"),
        ("d", "n", "p", 0, "size.all", "ok"),
    ]
    assert rows[1]["value"] == 8
    assert "suite: 1 cell, 1 from the store" in call("run", "suite.toml", "--store", "s").stdout
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
        "2 cells: 2 to compute, 0 in the store; how long it takes is not known, for the store has no cost of such cells",
    ]  # fmt: skip
    assert not (folder / "tmi-store").exists()
    call("run", "suite.toml", "--only", "seed 1")
    cached, estimate = call("run", "suite.toml", "--dry-run").stdout.splitlines()[1:]
    assert cached == "cached   d/n/p seed 1"
    assert re.fullmatch(r"2 cells: 1 to compute, 1 in the store; (about [\d.]+ s|less than 0.1 s), [\d.]+ kB", estimate), (
        "data sets and networks too"
    )
    assert call("run", "suite.toml", "--dry-run", "--only", "*seed 0").stdout.splitlines()[-1].startswith("1 cell: 1 to")


def test_dry_run_as_json(folder):
    toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    call("run", "suite.toml", "--only", "seed 1")
    assert call("run", "suite.toml", "--dry-run", "--json", "plan.json").stdout.startswith(
        "2 cells: 1 to compute, 1 in the store"
    )
    plan = json.loads((folder / "plan.json").read_text())
    assert [(cell["cell"], cell["action"], cell["status"]) for cell in plan["cells"]] == [
        ("d/n/p seed 0", "compute", "missing"), ("d/n/p seed 1", "cached", "ok"),
    ]  # fmt: skip
    assert (plan["compute"], plan["cached"], plan["no_recorded_cost"]) == (1, 1, 0)
    assert plan["seconds"] >= 0
    assert plan["bytes"] > 0
    call("run", "suite.toml", "--dry-run", "--store", "empty", "--json", "plan.json")
    assert json.loads((folder / "plan.json").read_text())["seconds"] is None


def test_quiet(folder):
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n')
    done = call("run", "suite.toml", "--quiet", code=1)
    assert (done.stdout, done.stderr) == ("", "")


def test_verbose(folder):
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n')
    done = call("run", "suite.toml", "--only", "*/p", "--verbose")
    assert re.search(r"^  done: d/n/p seed 0, [\d.]+ s$", done.stderr, re.M)
    plain = call("run", "suite.toml", code=1).stderr
    assert "done: " not in plain
    assert plain.splitlines()[-1].startswith("  bad on n: 1 of 1 cell failed: ValueError: the toy is broken: raise")


def test_the_traceback_of_a_verbose_run(folder):
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n')
    done = CliRunner().invoke(command_line, ["run", "suite.toml", "-v"])
    assert done.exit_code == 1
    assert "Traceback" in done.stderr


def test_an_output_that_cannot_be_written_after_all(folder, monkeypatch):
    """The exit code is that of the docs, and what was computed is said and kept."""

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tmi.report.page.write", full)
    done = CliRunner().invoke(command_line, ["run", "suite.toml", "--report", "r"])
    assert done.exit_code == 2
    assert "suite: 1 cell, 0 from the store, 0 failed" in done.stdout
    assert "No space left on device; the results are in the store" in done.stderr
    assert "1 from the store" in call("run", "suite.toml").stdout


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
    assert (
        "suite: 4 cells, 1 from the store, 1 failed, 2 not computed" in call("run", "suite.toml", "--retry-failed", code=1).stdout
    )


def test_a_name_that_is_shown_can_be_given_to_only(folder):
    toys.suite(folder, toys.BASE.replace('"toy-data"', '"toy-data"\nsweep.samples = [1, 2]'))
    for line in call("run", "suite.toml", "--dry-run").stdout.splitlines()[:-1]:
        name = line.split(maxsplit=1)[1].partition(" seed")[0]
        assert "to compute" in call("run", "suite.toml", "--dry-run", "--only", name).stdout


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
    assert "a.json" not in {path.name for path in folder.iterdir()}
    long = "x" * 300
    assert "File name too long" in call("run", "suite.toml", "--json", f"{long}.json", code=2).stderr
    assert "File name too long" in call("run", "suite.toml", "--report", f"out/{long}", code=2).stderr
    assert "cannot be written to" in call("run", "suite.toml", "--report", "/proc/nosuch", code=2).stderr
    (folder / "out" / "index.html").mkdir(parents=True)
    assert "out/index.html: cannot be written to (it is a folder)" in call("run", "suite.toml", "--report", "out", code=2).stderr
    assert not (folder / "tmi-store").exists()


def test_a_full_disk_is_said_before_the_work(folder, monkeypatch):
    def full(_place):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("_write_inside", "_write_and_remove"):
        monkeypatch.setattr(f"tmi.cli.common.{name}", full)
    for arguments in (["--report", "new/report"], ["--json", "rows.json"]):
        assert "cannot be written to (No space left on device)" in call("run", "suite.toml", *arguments, code=2).stderr
    assert not {"tmi-store", "new", "rows.json"} & {path.name for path in folder.iterdir()}


def test_a_trial_leaves_nothing(folder):
    call("run", "suite.toml", "--dry-run", "--json", "rows.json", "--report", "new/report")
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("__")) == [
        "rows.json",
        "suite.toml",
        "toys.py",
    ]


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


INAPPLICABLE = """
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"picky": "picky:picky"}


def picky(network: tmi.Network, data: tmi.Dataset, *, what: str = "reason") -> tmi.ProbeResult:
    \"\"\"Apply to nothing.\"\"\"
    return {
        "reason": lambda: tmi.ProbeResult.not_applicable("a trained network has no certificate"),
        "nothing": lambda: tmi.ProbeResult({}),
        "arrays": lambda: tmi.ProbeResult({}, {"a": (("x",), [1.0])}),
        "empty reason": lambda: tmi.ProbeResult.not_applicable(" "),
    }[what]()
"""


PICKY = '[datasets.d]\nuse = "toy-data"\n[networks.n]\nuse = "toy-net"\n[probes.p]\nuse = "picky"\n'


def test_what_is_not_applicable_is_no_failure(folder):
    """In the rows, the summary, the table of results and the exit code; the second run takes it from the store."""
    (folder / "picky.py").write_text(INAPPLICABLE)
    text = PICKY + 'sweep.what = ["reason", "nothing", "arrays"]'
    toys.suite(folder, text, head='plugins = ["toys.py", "picky.py"]')
    for cached in (0, 3):
        done = call("run", "suite.toml", "--json", "rows.json")
        assert f"suite: 3 cells, {cached} from the store, 0 failed, 2 not applicable, " in done.stdout
        rows = json.loads((folder / "rows.json").read_text())
        assert [(row["what"], row["status"], row["metric"], row["message"]) for row in rows] == [
            ("reason", "not applicable", None, "a trained network has no certificate"),
            ("nothing", "not applicable", None, "the probe gave no metric and no array"),
            ("arrays", "ok", None, ""),
        ]
    lines = [
        "p on n: 1 of 3 cells not applicable (what reason): a trained network has no certificate",
        "p on n: 1 of 3 cells not applicable (what nothing): the probe gave no metric and no array",
    ]
    assert call("results", "suite.toml").stderr.splitlines() == lines
    assert done.stderr.splitlines()[-2:] == [f"  {line}" for line in lines]
    assert "cached   d/n/p[what=reason] seed 0" in call("run", "suite.toml", "--dry-run").stdout
    page = (folder / "report/index.html").read_text() if call("report", "suite.toml") else ""
    assert "Not applicable" in page
    assert "Cells without a result" not in page


def test_a_probe_that_gives_no_reason_fails(folder):
    (folder / "picky.py").write_text(INAPPLICABLE)
    text = PICKY + 'what = "empty reason"'
    toys.suite(folder, text, head='plugins = ["toys.py", "picky.py"]')
    assert "not_applicable: give the reason, in one sentence" in call("run", "suite.toml", code=1).stderr
