import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.pipeline.scenes import described, each_once, finite, labelled, of_label, of_others, predictions, spread_over

from ..toys import dataset


def test_a_tie_and_nan_predict_nothing():
    logits = np.array([[0.0, 2, 1], [3, 3, 1], [0, 0, 0], [1, np.nan, 0], [-1, -2, -3]])
    assert predictions(logits).tolist() == [1, -1, -1, -1, 0]


def test_logit_of_the_label_and_of_the_others():
    logits = np.arange(6.0).reshape(2, 3)
    assert of_label(logits, np.array([2, 0])).tolist() == [2, 3]
    assert of_others(logits, np.array([2, 0])).tolist() == [[0, 1], [4, 5]]


def test_only_labelled_scenes_count():
    scenes = dataset(6).test
    scenes = tmi.Scenes(scenes.task, scenes.backgrounds, [-1, 0, 1, -1, 2, 3], 0, 0)
    assert labelled(scenes).tile.tolist() == [0, 1, 2, 3]
    assert labelled(scenes, 2).tile.tolist() == [0, 1]
    with pytest.raises(tmi.InputError, match="shows a tile"):
        labelled(scenes.without_tiles())


def test_what_is_not_finite_is_named_in_a_note():
    notes = []
    assert finite({"a": 1, "b": np.nan, "c": -np.inf}, notes) == {"a": 1.0}
    assert notes == ["left out, for they are not finite numbers: b, c"]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 25))
def test_as_many_groups_as_possible(groups, count):
    chosen = spread_over(groups, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(groups))
    assert len({groups[i] for i in chosen}) == min(count, len(set(groups)))


def test_metrics_are_explained_by_what_stands_before_the_first_dot():
    info = {"mcc": tmi.MetricInfo("one"), "f1": tmi.MetricInfo("other")}
    assert described(info, ["mcc.tile.hidden", "else"]) == {"mcc": info["mcc"]}


@pytest.mark.parametrize("chosen", [[], ["a", "b", "a"]])
def test_several_things_are_named_once(chosen):
    each_once("kinds", ["a", "b"])
    with pytest.raises(tmi.InputError, match="kinds: expected at least one, each once"):
        each_once("kinds", chosen)
