"""A layer as samples: which rows they are, and what the images show there."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.samples import middles, samples_of

from .toys import TASK, cnn_network, dataset, network


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
        self.logits = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))

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
    monkeypatch.setattr("tmi_probes.samples._ELEMENTS", 400)
    parts = samples_of(net, "conv", scenes, "places", 4, 3)
    assert parts.values == pytest.approx(whole.values, abs=1e-6)
    assert (parts.identity["tile"] == whole.identity["tile"]).all()
    other = samples_of(net, "conv", scenes, "places", 4, 4)
    assert not np.array_equal(other.values, whole.values)


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
