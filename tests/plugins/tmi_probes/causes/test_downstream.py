"""The rest of a network: linear where it is, run where it is not."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

import tmi
from tmi_probes.causes.downstream import Downstream

from ..toys import network
from .brute import activations, around, convolution, drawn


@pytest.mark.parametrize(
    ("make", "layer", "linear"), [(around, "hidden", False), (convolution, "conv", False), (convolution, "hidden", True)]
)
def test_logits_after_changes(make, layer, linear):
    net, rest = make()
    if linear:
        wide = convolution()[0].module.double()
        rest = lambda values, _image: wide.logits(torch.from_numpy(values)).detach().numpy()  # noqa: E731
    scenes = drawn(3)
    found = Downstream(net, layer, scenes)
    assert found.linear == linear
    rng = np.random.default_rng(0)
    values, images = activations(net, layer, scenes)
    for i, (image, (own,), (logits,)) in enumerate(found.evaluated(scenes)):
        assert own == pytest.approx(values[i])
        changes = rng.normal(size=(5, len(own))) * (rng.random((5, len(own))) < 0.3)
        expected = rest(own + changes, images[i : i + 1])
        assert found.logits(image, own, logits, csr_array(changes)) == pytest.approx(expected, abs=1e-12)


class Opposite(nn.Module):
    """Three neurons and their negatives."""

    def forward(self, values):
        return torch.cat([values, -values], 1)


class Balanced(nn.Linear):
    """Linear where the second half of the neurons is the negative of the first, as on every image."""

    def forward(self, values):
        return super().forward(values) + (values[:, :3] + values[:, 3:]).abs().sum(1, keepdim=True)


class Step(nn.Linear):
    """A function of the pattern of active neurons, without a gradient."""

    def forward(self, values):
        return super().forward((values > 0).to(values.dtype))


def after(last):
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("hidden", nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Opposite()))
    module.add_module("logits", last)
    return network(module, "hidden", "logits")


def test_a_readout_that_looks_linear_on_images_alone_is_run():
    scenes = drawn(4)
    assert Downstream(after(nn.Linear(6, 3)), "hidden", scenes).linear
    assert not Downstream(after(Balanced(6, 3)), "hidden", scenes).linear


def test_no_gradient_no_estimate():
    scenes = drawn(4)
    net = after(Step(6, 3))
    with torch.no_grad():
        net.module.logits.weight.requires_grad_(False)
        net.module.logits.bias.requires_grad_(False)
    rest = Downstream(net, "hidden", scenes)
    image, (own,), _ = next(rest.evaluated(scenes))
    assert rest.gradient(image, own, np.ones(3)) is None
    result = tmi.probe("activation-patching", net, tmi.Dataset(scenes.task, scenes, scenes), seed=0)
    assert result.applicable
    assert not any(name.startswith("estimate") for name in result.metrics)
