from __future__ import annotations

import torch

import tmi
from tests.plugins.tmi_networks.expected import (
    input_gradient,
)
from tmi_networks.theorem1 import theorem1
from tmi_networks.theorem2 import theorem2


def test_converting_the_fused_module_does_not_move_its_kinks():
    tile = tmi.FeatureTile([[0.3, 0.7]], 0.5)
    task = tmi.TemplateTask([tmi.TileClass("one", [tile])], (1, 1, 2))
    images = torch.tensor([[[[0.3, 0.7]]]], dtype=torch.float64)
    gradient = input_gradient(theorem1(task).module.float(), images, 1.0)
    assert gradient.flatten().tolist() == [1, 1]


def test_the_backward_pass_of_the_fused_layer_in_small_parts_is_the_same(monkeypatch, task, images):
    module = theorem2(task, realisation="fused").module
    whole = input_gradient(module, images, 1.0)
    monkeypatch.setattr("tmi_networks.fused._PIXELS_AT_ONCE", 1)
    assert torch.equal(input_gradient(module, images, 1.0), whole)
    assert whole.abs().sum() > 0


def test_the_fused_layer_knows_how_many_weights_it_replaces(task):
    assert theorem1(task).module.hidden.replaced_weights == theorem1(task, realisation="literal").module.hidden[0].weights
    assert theorem2(task, realisation="fused").module.hidden.replaced_weights == 0
