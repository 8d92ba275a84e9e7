"""Weights that may be read, and those that a layer converts before it applies them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tmi_probes.circuits.weights import converted_parameters, with_other_weights

from ..toys import cnn_network, dataset, network
from .computed import OTHER_WEIGHTS, computed_weights

IMAGES = dataset(6).test.images


class Own(nn.Module):
    """A layer written without torch.nn's linear module."""

    def __init__(self, apply):
        super().__init__()
        torch.manual_seed(0)
        self.apply_weight = apply
        self.weight, self.bias = nn.Parameter(torch.randn(3, 64)), nn.Parameter(torch.randn(3))
        self.register_buffer("mask", torch.ones(3, 64))

    def forward(self, x):
        return self.apply_weight(self, x.flatten(1))


AS_HELD = {
    "linear": lambda layer, x: F.linear(x, layer.weight, layer.bias),
    "product": lambda layer, x: x @ layer.weight.T + layer.bias,
    "in parts": lambda layer, x: torch.cat([x @ part.T for part in layer.weight.split(1)], 1) + layer.bias,
    "rearranged": lambda layer, x: x @ torch.cat([layer.weight[:1], layer.weight[1:].flip(0)]).t().contiguous().clone(),
    "einsum": lambda layer, x: torch.einsum("ni,oi->no", x, layer.weight),
    "scaled image": lambda layer, x: F.linear(2 * x - 1, layer.weight),
    "a penalty aside": lambda layer, x: (setattr(layer, "penalty", layer.weight.square().sum()), F.linear(x, layer.weight))[1],
}
CONVERTED = {
    "scaled": lambda layer, x: F.linear(x, 0.1 * layer.weight, layer.bias),
    "scaled by a new tensor": lambda layer, x: F.linear(x, torch.full((3, 1), 0.2) * layer.weight),
    "masked": lambda layer, x: F.linear(x, layer.mask * layer.weight),
    "normalised": lambda layer, x: F.linear(x, F.normalize(layer.weight)),
    "rounded": lambda layer, x: x @ layer.weight.sign().t(),
    "standardised": lambda layer, x: F.linear(x, layer.weight - layer.weight.mean(1, keepdim=True)),
    "scaled, then rearranged": lambda layer, x: x @ torch.cat([3 * layer.weight[:1], layer.weight[1:]]).t(),
}


@pytest.mark.parametrize("way", AS_HELD)
def test_weights_that_are_applied_as_they_are(way):
    assert converted_parameters(network(nn.Sequential(Own(AS_HELD[way])), "0"), IMAGES) == set()


@pytest.mark.parametrize("way", CONVERTED)
def test_weights_that_are_converted(way):
    module = nn.Sequential(nn.Identity(), nn.Linear(8, 8), Own(CONVERTED[way]))
    assert converted_parameters(network(module, "2"), IMAGES) == {"2.weight"}


def test_usual_layers_convert_nothing():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.ConvTranspose2d(4, 2, 3), nn.Flatten(2),
        nn.TransformerEncoderLayer(64, 4, 8, batch_first=True), nn.GRU(64, 5, batch_first=True),
    )  # fmt: skip

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.logits = module, nn.Linear(5, 3)

        def forward(self, x):
            return self.logits(self.body(x)[0][:, -1])

    net = network(Last(), "logits")
    assert converted_parameters(net, IMAGES) == set()
    assert with_other_weights(net, IMAGES) == []


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
def test_plain_networks_convert_nothing_where_others_do():
    computed, same = computed_weights()
    assert "conv.0.weight_g" in converted_parameters(computed, IMAGES)
    assert converted_parameters(computed.plain(), IMAGES) == converted_parameters(same, IMAGES) == set()


@pytest.mark.parametrize("layer", ["conv", "hidden", "logits"])
@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_modules_that_compute_something_else_are_found(way, layer):
    net = cnn_network()
    OTHER_WEIGHTS[way](net.module, layer)
    name = layer if layer == "logits" else f"{layer}.0"
    assert with_other_weights(net, IMAGES) == [name]
    assert with_other_weights(net, IMAGES, []) == []
    assert not any(len(part._forward_hooks) > 1 for part in net.module.modules())
