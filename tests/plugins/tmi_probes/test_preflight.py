import copy
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tmi_networks.theorem1 import theorem1
from tmi_probes.attribution.preflight import preflight, without_gradient

from .toys import TASK, dataset, small_cnn

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Ask(nn.Module):
    """A convolution, then whatever is asked, then a linear layer."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.again = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.ReLU()
        self.pool, self.inplace = nn.MaxPool2d(2), nn.ReLU(inplace=True)
        self.flat, self.logits = nn.Flatten(), nn.LazyLinear(3)
        self.between = between
        for name in ("again", "pool", "inplace"):
            if name not in between.__code__.co_names:
                delattr(self, name)
        self(IMAGES)
        self.conv.bias.data += 0.3

    def forward(self, x):
        return self.logits(self.flat(self.between(self, self.conv(x))))


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


SOUND = {
    "relu": lambda m, x: m.relu(x),
    "two relus": lambda m, x: m.again(m.relu(x) - 0.1),
    "average pooling": lambda m, x: F.avg_pool2d(m.relu(x), 2),
    "scaled": lambda m, x: m.relu(x * 2 / 3 + 1),
    "a linear custom function": lambda m, x: Doubled.apply(m.relu(x)),
    "sparse": lambda m, x: (torch.eye(108).to_sparse_csr() @ m.relu(x).flatten(1).T).T,
    "nested": lambda m, x: nn.Sequential(m.relu)(x),
}
REFUSED = {
    "functional": (lambda m, x: F.relu(x), "1 of 1 Relu operations are functional; use an nn.ReLU"),
    "functional beside a module": (lambda m, x: F.relu(m.relu(x) - 0.1), "1 of 2 Relu"),
    "reused": (lambda m, x: m.relu(m.relu(x) - 0.1), "'relu' is used 2 times"),
    "in place": (lambda m, x: m.inplace(x), "'inplace' works in place"),
    "max pooling": (lambda m, x: m.pool(m.relu(x)), "max pooling"),
    "custom": (lambda m, x: Clipped.apply(x), 'Clipped hides a non-linearity.*realisation="literal"'),
    "clamp": (lambda m, x: x.clamp(min=0), "Clamp is not linear"),
    "abs": (lambda m, x: (m.relu(x) - 0.3).abs(), "Abs is not linear"),
    "product": (lambda m, x: m.relu(x) * x, "Mul multiplies"),
    "quotient": (lambda m, x: 1 / (m.relu(x) + 1), "Reciprocal is not linear|Div multiplies"),
    "attention": (lambda m, x: m.relu(x) @ x, "Bmm multiplies"),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound(name):
    assert preflight(Ask(SOUND[name]), IMAGES) == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name):
    between, reason = REFUSED[name]
    found = preflight(Ask(between), IMAGES)
    assert found
    assert any(re.search(reason, text) for text in found), found


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"reused", "in place", "max pooling"}))
def test_what_is_refused_is_wrong_indeed(name):
    """Captum's DeepLift gives a number all the same, and its attributions do not add up."""
    from captum.attr import DeepLift

    module = Ask(REFUSED[name][0]).eval()
    x, b = 1 - IMAGES, torch.zeros_like(IMAGES)
    total = DeepLift(module).attribute(x, b, target=0).sum((1, 2, 3))
    assert (total - (module(x) - module(b))[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("name", SOUND)
def test_what_passes_adds_up(name):
    from captum.attr import DeepLift

    module = Ask(SOUND[name]).eval()
    x, b = IMAGES, torch.zeros_like(IMAGES)
    total = DeepLift(module).attribute(x, b, target=0).sum((1, 2, 3))
    assert (total - (module(x) - module(b))[:, 0]).abs().max() < 1e-5


def test_the_module_is_left_as_it_was():
    module = small_cnn().train()
    before = copy.deepcopy(module.state_dict())
    assert preflight(module, IMAGES) == []
    assert module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not any(part._forward_hooks for part in module.modules())
    assert all(bool((before[key] == value).all()) for key, value in module.state_dict().items())


def test_no_gradient_at_all():
    class Deaf(nn.Module):
        def forward(self, x):
            return x.detach().flatten(1)[:, :3]

    assert "do not depend differentiably" in without_gradient(Deaf(), IMAGES)[0]
    assert "do not depend differentiably" in preflight(Deaf(), IMAGES)[0]
    assert without_gradient(small_cnn(), IMAGES) == []


def test_the_fused_theorem_is_refused_and_the_literal_one_passes():
    images = dataset(3).test.images
    (reason,) = preflight(theorem1(TASK).module, images)
    assert 'realisation="literal"' in reason
    assert preflight(theorem1(TASK, realisation="literal").module, images) == []
