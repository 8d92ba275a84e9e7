"""Scores against features, with chance and oracle."""

import numpy as np
import pytest

from tmi_probes.measures.recovery import recovery
from tmi_probes.measures.recovery_metrics import add_recovery
from tmi_probes.pipeline.features import Features
from tmi_probes.pipeline.result import ResultBuilder

SHOWN = np.array([0, 0, 1, 1, 2, 2])
CLASSES = Features("class", SHOWN, np.arange(3)[:, None])
ORDER = np.array([2, 0, 4, 1, 5, 3])


def test_exact_units_score_what_the_oracle_says():
    result = ResultBuilder({})
    values = (SHOWN[:, None] == np.arange(2)).astype(float)  # the third class has no unit
    add_recovery(result, "class.units", values, CLASSES, ORDER)
    for measure, oracle in (("mcc", 2 / 3), ("uniqueness", 1), ("f1", 1)):
        assert result.metrics[f"{measure}.class.units"] == pytest.approx(oracle)
        assert result.metrics[f"{measure}.class.units.oracle"] == pytest.approx(oracle)
    shuffled = recovery(values[ORDER], CLASSES)
    assert result.metrics["mcc.class.units.chance"] == shuffled.mcc
    assert result.metrics["f1.class.units.chance"] == shuffled.f1.mean()


def test_without_units_nothing_is_recovered():
    result = ResultBuilder({})
    scored = add_recovery(result, "class.units", np.empty((6, 0)), CLASSES, ORDER)
    assert result.metrics == {f"mcc.class.units{suffix}": 0 for suffix in ("", ".chance", ".oracle")}
    assert (scored.matched_unit == -1).all()


def test_of_one_feature_that_all_samples_show_there_is_nothing_to_recover():
    result = ResultBuilder({})
    alone = Features("class", np.zeros(6, int), np.zeros((1, 1), int))
    add_recovery(result, "class.units", np.random.default_rng(0).random((6, 2)), alone, ORDER)
    assert not result.metrics


def test_what_any_unit_scores_is_left_out():
    values = np.random.default_rng(0).random((6, 2))
    named = {"mcc", "uniqueness", "f1"}

    def given(features, units=values):
        result = ResultBuilder({})
        add_recovery(result, "class.units", units, features, ORDER)
        return {name.partition(".")[0] for name in result.metrics}, result.notes

    # Each class has one picture: the pictures on which a unit is strongest are a class. Two pictures are told apart by any unit.
    of_picture = np.repeat(values[:3], 2, axis=0)
    assert given(Features("class", SHOWN, np.arange(3)[:, None], np.arange(6))) == (named, [])
    alike, notes = given(Features("class", SHOWN, np.arange(3)[:, None], SHOWN), of_picture)
    assert alike == {"mcc", "uniqueness"}
    assert "all images of a class are equal" in notes[0]
    assert recovery(of_picture, CLASSES).f1.tolist() == [1, 1]
    halves = np.array([0, 0, 0, 1, 1, 1])
    two, notes = given(Features("class", halves, np.arange(2)[:, None], halves), np.repeat(values[:2], 3, axis=0))
    assert not two
    assert recovery(np.repeat(values[:2], 3, axis=0), Features("class", halves, np.arange(2)[:, None])).mcc == pytest.approx(1)
    alone, notes = given(CLASSES, values[:, :1])
    assert alone == {"mcc", "f1"}
    assert "one unit alone" in notes[0]
