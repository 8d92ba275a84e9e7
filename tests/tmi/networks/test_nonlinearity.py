from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import tmi
from tmi.networks.nonlinearity import defined_after, watching


@pytest.mark.parametrize(
    ("module", "layer", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "0", "1"),
        (nn.Sequential(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.Dropout(), nn.GELU()), "0", "3"),
        (nn.Sequential(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ReLU()), "1", "2"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "1", ""),  # the non-linearity itself
        (nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 4)), "0", ""),  # it holds its own
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()), "0", ""),  # another layer is between
        (nn.Sequential(nn.Linear(4, 4), nn.MaxPool1d(2), nn.ReLU()), "0", "2"),
        (nn.Sequential(nn.Linear(4, 4), nn.AvgPool1d(2), nn.ReLU()), "0", ""),
        (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), "0", ""),
        (nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.ReLU()), "0.0", ""),  # of another part
        (nn.Sequential(nn.Linear(4, 4)), "0", ""),
        (nn.Sequential(nn.Linear(4, 4)), "nosuch", ""),
    ],
)
def test_the_module_that_is_defined_after_a_layer(module, layer, expected):
    assert defined_after(module, layer) == expected


class Functional(nn.Module):
    """As in most tutorials: the non-linearities are functions of the forward pass."""

    def __init__(self, inner="relu", by="function"):
        super().__init__()
        self.conv, self.norm, self.fc, self.logits = nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Linear(2, 3), nn.Linear(3, 2)
        self.inner, self.by = inner, by

    def forward(self, images):
        values = functional.max_pool2d(self.norm(self.conv(images)), 3)
        values = getattr(values, self.inner)() if self.by == "method" else getattr(torch, self.inner)(values)
        return self.logits(torch.tanh(self.fc(values.flatten(1))) + 1)


def seen_after(module, layers):
    with watching(module, layers) as found, torch.no_grad():
        module(IMAGES)
    return found


IMAGES = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LAYERS = ("conv", "norm", "fc", "logits")


@pytest.mark.parametrize("by", ["function", "method"])
@pytest.mark.parametrize("inner", ["relu", "sigmoid", "relu_"])
def test_functions_are_seen(inner, by):
    found = seen_after(Functional(inner, by).eval(), LAYERS)
    name = inner.rstrip("_")
    assert found == {"conv": name, "norm": name, "fc": "tanh"}


def test_modules_are_seen_and_what_is_between_is_not_a_nonlinearity():
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Conv2d(2, 2, 2), nn.Dropout(), nn.GELU(), nn.Flatten(), nn.Linear(8, 2)).eval()
    assert seen_after(module, ["0", "1", "3", "5"]) == {"1": "gelu"}
    assert not any(part._forward_hooks for part in module.modules())


def network(module, layers):
    task = tmi.generate("squares", samples=4, test_samples=4).task
    return tmi.Network(module, layers, "imported", task=task)


def test_the_text_of_a_network_says_it():
    shown = network(Functional(), LAYERS)
    assert repr(shown).endswith("layers: conv, norm, fc, logits)")  # not known before it is evaluated
    shown.logits(IMAGES)
    assert repr(shown).endswith("layers: conv (before relu), norm (before relu), fc (before tanh), logits)")
    assert "before the non-linearity relu" in shown._repr_html_()
    with pytest.raises(tmi.UnknownNameError):
        shown.nonlinearity_after("nosuch")


def test_the_only_chosen_layer_is_told_of_too():
    shown = network(nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)), ["0"])
    assert shown.nonlinearity_after("0") == "1"
    shown.logits(IMAGES)
    assert repr(shown).endswith("layers: 0 (before relu))")


def test_before_the_first_evaluation_the_parts_tell():
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))
    shown = network(module, ["1", "2", "3"])
    assert [shown.nonlinearity_after(layer) for layer in shown.layers] == ["2", "", ""]
    shown.logits(IMAGES)
    assert [shown.nonlinearity_after(layer) for layer in shown.layers] == ["relu", "", ""]


def test_numbers_are_those_of_a_network_that_is_not_watched():
    module = Functional().eval()
    with torch.no_grad():
        expected = module(IMAGES)
    assert torch.equal(network(module, LAYERS).logits(IMAGES), expected)
