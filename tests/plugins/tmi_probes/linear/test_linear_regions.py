"""Linear regions: breakpoints by brute force, patterns by hand."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.linear.arrangement import zaslavsky
from tmi_probes.linear.breakpoints import of_layers
from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.linear.linear_regions import linear_regions

from ..toys import TASK, Phi, cnn_network, dataset, deep, network


def test_a_path_with_more_breakpoints_than_asked_for_stops():
    exact = ExactNetwork(deep())
    ends = torch.from_numpy(np.random.default_rng(0).random((2, 1, 8, 8)))
    full, _ = of_layers(exact, ends[:1], ends[1:], 1000)
    few, complete = of_layers(exact, ends[:1], ends[1:], 1)
    assert not complete
    assert 1 < len(few) < len(full)
    result = linear_regions(deep(), dataset(10), seed=0, most=1)
    assert any("lower bound" in note for note in result.notes)


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_on_fashion_a_constructed_network_keeps_its_piece_on_every_background(name):
    data = tmi.generate("fashion", seed=0, samples=10, test_samples=80, source="sample")
    result = linear_regions(tmi.build(name, data, realisation="fused"), data, seed=0)
    places = {(int(t), int(r), int(c)) for t, r, c in zip(data.test.tile, data.test.row, data.test.col, strict=True)}
    assert result.metrics["sample_regions"] == len(places)
    assert result.metrics["path_regions_max.background"] == 1
    assert result.metrics["path_regions_max.translation"] == 3  # the tile here, no tile, the tile there
    assert result.arrays["breakpoints.background"].shape == (2, 0)


def test_fused_and_literal_have_the_same_pieces():
    squares = tmi.generate("squares", seed=0, samples=10, test_samples=60)
    fused, one, two = (
        linear_regions(tmi.build(name, squares, realisation=how), squares, seed=3)
        for name, how in (("theorem1", "fused"), ("theorem1", "literal"), ("theorem2", "literal"))
    )
    for metric in ("sample_regions", "path_regions.background", "path_regions.translation", "sample_layer_share.hidden"):
        assert fused.metrics[metric] == one.metrics[metric] == two.metrics[metric]
    assert "sample_layer_share.conv" in one.metrics
    assert "sample_layer_share.level1" in two.metrics


@pytest.mark.parametrize(("neurons", "regions"), [(6, 57), (8, 163)])
def test_a_sample_of_a_one_layer_network_reaches_zaslavskys_number(neurons, regions):
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((1, 1), v), 0.01)]) for n, v in (("a", 0.2), ("b", 0.8))], (1, 2, 2)
    )
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(neurons, 4)), rng.normal(size=neurons)
    points = []
    for chosen in map(list, combinations(range(neurons), 4)):  # 2^4 regions lie around each point where four planes meet
        corner = np.linalg.solve(weight[chosen], -bias[chosen])
        points.append(corner + np.linalg.solve(weight[chosen], np.array(list(product([-1e-5, 1e-5], repeat=4))).T).T)
    scale = 0.4 / np.abs(points).max()  # all of them are brought into the cube of images
    images = torch.from_numpy(0.5 + scale * np.concatenate(points).reshape(-1, 1, 2, 2))
    module = nn.Sequential()
    module.add_module("hidden", nn.Sequential(nn.Flatten(), nn.Linear(4, neurons), nn.ReLU()))
    module.add_module("logits", nn.Linear(neurons, 2))
    module.double()
    with torch.no_grad():
        module.hidden[1].weight.copy_(torch.from_numpy(weight / scale))
        module.hidden[1].bias.copy_(torch.from_numpy(bias - weight.sum(1) / 2 / scale))
    net = network(module, "hidden", "logits", task=task)
    n = len(images)
    scenes = tmi.Scenes(task, images, 0, [0] * n, [0] * n, paste="support")
    covered = scenes.images.clone()
    patterns = np.concatenate([part[0] for _, part in ExactNetwork(net).patterns(images)])
    assert len(np.unique(patterns, axis=0)) == zaslavsky(neurons, 4) == regions
    # The probe's own count, on scenes whose one-pixel tile is a part of these images.
    own = linear_regions(net, tmi.Dataset(task, scenes, scenes), seed=0, images=n, paths=1)
    seen = np.concatenate([part[0] for _, part in ExactNetwork(net).patterns(covered)])
    assert own.metrics["sample_regions"] == len(np.unique(seen, axis=0))
    first = ExactNetwork(net)
    assert len(of_layers(first, images[:1], images[-1:], 100)[0]) <= neurons


def test_equal_images_share_a_pattern_and_share_is_distinct_over_images():
    data = dataset(10)
    twice = tmi.Dataset(TASK, data.train, data.test.repeated(3))
    once, thrice = (linear_regions(cnn_network(), d, seed=0) for d in (data, twice))
    assert thrice.metrics["sample_regions"] == once.metrics["sample_regions"]
    assert thrice.metrics["sample_regions_share"] == pytest.approx(once.metrics["sample_regions_share"] / 3)
    assert (thrice.arrays["pattern"].values.reshape(10, 3) == thrice.arrays["pattern"].values[::3, None]).all()


def test_networks_without_relu_modules_and_with_other_kinks():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(64, 5)
            self.act = nn.ReLU()
            self.logits = nn.Linear(5, 3)

        def forward(self, x):
            return self.logits(self.act(torch.relu(self.hidden(x.flatten(1))) - 0.1))

    result = linear_regions(network(Phi()), dataset(8), seed=0)
    assert not result.applicable
    assert "no nn.ReLU" in result.notes[0]
    assert "lower bounds" in linear_regions(network(Functional()), dataset(8), seed=0).notes[0]


def test_a_tile_as_large_as_the_image_has_nowhere_to_go():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((2, 2), v), 0.1)]) for n, v in (("a", 0.2), ("b", 0.8))], (1, 2, 2)
    )
    result = linear_regions(deep(task), dataset(6, task=task), seed=0)
    assert "path_regions.translation" not in result.metrics
    assert "path_regions.background" in result.metrics
