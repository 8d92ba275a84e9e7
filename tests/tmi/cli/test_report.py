from __future__ import annotations

from tests.tmi.cli.calls import call


def test_report(folder):
    assert "the store has nothing of suite 'suite.toml'" in call("report", "suite.toml", code=2).stderr
    assert not (folder / "report").exists()
    call("run", "suite.toml")
    assert call("report", "suite.toml").stdout == "report: report/index.html\n"
    assert "Where the numbers came from" in (folder / "report" / "index.html").read_text()
    assert call("report", "suite.toml", "--report", "other").stdout == "report: other/index.html\n"


def test_a_report_that_cannot_be_written(folder):
    call("run", "suite.toml")
    said = call("report", "suite.toml", "--report", "toys.py", code=2).stderr
    assert "error: toys.py: cannot be written to (it is no folder)" in said
