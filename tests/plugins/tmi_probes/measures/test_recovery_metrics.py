"""Scores against features, with chance and oracle."""

import numpy as np
import pytest

from tmi_probes.measures.recovery import recovery
from tmi_probes.measures.recovery_metrics import RecoveryScore
from tmi_probes.pipeline.features import Features
from tmi_probes.pipeline.layer_scores import DRAWS, add_scores
from tmi_probes.pipeline.result import ResultBuilder

SHOWN = np.array([0, 0, 1, 1, 2, 2])
CLASSES = Features("class", SHOWN, np.arange(3)[:, None])


def add_recovery(result, name, values, features, seed):
    score = RecoveryScore(values, seed)
    add_scores(result, name, score, features, np.random.default_rng(seed))
    return score.last


def test_exact_units_score_what_the_oracle_says():
    result = ResultBuilder({})
    values = (SHOWN[:, None] == np.arange(2)).astype(float)  # the third class has no unit
    add_recovery(result, "class.units", values, CLASSES, 0)
    for measure, oracle in (("mcc", 2 / 3), ("uniqueness", 1), ("f1", 1)):
        assert result.metrics[f"{measure}.class.units"] == pytest.approx(oracle)
        assert result.metrics[f"{measure}.class.units.oracle"] == pytest.approx(oracle)
    # Chance is the mean over shuffles of the features, scored like the features themselves, with its interval.
    rng = np.random.default_rng(0)
    shuffled = [recovery(values, CLASSES.shuffled(rng)) for _ in range(DRAWS)]
    for measure, drawn in (("mcc", [one.mcc for one in shuffled]), ("f1", [one.f1.mean() for one in shuffled])):
        assert result.metrics[f"{measure}.class.units.chance"] == pytest.approx(np.mean(drawn))
        assert result.metrics[f"{measure}.class.units.chance.low"] == pytest.approx(np.quantile(drawn, 0.025))
        assert result.metrics[f"{measure}.class.units.chance.high"] == pytest.approx(np.quantile(drawn, 0.975))


def test_f1_by_chance_is_the_mean_over_units_of_which_a_few_are_drawn(monkeypatch):
    values = np.random.default_rng(1).random((60, 40)).round(1)
    features = Features("tile", np.random.default_rng(2).integers(0, 5, 60), np.arange(5)[:, None])
    rng = np.random.default_rng(3)
    every = np.mean([recovery(values, features.shuffled(rng)).f1.mean() for _ in range(60)])
    monkeypatch.setattr("tmi_probes.measures.recovery_metrics.FEW", 7)
    result = ResultBuilder({})
    add_recovery(result, "tile.units", values, features, 0)
    assert result.metrics["f1.tile.units.chance"] == pytest.approx(every, abs=0.01)
    # A matching is over all units: fewer would match less.
    assert result.metrics["mcc.tile.units.chance"] == pytest.approx(
        np.mean([recovery(values, features.shuffled(rng)).mcc for _ in range(60)]), abs=0.02
    )


def test_without_units_nothing_is_recovered():
    result = ResultBuilder({})
    scored = add_recovery(result, "class.units", np.empty((6, 0)), CLASSES, 0)
    assert result.metrics == {
        f"mcc.class.units{suffix}": 0 for suffix in ("", ".chance", ".chance.low", ".chance.high", ".oracle")
    }
    assert (scored.matched_unit == -1).all()


def test_of_one_feature_that_all_samples_show_there_is_nothing_to_recover():
    result = ResultBuilder({})
    alone = Features("class", np.zeros(6, int), np.zeros((1, 1), int))
    add_recovery(result, "class.units", np.random.default_rng(0).random((6, 2)), alone, 0)
    assert not result.metrics


def test_what_any_unit_scores_is_left_out():
    values = np.random.default_rng(0).random((6, 2))
    named = {"mcc", "uniqueness", "f1"}

    def given(features, units=values):
        result = ResultBuilder({})
        add_recovery(result, "class.units", units, features, 0)
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
