"""Parameters that are converted before they meet an image, and those that are applied as they are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tmi_probes.circuits.weights import converted_parameters

from ..toys import dataset, network

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
