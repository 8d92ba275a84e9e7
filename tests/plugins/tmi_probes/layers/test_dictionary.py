"""Dictionaries, on a layer whose directions are known because they were mixed on purpose."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.layers.dictionary import MOST_METHODS, dictionary

from ...traces import state
from ..toys import TASK, Sums, cnn_network, dataset, network

QUICK = {
    "methods": ["top-k", "nmf", "k-means"],
    "atoms": 6,
    "images": 200,
    "train_images": 200,
    "steps": 100,
    "active": [2],
    "penalties": [0.1],
    "fits": 2,
    "sample": "test",
}


FIVE = tmi.TemplateTask(
    [tmi.TileClass(f"grey {i}", [tmi.FeatureTile(np.full((3, 3), 0.1 + 0.2 * i), 0.3)]) for i in range(5)], (1, 6, 6)
)
# Every unit responds to two of the five classes: all pairs.
PAIRS = [[float(c in pair) for pair in combinations(range(5), 2)] for c in range(5)]


class Mixed(nn.Module):
    """One unit for each class of the task, as φ has it, times a matrix."""

    def __init__(self, matrix, task):
        super().__init__()
        self.task, self.matrix = task, torch.tensor(matrix)
        self.hidden, self.logits = nn.Identity(), nn.Linear(self.matrix.shape[1], len(task.classes))

    def forward(self, images):
        return self.logits(self.hidden(self.task.phi(images).float() @ self.matrix))


def mixed(matrix=PAIRS):
    return network(Mixed(matrix, FIVE), "hidden", "logits", task=FIVE)


@pytest.fixture(scope="module")
def five():
    return dataset(200, seed=1, task=FIVE)


@pytest.fixture(scope="module")
def data():
    return dataset(300, seed=1)


# An autoencoder that starts with no atoms to spare loses some.
@pytest.mark.parametrize(("method", "atoms"), [("nmf", 5), ("dictionary-learning", 5), ("k-means", 5), ("top-k", 15)])
def test_monosemantic_directions_are_found_where_they_are_hidden(five, method, atoms):
    settings = {**QUICK, "atoms": atoms, "steps": 600, "active": [1], "penalties": [0.05], "fits": 1}
    result = tmi.probe("dictionary", mixed(), five, seed=0, **{**settings, "methods": [method]})
    assert result.metrics["mcc.class.units"] < 0.8
    assert result.metrics[f"mcc.class.{method}"] > 0.93
    assert result.metrics[f"f1.class.{method}"] > 0.99
    assert result.metrics[f"explained.{method}"] > 0.9
    assert result.metrics[f"mcc.class.{method}.chance.high"] < 0.4
    assert result.metrics["mcc.class.supervised"] > 0.93
    # The atoms are the rows of the mixture, up to their length; the autoencoders' are seen from their offset.
    found = result.arrays[f"atoms.{method}"].values
    rows = np.array(PAIRS)[:, result.arrays["neuron_index"].values]
    cosine = (found @ rows.T) / np.linalg.norm(found, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    assert cosine.max(0).min() > 0.7


def test_trivial_codes_stand_beside_the_dictionaries(five):
    """The old fault: a dictionary's score stood alone, though k-means, with one code a sample, scores as much."""
    result = tmi.probe("dictionary", mixed(), five, **{**QUICK, "methods": MOST_METHODS, "atoms": 10, "steps": 20})
    for code in (*MOST_METHODS, "units", "projections", "supervised"):
        assert {f"mcc.class.{code}", f"mcc.class.{code}.chance.low", f"mcc.class.{code}.oracle"} <= set(result.metrics)
    assert result.metrics["active.k-means"] == pytest.approx(1, abs=0.01)
    assert result.metrics["mcc.class.k-means"] > result.metrics["mcc.class.units"]
    assert result.metrics["active.random"] <= 2


def test_fits_strengths_and_dead_codes(five):
    settings = {**QUICK, "methods": ["top-k", "l1", "pca"], "active": [2, 1, 4], "penalties": [0.1, 0.5], "fits": 3}
    result = tmi.probe("dictionary", mixed(), five, **{**settings, "atoms": 8, "steps": 60})
    names = list(result.coords["measure"])
    for method, count in (("top-k", 3), ("l1", 2)):
        table = result.arrays[f"by_fit.{method}"].values
        assert table.shape == (len(names), count, 3)
        main = np.abs(table[names.index("active")].mean(1) - 2).argmin()
        for measure in ("mcc.class", "f1.class", "uniqueness.class"):
            assert result.metrics[f"{measure}.{method}"] == pytest.approx(table[names.index(measure), main].mean())
        for measure in ("active", "explained", "dead"):
            assert result.metrics[f"{measure}.{method}"] == pytest.approx(table[names.index(measure), main].mean())
        assert result.metrics[f"spread.class.{method}"] == pytest.approx(np.ptp(table[names.index("mcc.class"), main]))
    # More active codes restore more: the frontier.
    active, explained = (result.arrays["by_fit.top-k"].values[names.index(name)].mean(1) for name in ("active", "explained"))
    assert explained.argmin() == active.argmin()
    assert "spread.class.pca" not in result.metrics  # it has no random start
    assert result.arrays["by_fit.pca"].values.shape == (len(names), 1, 1)
    assert 0 <= result.metrics["dead.top-k"] < 1


def test_the_untrained_network_has_dictionaries_of_its_own():
    data = tmi.generate("squares", seed=0, samples=60, test_samples=60)
    net = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=8, epochs=3, batch_size=10)
    settings = {**QUICK, "methods": ["k-means"], "images": 60}
    result, before = (tmi.probe("dictionary", which, data, **settings).metrics for which in (net, net.untrained()))
    assert result["mcc.tile-place.units.untrained"] == before["mcc.tile-place.units"]
    assert "mcc.tile-place.k-means.untrained" in result


def test_units_score_what_unit_recovery_scores(data):
    data = tmi.Dataset(TASK, data.test, data.test)  # units count that vary on the training images
    result = tmi.probe("dictionary", cnn_network(), data, **{**QUICK, "methods": ["k-means"]})
    other = tmi.probe("unit-recovery", cnn_network(), data, images=200, sample="test")
    for kind in ("tile", "tile-place", "class"):
        for measure in ("mcc", "uniqueness", "f1"):
            own, their = (r.metrics[f"{measure}.{kind}.{of}"] for r, of in ((result, "units"), (other, "hidden")))
            assert own == pytest.approx(their, abs=1e-6)
    assert result.metrics["mcc.tile-place.units.oracle"] == pytest.approx(
        result.metrics["codes.units"] / result.metrics["features.tile-place"]
    )


def test_active_codes(data):
    result = tmi.probe("dictionary", cnn_network(), data, **QUICK)
    assert result.metrics["active.top-k"] <= 2
    assert result.metrics["active.projections"] == pytest.approx(3, abs=2)
    assert result.arrays["atoms.nmf"].shape == (6, len(result.arrays["neuron_index"].values))
    assert (result.arrays["atoms.nmf"].values >= 0).all()


def test_places_of_maps_are_samples(data):
    result = tmi.probe("dictionary", cnn_network(), data, layer="conv", **{**QUICK, "methods": ["nmf"]})
    assert "tile-place" not in {name.split(".")[1] for name in result.metrics}
    assert result.metrics["features.tile"] == len(TASK.tiles) + 1  # and none
    assert result.arrays["atoms.nmf"].shape[1] <= 4
    assert any("400 samples (places" in note for note in result.notes)
    means = tmi.probe("dictionary", cnn_network(), data, layer="conv", maps="mean", **{**QUICK, "methods": ["nmf"]})
    assert "mcc.tile-place.nmf" in means.metrics


def test_negative_activations_have_no_nmf(five):
    net = mixed([[1.0, -1], [0, 1], [1, 0], [0, 0], [1, 1]])
    result = tmi.probe("dictionary", net, five, **QUICK)
    assert "mcc.class.nmf" not in result.metrics
    assert "mcc.class.k-means" in result.metrics
    assert any("negative" in note for note in result.notes)


def test_dead_layers_and_none(data):
    dead = network(Sums(), "hidden", "logits")
    with torch.no_grad():
        dead.module.hidden[1].weight.fill_(-1)
    result = tmi.probe("dictionary", dead, data, **QUICK)
    assert not result.applicable
    assert "no unit of layer hidden varies" in result.notes[0]
    alone = tmi.probe("dictionary", network(Sums()), data)
    assert not alone.applicable
    assert alone.notes == ("the network names no layer but the logits",)
    one = tmi.probe("dictionary", network(Sums(), "hidden", "logits"), data, **QUICK)  # one unit
    assert one.metrics["codes.units"] == 1
    assert all(np.isfinite(value) for value in one.metrics.values())


def test_one_class_one_image():
    task = tmi.TemplateTask([tmi.TileClass("dot", [tmi.FeatureTile(np.full((3, 1, 1), 0.5), 0.1)])], (3, 3, 3))
    few = dataset(3, task=task)
    result = tmi.probe("dictionary", tmi.build("theorem1", few), few, **{**QUICK, "methods": ["nmf"]})
    assert "mcc.class.units" not in result.metrics
    assert any("class: not applicable" in note for note in result.notes)


def test_a_wide_layer_is_sampled():
    data = dataset(60)
    net = tmi.build("theorem1", TASK)
    result = tmi.probe("dictionary", net, data, neurons=20, **QUICK)
    index = result.arrays["neuron_index"].values
    assert len(index) == 20
    fired = net.activations(data.train.images)["hidden"].numpy().any(0)
    assert fired[index].all()
    assert any("20 of" in note for note in result.notes)


def test_settings_are_checked(data):
    with pytest.raises(tmi.InputError, match="each once"):
        dictionary(cnn_network(), data, seed=0, methods=["nmf", "nmf"])
    with pytest.raises(tmi.InputError, match="active: expected at least one"):
        dictionary(cnn_network(), data, seed=0, active=[])
    with pytest.raises(tmi.InputError, match="gives the logits"):
        dictionary(cnn_network(), data, seed=0, layer="logits")


def test_it_leaves_no_trace_and_repeats():
    net, data = cnn_network(), dataset(30)
    net.module.train()
    before = state(net)
    weights = before.pop("weights")
    first = dictionary(net, data, seed=2, **QUICK)
    after = state(net)
    assert all(bool((weights[key] == value).all()) for key, value in after.pop("weights").items())
    assert before == after
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    with torch.inference_mode():
        assert first.metrics == dictionary(net, dataset(30), seed=2, **QUICK).metrics
    assert all(first.describe(name) for name in first.metrics)
    other = dictionary(net, data, seed=3, **QUICK)
    assert first.metrics != other.metrics
