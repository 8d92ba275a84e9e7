"""The terms of the loss by hand, and that training with them takes the steps of their gradient."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import tmi
from tmi.runtime.seeds import fixed_seed
from tmi_networks.cnn import check, cnn, make_module
from tmi_networks.filter_loss import FilterLoss
from tmi_networks.penalties import activation_l1, orthogonality, penalty


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", seed=0, samples=40, test_samples=1)


def untrained(data, **settings):
    with fixed_seed(5):
        return make_module(data.task, check(data, 2, 1, "none"), 3, 2, "none", 4, **settings)


def weights_of(**given):
    return SimpleNamespace(**({"activation_l1": 0.0, "orthogonality": 0.0, "filter_loss": 0.0} | given))


def test_l1_is_the_sum_over_neurons_and_the_mean_over_images():
    maps, flat = torch.tensor([[[[1.0, -2.0]]], [[[0.0, 4.0]]]]), torch.tensor([[1.0], [2.0]])
    assert float(activation_l1([maps])) == 3.5
    assert float(activation_l1([maps, flat])) == 5.0


def test_orthogonal_filters_of_length_1_cost_nothing():
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(2, 9))
    with torch.no_grad():
        module[0].weight[:] = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]).reshape(2, 1, 2, 2)
        module[2].weight[:] = torch.tensor([[2.0, 0], [1, 1]]).reshape(2, 2, 1, 1)
    # WWᵀ of the second is [[4, 2], [2, 2]].
    assert float(orthogonality(module[:1])) == 0
    assert float(orthogonality(module)) == 9 + 4 + 4 + 1


@pytest.mark.parametrize("name", ["activation_l1", "orthogonality", "filter_loss"])
def test_the_term_is_that_of_the_images_last_seen(data, name):
    module = untrained(data)
    images, labels = data.train.images[:9], data.train.labels[:9]
    maps = module.conv(images)
    expected = {
        "activation_l1": lambda: (maps.sum() + module.hidden(maps.flatten(1)).sum()) / 9,
        "orthogonality": lambda: orthogonality(module),
        "filter_loss": lambda: FilterLoss()(maps, labels),
    }[name]()
    with penalty(module, weights_of(**{name: 2.5})) as term:
        module(data.train.images)
        module(images)
        torch.testing.assert_close(term(labels), 2.5 * expected)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_without_weights_there_is_no_term(data):
    with penalty(untrained(data), weights_of()) as term:
        assert term is None


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "momentum", "weight_decay": 0.1},
        {"optimizer": "adam"},
        {"activation_l1": 0.02, "orthogonality": 0.3, "filter_loss": 5.0},
        {"batch_norm": True, "dropout": 0.4},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_training_takes_the_steps_of_torchs_optimizers_on_the_sum(data, settings):
    """Two epochs written out, with torch's own optimizers and the terms by their formulas."""
    network = cnn(data, seed=5, filters=3, kernel=2, hidden=4, epochs=2, lr=0.05, batch_size=15, **settings)
    forms = {name: settings[name] for name in ("dropout", "batch_norm") if name in settings}
    with fixed_seed(5):
        module = make_module(data.task, check(data, 2, 1, "none"), 3, 2, "none", 4, **forms)
        kind = settings.get("optimizer")
        steps = (
            torch.optim.Adam(module.parameters(), lr=0.05)
            if kind == "adam"
            else torch.optim.SGD(
                module.parameters(), lr=0.05, momentum=0.9 * (kind == "momentum"), weight_decay=settings.get("weight_decay", 0)
            )
        )
        generator, filter_loss = torch.Generator().manual_seed(5), FilterLoss()
        for _ in range(2):
            for batch in torch.randperm(40, generator=generator).split(15):
                labels = data.train.labels[batch]
                maps = module.conv(data.train.images[batch])
                after = module[1 : 1 + [name for name, _ in module.named_children()].index("hidden")](maps)
                loss = cross_entropy(module[list(module._modules).index("hidden") + 1 :](after), labels)
                if "activation_l1" in settings:
                    loss = loss + 0.02 * (maps.sum() + after.sum()) / len(batch)
                    loss = loss + 0.3 * orthogonality(module) + 5.0 * filter_loss(maps, labels)
                steps.zero_grad()
                loss.backward()
                steps.step()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(network.module.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_modules_of_dropout_and_normalisation_and_their_layers(data):
    network = cnn(data, seed=0, filters=3, kernel=2, hidden=4, epochs=1, dropout=0.5, batch_norm=True)
    assert network.layers == ("conv", "hidden", "logits")
    assert list(network.module._modules) == ["conv", "flatten", "dropout", "hidden", "dropout2", "logits"]
    assert [type(part) for part in network.module.conv] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(part) for part in network.module.hidden] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    once, again = (network.logits(data.train.images) for _ in range(2))
    assert torch.equal(once, again)  # no dropout outside training
    assert int(network.module.conv[1].num_batches_tracked) == 1
    other = cnn(data, seed=0, filters=3, kernel=2, hidden=4, epochs=1, dropout=0.5, batch_norm=True)
    assert all(torch.equal(v, other.module.state_dict()[k]) for k, v in network.module.state_dict().items())


def test_early_stopping_takes_the_best_weights_on_images_that_it_never_trains_on(data, monkeypatch):
    from tmi_networks import training

    held = {}

    def spy(count, share, generator, real=training._held_out):
        held["held"], held["kept"] = real(count, share, generator)
        return held["held"], held["kept"]

    monkeypatch.setattr(training, "_held_out", spy)
    network = cnn(data, seed=0, filters=3, kernel=2, epochs=100, lr=1.5, batch_size=5, early_stopping=0.25, patience=4)
    losses = network.history["held_out_loss"]
    assert sorted([*held["held"].tolist(), *held["kept"].tolist()]) == list(range(40))
    assert len(held["held"]) == 10
    best = int(np.argmin(losses))
    assert len(losses) == len(network.history["loss"]) == best + 5 < 100
    images, labels = data.train.images[held["held"]], data.train.labels[held["held"]]
    assert float(cross_entropy(network.logits(images), labels)) == pytest.approx(losses[best], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout: 1 sets every input"),
        ({"early_stopping": 0.001}, "holds out 0; it must be at least 1"),
        ({"early_stopping": 1.0}, "holds out 40; it must be at least 1 and not all"),
        ({"batch_norm": True, "batch_size": 13}, "batches of 13 from 40 images leave one with a single image"),
        ({"batch_norm": True, "batch_size": 1}, "with a single image"),
        ({"optimizer": "rmsprop"}, "optimizer"),
        ({"dropout": 1.5}, "dropout"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"patience": 0}, "patience"),
    ],
    ids=str,
)
def test_settings_out_of_range_or_that_contradict(data, settings, message):
    with pytest.raises(tmi.InputError, match=message) as raised:
        tmi.build("cnn", data, seed=0, kernel=2, epochs=1, **settings)
    assert "\n" not in str(raised.value)


def test_0_epochs_are_the_initial_weights(data):
    network = cnn(data, seed=5, filters=3, kernel=2, hidden=4, epochs=0)
    assert all(torch.equal(v, untrained(data).state_dict()[k]) for k, v in network.module.state_dict().items())
    assert len(network.history["loss"]) == 0
