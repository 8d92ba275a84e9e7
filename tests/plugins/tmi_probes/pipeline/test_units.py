"""The units that a probe looks at: all of a layer or some, and of as many layers at a time as fit."""

import numpy as np
import pytest

import tmi
from tmi_probes.pipeline.units import inner_layer, units_of_layers

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
