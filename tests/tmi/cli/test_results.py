from __future__ import annotations

import csv
import json

import pytest

from tests.tmi import toys
from tests.tmi.cli.calls import PLUGINS, call
from tmi import Store


@pytest.fixture
def two_seeds(folder):
    toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    return folder


def test_results(two_seeds):
    empty = call("results", "suite.toml")
    assert empty.stdout == ""
    assert empty.stderr == "2 of 2 cells not in the store; tmi run suite.toml computes them\n"
    call("run", "suite.toml")
    done = call("results", "suite.toml", "--json", "r.json")
    assert done.stdout.splitlines()[0] == "p: total on d, 2 seeds"
    assert done.stdout.splitlines()[-1] == "Mean over the seeds ± half the width of its 95 % interval by Student's t."
    assert done.stderr == "the main metric of each probe; --all shows 1 more, --metric NAME some\n"
    assert len(json.loads((two_seeds / "r.json").read_text())) == 4
    sizes = call("results", "suite.toml", "--metric", "size.all").stdout
    assert sizes.splitlines()[:3] == ["p: size.all on d, 2 seeds", "    n", "8 ± 0"]
    assert call("results", "suite.toml", "--metric", "size").stdout == sizes
    everything = call("results", "suite.toml", "--all")
    assert [line.split()[0] for line in everything.stdout.splitlines()[1:4]] == ["metric", "total", "size.all"]
    assert everything.stderr == ""
    assert "1 seed" in call("results", "suite.toml", "--only", "seed 1").stdout
    assert 'did you mean "total"' in call("results", "suite.toml", "--metric", "totl", code=2).stderr
    assert "there is no such column; known: n" in call("results", "suite.toml", "--sort", "x", code=2).stderr


def test_quiet_and_verbose(two_seeds):
    call("run", "suite.toml", "--only", "seed 0")
    assert "1 of 2 cells not in the store" in call("results", "suite.toml").stderr
    assert call("results", "suite.toml", "--quiet").stderr == ""
    assert call("results", "suite.toml", "--failed").stderr == "0 of 2 cells failed\n"
    assert call("results", "suite.toml", "-v").stderr.splitlines()[0] == "p: total: Sum of the logits."


def test_formats_and_files(two_seeds):
    call("run", "suite.toml")
    (row,) = json.loads(call("results", "suite.toml", "--format", "json", "--quiet").stdout)
    assert (row["probe"], row["metric"], row["seeds"]) == ("p", "total", 2)
    assert call("results", "suite.toml", "--format", "csv", "--out", "t.csv").stdout == ""
    with (two_seeds / "t.csv").open() as file:
        assert [float(each["mean"]) for each in csv.DictReader(file)] == [row["mean"]]
    assert "| n |" in call("results", "suite.toml", "--format", "md", "--out", "-").stdout


def test_a_file_of_a_store(two_seeds):
    call("run", "suite.toml")
    store = Store("tmi-store")
    (file, _), data = ([str(store.path(key, kind)) for key in store.keys(kind)] for kind in ("result", "dataset"))
    lines = call("results", file).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["metric", "total", "size.all"]
    assert json.loads(call("results", file, "--json", "-").stdout)[1] == {"metric": "size.all", "value": 8.0}
    assert call("results", file, "--metric", "size.all", "--format", "csv").stdout.splitlines()[1].endswith(",8.0,,,,1")
    assert "metric 'siz' is unknown" in call("results", file, "--metric", "siz", code=2).stderr
    assert call("results", data[0], code=2).stderr == f"error: {data[0]}: holds no result; it may hold a data set or a network\n"
