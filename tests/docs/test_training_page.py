"""docs/make_training.py: its tables of results by hand, and the marks that it looks for."""

from __future__ import annotations

import importlib
import re

import pytest

import tmi
from tests.plugins.tmi_paper.test_dynamics import watched
from tests.plugins.tmi_paper.test_pressure import by_hand
from tmi import statistics
from tmi_paper.dynamics import LAYERS, sentences
from tmi_paper.pressure import FAMILIES, Effect
from tmi_paper.unit_measures import ACCURACY, MONOSEMANTIC

from .pages import ROOT


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("make_training")


def cells(row):
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def test_the_table_of_pressures_has_values_of_plain_training_and_bold_changes_that_are_shown(made):
    *said, empty, head, _, plain, dropout, decay = made.under_pressure(by_hand(), "fashion")
    assert [line[:2] for line in said] == ["- "] * 2
    assert empty == ""
    assert len({line.count("|") for line in (head, plain, dropout, decay)}) == 1
    column = {name: number for number, name in enumerate(cells(head))}
    values = {cells(row)[0]: cells(row) for row in (plain, dropout, decay)}
    assert values["plain: the values"][column["accuracy"]] == "0.910 (0.885 to 0.935)"  # 0.9, 0.91, 0.92
    assert values["plain: the values"][column["dead units"]] == "–"
    assert values["dropout"][column["tiles"]] == "more"
    assert values["dropout"][column["tiles at places"]] == "not shown"
    assert values["dropout"][column["F1, tiles"]].startswith("**+0.202 (")
    assert values["dropout"][column["F1, tiles at places"]] == "–"
    assert values["weight decay 0.1"][column["accuracy"]].startswith("**-0.299 (")


def test_every_verdict_can_be_read_off_the_table(made):
    assert {measure for family in FAMILIES for measure in family} <= set(made.SHOWN.values())


def test_changes_are_written_with_and_without_an_interval(made):
    rise, equal = statistics.over_seeds([0.1, 0.15, 0.2]), statistics.over_seeds([0.5, 0.5])
    row = Effect("dropout", {ACCURACY: rise, MONOSEMANTIC[0]: equal}, {ACCURACY: 1})
    assert made.cell(row, ACCURACY) == "**+0.150 (+0.026 to +0.274)**"  # ± 4.303 · 0.05 / √3
    assert made.cell(row, MONOSEMANTIC[0]) == "+0.500 in every seed"
    assert made.cell(row, MONOSEMANTIC[1]) == "–"


def test_the_table_of_trainings_has_the_sentences_of_the_report(made):
    results = watched({0: 0.0, 1: 0.01, 5: 0.3}, {0: 0.3, 1: 0.3, 5: 0.6})
    _, _, *rows = made.along(results)
    assert rows[1] == f"| {LAYERS[1].text} | {' | '.join(sentences(results, LAYERS[1]))} |"
    assert len(rows) == len(LAYERS)


def test_an_empty_store_gives_an_empty_table(made):
    assert len(list(made.under_pressure(tmi.Results([]), "squares"))) == 6


def test_the_page_has_the_marks_that_the_program_looks_for():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- ([\w:. ]+) -->\n\n.*?\n\n<!-- end -->", text, re.DOTALL)
    assert found == ["populations", "training: dynamics", "training: section 6.1", "training: section 6.2"]
