"""Uses of operations: where they are, which of them matter, and in which piece they are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tmi_probes.linear.switches import State, Use, Watch, survey

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
