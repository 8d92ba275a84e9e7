from __future__ import annotations

import pytest

import tmi
from tests.tmi.report.pages import Page
from tests.tmi.report.test_page import read
from tmi.report.aggregate import groups
from tmi.report.page import write
from tmi.report.sections import _table
from tmi.runs.results import Entry, Results
from tmi.runs.runner import load_results

pytestmark = pytest.mark.usefixtures("quick_figures")

ALWAYS = ["All metrics", "How to reproduce", "Where the numbers came from"]


def test_the_sections_that_every_report_has(ran, tmp_path):
    page = read(write(ran[0], tmp_path))
    assert page.headings == ["Sweeps", "Cells without a result", *ALWAYS]
    failed = [row for row in page.cells if len(row) == 3 and row[1] == "failed"]
    assert len(failed) == len(ran[0].failed) == 12
    assert "24 results: 2 networks (m, n) on 1 data set" in page.text
    assert "2 seeds; 12 failed" in page.text
    sizes = [row for row in page.cells if row[0] == "size.all"]
    assert [row[2:] for row in sizes] == [["4 ± 0 [4, 4]"] * 3, ["8 ± 0 [8, 8]"] * 3]
    assert page.tags.count("dl") == 1, "what the metrics mean, once a probe"
    assert "Sum of the logits. Unit: logits." in page.text
    assert "torch" in page.text


def test_without_failures_there_is_no_table_of_them(ran, tmp_path):
    assert read(write(ran[0].select(probe="p"), tmp_path)).headings == ["Sweeps", *ALWAYS]


def test_of_what_the_store_lacks(ran, tmp_path):
    page = read(write(load_results(ran[1] / "suite.toml", tmp_path / "nothing"), tmp_path))
    assert page.problems == []
    assert [row[1] for row in page.cells if len(row) == 3] == ["missing"] * 24


def test_what_is_not_applicable_stands_apart_from_failures(results, tmp_path):
    for number, entry in enumerate(results.entries[:3]):
        entry.status, entry.metrics = "not applicable", {}
        entry.message = "a <trained> network has no certificate" if number < 2 else "another reason"
    page = Page(write(results, tmp_path).read_text(encoding="utf-8"))
    section = page.text.partition("Not applicable")[2]
    assert "a <trained> network has no certificate" in section
    assert "another reason" in section


def grouped(networks, methods=("a", "b"), seeds=2):
    return Results(
        [
            Entry("", "d", f"n{network}", "p", seed, {"method": method}, "ok", None, {"x": network + seed / 10, "y": 1.0})
            for method in methods
            for network in range(networks)
            for seed in range(seeds)
        ],
        columns={"method": "probe"},
    )


def test_rows_are_metrics_by_the_probes_settings_and_columns_networks():
    head, rows = _table(groups(grouped(2)), grouped(2), {"x": tmi.MetricInfo("x", "lower")})
    assert head == ["metric", "better", "method", "n0", "n1"]
    assert [row[:3] for row in rows] == [["x", "↓\xa0lower", "a"], ["x", "↓\xa0lower", "b"], ["y", "", "a"], ["y", "", "b"]]
    assert rows[0][3:] == ["0.05 ± 0.071 [0, 0.1]", "1.05 ± 0.071 [1, 1.1]"]


def test_with_many_networks_a_row_is_a_metric_of_one():
    head, rows = _table(groups(grouped(9, seeds=1)), grouped(9), {})
    assert head == ["metric", "better", "network", "method", "mean", "± std", "least", "greatest", "seeds"]
    assert len(rows) == 9 * 2 * 2
    assert rows[3] == ["x", "", "n3", "a", 3.0, None, 3.0, 3.0, 1]


def test_settings_are_listed_once(ran, tmp_path):
    page = read(write(ran[0], tmp_path))
    used = [row for row in page.cells if row[0] in ("dataset", "network", "probe") and len(row) == 5]
    assert [row[:4] for row in used if row[1] == "m"] == [
        ["network", "m", "toy-net", f"width = {w}, bias = false"] for w in (1, 2)
    ]
    assert sum(int(row[1]) for row in page.cells if row[0].endswith("a toy's <remark>")) == 12, "remarks are counted"
