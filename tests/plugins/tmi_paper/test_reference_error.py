"""Constructed networks against the formulas of both proofs: what is right has error 0, what is changed has not."""

import copy

import numpy as np
import pytest
import torch

import tmi
from tmi_paper.reference_error import dense_weights


@pytest.mark.parametrize("theorem", ["theorem1", "theorem2"])
@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_both_theorems_are_the_references_to_rounding(theorem, realisation):
    data = tmi.generate("squares", seed=1, samples=5, test_samples=30)
    metrics = tmi.probe("reference-error", tmi.build(theorem, data, realisation=realisation), data).metrics
    assert set(metrics) == {"phi_error", "labels_error", "reference_error.theorem1", "reference_error.theorem2"}
    assert max(metrics.values()) < 1e-14


def test_a_changed_network_has_an_error():
    data = tmi.generate("squares", seed=1, samples=5, test_samples=30)
    network = tmi.build("theorem1", data)
    module = copy.deepcopy(network.module)
    changed = torch.nn.Sequential()
    for name, part in module.named_children():
        changed.add_module(name, part)
    changed.add_module("more", Plus())
    other = tmi.Network(changed, ["more"], "constructed", task=data.task)
    metrics = tmi.probe("reference-error", other, data).metrics
    assert metrics["phi_error"] == pytest.approx(0.25)
    assert metrics["labels_error"] == 0


class Plus(torch.nn.Module):
    def forward(self, x):
        return x + 0.25


def test_large_tasks_are_compared_with_phi_alone():
    data = tmi.generate("fashion", seed=0, samples=5, test_samples=10, source="sample")
    assert dense_weights(data.task) > 1e9
    result = tmi.probe("reference-error", tmi.build("theorem1", data), data)
    assert set(result.metrics) == {"phi_error", "labels_error"}
    assert result.metrics["phi_error"] < 1e-10
    assert any("dense matrices" in note for note in result.notes)


def test_trained_networks_are_not_compared():
    data = tmi.generate("squares", seed=1, samples=5, test_samples=5)
    network = tmi.build("cnn", data, filters=1, kernel=2, epochs=1)
    assert not tmi.probe("reference-error", network, data).applicable


def test_the_size_of_the_dense_matrix():
    tile = tmi.FeatureTile(np.array([[0.5, 1.0]]), 0.1)
    task = tmi.TemplateTask([tmi.TileClass("a", [tile])], (1, 3, 4))
    # Nine windows, two grey values and y itself, four taps, twelve pixels.
    assert dense_weights(task) == 9 * 3 * 4 * 12
