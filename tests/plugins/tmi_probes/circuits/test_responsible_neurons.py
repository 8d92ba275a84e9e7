import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.circuits.responsible_neurons import ABLATIONS, responsible_neurons
from tmi_probes.pipeline.logits import predictions

from ...traces import state
from ..toys import TASK, Sums, cnn_network, dataset, network


class Circuit(nn.Module):
    """A layer of three neurons, which are pixels, and logits that are linear in it."""

    def __init__(self, weight, bias, after=None):
        super().__init__()
        self.hidden = nn.Flatten()
        self.logits = nn.Linear(3, 3)
        self.after = after
        with torch.no_grad():
            self.logits.weight.copy_(torch.tensor(weight))
            self.logits.bias.copy_(torch.tensor(bias))

    def forward(self, images):
        logits = self.logits(self.hidden(images.flatten(1)[:, :3]))
        return logits if self.after is None else self.after(logits)


def pixels(rows):
    """Scenes of the first class whose first three pixels are given."""
    backgrounds = torch.full((len(rows), 1, 8, 8), 0.3)
    backgrounds[:, 0, 0, :3] = torch.tensor(rows)
    return tmi.Scenes(TASK, backgrounds, 0, 5, 5)


def test_sets_by_hand():
    # Logit 0 is a + 2b − c, the others are 1 and 0.
    net = network(Circuit([[1.0, 2, -1], [0, 0, 0], [0, 0, 0]], [0.0, 1, 0]), "hidden", "logits")
    scenes = pixels([[0.5, 1.0, 0.5], [1.0, 0.25, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.25]])
    result = responsible_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0, ablation="zero")
    # 2 = 2.5 − 0.5 needs b alone; 1.5 = 1 + 0.5 needs both; 0.5 = 0.75 − 0.25 needs b alone.
    assert result.arrays["sufficient_logit"].values.tolist() == [1, 2, 1, 1]
    # Above the second logit, 1: b; a and b; b. The last image shows the second class to the network, which no neuron takes away.
    assert result.arrays["sufficient"].values.tolist() == [1, 2, 1, 0]
    assert result.arrays["critical"].values.tolist() == [1, 1, 1, -1]
    assert result.metrics["necessary.hidden"] == 0.75
    assert result.metrics["active.hidden"] == 9 / 4
    assert result.metrics["proven.hidden"] == 1
    assert result.arrays["responsible.hidden"].values.tolist() == [0.25, 1, 0]
    assert any("critical: 1 images" in note for note in result.notes)
    half = responsible_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0, share=0.5, ablation="zero")
    assert half.arrays["sufficient_logit"].values.tolist() == [1, 1, 1, 1]


def test_ablated_to_the_mean():
    net = network(Circuit([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [0.0, 0, 0]), "hidden", "logits")
    scenes = pixels([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    result = responsible_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0, ablation="mean")
    # The means are 0.5 each, a tie. Neuron 1 never differs from its mean, and one of the others suffices.
    assert result.metrics["active.hidden"] == 2
    assert result.arrays["sufficient"].values.tolist() == [1, 1]
    # The label's logit rises above its mean on the first image alone.
    assert result.arrays["sufficient_logit"].values.tolist() == [1, 0]


def test_what_suffices_depends_on_the_ablation():
    """Zeros alone were reported: nothing showed that the mean, or another image's values, leave more to be kept."""
    net = network(Circuit([[1.0, 0, 0], [0, 5, 0], [0, 0, 0]], [0.0, 0, 0.8]), "hidden", "logits")
    scenes = pixels([[1.0, 0.0, 0.0]] * 3 + [[0.0, 1.0, 0.0]])
    data = tmi.Dataset(TASK, scenes, scenes)
    result = responsible_neurons(net, data, seed=0, ablation="mean")
    # The means are 0.75 and 0.25. Neuron 0 alone gives 1 against 1.25, neuron 1 at 0 alone 0.75 against 0.8.
    assert result.arrays["sufficient"].values.tolist() == [2, 2, 2, 0]
    assert result.metrics["sufficient.hidden.mean"] == 1.5
    assert result.metrics["sufficient.hidden.zero"] == 1
    for kind in ABLATIONS:
        own = responsible_neurons(net, data, seed=0, ablation=kind)
        for name in ("sufficient", "sufficient_logit", "necessary", "active", "critical"):
            assert own.metrics.get(f"{name}.hidden") == result.metrics.get(f"{name}.hidden.{kind}")


@pytest.mark.slow
def test_a_mean_doubles_what_suffices_in_a_trained_network_and_resampling_more():
    data = tmi.generate("fashion", seed=0, source="sample", test_samples=200)
    net = tmi.build("cnn", data, seed=0, filters=12, hidden=64, epochs=10, lr=0.1, batch_size=50)
    result = responsible_neurons(net, data, seed=0)
    size = {kind: result.metrics[f"sufficient.hidden.{kind}"] for kind in ABLATIONS}
    assert size["mean"] > 1.7 * size["zero"] > 0
    assert size["resample"] > 1.7 * size["mean"]


def test_resampled_by_hand():
    net = network(Circuit([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [0.0, 0, 0]), "hidden", "logits")
    scenes = pixels([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    result = responsible_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0)
    # There is one other image of another class for neither: each takes the other's values. Neuron 1 is equal on both.
    assert result.arrays["donor"].values.tolist() == [1, 0]
    assert result.metrics["active.hidden"] == 2
    # Of (1, .5, 0) over (0, .5, 1) both others are needed: with one alone 1 and 1, or 0 and 0.5, is no answer 0.
    assert result.arrays["sufficient"].values.tolist() == [2, 2]
    assert result.arrays["sufficient_logit"].values.tolist() == [1, 0]
    assert result.metrics["sufficient.hidden.zero"] == 1


def test_a_tie_has_no_prediction_to_keep():
    net = network(Circuit([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]], [0.0, 0, 0]), "hidden", "logits")
    scenes = pixels([[1.0, 0.0, 0.0]])
    result = responsible_neurons(net, tmi.Dataset(TASK, scenes, scenes), seed=0)
    assert "resample, mean: left out, for there is no other image; ablated neurons are 0" in result.notes
    assert "sufficient.hidden" not in result.metrics
    assert result.metrics["sufficient_logit.hidden"] == 1
    assert any("no single prediction" in note for note in result.notes)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_the_sets_do_what_they_say(ablation):
    net, data = cnn_network(), dataset(30)
    result = responsible_neurons(net, data, seed=0, ablation=ablation)
    hidden = net.activations(data.test.images)["hidden"].double()
    donor = result.arrays["donor"].values
    assert (data.test.labels.numpy()[donor] != data.test.labels.numpy()).all()
    off = {"mean": hidden.mean(0).expand(30, -1), "zero": torch.zeros(30, 16).double(), "resample": hidden[donor]}[ablation]
    logits = net.module.double().logits(hidden).detach().numpy()
    label = data.test.labels.numpy()
    for i, size in enumerate(result.arrays["sufficient_logit"].values):
        # Tried one set after another: the largest terms are the best of their number.
        terms = (hidden[i] - off[i]).numpy() * net.module.logits.weight[label[i]].detach().numpy()
        reached = np.sort(terms)[::-1].cumsum()
        assert (size == 0) == (terms.sum() <= 1e-6 * np.abs(terms).sum())
        if size:
            assert reached[size - 1] >= terms.sum() * (1 - 1e-5)
            assert size == 1 or reached[size - 2] < terms.sum()
    assert result.metrics["proven.hidden"] == 1
    assert (predictions(logits) >= 0).all()
    assert 0 <= result.metrics["random_keeps.hidden"] <= 1


def test_greedy_sets_are_sufficient_and_no_smaller_than_the_smallest():
    # The same circuit, once linear, once behind a function that keeps the order of logits.
    weight, bias = [[1.0, 2, -1], [0.5, -1, 1], [0, 1, 0.5]], [0.0, 0.1, 0.2]
    scenes = pixels(np.random.default_rng(0).random((20, 3), dtype=np.float32).tolist())
    data = tmi.Dataset(TASK, scenes, scenes)
    exact = responsible_neurons(network(Circuit(weight, bias), "hidden", "logits"), data, seed=0, ablation="zero")
    module = Circuit(weight, bias, after=nn.Identity())
    module.last, module.after = nn.Identity(), None
    module.forward = lambda images: module.last(torch.sinh(Circuit.forward(module, images)))
    greedy = responsible_neurons(network(module, "hidden", "last"), data, seed=0, ablation="zero")
    assert "not linear" in greedy.notes[0]
    for name in ("sufficient", "sufficient_logit"):
        assert (greedy.arrays[name].values >= exact.arrays[name].values).all()
    assert greedy.metrics["active.hidden"] == exact.metrics["active.hidden"]
    assert (greedy.arrays["sufficient_logit"].values == exact.arrays["sufficient_logit"].values).mean() > 0.5


def test_a_layer_before_another():
    net, data = cnn_network(), dataset(4)
    result = responsible_neurons(net, data, seed=0, layer="conv", ablation="zero")
    conv = net.activations(data.test.images)["conv"].flatten(1)
    assert result.metrics["active.conv"] == pytest.approx(float((conv != 0).sum(1).double().mean()))
    assert result.metrics["sufficient.conv"] <= result.metrics["active.conv"]
    assert result.arrays["responsible.conv"].shape == (conv.shape[1],)


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize(("name", "k"), [("theorem1", 1), ("theorem1", 3), ("theorem2", 1)])
def test_the_constructed_network_over_fashion_has_one_responsible_neuron(name, k, ablation):
    data = tmi.generate("fashion", seed=0, tiles_per_class=k, source="sample", samples=1, test_samples=100)
    result = tmi.probe("responsible-neurons", tmi.build(name, data, realisation="fused"), data, ablation=ablation)
    assert result.metrics["tpr.hidden"] == 1
    assert result.metrics["fpr.hidden"] == 0
    assert result.metrics["sufficient_logit.hidden"] == 1
    assert result.metrics["tpr.hidden.chance"] == pytest.approx(1 / (10 * k * 169))
    if ablation == "zero":
        assert result.metrics["active.hidden"] == result.metrics["critical.hidden"] == result.metrics["necessary.hidden"] == 1


@pytest.mark.parametrize("settings", [{}, {"realisation": "literal"}])
@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_all_constructions_agree_on_the_squares(name, settings):
    data = tmi.generate("squares", seed=0, samples=1, test_samples=50)
    result = tmi.probe("responsible-neurons", tmi.build(name, data, **settings), data)
    assert result.metrics["tpr.hidden"] == 1
    assert result.metrics["fpr.hidden"] == 0
    # Neighbouring windows may match too: the logit is their sum.
    matches = tmi.match(data.test.images, data.task.tiles)
    assert result.metrics["sufficient_logit.hidden"] == pytest.approx(len(matches.image) / 50)


def test_a_wrong_circuit_is_detected():
    data = dataset(20)
    net = tmi.build("theorem1", TASK)
    meanings = dict(net.neurons("hidden"))
    meanings["row"] = meanings["row"].to_numpy()[::-1]
    wrong = tmi.Network(net.module, net.layers, "constructed", task=TASK, meanings={"hidden": meanings})
    result = tmi.probe("responsible-neurons", wrong, data)
    assert result.metrics["tpr.hidden"] < 0.5
    assert result.metrics["fpr.hidden"] > 0


def test_colour_and_one_class_and_one_image():
    tile = tmi.FeatureTile(np.random.default_rng(0).random((3, 1, 1)), 0.1)
    task = tmi.TemplateTask([tmi.TileClass("dot", [tile])], (3, 3, 3))
    data = dataset(1, task=task)
    result = tmi.probe("responsible-neurons", tmi.build("theorem1", data), data)
    assert result.metrics["tpr.hidden"] == 1
    assert "sufficient.hidden" not in result.metrics  # there is no other class to beat
    assert "critical.hidden" not in result.metrics
    assert any("sufficient, random_keeps, critical, necessary, proven: not applicable" in note for note in result.notes)


def test_a_network_of_logits_alone_and_a_dead_layer():
    assert not tmi.probe("responsible-neurons", network(Sums()), dataset(3)).metrics
    dead = network(Sums(), "hidden", "logits")
    with torch.no_grad():
        dead.module.hidden[1].weight.fill_(-1)
    result = tmi.probe("responsible-neurons", dead, dataset(3))
    assert result.metrics["active.hidden"] == result.metrics["sufficient_logit.hidden"] == 0


def test_parts_and_draws_do_not_matter(monkeypatch):
    net, data = cnn_network(), dataset(15)
    whole = responsible_neurons(net, data, seed=1)
    conv = responsible_neurons(net, data, seed=1, images=3, layer="conv")
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 40)
    monkeypatch.setattr("tmi_probes.circuits.responsible_neurons._AT_ONCE", 1000)
    assert responsible_neurons(net, data, seed=1).metrics == pytest.approx(whole.metrics, rel=1e-5)
    assert responsible_neurons(net, data, seed=1, images=3, layer="conv").metrics == pytest.approx(conv.metrics, rel=1e-5)


@pytest.mark.parametrize("layer", [None, "conv"])
def test_it_leaves_no_trace(layer):
    net, data = cnn_network(), dataset(3)
    net.module.train()
    before = state(net)
    weights = before.pop("weights")
    first = responsible_neurons(net, data, seed=2, layer=layer)
    after = state(net)
    assert all(bool((weights[key] == value).all()) for key, value in after.pop("weights").items())
    assert before == after
    assert first.metrics == responsible_neurons(net, data, seed=2, layer=layer).metrics
