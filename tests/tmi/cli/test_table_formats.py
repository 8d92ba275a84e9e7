from __future__ import annotations

import csv
import io
import json
import re

from tests.tmi.cli.test_tables import entry
from tmi import MetricInfo
from tmi.cli.table_formats import as_csv, as_json, as_markdown, as_text
from tmi.cli.tables import tables
from tmi.runs.results import Results


def made(entries, metrics=("good",), columns=None, better="higher"):
    return tables(Results(entries, columns=columns or {}), {"p": list(metrics)}, {"p": {"good": MetricInfo("", better)}})


def sweep(values, network="a", **more):
    """A row for each k, with a value a seed."""
    return [
        entry(network, seed, swept={"k": k}, good=value, **more)
        for k, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]


def text(values, **more):
    return as_text(made(sweep(values), columns={"k": "probe"}, **more)).splitlines()


def test_text():
    entries = sweep({"x": [0.9, 1.0], "y": [0.5, 0.5]}) + sweep({"x": [0.0, 0.123]}, "long-name")
    assert as_text(made(entries, columns={"k": "probe"})) == (
        "p: good on d, higher is better, 2 seeds\n"
        "k              a      long-name\n"
        "x  0.950 ± 0.635  0.061 ± 0.781\n"
        "y  0.500 ± 0.000\n"
        "\n"
        "Mean over the seeds ± half the width of its 95 % interval by Student's t.\n"
    )


def test_digits_are_equal_in_a_table():
    """They were mixed: 0.0770028 ± 0.00107, 1 ± 0."""
    for values, expected in (
        ({"x": [0.0770028], "y": [1.0]}, ["0.077", "1.000"]),
        ({"x": [8.0], "y": [1234.0]}, ["8", "1,234"]),
        ({"x": [8.5], "y": [1234.25]}, ["8", "1,234"]),
        ({"x": [12.34], "y": [5.0]}, ["12.3", "5.0"]),
        ({"x": [1.5e-7], "y": [0.0]}, ["1.50e-07", "0.00e+00"]),
        ({"x": [-0.0001], "y": [1.0]}, ["-1.0e-04", "1.000"]),  # 0.000 would be read as exactly 0
        ({"x": [0.0], "y": [0.0]}, ["0", "0"]),
        ({"x": [2.5e9], "y": [1.0]}, ["2.50e+09", "1.00e+00"]),
    ):
        assert [line.split()[1] for line in text(values)[2:4]] == expected


def test_a_mean_that_its_interval_hides_is_no_power_of_ten():
    assert text({"x": [-0.0101, 0.01], "y": [0.5, 0.5]})[2] == "x  0.000 ± 0.128"


def test_fewer_seeds_are_marked():
    lines = text({"x": [0.5, 0.5, 0.5], "y": [0.5, 0.5], "z": [0.5]})
    assert lines[0].endswith("1 to 3 seeds")
    assert lines[2:5] == ["x  0.500 ± 0.000", "y  0.500 ± 0.000 (2)", "z  0.500         (1)"]
    assert lines[-1].endswith("; (n): of n seeds.")
    assert text({"x": [0.5]})[-1] == "Values of one seed, which have no interval."
    assert as_text([]) == "no values\n"


def test_a_hundred_columns_hold():
    """Many networks are continued below; of long names the middle is left out, and different ones stay different."""
    names = [f"a-network-with-a-name-that-is-much-too-long-{i}-for-a-column" for i in range(9)]
    keys = [f"integrated-gradients(steps={i}, baseline='black', and='more settings')" for i in range(20)]
    entries = [row for name in names for row in sweep({key: [0.1, 0.2] for key in keys}, name)]
    table = made(entries, columns={"k": "probe"})
    lines = as_text(table).splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if line.startswith("k ")]
    assert len(heads) > 1
    assert len({name for head in heads for name in head.split()[1:]}) == len(names)
    assert len({line[:30] for line in lines if line.startswith("integrated")}) == len(keys)
    assert max(map(len, as_text(table, 400).splitlines())) > 200
    assert all(name in as_markdown(table) for name in names + keys)


def test_markdown():
    entries = [*sweep({"x|y": [0.5, 0.7]}), entry("b", swept={"k": "x|y"}, status="not applicable")]
    assert as_markdown(made(entries, columns={"k": "probe"}, better=None)).splitlines()[:3] == [
        "**p: good on d, 2 seeds**",
        "",
        "| a | b |",
    ]


def test_markdown_of_a_sweep():
    lines = as_markdown(made(sweep({"x|y": [0.5, 0.7], "z": [1.0, 1.0]}), columns={"k": "probe"})).splitlines()
    assert lines[2:6] == ["| k | a |", "|---|--:|", "| x\\|y | 0.600 ± 1.271 |", "| z | 1.000 ± 0.000 |"]


def test_csv_and_json_have_a_row_for_each_mean():
    table = made([*sweep({1: [0.5, 0.7], 2: [1.0]}), entry("b", swept={"k": 1}, status="failed")], columns={"k": "probe"})
    first, second = json.loads(as_json(table))
    assert (first["k"], first["network"], first["metric"], first["seeds"]) == (1, "a", "good", 2)
    assert abs(first["mean"] - 0.6) < 1e-12
    assert abs((first["high"] - first["low"]) / 2 - 12.7062 * 0.1) < 1e-4
    assert abs(first["std"] - 0.1 * 2**0.5) < 1e-12
    assert (second["mean"], second["low"], second["std"], second["seeds"]) == (1.0, None, None, 1)
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(row["k"], float(row["mean"]), row["low"] == "") for row in rows] == [("1", first["mean"], False), ("2", 1.0, True)]
    noise = made([entry("a", swept={"std": value}, good=1) for value in (0.1, 0.2)], columns={"std": "dataset"})
    assert [(row["setting.std"], row["std"]) for row in json.loads(as_json(noise))] == [(0.1, None), (0.2, None)]
    assert as_csv([]).strip() == ""
    assert re.fullmatch(r"\[\]\s*", as_json([]))
