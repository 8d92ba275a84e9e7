from __future__ import annotations

from tests.tmi.report.pages import Page
from tests.tmi.report.test_page import read
from tmi.report.page import write
from tmi.runs.runner import collect


def test_the_sections_that_every_report_has(ran, tmp_path):
    page = read(write(ran[0], tmp_path))
    assert page.headings == ["Cells without a result", "All metrics", "Where the numbers came from"]
    failed = [row for row in page.cells if len(row) == 3 and row[1] == "failed"]
    assert len(failed) == len(ran[0].failed) == 12
    assert "24 results: 2 networks (m, n) on 1 data set" in page.text
    assert "2 seeds; 12 failed" in page.text
    sizes = [row for row in page.cells if row[0] == "size.all"]
    assert [row[2:] for row in sizes] == [["4 ± 0 [4, 4]"] * 3, ["8 ± 0 [8, 8]"] * 3]
    assert "total: Sum of the logits." in page.text
    assert "torch" in page.text


def test_without_failures_there_is_no_table_of_them(ran, tmp_path):
    assert read(write(ran[0].select(probe="p"), tmp_path)).headings == ["All metrics", "Where the numbers came from"]


def test_of_what_the_store_lacks(ran, tmp_path):
    page = read(write(collect(ran[1] / "suite.toml", tmp_path / "nothing"), tmp_path))
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
