import numpy as np
import pytest
import torch

import tmi
from tmi_probes.circuits.feature_neurons import feature_neurons
from tmi_probes.circuits.readout import logits_from

from ...traces import state
from ..toys import TASK, Phi, cnn_network, dataset, network


@pytest.fixture(scope="module")
def data():
    return dataset(150)


@pytest.fixture(scope="module")
def trained(data):
    return tmi.build("cnn", data, seed=0, filters=5, kernel=3, hidden=0, epochs=20, lr=0.1, batch_size=10)


def ablated_but(network, scenes, kept, off):
    """The predictions with all neurons of ``conv`` set to ``off`` but some, by replacing what the layer gives."""
    values = network.activations(scenes.images)["conv"].flatten(1).double().numpy()
    mixed = np.where(np.isin(np.arange(values.shape[1]), kept), values, off)
    return logits_from(network, "conv", scenes.images[:1], mixed).argmax(1)


@pytest.mark.parametrize("feature", ["tile", "class"])
@pytest.mark.parametrize("unit", ["neuron", "filter"])
@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_the_sets_do_what_they_say_by_replacing_activations(trained, data, feature, unit, ablation):
    result = feature_neurons(trained, data, seed=0, images=100, feature=feature, unit=unit, ablation=ablation, share=0.9)
    scenes, further = data.test[:100], data.test[100:]
    label = scenes.labels.numpy()
    own = (scenes.tile if feature == "tile" else scenes.labels).numpy()
    was = trained.logits(scenes.images).numpy().argmax(1)
    values = trained.activations(scenes.images)["conv"].flatten(1).double().numpy()
    alarms, held, need = [], [], []
    for k, name in enumerate(result.coords["feature"]):
        assert name == (TASK.tile_name(k) if feature == "tile" else TASK.class_names[k])
        units = result.arrays["units"].values[k]
        units = units[units >= 0]
        assert len(units) == result.arrays["size"].values[k]
        kept = units if unit == "neuron" else np.concatenate([np.arange(36 * u, 36 * u + 36) for u in units] or [[]])
        off = values[own != k].mean(0) if ablation == "mean" else np.zeros(180)
        mine = (own == k) & (was == label)
        assert (ablated_but(trained, scenes[mine], kept, off) == label[mine]).mean() >= 0.9
        for one in units:
            fewer = kept[kept != one] if unit == "neuron" else kept[kept // 36 != one]
            assert (ablated_but(trained, scenes[mine], fewer, off) == label[mine]).mean() < 0.9
        if not len(units):
            assert np.isnan(result.arrays["necessary"].values[k])
            continue
        of_class = label[mine][0]
        alarms.append((ablated_but(trained, scenes[label != of_class], kept, off) == of_class).mean())
        rest = np.setdiff1d(np.arange(180), kept)
        need.append((ablated_but(trained, scenes[mine], rest, off) != label[mine]).mean())
        later = (further.tile if feature == "tile" else further.labels).numpy() == k
        later &= trained.logits(further.images).numpy().argmax(1) == further.labels.numpy()
        held.append((ablated_but(trained, further[later], kept, off) == of_class).mean())
    assert result.metrics["false_alarms"] == pytest.approx(np.mean(alarms))
    assert result.metrics["necessary"] == pytest.approx(np.mean(need))
    assert result.metrics["held_out"] == pytest.approx(np.mean(held))
    assert result.metrics["size"] == result.arrays["size"].values.mean()


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_a_constructed_network_has_the_neurons_of_the_tile_at_the_places_that_occur(name):
    fashion = tmi.generate("fashion", seed=0, source="sample", samples=1, test_samples=60)
    result = tmi.probe("feature-neurons", tmi.build(name, fashion, realisation="fused"), fashion, share=1)
    metrics = result.metrics
    assert metrics["tpr"] == metrics["tpr.oracle"] == metrics["necessary"] == 1
    assert metrics["fpr"] == metrics["fpr.oracle"] == metrics["false_alarms"] == metrics["overlap"] == 0
    assert "held_out" not in metrics  # there are no further images
    shown = np.unique(np.stack([fashion.test.tile, fashion.test.row, fashion.test.col]), axis=1)
    sizes = np.bincount(shown[0], minlength=10).tolist()
    assert result.arrays["size"].values.tolist() == sizes
    assert metrics["tpr.chance"] == pytest.approx(np.mean(sizes) / 1690)


def test_neurons_of_another_meaning_are_not_the_right_ones(data):
    net = tmi.build("theorem1", TASK)
    meanings = dict(net.neurons("hidden"))
    meanings["tile"] = meanings["tile"].to_numpy()[::-1]
    wrong = tmi.Network(net.module, net.layers, "constructed", task=TASK, meanings={"hidden": meanings})
    assert tmi.probe("feature-neurons", net, data).metrics["fpr"] < 0.05
    assert tmi.probe("feature-neurons", wrong, data).metrics["fpr"] > 0.05


def test_shared_and_separate_units():
    """One unit a class, and a unit that two classes share."""

    class Unit(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.hidden, self.logits = torch.nn.Flatten(), torch.nn.Linear(3, 3, bias=False)
            self.logits.weight.data = torch.tensor(weight)

        def forward(self, images):
            return self.logits(self.hidden(images[:, 0, 0, :3]))

    pixels = torch.full((12, 1, 8, 8), 0.3)
    tile = np.arange(12) % 3 + (np.arange(12) % 3 == 2)  # tiles 0, 1 and 3: one a class
    for i in range(12):
        pixels[i, 0, 0, :3] = torch.eye(3)[i % 3] * 0.9
    scenes = tmi.Scenes(TASK, pixels, tile, 5, 5)
    one = tmi.Dataset(TASK, scenes, scenes)
    net = network(Unit([[2.0, 0, 0], [0, 2, 0], [0, 0, 2]]), "hidden", "logits")
    separate = feature_neurons(net, one, seed=0, ablation="zero")
    assert separate.arrays["units"].values.tolist() == [[0], [1], [2]]
    assert separate.metrics["overlap"] == separate.metrics["false_alarms"] == 0
    assert separate.metrics["necessary"] == 1
    # Both other classes need unit 2 against the bias of the last one, which needs none.
    net = network(Unit([[2.0, 0, 3], [0, 2, 3], [0, 0, 0]]), "hidden", "logits")
    net.module.logits.bias = torch.nn.Parameter(torch.tensor([0.0, 0, 4]))
    for i in range(12):
        pixels[i, 0, 0, :3] = torch.tensor([[0.9, 0, 0.9], [0, 0.9, 0.9], [0, 0, 0]])[i % 3]
    scenes = tmi.Scenes(TASK, pixels, tile, 5, 5)
    shared = feature_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0, ablation="zero")
    assert [sorted(units) for units in shared.arrays["units"].values.tolist()] == [[0, 2], [1, 2], [-1, -1]]
    assert shared.arrays["jaccard"].values[0, 1] == pytest.approx(1 / 3)
    assert shared.metrics["overlap"] == pytest.approx(1 / 9)
    assert any("no unit is needed" in note for note in shared.notes)


def test_where_it_is_not_applicable(data):
    assert "no layer but the logits" in feature_neurons(network(Phi(), "logits"), data, seed=0).notes[0]
    assert "not linear in layer conv" in feature_neurons(cnn_network(), data, seed=0, layer="conv").notes[0]
    assert "no channels" in feature_neurons(cnn_network(), data, seed=0, unit="filter").notes[0]
    alone = tmi.Dataset(TASK, data.train, data.test[data.test.tile == 1])
    assert "show one tile" in feature_neurons(cnn_network(), alone, seed=0).notes[0]
    with pytest.raises(tmi.InputError, match="gives the logits"):
        feature_neurons(cnn_network(), data, seed=0, layer="logits")


def test_further_images_that_equal_the_first_ones_test_nothing(trained, data):
    twice = tmi.Dataset(TASK, data.train, data.test[np.arange(80) % 40])
    assert "held_out" not in feature_neurons(trained, twice, seed=0, images=40).metrics


def test_traces(trained, data):
    before = state(trained)
    weights = before.pop("weights")
    first = feature_neurons(trained, data, seed=1)
    after = state(trained)
    assert all(torch.equal(value, weights[key]) for key, value in after.pop("weights").items())
    assert before == after
    assert first.metrics == feature_neurons(trained, data, seed=1).metrics
