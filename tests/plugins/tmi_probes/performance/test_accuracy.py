import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix

import tmi
from tmi_probes.performance.accuracy import accuracy, confusion

from ..toys import TASK, Fixed, Phi, cnn_network, dataset, network


def numbered(tiles):
    """Scenes whose top left pixel is their number / 100, with the tile away from it."""
    backgrounds = torch.full((len(tiles), 1, 8, 8), 0.3)
    backgrounds[:, 0, 0, 0] = torch.arange(len(tiles)) / 100
    return tmi.Scenes(TASK, backgrounds, tiles, 4, 4)


def test_known_answers():
    scenes = numbered([0, 1, 3, 0])
    table = torch.tensor([[2.0, 1, 0], [0, 3, 3], [5, 0, 4], [1, -1, -2]])
    net = network(Fixed(table), history={"loss": [3, 2], "accuracy": [0.5, 0.6]})
    result = tmi.probe("accuracy", net, tmi.Dataset(TASK, scenes[[0, 3]], scenes))
    assert result.metrics == {
        "accuracy": 0.5,
        "train_accuracy": 1.0,
        "tied": 0.25,
        "chance": 0.5,
        "offlabel_logit_max": 5.0,
        "label_logit_min": 1.0,
        "margin_min": -1.0,
        "margin_mean": 0.5,
    }
    assert result.arrays["prediction"].values.tolist() == [0, -1, 0, 0]
    assert result.arrays["confusion"].values.tolist() == [[2, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    assert result.arrays["training_loss"].values.tolist() == [3, 2]
    assert result.arrays["training_accuracy"].dims == ("epoch",)
    assert set(result.info) == set(result.metrics)


def test_confusion_is_sklearns():
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    counts = confusion(label, prediction, 4)
    assert (counts[:, :4] == confusion_matrix(label, prediction)).all()
    assert counts.trace() / 200 == accuracy_score(label, prediction)
    assert not counts[:, 4].any()


def test_exact_on_a_constructed_network():
    metrics = accuracy(network(Phi()), dataset()).metrics
    assert metrics["accuracy"] == metrics["train_accuracy"] == 1
    assert metrics["offlabel_logit_max"] == 0
    assert metrics["label_logit_min"] > 0


def test_a_network_that_gives_nan_is_wrong_and_says_so():
    data = tmi.Dataset(TASK, numbered([0, 1, 3]), numbered([0, 1, 3]))
    net = network(Fixed(torch.zeros(3, 3)))
    net.check(data.test.images)  # NaN from the first image on would be refused
    result = accuracy(net.with_module(Fixed(torch.full((3, 3), torch.nan))), data)
    assert result.metrics["accuracy"] == 0
    assert "margin_min" not in result.metrics
    assert "margin_min" in result.notes[0]


def test_one_class_has_no_margin():
    task = tmi.TemplateTask([tmi.TileClass("only", [TASK.tiles[0]])], (1, 8, 8))
    result = accuracy(network(Phi(task), task=task), dataset(5, task=task))
    assert set(result.metrics) == {"label_logit_min"}  # every network would be right
    assert "accuracy, train_accuracy, tied, margins: not applicable, for there is one class only" in result.notes[0]


def test_curves_of_different_lengths():
    net = cnn_network()
    net.history = {"loss": np.arange(3.0), "other": np.arange(2.0)}
    arrays = accuracy(net, dataset(5)).arrays
    assert arrays["training_loss"].dims == ("epoch",)
    assert arrays["training_other"].dims == ("epoch_of_other",)


def test_images_are_the_first_ones():
    data = dataset(20)
    few, short = accuracy(cnn_network(), data, images=7), dataset(20)
    short = tmi.Dataset(TASK, data.train[:7], data.test[:7])
    assert few.metrics == accuracy(cnn_network(), short).metrics


@pytest.mark.parametrize("images", [0, -1, 2.5, "all"])
def test_bad_settings(images):
    with pytest.raises(tmi.InputError, match="images"):
        tmi.probe("accuracy", cnn_network(), dataset(3), images=images)
