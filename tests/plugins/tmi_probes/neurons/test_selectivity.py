import numpy as np
import pytest
import torch
from scipy.stats import norm, spearmanr
from sklearn.metrics import mutual_info_score

import tmi
from tmi_probes.neurons.selectivity import Shown, _Panel, selectivity

from ..toys import TASK, Phi, cnn_network, dataset, network

LABEL = np.array([0, 0, 1, 1, 2, 2])
TILE = np.array([0, 0, 1, 2, 3, 3])


def panel(activations, label, tile, height=0.5, firing=0.5):
    return _Panel(activations, height, firing).measures(Shown(label, tile))


def test_classes_a_neuron_fires_for():
    values = np.array([[1, 1, 2, 0], [0, 1, 2, 0], [0, 1, 1.1, 0], [0, 0, 0.9, 0], [0, 0, 0, -1], [0, 0, 0, -2]], float)
    # Above half its maximum on half, all, … of the images of each class: the first fires for none, the third for one.
    found = panel(values, LABEL, TILE)
    assert found["classes_per_neuron"].tolist() == [0, 1, 1, 0]
    # The second and the third are above it half as often for the second class as for the first: that is not more than half.
    assert found["classes_relative"][:3].tolist() == [1, 1, 1]
    assert np.isnan(found["classes_relative"][3])
    assert panel(values, LABEL, TILE, firing=0.4)["classes_per_neuron"].tolist() == [1, 2, 2, 0]
    assert panel(values, LABEL, TILE, firing=0.4)["classes_relative"][:3].tolist() == [1, 2, 2]
    assert panel(values, LABEL, TILE, height=0.9, firing=0)["classes_per_neuron"].tolist() == [1, 2, 1, 0]


def test_on_any_one_image_a_neuron_fires_for_all_classes_by_itself():
    """The former threshold, "active on more than 1 % of a class's images", is one image of fifty: noise passes it."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(10), 50)
    noise = np.maximum(rng.normal(size=(500, 200)) - 1.5, 0)  # not 0 on 7 % of the images, whatever they show
    old = panel(noise, label, label, height=0, firing=0.01)["classes_per_neuron"]
    assert old.mean() == pytest.approx(10 * (1 - norm.cdf(1.5) ** 50), abs=0.1)
    assert old.mean() > 9.5
    own = np.where(rng.random((500, 200)) < 0.9, 1.0, 0) * (label[:, None] == np.arange(200) % 10)
    mixed = own + 0.3 * noise  # each neuron's own class beside noise
    assert panel(mixed, label, label, height=0, firing=0.01)["classes_per_neuron"].mean() > 9.5
    for measure in ("classes_per_neuron", "classes_relative"):
        assert panel(mixed, label, label)[measure].mean() == pytest.approx(1, abs=0.05)
    assert panel(noise, label, label)["classes_per_neuron"].mean() == 0
    assert panel(noise, label, label)["classes_relative"].mean() > 2  # of few images, beside the best class of few


def test_tile_purity_is_no_truth_for_class_selectivity():
    """The former comparison: the two are made of the same means, so that they correlate on noise as on trained neurons."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 30, 300)
    noise = np.maximum(rng.normal(size=(300, 500)) - rng.uniform(0, 3, 500), 0) + 1e-9
    found = panel(noise, tile // 3, tile)
    assert spearmanr(found["class_selectivity"], found["tile_purity"]).statistic > 0.9
    assert not [name for name in selectivity(cnn_network(), dataset(40), seed=0).metrics if name.startswith("truth")]


def test_a_perfect_class_neuron_and_a_dead_one():
    values = np.array([[3, 0], [4, 0], [0, 0], [0, 0], [0, 0], [0, 0]], float)
    found = panel(values, LABEL, TILE)
    assert found["auc"].tolist() == [1, 0.5]
    assert found["class_selectivity"][0] == 1
    assert found["mutual_information"] == pytest.approx([mutual_info_score([1, 1, 0, 0, 0, 0], LABEL), 0])


class Hidden(torch.nn.Module):
    """φ as a hidden layer, beside a neuron that is always 0 and one that is always 1."""

    def __init__(self):
        super().__init__()
        self.hidden, self.logits = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, images):
        phi = TASK.phi(images)
        hidden = self.hidden(torch.cat([phi, torch.zeros_like(phi[:, :1]), torch.ones_like(phi[:, :1])], 1))
        return self.logits(hidden[:, :3])


def test_known_answers_on_a_constructed_network():
    result = tmi.probe("selectivity", network(Hidden(), "hidden", "logits"), dataset(100), images=80)
    per_neuron = {name: array.values for name, array in result.arrays.items()}
    assert result.metrics["live.hidden"] == 0.8
    assert per_neuron["is_live.hidden"].tolist() == [True, True, True, False, True]
    assert per_neuron["auc.hidden"][:3].tolist() == [1, 1, 1]
    assert per_neuron["auc.hidden"][4] == 0.5
    assert np.isnan(per_neuron["auc.hidden"][3])
    assert per_neuron["class_selectivity.hidden"][[0, 1, 2, 4]] == pytest.approx([1, 1, 1, 0])
    assert per_neuron["classes_per_neuron.hidden"][[0, 1, 2, 4]].tolist() == [1, 1, 1, 3]
    assert result.metrics["monosemantic.hidden"] == 0.75
    assert per_neuron["monosemanticity_score.hidden"][[0, 2]].tolist() == [1, 1]
    assert any("1 of 5 examined neurons are 0" in note for note in result.notes)


def test_chance_and_oracle():
    result = selectivity(network(Hidden(), "hidden", "logits"), dataset(200), seed=0)
    for measure in ("class_selectivity", "monosemanticity_score", "classes_relative", "monosemantic"):
        assert result.metrics[f"{measure}.hidden.oracle"] == 1
    for measure in ("auc", "mutual_information", "monosemanticity_score", "tile_purity"):
        assert result.metrics[f"{measure}.hidden.chance.high"] < result.metrics[f"{measure}.hidden"] - 0.05
    assert result.metrics["classes_relative.hidden.chance.low"] > result.metrics["classes_relative.hidden"] == 1.5
    # Twenty shuffles of what the images show, each measured like the images themselves.
    scenes = dataset(200).test
    values = (
        network(Hidden(), "hidden", "logits").activations(scenes.images, "hidden")["hidden"].double().numpy()[:, [0, 1, 2, 4]]
    )
    rng = np.random.default_rng(0)
    label, tile = scenes.labels.numpy(), scenes.tile.numpy()
    orders = [rng.permutation(len(scenes)) for _ in range(20)]
    drawn = [panel(values, label[order], tile[order])["auc"].mean() for order in orders]
    assert result.metrics["auc.hidden.chance"] == pytest.approx(np.mean(drawn), abs=1e-6)
    assert result.metrics["auc.hidden.chance.high"] == pytest.approx(np.quantile(drawn, 0.975), abs=1e-6)


def test_the_untrained_network_stands_beside_the_trained_one():
    data = tmi.generate("squares", seed=0, samples=60, test_samples=60)
    trained = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=4, epochs=3, batch_size=8)
    result, before = (selectivity(net, data, seed=0, neurons=10) for net in (trained, trained.untrained()))
    assert result.metrics["auc.conv.untrained"] == before.metrics["auc.conv"] != result.metrics["auc.conv"]
    assert not [name for name in result.metrics if "oracle.untrained" in name or "chance.untrained" in name]


def test_the_curve_over_both_thresholds():
    result = selectivity(cnn_network(), dataset(60), seed=0)
    scenes = dataset(60).test
    values = cnn_network().activations(scenes.images, "hidden")["hidden"].double().numpy()
    values = values[:, (values != 0).any(0)]
    curve = result.arrays["firing_curve.hidden"].values
    for i, height in enumerate(result.coords["height"].tolist()):
        for k, firing in enumerate(result.coords["firing"].tolist()):
            share = np.array([(values[scenes.labels.numpy() == c] > height * values.max(0)).mean(0) for c in range(3)])
            assert curve[i, k] == pytest.approx((share > firing).sum(0).mean())
    assert curve[5, 5] == pytest.approx(result.metrics["classes_per_neuron.hidden"])
    chance = result.arrays["firing_curve_chance.hidden"].values
    assert chance[5, 5] == pytest.approx(result.metrics["classes_per_neuron.hidden.chance"], abs=0.25)
    assert (np.diff(curve, axis=1) <= 0).all()
    assert (np.diff(chance, axis=1) <= 0).all()


def test_constructed_neurons_respond_to_the_tile_that_they_stand_for():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=60)
    result = tmi.probe("selectivity", tmi.build("theorem1", data), data)
    assert result.metrics["known_tile.hidden"] == result.metrics["tile_purity.hidden"] == 1
    # A neuron sees one place of nine, so that it fires on few images of its class and on none of the other.
    assert result.metrics["classes_per_neuron.hidden"] == 0
    assert result.metrics["classes_relative.hidden"] == result.metrics["monosemantic.hidden"] == 1


class Steady(torch.nn.Module):
    """A neuron that is 1/3 but for rounding."""

    def __init__(self):
        super().__init__()
        self.hidden, self.logits = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, images):
        noise = images.flatten(1)[:, :3] * 1e-7
        return self.logits(self.hidden(1 / 3 + noise))


def test_what_varies_by_rounding_alone_is_constant():
    metrics = selectivity(network(Steady(), "hidden", "logits"), dataset(50), seed=0).metrics
    assert metrics["auc.hidden"] == 0.5
    assert metrics["class_selectivity.hidden"] == pytest.approx(0, abs=1e-12)


def test_layers_larger_than_asked_for_are_sampled(monkeypatch):
    net, data = cnn_network(), dataset(30)
    some = selectivity(net, data, seed=0, neurons=20)
    index = some.arrays["neuron_index.conv"].values
    assert len(index) == 20
    assert (np.diff(index) > 0).all()
    assert some.arrays["neuron_index.hidden"].values.tolist() == list(range(16))
    assert any("conv: 20 of 144 neurons examined" in note for note in some.notes)
    every = selectivity(net, data, seed=0)
    assert some.arrays["auc.conv"].values == pytest.approx(every.arrays["auc.conv"].values[index], nan_ok=True)
    assert (selectivity(net, data, seed=1, neurons=20).arrays["neuron_index.conv"].values != index).any()
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 500)
    assert selectivity(net, data, seed=0).metrics == pytest.approx(every.metrics, rel=1e-5)


def test_what_has_no_value_is_left_out():
    result = selectivity(network(Phi()), dataset(5), seed=0)
    assert set(result.metrics) == {"label_entropy"}
    assert "no layer but the logits" in result.notes[0]
    one = dataset(40).test
    one = one[one.labels == 0]
    result = selectivity(cnn_network(), tmi.Dataset(TASK, one, one), seed=0)
    assert result.metrics["label_entropy"] == 0
    assert not [name for name in result.metrics if name.startswith(("auc", "class_selectivity"))]
    with pytest.raises(tmi.InputError, match="firing"):
        tmi.probe("selectivity", cnn_network(), dataset(5), firing=1.5)


def test_neurons_that_are_not_finite_are_left_out():
    net, data = cnn_network(), dataset(30)
    whole = selectivity(net, data, seed=0)
    with torch.no_grad():
        net.module.hidden[0].bias[0] = torch.inf
    result = selectivity(net, data, seed=0)
    assert not result.arrays["is_live.hidden"].values[0]
    assert any("1 of 16 examined neurons are left out: NaN or infinite" in note for note in result.notes)
    assert result.arrays["auc.hidden"].values[1:] == pytest.approx(whole.arrays["auc.hidden"].values[1:], nan_ok=True)
    assert np.isnan(result.arrays["auc.hidden"].values[0])
