"""Replaced activations, and the weights by which logits are linear in them."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.circuits.readout import linear_form, logits_from

from ..toys import TASK, cnn_network, dataset, network


def test_replaced_activations_go_through_the_rest(monkeypatch):
    net, data = cnn_network(), dataset(6)
    monkeypatch.setattr("tmi_probes.circuits.readout._AT_ONCE", 300)
    for layer in ("conv", "hidden"):
        own = net.activations(data.test.images)[layer].flatten(1).numpy()
        found = logits_from(net, layer, data.test.images[:1], own)
        assert found == pytest.approx(net.logits(data.test.images).numpy(), abs=1e-5)
        silent = logits_from(net, layer, data.test.images[:1], np.zeros_like(own[:1]))
        rest = net.module.hidden(torch.zeros(1, own.shape[1])) if layer == "conv" else torch.zeros(1, 16)
        assert silent == pytest.approx(net.module.logits(rest).detach().numpy(), abs=1e-5)
    assert not any(part._forward_hooks for part in net.module.modules())


def test_a_way_around_the_layer_is_that_of_the_image():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
            self.logits = nn.Identity()

        def forward(self, images):
            return self.logits(self.hidden(images) + images.flatten(1)[:, :3])

    net, data = network(Around(), "hidden", "logits"), dataset(4)
    found = logits_from(net, "hidden", data.test.images[[2]], np.zeros((5, 3)))
    assert found == pytest.approx(np.tile(data.test.images[2].flatten()[:3].numpy(), (5, 1)))


def test_weights_are_taken_where_they_give_the_logits():
    net, data = cnn_network(), dataset(5)
    seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(data.test.images).items()}
    form = linear_form(net, "hidden", seen["hidden"], seen["logits"])
    assert form.weight == pytest.approx(net.module.logits.weight.detach().numpy())
    assert form.bias == pytest.approx(net.module.logits.bias.detach().numpy())
    assert linear_form(net, "conv", seen["conv"], seen["logits"]) is None
    assert linear_form(net, "hidden", seen["hidden"], seen["logits"] + 0.01) is None


def test_weights_of_the_constructions():
    data = dataset(5)
    for net in (tmi.build("theorem1", TASK), tmi.build("theorem1", TASK, realisation="literal"), tmi.build("theorem2", TASK)):
        seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(data.test.images).items()}
        form = linear_form(net, "hidden", seen["hidden"], seen["logits"])
        assert set(np.unique(form.weight)) == {0, 1}
        assert not form.bias.any()
