"""docs/make_causes.py: its tables by hand, and the marks that it looks for."""

from __future__ import annotations

import importlib
import sys

import pytest

from .pages import ROOT


@pytest.fixture
def make_causes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("make_causes")
    for name in ("make_causes", "blocks"):
        sys.modules.pop(name, None)


def test_tables(make_causes):
    assert make_causes.over_seeds([2.0, 2.0]) == "2"
    assert make_causes.over_seeds([None, None]) == "–"
    low, high = make_causes.over_seeds([1.0, 2.0, 3.0, 2.0, 2.0]).removeprefix("2 [").removesuffix("]").split(", ")
    assert 1 < float(low) < 2 < float(high) < 3
    header, _, row = make_causes.sizes({"net": [{"differ.noising.unit": 3.0, "top_share.noising.unit": 0.5}]}).split("\n")
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["net", "3", "–", "0.5", "–", "–", "–"]
    assert header.count("|") == row.count("|")
    *_, row = make_causes.rates([("net", "unit", {"patching": [1.0, 0.0, None]})]).split("\n")
    assert row == "| net | unit | 1 / 0 / – |"


def test_names_without_layer(make_causes):
    assert make_causes.without_layer({"a.noising.unit.conv.untrained": 1.0}) == {"a.noising.unit.untrained": 1.0}


def test_the_page_has_what_the_program_writes():
    page = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    for mark in ("causes: sizes", "causes: rates"):
        assert page.count(f"<!-- {mark} -->") == 1
