"""A layer as samples: which rows they are, and what the images show there."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.pipeline.samples import middles, samples_of

from ..toys import TASK, cnn_network, dataset, network


def test_an_image_is_a_sample():
    net, scenes = cnn_network(), dataset(7).test
    found = samples_of(net, "hidden", scenes, "places", 3, 0)
    assert found.values == pytest.approx(net.activations(scenes.images)["hidden"].numpy(), abs=1e-6)
    assert not found.by_place
    kinds = {kind: found.features(kind) for kind in found.identity}
    assert (kinds["tile"].identity[kinds["tile"].of_image, 0] == scenes.tile.numpy()).all()
    assert (kinds["class"].identity[kinds["class"].of_image, 0] == scenes.labels.numpy()).all()
    assert (kinds["tile-place"].identity[kinds["tile-place"].of_image, 1] == scenes.row.numpy()).all()


def test_means_of_maps():
    net, scenes = cnn_network(), dataset(7).test
    found = samples_of(net, "conv", scenes, "mean", 3, 0)
    assert found.values == pytest.approx(net.activations(scenes.images)["conv"].mean((2, 3)).numpy(), abs=1e-6)
    assert set(found.identity) == {"tile", "tile-place", "class"}


class Blocks(nn.Module):
    """Maps that are the image itself, in blocks."""

    def __init__(self, size):
        super().__init__()
        self.maps = nn.MaxPool2d(size)
        self.logits = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

    def forward(self, images):
        return self.logits(self.maps(images))


@pytest.mark.parametrize("task", [TASK])
def test_a_place_is_a_sample_and_shows_the_tile_that_covers_it(task):
    module = Blocks(1)
    module(torch.zeros(1, 1, 8, 8))
    # Tiles alone are bright, each in its own way; the background is black.
    scenes = dataset(30).test.with_backgrounds(0.0)
    found = samples_of(network(module, "maps", "logits"), "maps", scenes, "places", 5, 0)
    assert found.by_place
    assert found.values.shape == (150, 1)
    assert set(found.identity) == {"tile", "class"}
    shown = found.values[:, 0] > 0
    assert ((found.identity["tile"][:, 0] >= 0) == shown).all()
    assert 0.05 < shown.mean() < 0.6
    of_image = np.repeat(scenes.labels.numpy(), 5)
    assert (found.identity["class"][shown, 0] == of_image[shown]).all()


def test_parts_of_the_images_do_not_matter(monkeypatch):
    net, scenes = cnn_network(), dataset(9).test
    whole = samples_of(net, "conv", scenes, "places", 4, 3)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 400)
    parts = samples_of(net, "conv", scenes, "places", 4, 3)
    assert parts.values == pytest.approx(whole.values, abs=1e-6)
    assert (parts.identity["tile"] == whole.identity["tile"]).all()
    other = samples_of(net, "conv", scenes, "places", 4, 4)
    assert not np.array_equal(other.values, whole.values)


def test_values_do_not_depend_on_how_many_images_are_taken_at_a_time():
    net, scenes = cnn_network(), dataset(60).test
    module = nn.Sequential()
    module.add_module("hidden", nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.Tanh()))
    module.add_module("logits", nn.Linear(50, 3))
    for one, layer in ((network(module, "hidden", "logits"), "hidden"), (net, "conv"), (net, "hidden")):
        whole = samples_of(one, layer, scenes, "mean", 1, 0)
        assert whole.in_float64
        for at_once in (1, 7):
            one.module.images_at_once = at_once
            assert np.array_equal(samples_of(one, layer, scenes, "mean", 1, 0).values, whole.values)
        del one.module.images_at_once
        assert one.module(scenes.images).dtype == torch.float32  # a copy was widened


class Stubborn(nn.Module):
    """A module that does not run in float64."""

    def __init__(self):
        super().__init__()
        self.hidden, self.logits = nn.Flatten(), nn.Linear(64, 3)

    def forward(self, images):
        return self.logits(self.hidden(images.float()))


def test_what_does_not_run_in_float64_is_taken_as_it_is_and_says_so():
    net, data = network(Stubborn(), "hidden", "logits"), dataset(20)
    found = samples_of(net, "hidden", data.test, "places", 1, 0)
    assert not found.in_float64
    assert np.array_equal(found.values, data.test.images.flatten(1).numpy())
    settings = {"methods": ["nmf"], "atoms": 3, "layer": "hidden", "images": 20}
    assert any("does not run in float64" in note for note in tmi.probe("dictionary", net, data, **settings).notes)
    assert not any("float64" in note for note in tmi.probe("dictionary", cnn_network(), data, **settings).notes)


def test_middles():
    assert middles(36, 40).tolist() == list(range(2, 38))  # a 5×5 kernel without padding
    assert middles(8, 8).tolist() == list(range(8))
    assert middles(4, 8).tolist() == [1, 3, 5, 7]  # blocks of two, the second of the middle ones
    assert middles(1, 9).tolist() == [4]
    assert middles(10, 8).tolist() == list(range(-1, 9))  # padded
    assert all(middles(count, side).shape == (count,) for count in range(1, 9) for side in range(1, 9))


def test_an_unknown_layer():
    with pytest.raises(tmi.TmiError):
        samples_of(cnn_network(), "nothing", dataset(2).test, "places", 1, 0)
