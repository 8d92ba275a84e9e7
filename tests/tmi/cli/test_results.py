from __future__ import annotations

import json

from tests.tmi import toys
from tests.tmi.cli.calls import PLUGINS, call


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
