"""docs/make_causes.py: its tables by hand."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import tmi
from tmi import statistics
from tmi.runs.results import Entry

from .pages import ROOT


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("make_causes")
    for name in ("make_causes", "blocks"):
        sys.modules.pop(name, None)


def entry(network, probe, seed, metrics):
    return Entry("", "fashion", network, probe, seed, {}, "ok", None, metrics)


@pytest.fixture
def results():
    """Two columns of Theorem 1 and of a trained network, which training changes in the first column only."""
    entries = []
    for seed in range(5):
        differ, top = "differ.noising.unit", "top_share.noising.unit"
        entries.append(entry("theorem1", "patching", seed, {f"{differ}.hidden": 2.0, f"{top}.hidden": 0.5}))
        metrics = {f"{differ}.conv": 60 + seed, f"{differ}.conv.untrained": 50 + seed + seed / 10}
        metrics |= {f"{top}.conv": 0.1 + seed / 100, f"{top}.conv.untrained": 0.1 + (-1) ** seed / 100}
        entries.append(entry("cnn", "patching", seed, metrics))
    return tmi.Results(entries)


def rows(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_table_of_sizes(made, results):
    head, _, first, trained, before = rows(made.size_table(made.sizes(results)))
    assert len({len(head), len(first), len(trained), len(before)}) == 1
    assert first == ["Theorem 1, `hidden`", "2 in every seed", "–", "0.5 in every seed", "–", "–", "–"]
    assert trained[:2] == ["trained, `conv`", "62 [60, 64]"]
    assert before[0] == "untrained: trained, `conv`"


def test_differences_are_paired_and_corrected_for_the_whole_table(made, results):
    found = made.differences(made.sizes(results))
    assert list(found) == ["trained, `conv`, less before training", "trained, `conv`, less Theorem 1"]
    seeds = np.arange(5)
    by_hand = statistics.corrected(
        [
            statistics.difference(60 + seeds, 50 + 1.1 * seeds),
            statistics.difference(0.1 + seeds / 100, 0.1 + (-1.0) ** seeds / 100),
            statistics.difference(60 + seeds, np.full(5, 2.0)),
            statistics.difference(0.1 + seeds / 100, np.full(5, 0.5)),
        ]
    )
    made_in_order = [difference for columns in found.values() for difference in columns.values()]
    np.testing.assert_allclose([(e.low, e.high, e.p) for e in made_in_order], [(e.low, e.high, e.p) for e in by_hand])
    *_, before, theorem = made.difference_table(found)
    pair, _, words = before.partition(": ")
    assert pair == "- trained, `conv`, less before training"
    assert words == "higher: units that differ; lower: none; not shown to differ: share of the largest."
    assert theorem.endswith("higher: units that differ; lower: share of the largest; not shown to differ: none.")


def test_table_of_rates(made):
    entries = []
    for network, layer, mixed in (("theorem1", "hidden", ""), ("theorem2", "hidden", ""), ("superposed", "mixed", "-mixed")):
        scores = {f"{score}.noising.unit.{layer}": value for score, value in (("tpr", 1.0), ("fpr", 0.0), ("auc", 0.75))}
        moved = {f"tpr.noising.unit.{layer}": 0.5}
        if mixed:  # not linear in the layer: the estimate is another number
            scores |= {f"interaction.noising.unit.{layer}": 0.1, f"estimate_tpr.noising.unit.{layer}": 0.25}
        ablated = {f"{score}.unit.{layer}": 1.0 for score in ("tpr", "fpr", "auc")}
        for probe, metrics in (("patching", scores), ("moved", moved), ("ablation", ablated)):
            entries.append(entry(network, f"{probe}{mixed}", 0, metrics))
    _, _, first, _, superposed = rows(made.rates(tmi.Results(entries)))
    assert first[2:] == ["1 / 0 / 0.75", "0.5 / – / –", "1 / 0 / 0.75", "0.5 / – / –", "1 / 1 / 1"]
    assert superposed[2:] == ["1 / 0 / 0.75", "0.5 / – / –", "0.25 / – / –", "– / – / –", "1 / 1 / 1"]
