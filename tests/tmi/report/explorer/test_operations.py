"""Networks as operations: which are translated, that each is compared with its module, and that what differs is refused."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi.errors import InputError
from tmi.report.explorer.operations import evaluate, program


@pytest.fixture(scope="module")
def squares():
    return tmi.generate("squares", seed=0, samples=10, test_samples=10)


def network(data, *modules, layers=None, origin="trained"):
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict((f"m{i}", module) for i, module in enumerate(modules)))
    return tmi.Network(module, layers or [f"m{len(modules) - 1}"], origin, task=data.task)


def kinds(found):
    return [operation["kind"] for operation in found.operations]


def test_a_fused_network_is_matching_and_a_sum(squares):
    found = program(tmi.build("theorem1", squares), squares.test.images)
    assert kinds(found) == ["match", "sparse"]
    assert found.outputs == {"hidden": 0, "logits": 1}
    assert not found.operations[0]["patches"]
    assert program(tmi.build("theorem2", squares, realisation="fused"), squares.test.images).operations[0]["patches"]


def test_a_literal_network_is_translated_where_its_layers_are_known(squares):
    found = program(tmi.build("theorem1", squares, realisation="literal"), squares.test.images)
    assert kinds(found) == ["conv", "relu", "reshape", "sparse", "relu", "sparse"]
    assert {*found.outputs} == {"conv", "hidden", "logits"}
    assert not found.note


def test_one_that_computes_phi_in_other_layers_is_matching_and_says_so(squares):
    found = program(tmi.build("theorem2", squares), squares.test.images)
    assert kinds(found) == ["match", "sparse"]
    assert {*found.outputs} == {"hidden", "logits"}
    assert "values, level1 are not shown" in found.note


def test_the_operations_are_the_module_on_other_images(squares):
    data = squares
    built = network(
        data, nn.Conv2d(1, 4, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(64, 2)
    )
    for part in built.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_()
            part.running_var.uniform_(0.5, 2)
    found = program(built, data.test.images)
    x = torch.rand(5, 1, 4, 4)
    expected = built.logits(x)
    for operation in found.operations:
        x = evaluate(operation, x, data.task)
    assert torch.allclose(x.float(), expected, atol=1e-5)


def test_a_layer_that_is_a_sequence_has_the_output_of_its_last_module(squares):
    part = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout())
    found = program(network(squares, part, nn.Flatten(), nn.Linear(8, 2), layers=["m0", "m2"]), squares.test.images)
    assert found.outputs == {"m0": 1, "m2": 3}


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


class Doubled(nn.Linear):
    """Not what its class says."""

    def forward(self, x):
        return 2 * super().forward(x)


class Wrong(nn.Module):
    """States weights that are not its own."""

    def sparse_weight(self):
        return torch.eye(2, 16).to_sparse()

    def forward(self, x):
        return x[:, 2:4]


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        ([Twice(), nn.Flatten(), nn.Linear(16, 2)], "layer 'm0' is a Twice, which the explorer does not compute"),
        ([nn.Flatten(), Doubled(16, 2)], "layer 'm1' is a Doubled"),
        ([nn.Flatten(), Wrong()], "layer 'm1' is a Wrong"),
        ([nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.Linear(16, 2)], "layer 'm0' is a Conv2d"),
        ([nn.MaxPool2d(3, ceil_mode=True), nn.Flatten(), nn.Linear(4, 2)], "layer 'm0' is a MaxPool2d"),
    ],
)
def test_what_is_not_computed_is_named(squares, modules, named):
    with pytest.raises(InputError, match=named):
        program(network(squares, *modules), squares.test.images)


def test_hooks_are_refused(squares):
    built = network(squares, nn.Flatten(), nn.Linear(16, 2))
    built.module[1].register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match="m1 has hooks"):
        program(built, squares.test.images)


def test_a_constructed_network_that_errs_is_not_taken_for_phi(squares):
    built = tmi.build("theorem2", squares)
    built.module.computes_phi = False
    with pytest.raises(InputError, match="PatchNetwork"):
        program(built, squares.test.images)


def test_a_matching_layer_of_another_task_is_refused(squares):
    other = tmi.TemplateTask(
        [tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2), value), 0.5)]) for name, value in (("a", 1.0), ("b", 0.5))],
        (1, 4, 4),
    )
    built = tmi.build("theorem1", other)
    built.task = squares.task
    with pytest.raises(InputError):
        program(built, squares.test.images)
