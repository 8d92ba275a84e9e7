from __future__ import annotations

import pytest
import torch

import tmi
from tmi_networks.theorem1 import theorem1

REALISATIONS = ["fused", "literal"]


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_meanings_of_hidden_neurons_and_logits(realisation, task):
    network = theorem1(task, realisation=realisation)
    table = network.neurons("hidden")
    assert list(table.columns) == ["tile", "class", "row", "col"]
    assert len(table) == sum(a * b for a, b in task.windows)
    assert list(network.neurons("logits")["class"]) == ["corner", "bar"]
    for number in (0, 5, 12, 20, len(table) - 1):
        tile, name, row, col = table.loc[number]
        assert name == task.class_names[task.tile_class[tile]]
        scene = tmi.Scenes(task, torch.full((1, 1, 4, 5), 0.6), tile, row, col)
        hidden = network.activations(scene.images, "hidden")["hidden"][0]
        assert hidden[number] == task.tiles[tile].epsilon
