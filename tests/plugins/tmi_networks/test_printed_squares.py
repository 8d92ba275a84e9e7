"""The weights of section 6.1, worked out by hand and counted on new images."""

import numpy as np
import pytest
import torch

import tmi


def test_the_logits_of_an_image_by_hand():
    """A black square at the top left of a white image: three patches touch it, and no other neuron gets above its bias."""
    task = tmi.generate("squares", samples=1, test_samples=1).task
    network = tmi.build("printed-squares", task)
    image = torch.zeros(1, 1, 4, 4)
    image[..., :2, :2] = 1
    layers = network.activations(image)
    whole = 1.02 + 1.04 + 1.32 + 0.76 - 1.65  # 2.49
    left_half = 1.02 + 1.32 - 1.65  # the patch one column to the right sees the square in its left half: 0.69
    upper_half = 1.02 + 1.04 - 1.65  # the patch one row below: 0.41; the corner alone, 1.02, stays below the bias
    assert layers["conv"][0, 0].flatten().tolist() == pytest.approx([whole, left_half, 0, upper_half, 0, 0, 0, 0, 0], abs=1e-6)
    first = 0.09 * whole + 0.44 * left_half + 0.74 * upper_half - 1.97
    second = -0.23 * whole - 0.39 * left_half - 0.64 * upper_half + 2.60
    assert layers["logits"][0].tolist() == pytest.approx([first, second], abs=1e-6)
    assert network.layers == ("conv", "logits")
    assert network.origin == "imported"
    assert task.class_names[0] == "black"


def test_a_white_image_gives_the_biases():
    network = tmi.build("printed-squares", tmi.generate("squares", samples=1, test_samples=1))
    assert network.logits(torch.zeros(1, 1, 4, 4))[0].tolist() == pytest.approx([-1.97, 2.60])


@pytest.fixture(scope="module")
def measured():
    """Accuracy and the metrics of the heuristics on ten test sets of 1,000."""
    rows = []
    for seed in range(10):
        data = tmi.generate("squares", seed=seed, samples=1)
        network = tmi.build("printed-squares", data)
        metrics = {
            f"{probe}.{name}": value
            for probe in ("accuracy", "squares-heuristics")
            for name, value in tmi.probe(probe, network, data).metrics.items()
        }
        rows.append(metrics)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_its_accuracy_is_the_papers(measured):
    accuracy = measured["accuracy.accuracy"]
    assert accuracy.mean() == pytest.approx(0.957, abs=0.01)  # the paper: 95 %
    assert accuracy.min() > 0.93


@pytest.mark.parametrize(
    ("statement", "share", "chance"),
    [
        ("high_above_1", 0.9996, 0.29),
        ("low_is_0", 0.944, 0.35),
        ("active_means_first", 0.976, 0.54),
        ("quiet_means_second", 0.9997, 0.46),
    ],
)
def test_the_papers_heuristics_hold(measured, statement, share, chance):
    assert measured[f"squares-heuristics.{statement}"].mean() == pytest.approx(share, abs=0.01)
    assert measured[f"squares-heuristics.{statement}.chance"].mean() == pytest.approx(chance, abs=0.01)
    assert (measured["squares-heuristics.mirrored"] == 0).all()


@pytest.mark.parametrize(
    ("classes", "shape", "side"), [(2, (1, 5, 4), 2), (2, (3, 4, 4), 2), (3, (1, 4, 4), 2), (1, (1, 4, 4), 2), (2, (1, 4, 4), 3)]
)
def test_another_task_is_refused(classes, shape, side):
    values = np.linspace(0, 1, classes)
    tiles = [
        tmi.FeatureTile(np.full((shape[0], side, side), value), 0.1, np.ones((shape[0], side, side), bool)) for value in values
    ]
    task = tmi.TemplateTask([tmi.TileClass(str(i), [tile]) for i, tile in enumerate(tiles)], shape)
    with pytest.raises(tmi.InputError, match="printed-squares: needs grey images of 4×4 pixels and two classes of 2×2 tiles"):
        tmi.build("printed-squares", task)
