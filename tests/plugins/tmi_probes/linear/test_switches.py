"""Uses of operations: where they are, which of them matter, and in which piece they are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tmi_probes.linear.switches import State, Use, Watch, survey

from .stages import Does

IMAGE = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.MaxPool2d(2))
        self.scale = nn.Parameter(torch.tensor(-2.0))
        self.logits = nn.Linear(18, 3)

    def forward(self, x):
        x.abs().amax()  # a check: the logits do not depend on it
        z = self.body(x).flatten(1)
        return self.logits(F.leaky_relu_(z - 0.1) * self.scale.abs())


def made() -> nn.Module:
    return Mixed().double().requires_grad_(False).eval()


def test_uses_are_those_on_which_the_logits_depend():
    uses, problem = survey(made(), IMAGE)
    assert not problem
    assert [(use.operation, use.where) for use in uses] == [
        ("hardtanh", "body.1"),
        ("max_pool2d_with_indices", "body.2"),
        ("leaky_relu", ""),
    ]
    assert [use.selects for use in uses] == [False, True, False]
    assert [use.number for use in uses] == [2, 3, 4]  # after two that do not matter


def test_a_problem_is_named():
    class Smooth(Mixed):
        def forward(self, x):
            return super().forward(x).tanh()

    _, problem = survey(Smooth().double().requires_grad_(False), IMAGE)
    assert problem == "Tanh is not a continuous piecewise linear function"
    constant = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    torch.nn.init.zeros_(constant[1].weight)
    assert survey(constant.requires_grad_(False), IMAGE) == ([], "")


def test_states_by_hand():
    x = torch.tensor([[-1.0, 0.0, 7.0, 3.0], [2.0, 2.0, -5.0, 6.5]])
    with Watch(2, {0, 1, 3}) as watch:
        F.relu6(x)
        F.max_pool1d(x[:, None], 2)
        torch.relu(x)  # not wanted
        x.amin(1)
    relu6, pool, least = watch.states
    assert (relu6.values == np.concatenate([x, x - 6], 1)).all()
    assert pool.selected.tolist() == [[1, 2], [0, 3]]
    assert least.selected.tolist() == [[0], [2]]
    assert (least.values == x.numpy()).all()


def test_bytes_tell_pieces_apart():
    values = np.array([[-1.0, 0.0], [-3.0, -1.0], [1.0, -1.0]])
    by_sign = State(values).bytes
    assert (by_sign[0] == by_sign[1]).all()
    assert (by_sign[0] != by_sign[2]).any()
    chosen = State(values, np.array([[0, 300], [0, 300], [0, 44]])).bytes  # equal in their last byte
    assert (chosen[0] == chosen[1]).all()
    assert (chosen[0] != chosen[2]).any()


@pytest.mark.parametrize("operation", ["amax", "max"])
def test_a_maximum_over_several_dimensions(operation):
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    with Watch(2, {0}) as watch:
        chosen = x.amax((1, 3)) if operation == "amax" else x.max(2).values
    (state,) = watch.states
    picked = np.take_along_axis(state.values, state.selected, 1)
    assert (picked == chosen.reshape(2, -1).numpy()).all()


def test_a_use_knows_whether_it_selects():
    assert Use(0, "max_pool2d_with_indices", "").selects
    assert not Use(0, "relu", "").selects


class Masked(torch.autograd.Function):
    """x + 1[x > 0] / 2, with the gradient of x."""

    @staticmethod
    def forward(ctx, x):
        return x + (x > 0) * 0.5

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Ramp(Masked):
    """x + a steep ramp, likewise."""

    @staticmethod
    def forward(ctx, x):
        return x + (1000 * x).clamp(0, 1)


class Triple(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        twice = 2 * x
        return twice + x

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient


def floored(h):
    with torch.no_grad():
        steps = torch.floor(3 * h)
    return h + steps


def through_data(h):
    h = h.clone()
    h.data[h.data > 0] += 0.5
    return h


def on_a_view(h):
    h = h.clone()
    h[:, 0] += (h[:, 0] > 0) * 0.5
    return h


def swapped(h):
    out = torch.zeros_like(h)
    out[:, 0], out[:, 1] = h[:, 1], h[:, 0]
    return out


def checked(h):
    assert not (h.detach().abs() > 1e6).any()
    checked.last = h.detach().clone()
    return h.masked_fill(torch.isnan(h), 0.0)


STEPS = {
    "mask": (lambda h: h + (h > 0) * 0.5, "the result of gt depends"),
    "where": (lambda h: h + torch.where(h > 0, 0.5, 0.0), "the result of gt depends"),
    "sign": (lambda h: h + h.sign().detach(), "add reads a value"),
    "round": (lambda h: h + (3 * h).round().detach(), "add reads a value"),
    "floor": (floored, "the result of floor depends"),
    "cast": (lambda h: h + (3 * h).long(), "the result of _to_copy depends"),
    "one-hot": (lambda h: h + F.one_hot(h.argmax(3), h.shape[3]), "the result of argmax depends"),
    "order": (lambda h: h + 0.1 * h.sort(3).indices, "the result of sort depends"),
    "ramp": (lambda h: h + (1000 * h.detach()).clamp(0, 1), "add reads a value"),
    "joined": (lambda h: torch.cat([h[:, :1], (h[:, 1:] > 0).to(h)], 1), "the result of gt depends"),
    "data": (through_data, "the result of gt depends"),
    "view": (on_a_view, "the result of gt depends"),
    "function": (Masked.apply, "the result of gt depends"),
    "function with a ramp": (Ramp.apply, "the result of clamp depends"),
}
NO_STEPS = {
    "relu in place": lambda h: F.relu(h.clone(), inplace=True),
    "max pooling": lambda h: F.interpolate(F.max_pool2d(h, 2), size=6),
    "max with indices": lambda h: h - h.max(2, keepdim=True).values,
    "clamp by tensors": lambda h: h.clamp(min=torch.full_like(h, 0.1)),
    "rrelu": lambda h: F.dropout(F.rrelu(h), 0.5, False),
    "buffer": swapped,
    "checks": checked,
    "linear function": Triple.apply,
}


def with_act(function) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential()
    for name, part in (
        ("conv", nn.Conv2d(1, 2, 3)),
        ("act", Does(function)),
        ("flat", nn.Flatten()),
        ("logits", nn.Linear(72, 3)),
    ):
        module.add_module(name, part)
    return module.double().requires_grad_(False)


@pytest.mark.parametrize("name", STEPS)
def test_steps_that_autograd_does_not_see_are_found(name):
    """They are constant within a piece, so that W x + b is exact there, and the network passed for piecewise linear."""
    function, said = STEPS[name]
    _, problem = survey(with_act(function), IMAGE)
    assert problem.startswith(f"layer 'act': {said}")


@pytest.mark.parametrize("name", NO_STEPS)
def test_what_has_its_gradient_is_no_step(name):
    assert not survey(with_act(NO_STEPS[name]), IMAGE)[1]
