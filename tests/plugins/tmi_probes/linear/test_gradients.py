"""Gradients of the inputs of operations whose inputs are broadcast."""

import pytest
import torch
from torch import nn

import tmi
from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.linear.gradients import Trace

from ..toys import network
from .stages import Does
from .test_region import drawn, radii

LEVELS = torch.linspace(-0.3, 0.3, 108, dtype=torch.float64).reshape(3, 6, 6)
BROADCAST = {  # as it is written, and with inputs of one shape
    "channels": (lambda h: torch.maximum(h, h[:, :1]), lambda h: torch.maximum(h, h[:, :1].expand_as(h))),
    "the first one": (lambda h: torch.minimum(h[:, :1], h), lambda h: torch.minimum(h[:, :1].expand_as(h), h)),
    "pixels": (lambda h: torch.fmax(h, h.mean((2, 3), True)), lambda h: torch.fmax(h, h.mean((2, 3), True).expand_as(h))),
    "with constants": (
        lambda h: torch.maximum(h.mean((2, 3), True), LEVELS.to(h)),
        lambda h: torch.maximum(h.mean((2, 3), True).expand_as(h), LEVELS.to(h)),
    ),
    "bounds": (
        lambda h: h.mean((2, 3), True).clamp(min=LEVELS.to(h)),
        lambda h: h.mean((2, 3), True).expand_as(h).clamp(min=LEVELS.to(h)),
    ),
}


def network_of(function) -> tmi.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.2), Does(function), nn.Flatten())
    module.add_module("logits", nn.Linear(108, 3))
    return network(module, "logits")


@pytest.mark.parametrize("name", BROADCAST)
def test_inputs_that_are_broadcast_have_the_radius_of_inputs_of_one_shape(name):
    """They were refused as of different shapes."""
    images = drawn(5)
    found, expected = (radii(network_of(function), images) for function in BROADCAST[name])
    for norm, radius in expected.items():
        assert found[norm] == pytest.approx(radius, rel=1e-9)
        assert (radius > 0).all()


def test_a_problem_of_the_whole_module_has_no_empty_name():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.logits = nn.Conv2d(1, 3, 3), nn.Linear(108, 3)

        def forward(self, x):
            h = self.conv(x)
            return self.logits(h.clamp(min=h[:, :1].expand_as(h)).flatten(1))

    with pytest.raises(tmi.InputError, match=r"^the gradients of the inputs of clamp cannot"):
        Trace(ExactNetwork(network(Whole(), "logits")), drawn(1))
