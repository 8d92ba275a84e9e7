"""Which layers are read, under which name, and which networks are chains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tmi
from tmi_probes.circuits.weighted_layers import is_chain, weighted_layers

from ..toys import TASK, cnn_network, dataset, network
from .computed import OTHER_WEIGHTS

IMAGES = dataset(8).test.images


def test_names_shapes_and_order():
    layers, notes = weighted_layers(cnn_network(), IMAGES)
    assert list(layers) == ["conv", "hidden", "logits"]
    assert not notes
    assert [layer.inputs for layer in layers.values()] == [(1, 8, 8), (144,), (16,)]
    assert [layer.outputs for layer in layers.values()] == [(4, 6, 6), (16,), (3,)]
    assert not any(layer.padded or layer.stated for layer in layers.values())


def test_a_module_that_states_its_weights_is_read_by_them_and_not_by_its_parts():
    layers, _ = weighted_layers(tmi.build("theorem2", TASK), IMAGES)
    assert list(layers) == ["values", "level1", "level2", "threshold", "logits"]
    assert all(layer.stated for layer in layers.values())
    literal, _ = weighted_layers(tmi.build("theorem1", TASK, realisation="literal"), IMAGES)
    assert {name: layer.stated for name, layer in literal.items()} == {"conv": False, "hidden": True, "logits": True}


@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_weights_that_are_not_those_of_the_layer_are_left_out(way):
    net = cnn_network()
    OTHER_WEIGHTS[way](net.module, "hidden")
    layers, notes = weighted_layers(net, IMAGES)
    assert "hidden" not in layers
    assert notes == ["hidden: left out, for it computes with other weights than it holds"]


def test_a_module_that_is_not_used_is_not_read_and_two_in_a_layer_have_their_own_names():
    net = cnn_network()
    net.module.logits.spare = nn.Linear(7, 7)
    assert list(weighted_layers(net, IMAGES)[0]) == ["conv", "hidden", "logits"]
    net = cnn_network()
    net.module.hidden.append(nn.Linear(16, 16))
    assert list(weighted_layers(net, IMAGES)[0]) == ["conv", "hidden.0", "hidden.2", "logits"]


class Around(nn.Sequential):
    """A sequence with a way around its first layer."""

    def forward(self, images):
        flat = images.flatten(1)
        return self[2](self[1](self[0](flat))) + flat[:, :3]


def chain(net):
    return is_chain(net, weighted_layers(net, IMAGES)[0], IMAGES)


def test_chains():
    assert chain(cnn_network())
    assert chain(tmi.build("theorem1", TASK, realisation="literal"))
    assert chain(tmi.build("theorem2", TASK))
    assert not chain(network(Around(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), "2"))
    mixing = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1), nn.Linear(5, 3))
    assert not chain(network(mixing, "3"))


def test_dropout_in_training_mode_does_not_break_a_chain():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Dropout(0.5), nn.Linear(5, 3))
    net = network(module, "3")
    net.module.train()
    assert chain(net)
    assert net.module.training


def test_padding_and_groups():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(144, 3))
    layers, _ = weighted_layers(network(module, "3"), IMAGES)
    assert [layer.padded for layer in layers.values()] == [True, False, False]
    assert layers["1"].pattern.blocks.toarray().astype(bool).tolist() == [[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2
