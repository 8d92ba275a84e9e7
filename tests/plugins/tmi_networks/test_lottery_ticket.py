"""Pruning by magnitude, the three resets, and what stays at 0."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import tmi
from tmi.networks.train_once import recording
from tmi.networks.train_once import weights as stored
from tmi.params import parameters
from tmi.runtime.seeds import fixed_seed
from tmi_networks.cnn import check, cnn, make_module
from tmi_networks.lottery_ticket import lottery_ticket, prunable, pruned
from tmi_networks.training import descend

SETTINGS = {"filters": 3, "kernel": 2, "epochs": 2, "batch_size": 30, "lr": 0.05}


@pytest.fixture(scope="module")
def data():
    full = np.ones((2, 2), bool)
    classes = [tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2), v), 0.5, full)]) for name, v in (("black", 1), ("white", 0))]
    task = tmi.TemplateTask(classes, (1, 4, 4))
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, 100, rng=np.random.default_rng(seed)) for seed in (0, 1)))


def weights(network):
    return {name: value.detach() for name, value in network.module.named_parameters()}


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def initial(data, seed=0):
    with fixed_seed(seed):
        return make_module(data.task, check(data, 2, 1, "none"), 3, 2, "none", 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100), st.floats(0, 1), st.sampled_from(["global", "per-layer"]))
def test_masks_are_those_of_torchs_pruning(seed, share, scope):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 2))
    whole = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(module).items()}
    masks = pruned(module, whole, share, scope)
    other = copy.deepcopy(module)
    parts = [(part, "weight") for part in other if hasattr(part, "weight")]
    if scope == "global":
        count = sum(part.weight.numel() for part, _ in parts)
        prune.global_unstructured(parts, prune.L1Unstructured, amount=count - round(share * count))
    else:
        for part, name in parts:
            prune.l1_unstructured(part, name, amount=part.weight.numel() - round(share * part.weight.numel()))
    expected = {name.replace("_mask", ""): mask.bool() for name, mask in other.named_buffers() if name.endswith("_mask")}
    assert masks.keys() == expected.keys()
    assert all(torch.equal(mask, expected[name]) for name, mask in masks.items())


def test_what_was_pruned_stays_pruned():
    module = nn.Linear(4, 1)
    with torch.no_grad():
        module.weight[:] = torch.tensor([[9.0, 1.0, 2.0, 0.0]])
    earlier = {"weight": torch.tensor([[False, True, True, True]])}
    assert pruned(module, earlier, 0.5, "global")["weight"].tolist() == [[False, True, True, False]]
    assert pruned(module, earlier, 1.0, "global")["weight"].tolist() == earlier["weight"].tolist()
    assert not pruned(module, earlier, 0.0, "global")["weight"].any()


@pytest.mark.parametrize("reset", ["rewind", "random", "none"])
@pytest.mark.parametrize("scope", ["global", "per-layer"])
def test_a_share_of_the_weights_is_left_and_the_others_are_exactly_0(data, reset, scope):
    network = lottery_ticket(data, seed=0, kept=0.3, reset=reset, scope=scope, **SETTINGS)
    sizes = [(int((weight != 0).sum()), weight.numel()) for weight in prunable(network.module).values()]
    if scope == "global":
        assert sum(left for left, _ in sizes) == round(0.3 * sum(count for _, count in sizes))
    else:
        assert [left for left, _ in sizes] == [round(0.3 * count) for _, count in sizes]
    assert network.layers == ("conv", "logits")
    assert network.origin == "trained"
    assert {name: len(values) for name, values in network.history.items()} == {"loss": 2, "accuracy": 2}
    assert not network.module.training


def test_resets_step_by_step(data):
    how = {"seed": 0, "epochs": 2, "lr": 0.05, "batch_size": 30}
    trained = initial(data)
    descend(trained, data.train, **how)
    whole = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(trained).items()}
    masks = pruned(trained, whole, 0.4, "global")
    for reset, module in (("rewind", initial(data)), ("none", copy.deepcopy(trained))):
        history = descend(module, data.train, masks=masks, **how)
        network = lottery_ticket(data, seed=0, kept=0.4, reset=reset, **SETTINGS)
        assert equal(weights(network), dict(module.named_parameters()))
        assert network.history["loss"].tolist() == history["loss"]
    control = lottery_ticket(data, seed=0, kept=0.4, reset="random", **SETTINGS)
    again = lottery_ticket(data, seed=0, kept=0.4, reset="rewind", **SETTINGS)
    assert not equal(weights(control), weights(again))
    for name, mask in masks.items():
        assert torch.equal(weights(control)[name] != 0, mask)  # the same connections, other weights


def test_rounds_prune_step_by_step(data):
    how = {"seed": 0, "epochs": 2, "lr": 0.05, "batch_size": 30}
    module = initial(data)
    descend(module, data.train, **how)
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(module).items()}
    for number in (1, 2):
        masks = pruned(module, masks, 0.25 ** (number / 2), "global")
        module = initial(data)
        descend(module, data.train, masks=masks, **how)
    assert equal(weights(lottery_ticket(data, seed=0, kept=0.25, rounds=2, **SETTINGS)), dict(module.named_parameters()))
    # The control has the connections that rewinding finds.
    control = lottery_ticket(data, seed=0, kept=0.25, rounds=2, reset="random", **SETTINGS)
    assert all(torch.equal(weights(control)[name] != 0, mask) for name, mask in masks.items())


def test_all_weights_kept_and_rewound_are_the_network_of_cnn(data):
    assert equal(weights(lottery_ticket(data, seed=2, kept=1.0, **SETTINGS)), weights(cnn(data, seed=2, **SETTINGS)))


def test_the_same_seed_gives_the_same_network_and_stored_weights_are_not_trained_again(data, monkeypatch):
    build = {"seed": 3, "kept": 0.2, "reset": "random", **SETTINGS}
    before = torch.get_rng_state()
    with recording() as kept:
        one = lottery_ticket(data, **build)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(weights(one), weights(lottery_ticket(data, **build)))
    assert not kept.problem
    monkeypatch.setattr("tmi_networks.lottery_ticket.descend", None)
    with stored(kept.weights, kept.history):
        again = lottery_ticket(data, **build)
    assert equal(weights(one), weights(again))
    assert again.history["loss"].tolist() == one.history["loss"].tolist()


def test_settings_are_those_of_cnn():
    ours, theirs = (parameters(function) for function in (lottery_ticket, cnn))
    shared = ours.keys() & theirs.keys()
    assert shared == {"filters", "kernel", "depth", "pool", "hidden", "epochs", "lr", "batch_size"}
    for name in shared:
        assert ours[name].default == theirs[name].default
        assert ours[name].type == theirs[name].type or name == "epochs"  # a ticket needs at least one
        assert ours[name].text
