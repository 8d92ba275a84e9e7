"""network.js gives PyTorch's logits, activations and gradients, and Captum's attributions, to 1e-4; in Node."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tests.tmi.report.explorer.answers import ASK, as_page, check, in_node, needs_node, six_tiles

pytestmark = needs_node


def test_constructed_and_printed_networks_of_the_squares():
    data = tmi.generate("squares", seed=0, samples=5, test_samples=30)
    networks = {
        "theorem1": tmi.build("theorem1", data),
        "theorem1-layers": tmi.build("theorem1", data, realisation="literal"),
        "theorem2": tmi.build("theorem2", data, realisation="fused"),
        "printed": tmi.build("printed-squares", data),
    }
    check(in_node(ASK, as_page(data, networks)), data, networks)


def colourful(paste):
    """Tiles of three sizes in three colours, on images whose sides differ."""
    rng = np.random.default_rng(0)
    shapes = [(3, 2, 3), (3, 1, 1), (3, 4, 2)]
    tiles = [tmi.FeatureTile(rng.random(shape), 0.3, rng.random(shape) < 0.8) for shape in shapes]
    task = tmi.TemplateTask([tmi.TileClass(f"class <{i}>", [tile]) for i, tile in enumerate(tiles)], (3, 6, 9))
    train, test = (tmi.Scenes.draw(task, 20, rng=rng, paste=paste) for _ in range(2))
    return tmi.Dataset(task, train, test, name="colours")


def torch_layers(task):
    torch.manual_seed(0)
    layers = OrderedDict(
        conv=nn.Sequential(nn.Conv2d(3, 6, (3, 2), stride=(1, 2), padding=(1, 0), groups=3), nn.BatchNorm2d(6), nn.ReLU()),
        pool=nn.MaxPool2d(2, 1, padding=1),
        conv2=nn.Sequential(nn.Conv2d(6, 4, 2, dilation=2, bias=False), nn.ReLU()),
        average=nn.AvgPool2d((2, 1), 1, padding=(1, 0)),
        adaptive=nn.AdaptiveAvgPool2d((3, 2)),
        flatten=nn.Flatten(),
        hidden=nn.Sequential(nn.Linear(24, 10), nn.BatchNorm1d(10), nn.ReLU()),
        logits=nn.Linear(10, 3, bias=False),
    )
    module = nn.Sequential(layers)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
    return tmi.Network(module, ["conv", "pool", "conv2", "average", "adaptive", "hidden", "logits"], "trained", task=task)


def test_every_kind_of_layer_in_colour():
    cases = [colourful(paste) for paste in ("rectangle", "support", "blend")]
    networks = [{"layers": torch_layers(data.task), "theorem1": tmi.build("theorem1", data)} for data in cases]
    answers = in_node(f"((...worlds) => worlds.map({ASK}))", *map(as_page, cases, networks))
    for answer, data, built in zip(answers, cases, networks, strict=True):
        check(answer, data, built)


def test_the_gradient_of_theorem_2_is_none_where_a_patch_equals_the_tile():
    """At the kink the two theorems' gradients differ, which is seen only on an exact tile in part of its window."""
    data = colourful("support")
    networks = {"theorem1": tmi.build("theorem1", data), "theorem2": tmi.build("theorem2", data, realisation="fused")}
    answers = in_node(ASK, as_page(data, networks))
    check(answers, data, networks)
    exact = [np.abs(one["attributions"]["gradient"]).sum() for one in answers["theorem2"]]
    assert min(exact) == 0
    assert max(np.abs(one["attributions"]["gradient"]).sum() for one in answers["theorem1"]) > 0


def test_neurons_that_tiles_share():
    data = six_tiles()
    networks = {"superposed": tmi.build("superposed", data, seed=0, weight=2)}
    check(in_node(ASK, as_page(data, networks)), data, networks)


@pytest.mark.slow
def test_the_networks_of_section_6_2():
    data = tmi.generate("fashion", seed=0, samples=100, test_samples=30, source="sample")
    networks = {
        "theorem1": tmi.build("theorem1", data),
        "theorem2": tmi.build("theorem2", data, realisation="fused"),
        "superposed": tmi.build("superposed", data, seed=0),
        "cnn": tmi.build("cnn", data, epochs=2, batch_size=10),
        "pooled": tmi.build("cnn", data, epochs=1, depth=2, pool="average", batch_norm=True, hidden=8, dropout=0.1),
        "mlp": tmi.build("mlp", data, epochs=1),
    }
    check(in_node(ASK, as_page(data, networks)), data, networks)
    large = {"vgg": tmi.build("vgg", data, epochs=1), "theorem2-layers": tmi.build("theorem2", data)}
    check(in_node(ASK, as_page(data, large, scenes=2)), data, large, literal=["theorem2-layers"])
