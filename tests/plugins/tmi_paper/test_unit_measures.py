"""Changes paired by seed, and what a measure's value is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import tmi
from tmi.runs.results import Entry
from tmi_paper.unit_measures import ACCURACY, MONOSEMANTIC, Measure, by_seed, change, shown, sign, written


def entry(probe, metrics, seed=0, network="plain", dataset="fashion", **swept):
    result = tmi.ProbeResult(metrics)
    return Entry("", dataset, network, probe, seed, swept, "ok", None, dict(result.metrics), record={}, _result=result)


def test_values_above_chance_and_by_seed():
    f1 = MONOSEMANTIC[0]
    entries = [
        entry("unit-recovery", {"f1.tile.conv": 0.7, "f1.tile.conv.chance": 0.5}),
        entry("unit-recovery", {"f1.tile.conv": 0.9}, seed=1),  # without chance there is nothing to be above
        entry("accuracy", {"accuracy": 0.9, "accuracy.chance": 0.1}, seed=2),
    ]
    assert by_seed(entries, f1, "conv") == {0: pytest.approx(0.2)}
    assert by_seed(entries, f1, "hidden") == {}
    assert by_seed(entries, ACCURACY, "conv") == {2: 0.9}


def test_changes_are_paired_and_their_interval_is_students():
    rng = np.random.default_rng(0)
    before, after = rng.random(5), rng.random(5)
    found = change(dict(enumerate(before)), dict(enumerate(after)) | {9: 1.0})
    expected = stats.ttest_rel(after, before).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.value == pytest.approx((after - before).mean())


def test_directions_need_an_interval_that_excludes_0():
    assert sign(change({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.3})) == 0  # two seeds: 1.15 ± 1.9
    assert sign(change({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.01})) == 1
    assert sign(change({0: 1.0, 1: 1.01}, {0: 0.0, 1: 0.0})) == -1
    assert sign(change({0: 0.5, 1: 0.25}, {0: 0.5, 1: 0.25})) == 0
    assert sign(change({0: 0.5}, {0: 0.9})) == 0
    assert change({0: 0.5}, {0: 0.9}) is change({0: 0.5}, {1: 0.9}) is None
    assert written(change({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.0})) == "+1 in every seed"
    assert written(None) == "unknown for one seed"


def test_changes_are_shown_after_the_correction_for_their_number():
    strong, weak = ({seed: mean + (seed - 2) / 10 for seed in range(5)} for mean in (-1.0, 0.22))
    pairs = {"strong": strong, "weak": weak, "none": dict.fromkeys(range(5), 0.0)}
    changes = {name: change(dict.fromkeys(range(5), 0.0), after) for name, after in pairs.items()}
    assert sign(changes["weak"]) == 1  # p = 0.035 alone, 0.07 beside "none"
    assert shown(changes) == {"strong": -1}
    assert shown({"strong": changes["strong"], "weak": changes["weak"], "unknown": None}) == {"strong": -1, "weak": 1}
    equal = {count: change(dict.fromkeys(range(count), 0.0), dict.fromkeys(range(count), 0.5)) for count in (4, 5)}
    assert shown({"of four": equal[4]}) == {}  # as a sign test of so few has it
    assert shown({"of five": equal[5]}) == {"of five": 1}
    assert shown({}) == shown({"one seed": change({0: 0.0}, {0: 1.0})}) == {}


def test_every_measure_is_of_a_probe_that_has_it():
    for measure in (*MONOSEMANTIC, ACCURACY):
        assert isinstance(measure, Measure)
        assert measure.probe in tmi.names("probe")
