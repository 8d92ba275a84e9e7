"""The weights of constructed networks are as sparse as the theorems say, and those of trained ones are counted alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import tmi
from tests.strategies import tasks
from tmi_networks.theorem2 import sharing
from tmi_probes.circuits.weight_sparsity import weight_sparsity

from ..toys import TASK, cnn_network, network


def of(net):
    """The result on two scenes: the weights do not depend on them."""
    rng = np.random.default_rng(0)
    scenes = tmi.Scenes(net.task, rng.random((2, *net.task.image_shape), np.float32), [0, 0], 0, 0)
    return weight_sparsity(net, tmi.Dataset(net.task, scenes, scenes))


@settings(max_examples=8, deadline=None)
@given(tasks())
def test_the_last_layer_is_0_or_1_and_each_hidden_neuron_has_one_logit(task):
    for net in (tmi.build("theorem1", task), tmi.build("theorem1", task, realisation="literal"), tmi.build("theorem2", task)):
        metrics = of(net).metrics
        neurons, classes = len(net.neurons("hidden")), len(task.classes)
        assert metrics["binary_share.logits"] == 1
        assert metrics["zero_share.logits"] == pytest.approx(1 - 1 / classes)
        assert metrics["outputs_per_input.logits"] == 1
        assert metrics["weights.logits"] == neurons * classes
        assert metrics.get("one_output_share.logits", 1) == 1
        assert ("one_output_share.logits" in metrics) == (classes > 1)


@settings(max_examples=8, deadline=None)
@given(tasks())
def test_filters_lead_to_the_classes_whose_tiles_have_their_value(task):
    net = tmi.build("theorem1", task, realisation="literal")
    reached = of(net).arrays["logits_reached.conv"].values
    table = net.neurons("conv").drop_duplicates("filter")
    _, m, n = task.image_shape
    kernel = min(2, m), min(2, n)
    for (_, filter_), count in zip(table.iterrows(), reached, strict=True):
        classes = set()
        for tile, windows, label in zip(task.tiles, task.windows, task.tile_class, strict=True):
            for channel, i, j in np.argwhere(tile.support):
                for row, col in np.ndindex(windows):
                    pixel = row + i, col + j
                    tap = tuple(int(p > s - k) for p, s, k in zip(pixel, (m, n), kernel, strict=True))
                    names = (("top left", "top right"), ("bottom left", "bottom right"))
                    same = filter_["kind"] == "identity" or filter_["value"] == tile.values[channel, i, j]
                    if same and channel == filter_["channel"] and names[tap[0]][tap[1]] == filter_["tap"]:
                        classes.add(label)
        assert count == len(classes)


@settings(max_examples=8, deadline=None)
@given(tasks())
def test_paths_of_theorem_2_count_what_its_tiles_share(task):
    result = of(tmi.build("theorem2", task))
    table = sharing(task)
    templates = len({(tile.values * tile.support).tobytes() + tile.support.tobytes() for tile in task.tiles})
    for level in range(1, len(table) - 1):
        row = table.loc[level]
        if templates == len(task.tiles):  # tiles that differ in ε alone are one filter of the last convolution
            assert result.metrics[f"paths_per_output.level{level}"] == pytest.approx(row["patches"] / row["distinct"])
            assert result.metrics[f"shared_share.level{level}"] == pytest.approx(row["shared"] / row["distinct"])
        assert result.metrics[f"block_weights.level{level}"] == 4**level
        assert result.metrics[f"weights_per_output.level{level}"] <= (8 * task.image_shape[0] if level == 1 else 4)


def test_block_pattern_of_a_level_by_hand():
    quarters = [np.full((2, 2), value) for value in (0.2, 0.4, 0.6, 0.8)]
    tiles = [np.block([[quarters[i] for i in row] for row in rows]) for rows in ([[0, 1], [2, 3]], [[0, 0], [1, 3]])]
    classes = [tmi.TileClass(name, [tmi.FeatureTile(tile, 0.1)]) for name, tile in zip("ab", tiles, strict=True)]
    task = tmi.TemplateTask(classes, (1, 6, 6))
    found = of(tmi.build("theorem2", task))
    expected = {
        "weights.level2": 2 * 4 * 16,
        "nonzero.level2": 8,
        "zero_share.level2": 1 - 8 / 128,
        "zero_block_share.level2": 1 - 7 / 8,  # tile a reads all four patches, tile b three, one of them twice
        "inputs_per_output.level2": 3.5,
        "weights_per_output.level2": 4,
        "one_output_share.level2": 1 / 4,
        "logits_reached.level1": (2 + 2 + 1 + 2) / 4,
        "shared_share.level1": 3 / 4,
        "paths_per_output.level1": 2,
    }
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected)


def test_a_fused_layer_has_no_weights_and_tells_what_it_replaces():
    fused, literal = (of(tmi.build("theorem1", TASK, realisation=r)) for r in ("fused", "literal"))
    assert "weights.hidden" not in fused.metrics
    assert fused.metrics["replaced_weights.hidden"] == literal.metrics["nonzero.hidden"]
    assert any("no weights" in note for note in fused.notes)
    second = of(tmi.build("theorem2", TASK, realisation="fused"))
    assert "replaced_weights.hidden" not in second.metrics
    assert second.metrics["binary_share.logits"] == 1


def test_a_trained_network_has_no_zeros_until_it_is_pruned():
    net = cnn_network()
    metrics = of(net).metrics
    assert metrics["zero_share.logits"] == metrics["one_output_share.logits"] == metrics["one_logit_share.conv"] == 0
    assert metrics["logits_reached.conv"] == 3
    with torch.no_grad():
        net.module.logits.weight[:] = torch.eye(3)[:, torch.arange(16) % 3]
        net.module.hidden[0].weight[:, 36:] = 0  # filters 1 to 3 are connected with nothing
    pruned = of(net)
    assert pruned.metrics["binary_share.logits"] == pruned.metrics["one_output_share.logits"] == 1
    assert pruned.metrics["zero_share.hidden"] == 0.75
    assert pruned.arrays["logits_reached.conv"].values.tolist() == [3, 0, 0, 0]
    assert pruned.arrays["density.logits"].values.shape == (3, 16)


def test_networks_without_weights_and_with_ways_around_a_layer():
    task_sums = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 64)), nn.AdaptiveAvgPool1d(3), nn.Flatten())
    result = of(network(task_sums, "3"))
    assert not result.applicable
    assert "no layer whose weights can be read" in result.notes[0]

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.logits = nn.Linear(64, 64), nn.Linear(64, 3)

        def forward(self, images):
            flat = images.flatten(1)
            return self.logits(flat + self.first(flat))

    result = of(network(Residual(), "first", "logits"))
    assert "logits_reached.first" not in result.metrics
    assert "logits_reached: left out, for the layers do not form a chain" in result.notes


def test_without_a_convolution_the_paths_to_the_logits_are_counted_all_the_same():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        layers[3].weight[1:, 0] = 0  # the first neuron leads to the first logit alone
    result = of(network(layers, "1", "3"))
    assert result.metrics["logits_reached.1"] == (1 + 3 + 3 + 3) / 4
    assert not any(name.startswith("paths_per_output") for name in result.metrics)
