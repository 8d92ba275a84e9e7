"""Confusions against plain counts, and distances of tiles against the formula."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_paper.confused_tiles import class_distances


def task():
    shapes = (np.full((2, 2), 1.0), np.full((2, 2), 0.75), np.full((2, 2), 0.25), np.full((3, 1), 0.5))
    return tmi.TemplateTask([tmi.TileClass(str(i), [tmi.FeatureTile(v, 0.1)]) for i, v in enumerate(shapes)], (1, 5, 5))


@pytest.fixture
def data():
    problem = task()
    scenes = tmi.Scenes.draw(problem, 200, rng=np.random.default_rng(0))
    return tmi.Dataset(problem, scenes, scenes)


class Knows(nn.Module):
    """Names the class of the tile, but the second class for the first, and for the third in every other image the fourth."""

    def __init__(self, scenes):
        super().__init__()
        self.known = {image.numpy().tobytes(): int(label) for image, label in zip(scenes.images, scenes.labels, strict=True)}
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        named = [self.known.get(image.detach().numpy().tobytes(), 0) for image in x]
        flipped = [{0: 1, 2: 3 if float(image.sum()) % 0.02 < 0.01 else 2}.get(n, n) for n, image in zip(named, x, strict=True)]
        return nn.functional.one_hot(torch.tensor(flipped), 4).float() * self.scale


def test_confusions_are_counted_and_compared_with_distances(data):
    module = nn.Sequential()
    module.add_module("logits", Knows(data.test))
    network = tmi.Network(module, ["logits"], "trained", task=data.task)
    result = tmi.probe("confused-tiles", network, data)
    labels = data.test.labels
    predicted = network.logits(data.test.images).argmax(1)
    first, third = int((labels == 0).sum()), int(((labels == 2) & (predicted == 3)).sum())
    assert first > 0
    assert third > 0
    confused = result.arrays["confused"].values
    assert confused[0, 1] == first
    assert confused[2, 3] == third
    assert confused.sum() == result.metrics["errors"] == first + third
    # The nearest pair is 0 and 1, a quarter apart in each of four pixels; of pairs with a common size there are three.
    assert result.metrics["least_distance"] == pytest.approx(1.0)
    assert result.metrics["nearest_share"] == pytest.approx(first / (first + third))
    assert result.metrics["nearest_share.chance"] == pytest.approx(1 / 6)
    assert result.metrics["worst_share"] == pytest.approx(max(first, third) / (first + third))


def test_a_network_without_errors_has_no_shares(data):
    result = tmi.probe("confused-tiles", tmi.build("theorem1", data), data)
    assert result.metrics == {"errors": 0, "least_distance": pytest.approx(1.0)}


def test_distances_are_least_over_tiles_and_need_a_common_size():
    distance = class_distances(task())
    assert np.isnan(np.diag(distance)).all()
    assert np.isnan(distance[3]).all()
    assert distance[0, 2] == distance[2, 0] == pytest.approx(3.0)
    two = [tmi.FeatureTile(np.full((1, 1), v), 0.01) for v in (0.2, 0.9)]
    problem = tmi.TemplateTask([tmi.TileClass("a", two), tmi.TileClass("b", [tmi.FeatureTile(np.ones((1, 1)), 0.01)])], (1, 2, 2))
    assert class_distances(problem)[0, 1] == pytest.approx(0.1)
