"""Dictionaries on layers whose directions are known, on layers of the constructions, and on layers of which nothing is known."""

import numpy as np
import pytest
import torch

import tmi
from tmi_probes.layers.dictionary_fits import METHODS
from tmi_probes.layers.direction_recovery import direction_recovery

from ..pipeline.test_known_samples import Shared, shared
from ..toys import TASK, Sums, cnn_network, dataset, network

DATA = dataset(40)
QUICK = {"images": 300, "test_images": 100, "steps": 100, "fits": 2, "penalties": [0.2]}
FEW = ["top-k", "k-means", "pca", "neurons"]


def probe(net, data=DATA, **settings):
    return tmi.probe("direction-recovery", net, data, **{"seed": 0, "methods": FEW, **QUICK, **settings})


def test_directions_that_neurons_share_are_found_one_at_a_time():
    result = probe(shared(), methods=[*FEW, "random"], steps=400)
    metrics = result.metrics
    assert metrics["features"] == len(TASK.tiles) > metrics["units"]
    assert metrics["explained.truth"] == pytest.approx(1)
    assert metrics["recovered.k-means"] == metrics["recovered.top-k"] == metrics["true_atoms.k-means"] == 1
    assert metrics["mmcs.k-means"] == pytest.approx(1, abs=1e-4)
    assert metrics["stability.k-means"] == pytest.approx(1, abs=1e-4)
    assert metrics["recovered.neurons"] < 1
    assert metrics["recovered.pca"] < 1
    assert metrics["mcc.top-k"] > metrics["mcc.top-k.chance"] + 0.3
    known = result.arrays["directions"].values
    cosines = known @ known.T - np.eye(len(known))
    assert metrics["coherence"] == pytest.approx(np.abs(cosines).max())


def test_chance_is_the_distribution_of_random_dictionaries():
    metrics = probe(shared(), methods=["k-means", "pca"]).metrics
    for metric in ("mmcs.k-means", "mcc.k-means", "mmcs.pca"):
        low, mean, high = (metrics[f"{metric}.chance{end}"] for end in (".low", "", ".high"))
        assert 0 < low < mean < high <= 1
    # The probe's own control, one random dictionary, lies among them.
    random = probe(shared(), methods=["random"], fits=1).metrics
    assert random["mmcs.random.chance.low"] - 0.05 <= random["mmcs.random"] <= random["mmcs.random.chance.high"] + 0.05
    assert metrics["mmcs.k-means"] > metrics["mmcs.k-means.chance.high"]


def test_where_each_neuron_is_a_tile_the_neurons_are_the_directions():
    result = probe(tmi.build("theorem1", TASK), together=2)
    assert result.metrics["recovered.neurons"] == result.metrics["true_atoms.neurons"] == 1
    assert result.metrics["coherence"] == 0
    assert 1 < result.metrics["active.truth"] < 2.6
    assert any(note.startswith("hidden: 300 samples (neurons summed over the places of a tile)") for note in result.notes)


@pytest.mark.slow
def test_superposed_networks_of_the_library():
    data = tmi.generate("fashion", seed=0, tiles_per_class=2, samples=50, test_samples=50, epsilon=1.0, image_size=30)
    for settings, about in (
        ({"neurons": 15}, "channels summed"),
        ({"neurons": 40, "scope": "layer", "approximate": True}, "units"),
    ):
        net = tmi.build("superposed", data, seed=0, **settings)
        result = tmi.probe(
            "direction-recovery", net, data, seed=0, methods=["top-k", "k-means", "neurons"], features=20, steps=800, fits=2
        )
        assert any(note.startswith("mixed: ") and about in note for note in result.notes)
        assert result.metrics["explained.truth"] > 0.999
        assert result.metrics["recovered.k-means"] > 0.95
        assert result.metrics["recovered.neurons"] == 0


def test_fewer_active_features_and_less_noise_are_easier():
    """With as many directions active as there are dimensions, nothing is sparse."""
    few, many = (probe(shared(), methods=["top-k", "k-means"], together=t, vary=False, steps=300).metrics for t in (1, 12))
    assert few["mmcs.k-means"] > many["mmcs.k-means"] + 0.02
    noisy = probe(shared(), methods=["k-means"], noise=1.0).metrics
    assert noisy["mmcs.k-means"] < few["mmcs.k-means"]
    assert noisy["explained.truth"] < 0.9


def test_layers_of_which_nothing_is_known():
    result = probe(cnn_network(), methods=["top-k", "k-means", "random"])
    assert not {name.split(".")[0] for name in result.metrics} & {"mmcs", "recovered", "true_atoms", "coherence"}
    assert {"mcc.top-k", "mcc.top-k.chance", "active.top-k", "explained.top-k", "stability.top-k"} <= set(result.metrics)
    assert any("no directions of tiles are known" in note for note in result.notes)
    assert "directions" not in result.arrays


def test_arrays_hold_every_strength_and_fit():
    result = probe(shared(), methods=["top-k", "l1"], active=[1, 2], penalties=[0.1, 0.2, 0.3], steps=20)
    names = list(result.coords["measure"])
    for method, count in (("top-k", 2), ("l1", 3)):
        table = result.arrays[f"by_fit.{method}"].values
        assert table.shape == (len(names), count, 2)
        active = table[names.index("active")].mean(1)
        main = np.abs(active - result.metrics["active.truth"]).argmin()
        for i, name in enumerate(names):
            assert result.metrics[f"{name}.{method}"] == pytest.approx(table[i, main].mean())
        assert result.arrays[f"atoms.{method}"].shape[0] == 2 * len(TASK.tiles)
    assert list(result.coords["strength.l1"]) == [0.1, 0.2, 0.3]


def test_factorisation_needs_activations_that_are_not_negative():
    matrix = np.random.default_rng(0).standard_normal((len(TASK.tiles), 3))
    known = tmi.Directions(matrix, {"tile": range(len(matrix))}, by_place=True)
    net = tmi.Network(Shared(TASK, matrix), ["mixed", "logits"], "constructed", task=TASK, directions={"mixed": known})
    result = probe(net, methods=["nmf", "k-means"])
    assert "mmcs.nmf" not in result.metrics
    assert any("nmf: left out" in note for note in result.notes)
    assert "mmcs.nmf" in probe(shared(), methods=["nmf"], noise=0.3).metrics  # noise is cut at 0


def test_every_method_runs():
    result = probe(shared(), methods=METHODS, steps=10, images=100)
    for method in METHODS:
        assert {f"mmcs.{method}", f"active.{method}", f"explained.{method}"} <= set(result.metrics)


def test_layers_without_anything_to_find():
    dead = network(Sums(), "hidden", "logits")
    with torch.no_grad():
        dead.module.hidden[1].weight.fill_(-1)
    result = probe(dead)
    assert not result.applicable
    assert "no unit varies" in result.notes[0]
    assert not probe(network(Sums())).applicable
    one = tmi.TemplateTask([tmi.TileClass("dot", [tmi.FeatureTile(np.full((2, 2), 0.5), 0.1)])], (1, 4, 4))
    alone = probe(tmi.build("theorem1", one), dataset(10, task=one))
    assert not alone.applicable
    assert "fewer than two features" in alone.notes[0]


def test_settings_are_checked():
    for settings, message in (
        ({"methods": ["pca", "pca"]}, "methods: expected at least one, each once"),
        ({"penalties": []}, "penalties: expected"),
        ({"active": [2, 2]}, "active: expected"),
        ({"layer": "logits"}, "gives the logits"),
    ):
        with pytest.raises(tmi.InputError, match=message):
            direction_recovery(shared(), DATA, seed=0, **{**QUICK, **settings})


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_data_set_without_scenes_is_an_error(part):
    empty = {"train": DATA.train, "test": DATA.test} | {part: DATA.test[:0]}
    with pytest.raises(tmi.InputError, match=f"data: there are no {'training' if part == 'train' else 'test'} scenes"):
        tmi.probe("direction-recovery", tmi.build("theorem1", DATA), tmi.Dataset(DATA.task, empty["train"], empty["test"]))
