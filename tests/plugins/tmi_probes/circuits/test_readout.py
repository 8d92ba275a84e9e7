"""Replaced activations, and the weights by which logits are linear in them."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.circuits.readout import linear_form, logits_from

from ..toys import TASK, cnn_network, dataset, network
from .computed import OTHER_WEIGHTS, computed_weights


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


class Around(nn.Module):
    """Pixels lead around the layer `hidden` to the logits."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.logits = nn.Identity()

    def forward(self, images):
        return self.logits(self.hidden(images) + images.flatten(1)[:, :3])


def test_a_way_around_the_layer_is_that_of_the_image():
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


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
def test_computed_weights_are_those_of_the_readout():
    data = dataset(5)
    forms = []
    for net in computed_weights():
        seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(data.test.images).items()}
        forms.append(linear_form(net, "hidden", seen["hidden"], seen["logits"]))
    assert forms[0].weight == pytest.approx(forms[1].weight, rel=1e-6)
    assert forms[0].bias == pytest.approx(forms[1].bias, rel=1e-6)


@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_a_linear_readout_that_is_no_modules_weight_is_evaluated(way):
    net, data = cnn_network(), dataset(5)
    OTHER_WEIGHTS[way](net.module, "logits")
    images = data.test.images
    seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(images).items()}
    form = linear_form(net, "hidden", seen["hidden"], seen["logits"], images[:1])
    given = np.random.default_rng(0).normal(size=(20, 16))
    assert given @ form.weight.T + form.bias == pytest.approx(logits_from(net, "hidden", images[:1], given), abs=1e-5)
    assert linear_form(net, "conv", seen["conv"], seen["logits"], images[:1]) is None  # a ReLU lies between


def test_pooling_and_a_linear_layer_are_a_linear_readout():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 3))
    net, images = network(module, "0", "3"), dataset(6).test.images
    seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(images).items()}
    form = linear_form(net, "0", seen["0"], seen["3"], images[:1])
    assert seen["0"] @ form.weight.T + form.bias == pytest.approx(seen["3"], abs=1e-5)


def test_a_readout_with_a_way_around_the_layer_is_not_linear_in_it():
    net, images = network(Around(), "hidden", "logits"), dataset(4).test.images
    seen = {layer: values.numpy() for layer, values in net.activations(images).items()}
    assert linear_form(net, "hidden", seen["hidden"], seen["logits"], images[:1]) is None


@pytest.mark.parametrize("part", [0, "y"])
def test_a_part_of_a_layers_output_is_replaced(part):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 4)

        def forward(self, x):
            y = torch.relu(self.linear(x.flatten(1)))
            return (y, None) if part == 0 else {"x": x, "y": y}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.logits = Pair(), nn.Linear(4, 3)

        def forward(self, x):
            return self.logits(self.hidden(x)[part])

    module = Net()
    net = tmi.Network(module, ["hidden", "logits"], "imported", task=TASK, parts={"hidden": part})
    images = dataset(3).test.images
    own = net.activations(images)["hidden"].numpy()
    assert logits_from(net, "hidden", images[:1], own) == pytest.approx(net.logits(images).numpy(), abs=1e-5)
    by_function = tmi.Network(module, ["hidden", "logits"], "imported", task=TASK, parts={"hidden": lambda y: y[part]})
    with pytest.raises(tmi.InputError, match="cannot be replaced"):
        logits_from(by_function, "hidden", images[:1], own)


def test_weights_of_the_constructions():
    data = dataset(5)
    for net in (tmi.build("theorem1", TASK), tmi.build("theorem1", TASK, realisation="literal"), tmi.build("theorem2", TASK)):
        seen = {layer: values.flatten(1).numpy() for layer, values in net.activations(data.test.images).items()}
        form = linear_form(net, "hidden", seen["hidden"], seen["logits"])
        assert set(np.unique(form.weight)) == {0, 1}
        assert not form.bias.any()
