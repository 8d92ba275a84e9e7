"""Operations held in their pieces: forms against differences stage by stage, and functions that no form can hold."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi_probes.linear.exact_network import EXACT, ExactNetwork, NoFormError

from ..toys import network
from .stages import AFFINE, FORMS, SHAPE, Does, composed, network_of

TASK = tmi.TemplateTask(
    [
        tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2, 2), value), 0.1)])
        for name, value in (("a", 0.1), ("b", 0.5), ("c", 0.9))
    ],
    SHAPE,
)


def exact_of(module: nn.Module) -> ExactNetwork:
    last = next(reversed([name for name, _ in module.named_modules() if name.endswith("logits")]))
    return ExactNetwork(network(module, last, task=TASK))


def agrees_with_differences(module: nn.Sequential, image: np.ndarray) -> None:
    exact = exact_of(module)
    form = exact.form(torch.from_numpy(image)[None])
    weight, bias = composed(exact.module, image)
    scale = max(1, np.abs(weight).max(), np.abs(bias).max())
    assert form.error < 1e-9
    assert form.weight.reshape(3, -1) / scale == pytest.approx(weight / scale, abs=1e-6)
    assert form.bias / scale == pytest.approx(bias / scale, abs=1e-6)


@pytest.mark.parametrize("name", [*AFFINE, *FORMS])
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the old form of weight norm
def test_the_form_of_each_operation(name):
    agrees_with_differences(network_of([name], 1), np.random.default_rng(1).random(SHAPE))


@settings(max_examples=15)
@given(st.lists(st.sampled_from([*AFFINE, *FORMS]), min_size=2, max_size=4), st.integers(0, 99))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_forms_of_compositions(names, seed):
    agrees_with_differences(network_of(names, seed), np.random.default_rng(seed).random(SHAPE))


def test_biases_of_a_network_by_hand():
    # f = v·σ(w (x − m)/s + c) + d: at x = 0 with the ReLUs held, v·(active ⊙ (c − w m/s)) + d.
    torch.manual_seed(0)
    first, last = nn.Linear(50, 8).double(), nn.Linear(8, 3).double()

    class Normalising(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.logits = first, last

        def forward(self, x):
            return self.logits(torch.relu(self.first((x - 0.4).flatten(1) / 0.2)))

    image = torch.rand(1, *SHAPE, dtype=torch.float64)
    form = exact_of(Normalising()).form(image)
    w, c, v, d = (p.detach().numpy() for p in (first.weight, first.bias, last.weight, last.bias))
    active = w @ (image.numpy().ravel() - 0.4) / 0.2 + c > 0
    assert form.weight.reshape(3, -1) == pytest.approx(v @ (active[:, None] * w) / 0.2, abs=1e-12)
    assert form.bias == pytest.approx(v @ (active * (c - w.sum(1) * 0.4 / 0.2)) + d, abs=1e-12)


@pytest.mark.parametrize("function", [torch.relu, torch.abs, F.leaky_relu, F.relu6, lambda x: F.prelu(x, x.new_tensor([0.3]))])
def test_at_a_kink_the_slope_is_torchs(function):
    module = network_of([], 0)
    form = exact_of(nn.Sequential(Does(function), module)).form(torch.zeros(1, *SHAPE, dtype=torch.float64))
    assert form.error < 1e-12


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


SMOOTH = {
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "hardswish": lambda x: F.hardswish(8 * x),
    "softplus": F.softplus,
    "softmax": lambda x: x.softmax(1),
    "product": lambda x: x * x.flip(2),
    "square": torch.square,
    "norm": lambda x: x / (1e-9 + x.norm(dim=1, keepdim=True)),
    "norm alone": lambda x: x + x.norm(dim=1, keepdim=True),  # homogeneous: W x = f(x) though it is not linear
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "layer norm": lambda x: F.layer_norm(x, [5]),
    "detached gate": lambda x: x * torch.sigmoid(4 * x).detach(),
    "divided by its maximum": lambda x: x / x.abs().amax((1, 2, 3), keepdim=True),
    "straight-through": _Straight.apply,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_not_piecewise_linear_is_not_exact(name):
    module = network_of(["smooth"], 2, {"smooth": lambda: Does(SMOOTH[name])})
    form = exact_of(module).form(torch.from_numpy(np.random.default_rng(0).random((1, *SHAPE))))
    assert not form.error <= 10 * EXACT


def test_a_path_that_depends_on_the_image():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Linear(50, 3)

        def forward(self, x):
            x = x.flatten(1)
            return self.logits(torch.relu(x - 0.1) if x.sum() > 1 else x)  # a truth value is held: the same path at 0

    image = torch.from_numpy(np.random.default_rng(0).random((1, *SHAPE)))
    assert exact_of(Branches()).form(image).error < 1e-12


def test_a_module_that_computes_in_float32_alone_is_refused():
    module = network_of(["fixed"], 0, {"fixed": lambda: Does(lambda x: x @ torch.eye(5))})
    with pytest.raises(NoFormError, match="cannot be computed in float64"):
        exact_of(module).form(torch.zeros(1, *SHAPE, dtype=torch.float64))
