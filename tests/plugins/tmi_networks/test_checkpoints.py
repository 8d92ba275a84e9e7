"""One training, read after several numbers of epochs, against trainings with these epochs alone."""

from __future__ import annotations

import numpy as np
import pytest

import tmi
from tmi_networks.checkpoints import checkpoints
from tmi_networks.cnn import cnn

EPOCHS = [4, 0, 1, 9]  # in any order


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", seed=1, samples=60, test_samples=1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden": 5, "optimizer": "momentum", "weight_decay": 0.01, "dropout": 0.4},
        {"optimizer": "adam", "batch_norm": True, "depth": 2, "orthogonality": 0.1, "activation_l1": 0.01},
        {"filter_loss": 1000.0},
        {"early_stopping": 0.3, "patience": 2, "lr": 2.0},
    ],
    ids=lambda settings: ",".join(settings) or "plain",
)
def test_equal_bit_for_bit_to_trainings_alone(data, settings):
    settings = {"filters": 3, "kernel": 2, "lr": 0.1, "batch_size": 12, "early_stopping": 0.0} | settings
    several = checkpoints(data, seed=3, epochs=EPOCHS, **settings)
    assert list(several) == EPOCHS
    for epochs, (weights, history) in several.items():
        alone = cnn(data, seed=3, epochs=epochs, **settings)
        expected = alone.module.state_dict()
        assert list(weights) == list(expected)
        for name, value in weights.items():
            assert value.dtype == expected[name].numpy().dtype
            assert np.array_equal(value, expected[name].numpy()), (epochs, name)
        assert history.keys() == alone.history.keys()
        assert all(np.array_equal(history[name], values) for name, values in alone.history.items())
    changed = [not np.array_equal(several[1].weights[name], several[4].weights[name]) for name in several[1].weights]
    stopped = settings["early_stopping"] and len(several[9].history["loss"]) < 9
    assert any(changed) or stopped


def test_early_stopping_ends_before_the_last_epochs(data):
    settings = {"filters": 3, "kernel": 2, "batch_size": 12, "lr": 2.0, "early_stopping": 0.3, "patience": 1}
    several = checkpoints(data, seed=3, epochs=[30, 200], **settings)
    assert len(several[200].history["loss"]) == len(several[30].history["loss"]) < 30


def test_no_more_epochs_than_the_largest_are_trained(data, monkeypatch):
    from tmi_networks import training

    counts = []
    monkeypatch.setattr(training.tmi, "track", lambda epochs, text: counts.append(len(epochs)) or epochs)
    checkpoints(data, seed=0, epochs=[1, 2, 5], filters=2, kernel=2)
    assert counts == [5]


def test_errors_are_those_of_cnn(data):
    with pytest.raises(tmi.InputError, match="5×5 is larger than the images"):
        checkpoints(data, seed=0, epochs=[1])
    with pytest.raises(tmi.InputError, match=r"diverged in epoch . of 2"):
        checkpoints(data, seed=0, epochs=[1, 2], kernel=2, lr=1e30)
    with pytest.raises(TypeError, match="colour"):
        checkpoints(data, seed=0, epochs=[1], colour=1)
