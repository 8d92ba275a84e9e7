"""The units that a probe looks at: all of a layer or some, and of as many layers at a time as fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.pipeline.units import images_at_once, in_parts, inner_layer, parts_of, units_of_layers

from ..toys import Sums, cnn_network, dataset, network


@pytest.mark.parametrize("held", [1, 6_000, 10**9])
def test_layers_that_are_not_held_together_are_the_same(monkeypatch, held):
    monkeypatch.setattr("tmi_probes.pipeline.units._HELD", held)
    net, scenes, notes = cnn_network(), dataset(40).test, []
    calls = []
    monkeypatch.setattr(
        net, "activations", lambda *given, **how: calls.append(given[1]) or type(net).activations(net, *given, **how)
    )
    found = dict(units_of_layers(net, scenes, net.layers, 20, np.random.default_rng(0), notes))
    assert list(found) == list(net.layers)
    assert sum(set(layers) == {"conv"} for layers in calls) == (held == 1)
    seen = type(net).activations(net, scenes.images)
    for layer, units in found.items():
        assert units.activations == pytest.approx(seen[layer].flatten(1).numpy()[:, units.index], abs=1e-6)
    assert len(found["conv"].index) == 20 < found["conv"].size
    assert np.array_equal(found["conv"].index, np.sort(np.random.default_rng(0).permutation(144)[:20]))
    assert notes == ["conv: 20 of 144 neurons examined, drawn at random"]


@given(st.integers(0, 2000), st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**7), st.integers(1, 300))
def test_parts_are_all_images_once_and_within_the_bound(count, rows, cols, activations, most):
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.ones((3, 1, 1)), 0.1)])], (3, rows, cols))
    parts = list(parts_of(count, task, activations, most))
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    largest = max((part.stop - part.start for part in parts), default=0)
    assert largest <= min(256, most)
    assert largest <= 1 or largest * max(3 * rows * cols, activations) <= 4_000_000


def test_small_images_are_taken_256_at_a_time_as_by_the_network():
    assert images_at_once(40 * 40) == images_at_once(0) == 256
    assert images_at_once(3 * 224 * 224) == 26
    assert images_at_once(10**9) == 1


def test_parts_of_scenes_render_their_own_images_alone(monkeypatch):
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 3 * 64)
    scenes = dataset(8).test
    parts = list(in_parts(scenes))
    assert [len(part) for _, part in parts] == [3, 3, 2]
    assert all((part.images == dataset(8).test.images[rows]).all() for rows, part in parts)
    assert "images" not in vars(scenes)


def test_no_layers():
    assert list(units_of_layers(cnn_network(), dataset(2).test, [], 5, np.random.default_rng(0), [])) == []


def test_which_layer():
    assert inner_layer(cnn_network(), None) == "hidden"
    assert inner_layer(cnn_network(), "conv") == "conv"
    assert inner_layer(network(Sums()), None) is None
    with pytest.raises(tmi.InputError, match="gives the logits"):
        inner_layer(cnn_network(), "logits")


@pytest.mark.parametrize("probe", ["responsible-neurons", "dictionary"])
def test_an_unknown_layer_is_refused_with_the_nearest_name(probe):
    with pytest.raises(tmi.UnknownNameError, match="hidden"):
        tmi.probe(probe, cnn_network(), dataset(5), layer="hiden")
