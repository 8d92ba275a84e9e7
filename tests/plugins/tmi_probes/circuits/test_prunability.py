import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import tmi
from tmi_probes.circuits.prunability import SHARES, needed, prunability, ranks

from ...traces import state
from ..toys import TASK, Phi, Sums, cnn_network, dataset, network
from .computed import OTHER_WEIGHTS, computed_weights


@pytest.mark.parametrize("scope", ["global", "per-layer"])
def test_accuracies_are_those_of_torchs_pruning(scope):
    net, data = cnn_network(3), dataset(60)
    result = prunability(net, data, seed=0, scope=scope)
    for share, found in zip(SHARES, result.arrays["accuracy_kept"].values, strict=True):
        other = copy.deepcopy(net.module)
        parts = [(m, "weight") for m in other.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        count = sum(m.weight.numel() for m, _ in parts)
        if scope == "global":
            prune.global_unstructured(parts, prune.L1Unstructured, amount=count - round(share * count))
        else:
            for m, name in parts:
                prune.l1_unstructured(m, name, amount=m.weight.numel() - round(share * m.weight.numel()))
        logits = other.eval()(data.test.images)
        assert found == pytest.approx(float((logits.argmax(1) == data.test.labels).double().mean())), share
    assert result.metrics["weights"] == sum(p.numel() for p in net.module.parameters() if p.ndim > 1)
    assert result.metrics["accuracy"] == result.arrays["accuracy_kept"].values[0]


def test_what_is_needed():
    assert needed(np.array([0.8, 0.8, 0.7, 0.8, 0.2]), 0.99) == 1
    assert needed(np.array([0.8, 0.79, 0.8]), 0.9) == 2
    assert needed(np.array([0.8, 0.1]), 1.0) == 0
    assert needed(np.array([0.8, 0.8 * 0.99]), 0.99) == 1


@given(st.lists(st.lists(st.integers(0, 5).map(float), min_size=1, max_size=6), min_size=1, max_size=4), st.booleans())
def test_ranks(scores, together):
    arrays = [np.array(one) for one in scores]
    found = ranks(arrays, together)
    for group in (
        [list(zip(np.concatenate(arrays), np.concatenate(found), strict=True))]
        if together
        else [list(zip(a, f, strict=True)) for a, f in zip(arrays, found, strict=True)]
    ):
        ordered = sorted(group, key=lambda one: one[1])
        assert [rank for _, rank in ordered] == list(range(len(group)))
        assert [score for score, _ in ordered] == sorted((score for score, _ in group), reverse=True)


def test_a_network_that_needs_few_weights():
    """Of 64 weights one decides; the logits hang together."""
    net = network(Sums(), "hidden", "logits")
    with torch.no_grad():
        net.module.hidden[1].weight.mul_(0.001)
        net.module.hidden[1].weight[0, 0] = 5
    data = dataset(40)
    result = prunability(net, data, seed=0)
    # Of 67 weights: two of the logits and the one of the hidden neuron are the largest.
    kept = result.metrics["weights_needed"] * 67
    assert kept <= 7
    assert result.metrics["components.logits"] == 1
    assert result.metrics["components.logits.oracle"] == 3
    assert result.metrics["weights_needed.chance"] >= result.metrics["weights_needed"]
    assert any("magnitudes only" in note for note in result.notes)


def test_structure_follows_the_pruning():
    net, data = cnn_network(), dataset(30)
    result = prunability(net, data, seed=0)
    parts = result.arrays["components"].values
    assert result.coords["layer"].tolist() == ["hidden", "logits"]
    assert parts[:, 0].tolist() == [1, 1]
    assert np.isnan(parts[:, -1]).all()  # nothing is left
    whole = np.abs(net.module.logits.weight.detach().numpy())
    home = whole.argmax(0)
    inside = sum(whole[home[i], i] for i in range(16)) / whole.sum()
    expected = sum(whole[:, home == c].sum() * whole[c].sum() for c in range(3)) / whole.sum() ** 2
    assert result.metrics["modularity.logits.whole"] == pytest.approx(inside - expected, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"realisation": "literal"}])
@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_constructed_networks_are_not_pruned_and_their_logits_are_separate(name, settings):
    data = dataset(20)
    result = tmi.probe("prunability", tmi.build(name, TASK, **settings), data)
    assert "weights_needed" not in result.metrics
    assert result.metrics["accuracy"] == 1
    literal = settings or name == "theorem2"
    assert any(("magnitude is a tie" if literal else "has no weights") in note for note in result.notes)
    assert result.metrics["components.logits"] == result.metrics["components.logits.oracle"] == 3
    # Two of the four tiles are of one class: less than the most modular division, into equal parts.
    assert result.metrics["modularity.logits"] == pytest.approx(1 - (1 + 4 + 1) / 16)


def test_a_network_without_weights():
    result = tmi.probe("prunability", network(Phi()), dataset(5))
    assert set(result.metrics) == {"accuracy", "accuracy.chance"}
    assert result.notes == ("not pruned: the network has no weights",)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
@pytest.mark.parametrize("scope", ["global", "per-layer"])
def test_computed_weights_are_pruned_as_computed(scope):
    data = dataset(40)
    found, expected = (prunability(net, data, seed=0, scope=scope) for net in computed_weights())
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)
    for name, values in expected.arrays.items():
        assert found.arrays[name].values == pytest.approx(values.values, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("layer", ["conv", "hidden", "logits"])
@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_weights_that_are_not_those_of_the_layer_are_left_out(layer, way):
    net, whole = cnn_network(), cnn_network()
    OTHER_WEIGHTS[way](net.module, layer)
    result = prunability(net, dataset(12), seed=0)
    assert result.metrics["weights"] == sum(
        p.numel() for name, p in whole.module.named_parameters() if p.ndim > 1 and not name.startswith(layer)
    )
    assert f"components.{layer}" not in result.metrics
    (note,) = (note for note in result.notes if "computes with other weights than it holds" in note)
    assert note.startswith(layer)


def test_a_weight_without_effect_is_left_out():
    net = cnn_network()
    outside = net.module.hidden[0]
    outside.raw = nn.Parameter(outside.weight.detach().clone())
    del outside._parameters["weight"]
    # It writes into this very module, not into a copy, whose weights no parameter would determine.
    outside.register_forward_pre_hook(lambda _module, _inputs: setattr(outside, "weight", outside.raw * 2))
    result = prunability(net, dataset(12), seed=0)
    assert "hidden.0: left out, for no logit depends on its weights" in result.notes
    unused = cnn_network()
    unused.module.logits.head = nn.Linear(7, 7)
    spare = prunability(unused, dataset(12), seed=0)
    assert spare.metrics["weights"] == prunability(cnn_network(), dataset(12), seed=0).metrics["weights"]
    assert "logits.head: left out, for no logit depends on its weights" in spare.notes


def test_logits_of_other_forms():
    task = tmi.TemplateTask(TASK.classes[:2], TASK.image_shape)
    data = dataset(20, task=task)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    one = tmi.Network(module, ["1"], "imported", task=task, form="sigmoid")
    two = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        two[1].weight.copy_(module[1].weight * torch.tensor([[-0.5], [0.5]]))
        two[1].bias.copy_(module[1].bias * torch.tensor([-0.5, 0.5]))
    accuracies = [prunability(net, data, seed=0).metrics["accuracy"] for net in (one, network(two, "1", task=task))]
    assert accuracies[0] == accuracies[1]


def test_it_leaves_no_trace():
    net, data = cnn_network(), dataset(12)
    net.module.train()
    net.module.hidden.eval()
    before = state(net)
    weights = before.pop("weights")
    first = prunability(net, data, seed=2)
    after = state(net)
    assert all(bool((weights[key] == value).all()) for key, value in after.pop("weights").items())
    assert before == after
    assert first.metrics == prunability(net, data, seed=2).metrics
    assert all(first.describe(name) for name in first.metrics)


def test_a_weight_that_a_module_converts_is_left_out():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(16, 144))

        def forward(self, x):
            return torch.relu(nn.functional.linear(x, self.weight * (self.weight > 0)))

    net = cnn_network()
    net.module.hidden = Scaled()
    result = prunability(net, dataset(12), seed=0)
    assert "hidden: left out, for it computes with other weights than it holds" in result.notes
    assert result.metrics["weights"] == 4 * 9 + 3 * 16
    assert "components.hidden" not in result.metrics
