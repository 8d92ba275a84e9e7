"""Kept meaning: the constructions keep all of it, a shuffled network none; the drift is that of the weights."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import tmi
from tests.tmi import toys
from tmi_probes.neurons.kept_meaning import by_design, kept_meaning, theorem1_neurons
from tmi_probes.pipeline.layer_scores import NO_UNTRAINED

from ..toys import TASK, Phi, dataset, network


@pytest.fixture(scope="module")
def data():
    return tmi.generate("digits", seed=0, samples=40, test_samples=20, image_size=9, classes=4)


def every(data):
    return by_design(data, 3, 10**6, np.random.default_rng(0))


@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_constructions_keep_every_meaning(data, name, realisation):
    net = tmi.build(name, data, realisation=realisation)
    layer = "hidden" if name == "theorem1" else net.layers[-2]
    metrics = tmi.probe("kept-meaning", net, data, backgrounds=3).metrics
    for measure in ("fires", "alone", "separable", "correlation", "matched"):
        assert metrics[f"{measure}.{layer}"] == pytest.approx(1, abs=1e-9), measure
    assert metrics[f"false_alarms.{layer}"] == 0
    assert metrics[f"alone.{layer}.chance"] < 0.2
    assert metrics["matched.logits.oracle"] == 4 / (4 * 2 * 2)
    assert not any(metric.startswith(("drift", "filled")) for metric in metrics)


def test_scenes_are_every_tile_at_every_place_on_the_same_backgrounds(data):
    scenes, numbers, count = every(data)
    assert count == 4 * 2 * 2 == len(numbers)
    shown = list(zip(scenes.tile.tolist(), scenes.row.tolist(), scenes.col.tolist(), strict=True))
    assert shown == [(t, r, c) for t in range(4) for r in range(2) for c in range(2)] * 3
    for i in range(3):
        assert (scenes.backgrounds[i * count : (i + 1) * count] == data.test.backgrounds[i]).all()
    few, chosen, _ = by_design(data, 2, 5, np.random.default_rng(1))
    assert len(few) == 10
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) == 5


def test_the_truth_is_theorem_1s_hidden_layer():
    """Tiles of colour and of different sizes, some of the neurons."""
    rng = np.random.default_rng(2)
    tiles = [tmi.FeatureTile(rng.random((3, *shape)), 6.0) for shape in ((2, 3), (3, 2), (1, 1))]
    task = tmi.TemplateTask([tmi.TileClass("one", tiles)], (3, 4, 5))
    scenes = tmi.Scenes(task, rng.random((30, 3, 4, 5)), rng.integers(0, 3, 30), 0, 0)
    hidden = tmi.build("theorem1", task, realisation="literal").activations(scenes.images)["hidden"].numpy()
    numbers = np.flatnonzero(rng.random(hidden.shape[1]) < 0.5)
    np.testing.assert_allclose(theorem1_neurons(task, scenes, numbers), hidden[:, numbers], atol=1e-12)


def test_units_in_another_order_are_matched_but_do_not_keep_their_number(data):
    start = tmi.build("warm-start", data, epochs=0)
    order = torch.arange(16).roll(1)
    with torch.no_grad():
        for value in (start.module.hidden[0].weight, start.module.hidden[0].bias):
            value.copy_(value[order].clone())
        start.module.logits.weight.copy_(start.module.logits.weight[:, order].clone())
    metrics = kept_meaning(start, data, seed=0).metrics
    assert metrics["matched.hidden"] == pytest.approx(1)
    assert metrics["alone.hidden"] == metrics["separable.hidden"] == 0
    # Each unit is the next one's neuron: it fires on one image of sixteen, and of its own on none.
    assert metrics["fires.hidden"] == 0
    assert metrics["false_alarms.hidden"] == pytest.approx(1 / 15)


def size_of(truth, values):
    return np.array([[abs(np.corrcoef(t, v)[0, 1]) if np.ptp(v) else 0.0 for v in values.T] for t in truth.T])


def test_matching_by_definition(data):
    trained = tmi.build("cnn", data, seed=1, filters=2, kernel=5, hidden=7, epochs=2)
    metrics = tmi.probe("kept-meaning", trained, data, backgrounds=3).metrics
    scenes, numbers, _ = every(data)
    truth = theorem1_neurons(data.task, scenes, numbers)
    values = trained.activations(scenes.images)["hidden"].double().numpy()
    size = size_of(truth, values)
    assert metrics["matched.hidden"] == pytest.approx(size[linear_sum_assignment(-size)].sum() / 16, rel=1e-5)
    assert metrics["matched.hidden.oracle"] == 7 / 16
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(40):
        shuffled = size_of(truth[rng.permutation(len(truth))], values)
        drawn.append(shuffled[linear_sum_assignment(-shuffled)].sum() / 16)
    assert metrics["matched.hidden.chance"] == pytest.approx(np.mean(drawn), abs=0.02)
    assert metrics["matched.hidden.chance.low"] < metrics["matched.hidden.chance"] < metrics["matched.hidden.chance.high"]
    before = trained.untrained().activations(scenes.images)["hidden"].double().numpy()
    size = size_of(truth, before)
    expected = size[linear_sum_assignment(-size)].sum() / 16
    assert metrics["matched.hidden.untrained"] == pytest.approx(expected, rel=1e-5) != metrics["matched.hidden"]
    assert "alone.hidden" not in metrics  # it has 7 units, not 16


def test_drift_is_the_relative_distance_from_the_start(data):
    settings = {"seed": 2, "epochs": 2, "lr": 0.01}
    trained, start = (tmi.build("warm-start", data, **(settings | given)).module for given in ({}, {"epochs": 0}))
    metrics = tmi.probe("kept-meaning", tmi.build("warm-start", data, **settings), data).metrics
    now, before = (
        np.concatenate([part.detach().double().numpy().ravel() for part in module.hidden.parameters()])
        for module in (trained, start)
    )
    for name in ("alone", "separable", "matched"):  # the construction, before it was trained
        assert metrics[f"{name}.hidden.untrained"] == pytest.approx(1)
    assert metrics["drift.hidden"] == pytest.approx(np.linalg.norm(now - before) / np.linalg.norm(before))
    weight, zero = trained.hidden[0].weight.detach().double().numpy(), start.hidden[0].weight.detach().numpy() == 0
    assert metrics["filled.hidden"] == pytest.approx((weight[zero] != 0).mean())
    assert metrics["filled_norm.hidden"] == pytest.approx((weight[zero] ** 2).sum() / (weight**2).sum())
    assert 0 < metrics["filled.hidden"] <= 1
    masked = tmi.probe("kept-meaning", tmi.build("warm-start", data, masked=True, **settings), data).metrics
    assert masked["filled.hidden"] == 0 < masked["drift.hidden"]
    random = tmi.probe("kept-meaning", tmi.build("warm-start", data, start="random", **settings), data).metrics
    assert "filled.hidden" not in random
    assert random["drift.hidden"] > 0


def test_a_network_that_was_not_trained_here_has_no_start(data):
    trained = tmi.build("warm-start", data, epochs=1)
    module = tmi.build("warm-start", data, epochs=0).plain().module
    fresh = torch.nn.Sequential(OrderedDict((name, copy.deepcopy(part)) for name, part in module.named_children()))
    fresh.load_state_dict(trained.module.state_dict())
    alone = tmi.Network(fresh, trained.layers, "imported", task=data.task)
    result = tmi.probe("kept-meaning", alone, data)
    metrics = result.metrics
    assert not any(metric.startswith("drift") or ".untrained" in metric for metric in metrics)
    assert NO_UNTRAINED in result.notes
    assert metrics["fires.hidden"] == tmi.probe("kept-meaning", trained, data).metrics["fires.hidden"]


def test_fewer_than_three_images_say_nothing():
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile(np.full((8, 8), 0.5), 0.3)])], (1, 8, 8))
    result = kept_meaning(network(Phi(task), task=task), dataset(task=task), seed=0)
    assert not result.applicable


def test_more_tiles_at_places_are_sampled():
    result = kept_meaning(tmi.build("theorem1", dataset()), dataset(), seed=0, features=50)
    assert result.notes[0] == "50 of 144 tiles at places examined, drawn at random"
    assert result.metrics["alone.hidden"] == 1
    assert result.metrics["matched.hidden"] == pytest.approx(1)
    assert len(TASK.tiles) * 36 == 144


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("features", "neurons"), [(50, 60), (50, 30), (3, 3), (60, 2)])
def test_of_a_larger_layer_the_units_that_belong_to_the_tiles_are_examined(features, neurons):
    """Theorem 1 keeps every meaning, whichever units are drawn."""
    metrics = kept_meaning(tmi.build("theorem1", dataset()), dataset(), seed=0, features=features, neurons=neurons).metrics
    assert metrics["matched.hidden"] == pytest.approx(metrics["matched.hidden.oracle"])
    assert metrics["matched.hidden.oracle"] == min(features, neurons) / features
    for name in ("fires", "alone", "separable"):
        assert metrics[f"{name}.hidden"] == 1
    assert 1 - 1e-9 < metrics["correlation.hidden"] <= 1


def test_a_builder_that_trains_nothing_has_no_start(tmp_path):
    text = toys.TOYS + FILE_BUILDER
    toys.plugin(tmp_path, text=text)
    suite = toys.suite(tmp_path, '[datasets.d]\nuse="toy-data"\n[networks.n]\nuse="mine"\n[probes.p]\nuse="kept-meaning"\n')
    (entry,) = tmi.run(suite, tmp_path / "store")
    assert entry.status == "ok", entry.message
    assert "matched.1" in entry.metrics
    assert not any(metric.startswith("drift") for metric in entry.metrics)


FILE_BUILDER = '''
@tmi.hookimpl
def tmi_network_builders():
    return {"mine": "toys:mine"}


def mine(data, *, seed: int, epochs: Count = 1) -> tmi.Network:
    """Mine."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    return tmi.Network(module, ["1"], "trained", task=data.task)
'''
