import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.layers import superposition as probe
from tmi_probes.layers.superposition import Dimensions, weight_matrix
from tmi_probes.measures.superposition import feature_dimensionality
from tmi_probes.pipeline.features import features

from ..circuits.computed import OTHER_WEIGHTS, computed_weights
from ..toys import TASK, Phi, Sums, cnn_network, dataset, network, small_cnn


def superposition(net, data, **settings):
    return probe.superposition(net, data, **{"seed": 0, "sample": "test", **settings})


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
    assert result.metrics["feature_dimensionality.class.hidden.chance.low"] < 0.66
    assert result.metrics["feature_dimensionality.class.logits"] == pytest.approx(2 / 3)  # one logit a class is the same triangle
    assert result.coords["feature.class"].tolist() == ["dark", "grey", "light"]


def test_known_directions():
    angle = 2 * np.pi * np.arange(5) / 5
    pentagon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    net = network(Arranged(np.zeros((2, 3))), "hidden", "logits")
    net.known_directions["hidden"] = tmi.Directions(pentagon, {"class": list("abcde")})
    net.meanings["logits"] = {"class": list(net.task.class_names)}
    metrics = superposition(net, away_from_the_corner(), seed=0, features=["class"]).metrics
    assert metrics["known_dimensionality.hidden"] == metrics["known_dimensionality.hidden.oracle"] == pytest.approx(2 / 5)
    assert metrics["features_per_neuron.hidden"] == pytest.approx(9 / 2)  # the first direction has no second coordinate
    assert metrics["known_dimensionality.logits"] == metrics["known_dimensionality.logits.oracle"] == pytest.approx(2 / 3)
    assert metrics["features_per_neuron.logits"] == 1


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_constructed_networks_give_every_feature_the_most_that_it_can_have(name):
    data = tmi.generate("fashion", seed=0, tiles_per_class=2, samples=10, test_samples=150)
    result = tmi.probe("superposition", tmi.build(name, data, realisation="fused"), data)
    of_places = result.arrays["feature_dimensionality.tile-place.hidden"].values
    assert of_places == pytest.approx(np.full(len(of_places), 1 - 1 / len(of_places)), abs=1e-5)
    for metric in (
        "feature_dimensionality.tile-place.hidden",
        "known_dimensionality.hidden",
        "feature_dimensionality.class.logits",
    ):
        assert result.metrics[metric] == pytest.approx(result.metrics[f"{metric}.oracle"], abs=1e-5)
    assert result.metrics["dimensions_per_feature.tile-place.hidden"] == pytest.approx(1)
    assert result.metrics["feature_dimensionality.class.logits"] == pytest.approx(0.9)
    # Two tiles a class lie on one axis: each has half of it.
    assert result.metrics["feature_dimensionality.tile.logits"] == pytest.approx(0.45)


class Shared(Arranged):
    """As `Arranged`, with a direction of its own for each class and ten times a direction that every tile adds."""

    def forward(self, images):
        shown = TASK.memberships(images).float()
        common = shown.sum(1, keepdim=True) * torch.linspace(10, 20, len(self.directions))
        return self.logits(torch.cat([self.hidden(shown @ self.directions.T + common), shown], 1)[:, -3:])


def test_a_direction_that_all_tiles_share_does_not_hide_their_own():
    own = np.random.default_rng(0).normal(size=(6, 3))
    found = superposition(
        network(Shared(own), "hidden", "logits"), away_from_the_corner(), seed=0, features=["class"], sample="test"
    )
    expected = superposition(
        network(Arranged(own), "hidden", "logits"), away_from_the_corner(), seed=0, features=["class"], sample="test"
    )
    name = "feature_dimensionality.class.hidden"
    assert found.metrics[name] == pytest.approx(expected.metrics[name], abs=1e-4)
    assert found.metrics[name] > 0.5


def test_an_untrained_network_stands_beside_the_trained_one():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=60)
    net = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=8, epochs=40, batch_size=10, lr=0.1)
    result, before = (superposition(which, data, seed=0, features=["tile-place"]) for which in (net, net.untrained()))
    for metric in ("feature_dimensionality.tile-place.hidden", "weight_dimensionality.hidden"):
        assert result.metrics[f"{metric}.untrained"] == before.metrics[metric] != result.metrics[metric]
        low, mean, high = (result.metrics[f"{metric}.chance{end}"] for end in (".low", "", ".high"))
        assert low < mean < high
    assert result.metrics["dimensions_per_feature.tile-place.hidden.untrained"] > 0
    assert any("no untrained control" in note for note in superposition(cnn_network(), dataset(9), seed=0).notes)


def test_shuffled_images_score_what_the_formula_gives():
    """Chance, by the products of images, against directions that are computed from shuffled activations."""
    net, data = cnn_network(), dataset(40)
    scenes = data.test
    change = (net.activations(scenes.images)["hidden"] - net.activations(scenes.without_tiles().images)["hidden"]).numpy()
    present = features(scenes, "tile")
    shuffled = present.shuffled(np.random.default_rng(3))
    means = np.stack([change[shuffled.of_image == i].mean(0) for i in range(len(present))], axis=1)
    found = Dimensions(change).by_chance(shuffled)["feature_dimensionality"]
    assert found == pytest.approx(feature_dimensionality(means.astype(float)).mean(), abs=1e-5)


@pytest.mark.parametrize("tiles", [1, 2])
def test_one_or_two_features_say_nothing(tiles):
    task = tmi.TemplateTask(
        [tmi.TileClass(str(i), [tmi.FeatureTile(np.full((3, 3), 0.2 + 0.3 * i), 0.2)]) for i in range(tiles)], (1, 8, 8)
    )
    result = superposition(network(small_cnn(task), "conv", "hidden", "logits", task=task), dataset(9, task=task), seed=0)
    assert not any(name.startswith("feature_dimensionality.tile.") for name in result.metrics)
    assert any("feature_dimensionality.tile.hidden: not applicable, for fewer than three" in note for note in result.notes)


def test_weights():
    net, data = cnn_network(), dataset(20)
    images = data.test.images
    result = superposition(net, data, seed=0)
    conv, hidden = net.module.conv[0].weight, net.module.hidden[0].weight
    assert (weight_matrix(net, "conv", images) == conv.detach().double().flatten(1).numpy()).all()
    assert weight_matrix(net, "hidden", images).shape == tuple(hidden.shape)
    centred = (hidden - hidden.mean(1, keepdim=True)).detach().double().numpy()
    gram = np.square(centred.T @ centred)
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
    assert sum(name.startswith("weight_dimensionality") for name in result.metrics) == 10  # with .chance, its ends, and .oracle


def test_a_layer_that_no_tile_moves():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.logits = nn.Identity(), nn.Identity()

        def forward(self, images):
            return self.logits(self.hidden(torch.ones(len(images), 3)))

    result = superposition(network(Constant(), "hidden", "logits"), dataset(9), seed=0, features=["tile"])
    assert not result.applicable
    assert any("hidden: left out, for no tile changes" in note for note in result.notes)


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


def test_scenes_by_design_show_every_tile_equally_often():
    result = superposition(tmi.build("theorem1", TASK), dataset(20), sample="design", images=120)
    assert any("images by design" in note for note in result.notes)
    # At equally many places, the tiles' directions have one length, so that they are a regular simplex.
    assert result.metrics["feature_dimensionality.tile.hidden"] == pytest.approx(3 / 4, abs=0.01)
