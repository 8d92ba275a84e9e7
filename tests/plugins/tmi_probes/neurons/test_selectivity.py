import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mutual_info_score

import tmi
from tmi_probes.neurons.selectivity import MEASURES, panel, selectivity

from ..toys import TASK, Phi, cnn_network, dataset, network

LABEL = np.array([0, 0, 1, 1, 2, 2])
TILE = np.array([0, 0, 1, 2, 3, 3])


def test_classes_a_neuron_fires_for():
    values = np.array([[1, 1], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0]], float)
    assert panel(values, LABEL, TILE)["classes_per_neuron"].tolist() == [1, 2]
    assert panel(values, LABEL, TILE, firing=0.5)["classes_per_neuron"].tolist() == [0, 1]


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


def test_each_measure_is_compared_with_tile_purity():
    result = selectivity(cnn_network(), dataset(60), seed=0)
    arrays = {name: array.values for name, array in result.arrays.items()}
    for layer in ("conv", "hidden"):
        for measure in MEASURES:
            values = -arrays[f"{measure}.{layer}"] if measure == "classes_per_neuron" else arrays[f"{measure}.{layer}"]
            defined = np.isfinite(values)
            if np.ptp(values[defined]) < 1e-9:
                assert f"truth_pearson.{measure}.{layer}" not in result.metrics
                continue
            pair = values[defined], arrays[f"tile_purity.{layer}"][defined]
            assert result.metrics[f"truth_pearson.{measure}.{layer}"] == pytest.approx(pearsonr(*pair).statistic, abs=1e-6)
            assert result.metrics[f"truth_spearman.{measure}.{layer}"] == pytest.approx(spearmanr(*pair).statistic, abs=1e-3)
    assert "truth_pearson.auc.conv" in result.metrics
    assert not any("one tile a class" in note for note in result.notes)


def test_chance_and_oracle():
    result = selectivity(network(Hidden(), "hidden", "logits"), dataset(200), seed=0)
    assert result.metrics["class_selectivity.oracle"] == result.metrics["monosemanticity_score.oracle"] == 1
    assert result.metrics["classes_per_neuron.oracle"] == 1
    for measure in ("auc", "mutual_information", "monosemanticity_score", "tile_purity"):
        assert result.metrics[f"{measure}.hidden.chance"] < result.metrics[f"{measure}.hidden"] - 0.05


def test_constructed_neurons_respond_to_the_tile_that_they_stand_for():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=60)
    result = tmi.probe("selectivity", tmi.build("theorem1", data), data)
    assert result.metrics["known_tile.hidden"] == result.metrics["tile_purity.hidden"] == 1
    assert any("one tile a class" in note for note in result.notes)


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
