"""docs/make_monosemanticity.py: its lines of results by hand, and the marks that it looks for."""

from __future__ import annotations

import importlib
import re

import pytest

import tmi
from tests.plugins.tmi_paper.test_comparison import TRAINED, many

from .pages import ROOT


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("make_monosemanticity")


def test_lines_are_those_of_the_report(made):
    results = many([0.5, 0.52, 0.48, 0.51, 0.49])
    said, shown = made.blocks(results)
    title, _, line, _ = said.split("\n")
    assert title == "**Fashion-MNIST tiles, one a class.**"
    assert line.startswith(f"- {TRAINED}: 5 of 5 runs learnt the task; beside Theorem 1, of 2 measures 0 better, 1 worse (class")
    head, _, *rows = shown.split("\n")
    assert head == f"| measure | better | constructed: Theorem 1 | {TRAINED} |"
    assert rows == [
        "| accuracy | ↑ | 1 (n = 5) | ≈ 1 (n = 5) |",
        "| class selectivity | ↑ | 0.9 (n = 5) | ▼ 0.5 ± 0.02 (n = 5) |",
    ]


def test_the_page_has_the_marks_that_the_program_looks_for():
    text = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- (monosemanticity: \w+) -->\n\n.*?\n\n<!-- end -->", text, re.DOTALL)
    assert found == ["monosemanticity: sentences", "monosemanticity: table"]


def test_the_page_lists_the_probes_that_the_suite_leaves_out():
    text = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    sentence = re.search(r"Suite `monosemanticity` runs the probes on .*?;", text, re.DOTALL)[0]
    left_out = set(re.findall(r"`([\w-]+)`", sentence)) - {"monosemanticity"}
    assert left_out == set(tmi.names("probe")) - {cell.probe.component.name for cell in tmi.load_suite("monosemanticity").cells}
