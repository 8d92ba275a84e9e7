import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import dataset
from tmi_attribution.common import described, each_once, finite, labelled, recording, spread_over


def test_scenes_with_a_label():
    scenes = dataset(6).test
    mixed = scenes.without_tiles()[:2]
    assert len(labelled(scenes, 4)) == 4
    assert len(labelled(scenes, 99)) == 6
    with pytest.raises(tmi.InputError, match="none of the scenes shows a tile"):
        labelled(mixed, 2)


def test_lists_without_repetition():
    each_once("steps", ["a", "b"])
    for values in ([], ["a", "a"]):
        with pytest.raises(tmi.InputError, match="steps: expected at least one, each once"):
            each_once("steps", values)


def test_metrics_that_are_not_finite_are_named_in_a_note():
    notes = []
    assert finite({"a": np.float64(1), "b": np.nan, "c": np.inf}, notes) == {"a": 1.0}
    assert notes == ["left out, for they are not finite numbers: b, c"]


def test_descriptions_of_what_there_is():
    info = {"skill": tmi.MetricInfo("skill"), "other": tmi.MetricInfo("other")}
    assert list(described(info, ["skill.mean", "mass"])) == ["skill"]


def test_positions_cover_as_many_groups_as_possible():
    assert spread_over([0, 0, 1, 2], 3) == [0, 2, 3]
    assert spread_over([0, 0, 0], 2) == [0, 1]
    assert spread_over([0], 4) == [0]


def test_gradients_are_recorded_where_they_were_switched_off():
    with torch.inference_mode(), recording():
        x = torch.ones(2, requires_grad=True)
        assert (x * x).requires_grad
