"""The builder of a result: what it keeps, what it leaves out and says so."""

import numpy as np
import pytest

import tmi
from tmi_probes.pipeline.result import ResultBuilder, each_once

INFO = {"mcc": tmi.MetricInfo("one"), "f1": tmi.MetricInfo("other")}


def test_a_metric_stands_beside_its_controls():
    builder = ResultBuilder(INFO)
    builder.add("mcc.tile", np.float32(0.5), chance=0, oracle=1)
    builder.add("f1", 0.25, chance=None)
    assert list(builder.result().metrics.items()) == [
        ("mcc.tile", 0.5),
        ("mcc.tile.chance", 0.0),
        ("mcc.tile.oracle", 1.0),
        ("f1", 0.25),
    ]


def test_what_is_not_finite_is_named_in_a_note():
    builder = ResultBuilder(INFO)
    builder.notes.append("first")
    builder.add("mcc", 1)
    builder.add("f1", np.nan, chance=-np.inf)
    result = builder.result()
    assert result.metrics == {"mcc": 1.0}
    assert result.notes == ("first", "left out, for they are not finite numbers: f1, f1.chance")


def test_metrics_are_explained_by_what_stands_before_the_first_dot():
    builder = ResultBuilder(INFO)
    builder.add("mcc.tile.hidden", 1)
    builder.add("else", 1)
    assert builder.result().info == {"mcc": INFO["mcc"]}


def test_labels_of_an_axis_without_an_array_are_left_out():
    builder = ResultBuilder(INFO)
    builder.arrays |= {"a": ("image", np.zeros(2)), "b": (("row", "col"), np.zeros((1, 3)))}
    builder.coords = {"image": ["x", "y"], "col": [1, 2, 3], "layer": ["hidden"]}
    assert set(builder.result().coords) == {"image", "col"}


def test_what_cannot_fail_is_left_out_with_the_reason():
    builder = ResultBuilder(INFO)
    builder.cannot_fail("mcc, f1", "all images show one tile")
    builder.arrays["a"] = ("image", np.zeros(2))
    assert not builder.result().applicable
    assert builder.result().notes == ("all images show one tile",)
    builder.cannot_fail("f1", "another reason")
    builder.cannot_fail("g1", "another reason")
    assert builder.result().notes == ("all images show one tile; another reason",)
    builder.add("mcc", 0.5)
    assert builder.result().metrics == {"mcc": 0.5}
    assert builder.result().notes[0] == "mcc, f1: not applicable, for all images show one tile"


def test_nothing_measured_is_not_applicable():
    assert not ResultBuilder(INFO).result().applicable


@pytest.mark.parametrize("chosen", [[], ["a", "b", "a"]])
def test_several_things_are_named_once(chosen):
    each_once("kinds", ["a", "b"])
    with pytest.raises(tmi.InputError, match="kinds: expected at least one, each once"):
        each_once("kinds", chosen)
