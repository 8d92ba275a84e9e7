import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.layers.superposition import superposition, weight_matrix

from ..circuits.computed import OTHER_WEIGHTS, computed_weights
from ..toys import TASK, Phi, Sums, cnn_network, dataset, network


class Arranged(nn.Module):
    """Adds a direction for each class that an image shows to what its background does to every image."""

    def __init__(self, directions):
        super().__init__()
        self.directions = torch.tensor(directions, dtype=torch.float32)
        self.hidden, self.logits = nn.Identity(), nn.Identity()

    def forward(self, images):
        shown = TASK.memberships(images).float()
        # Its first pixel is background in the scenes of these tests.
        hidden = self.hidden(shown @ self.directions.T + 5 + images[:, 0, 0, :1])
        return self.logits(torch.cat([hidden, shown], 1)[:, -3:])


def away_from_the_corner():
    data = dataset(60)
    test = data.test
    test = tmi.Scenes(TASK, test.backgrounds, test.tile, 4, 4)
    return tmi.Dataset(TASK, test, test[test.unambiguous().numpy() & (TASK.labels(test.without_tiles().images) == -1).numpy()])


def test_a_triangle_is_found_independently_of_what_all_images_share():
    angle = 2 * np.pi * np.arange(3) / 3
    net = network(Arranged(np.stack([np.cos(angle), np.sin(angle)])), "hidden", "logits")
    result = superposition(net, away_from_the_corner(), seed=0, features=["class"])
    assert result.arrays["feature_dimensionality.class.hidden"].values == pytest.approx([2 / 3] * 3, abs=1e-5)
    assert result.metrics["dimensions_per_feature.class.hidden"] == pytest.approx(2 / 3, abs=1e-5)
    assert result.metrics["feature_dimensionality.class.hidden.oracle"] == pytest.approx(2 / 3)
    assert result.metrics["feature_dimensionality.class.hidden.chance"] < 0.66
    assert result.metrics["feature_dimensionality.class.logits"] == pytest.approx(1)
    assert result.coords["feature.class"].tolist() == ["dark", "grey", "light"]


def test_known_directions():
    angle = 2 * np.pi * np.arange(5) / 5
    pentagon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    net = network(Arranged(np.zeros((2, 3))), "hidden", "logits")
    net.known_directions["hidden"] = tmi.Directions(pentagon, {"class": list("abcde")})
    net.meanings["logits"] = {"class": list(net.task.class_names)}
    metrics = superposition(net, away_from_the_corner(), seed=0, features=["class"]).metrics
    assert metrics["known_dimensionality.hidden"] == pytest.approx(2 / 5)
    assert metrics["features_per_neuron.hidden"] == pytest.approx(9 / 2)  # the first direction has no second coordinate
    assert metrics["known_dimensionality.logits"] == metrics["features_per_neuron.logits"] == 1


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_constructed_networks_give_every_feature_a_dimension(name):
    data = tmi.generate("fashion", seed=0, tiles_per_class=2, samples=10, test_samples=150)
    result = tmi.probe("superposition", tmi.build(name, data, realisation="fused"), data)
    assert (result.arrays["feature_dimensionality.tile-place.hidden"].values == 1).all()
    assert result.metrics["dimensions_per_feature.tile-place.hidden"] == pytest.approx(1)
    assert result.metrics["feature_dimensionality.class.logits"] == pytest.approx(1)
    # Two tiles a class lie on one axis: each has half of it.
    assert result.metrics["feature_dimensionality.tile.logits"] == pytest.approx(0.5)


def test_weights():
    net, data = cnn_network(), dataset(20)
    images = data.test.images
    result = superposition(net, data, seed=0)
    conv, hidden = net.module.conv[0].weight, net.module.hidden[0].weight
    assert (weight_matrix(net, "conv", images) == conv.detach().double().flatten(1).numpy()).all()
    assert weight_matrix(net, "hidden", images).shape == tuple(hidden.shape)
    gram = np.square((hidden.T @ hidden).detach().double().numpy())
    assert result.arrays["weight_dimensionality.hidden"].values == pytest.approx(np.diag(gram) / gram.sum(1), rel=1e-5)
    assert weight_matrix(network(Phi()), "logits", images) == "they are not of one dense linear or convolutional module"
    assert 0 < result.metrics["weight_dimensionality.hidden.chance"] < result.metrics["weight_dimensionality.hidden.oracle"]
    assert any("weights of logits: left out" in note for note in superposition(network(Phi()), dataset(9), seed=0).notes)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
def test_weights_are_those_that_the_layers_compute_with():
    data = dataset(30)
    computed, same = computed_weights()
    found, expected = (superposition(net, data, seed=0).metrics for net in (computed, same))
    assert "weight_dimensionality.conv" in found
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("layer", ["conv", "hidden", "logits"])
@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_weights_that_are_not_those_of_the_layer_are_left_out(layer, way):
    net = cnn_network()
    OTHER_WEIGHTS[way](net.module, layer)
    result = superposition(net, dataset(12), seed=0)
    assert f"weight_dimensionality.{layer}" not in result.metrics
    assert f"weights of {layer}: left out, for the module computes with other weights than it holds" in result.notes
    assert sum(name.startswith("weight_dimensionality") for name in result.metrics) == 6  # with .chance and .oracle


def test_a_layer_that_no_tile_moves():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.logits = nn.Identity(), nn.Identity()

        def forward(self, images):
            return self.logits(self.hidden(torch.ones(len(images), 3)))

    result = superposition(network(Constant(), "hidden", "logits"), dataset(9), seed=0, features=["tile"])
    assert not result.applicable
    assert any("tile.hidden: left out, for no tile changes" in note for note in result.notes)


def test_activations_that_are_not_numbers_are_left_out():
    module, data = Sums(), dataset(9)
    net = network(module, "hidden", "logits")
    net.check(data.test.images)  # NaN from the first image on would be refused
    with torch.no_grad():
        module.logits.weight.fill_(torch.inf)
    result = superposition(net, data, seed=0)
    assert "feature_dimensionality.tile.hidden" in result.metrics
    assert "feature_dimensionality.tile.logits" not in result.metrics
    assert any("logits: left out, for activations are NaN" in note for note in result.notes)
    assert "weight_dimensionality.logits" not in result.metrics


def test_batches_and_sampling(monkeypatch):
    net, data = cnn_network(), dataset(40)
    whole = superposition(net, data, seed=0, neurons=50).metrics
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 500)
    assert superposition(net, data, seed=0, neurons=50).metrics == pytest.approx(whole, abs=1e-5)
