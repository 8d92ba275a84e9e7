import numpy as np
import pytest
import torch

import tmi
from tmi_probes.neurons.activation_sparsity import activation_sparsity

from ..performance.test_accuracy import numbered
from ..toys import TASK, Fixed, Sums, cnn_network, dataset, network


def test_known_answers():
    table = torch.tensor([[2.0, 0, 0], [0, 3, 3], [0, 0, 0], [1, -1, 0]])
    scenes = numbered([0, 1, 3, 0])
    result = tmi.probe("activation-sparsity", network(Fixed(table)), tmi.Dataset(TASK, scenes, scenes))
    two = (np.sqrt(3) - np.sqrt(2)) / (np.sqrt(3) - 1)
    seen = table[:4].numpy().T  # each image once
    of_neuron = [(2 - np.abs(a).sum() / np.linalg.norm(a)) / (2 - 1) for a in seen]
    assert result.metrics == pytest.approx(
        {
            "active_per_image.logits": 5 / 4,
            "active_share.logits": 5 / 12,
            "dead_share.logits": 0,
            "neurons.logits": 3,
            "hoyer.logits": (1 + two + two) / 3,
            "zero_share.logits": 7 / 12,
            "neuron_hoyer.logits": np.mean(of_neuron),
            "windows_per_image": 1,
        }
    )
    assert result.arrays["active_count"].values[:, 0].tolist() == [1, 2, 0, 2]
    assert result.arrays["firing_rate.logits"].values.tolist() == [0.5, 0.5, 0.25]
    assert result.arrays["mean_activation.logits"].values == pytest.approx(seen.mean(1))
    assert result.arrays["neuron_hoyer.logits"].values == pytest.approx(of_neuron)
    assert result.arrays["image_hoyer"].values[:, 0] == pytest.approx([1, two, np.nan, two], nan_ok=True)
    assert "1 of 4 images" in result.notes[0]


def test_a_layer_of_one_neuron_has_no_hoyer():
    result = activation_sparsity(network(Sums(), "hidden", "logits"), dataset(5))
    assert "hoyer.hidden" not in result.metrics
    assert result.metrics["dead_share.logits"] == pytest.approx(1 / 3)
    assert any("one neuron" in note for note in result.notes)


def test_chunks_do_not_matter(monkeypatch):
    data, net = dataset(), cnn_network()
    whole = activation_sparsity(net, data)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 500)
    parts = activation_sparsity(net, data)
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert (parts.arrays["active_count"].values == whole.arrays["active_count"].values).all()


def test_shares_agree_with_the_activations():
    data, net = dataset(), cnn_network()
    metrics = activation_sparsity(net, data, images=10).metrics
    conv = net.activations(data.test.images[:10])["conv"].flatten(1)
    assert metrics["active_per_image.conv"] == pytest.approx(float((conv != 0).sum(1).double().mean()))
    assert metrics["dead_share.conv"] == pytest.approx(float((conv == 0).all(0).double().mean()))


def test_in_a_constructed_network_as_many_neurons_are_active_as_windows_contain_a_tile():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=40)
    metrics = activation_sparsity(tmi.build("theorem1", data), data).metrics
    assert metrics["active_per_image.hidden"] == metrics["windows_per_image"] >= 1


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
@pytest.mark.parametrize("k", [1, 3])
def test_over_fashion_one_neuron_of_a_constructed_network_is_active_on_an_image(name, k):
    data = tmi.generate("fashion", seed=0, tiles_per_class=k, source="sample", samples=1, test_samples=60)
    result = activation_sparsity(tmi.build(name, data, realisation="fused"), data)
    column = result.coords["layer"].tolist().index("hidden")
    assert (result.arrays["active_count"].values[:, column] == 1).all()
    assert result.metrics["active_per_image.hidden"] == result.metrics["windows_per_image"] == 1
    assert result.metrics["hoyer.hidden"] == pytest.approx(1)
    assert result.metrics["neurons.hidden"] == 10 * k * 169


def test_dead_neurons_have_no_sparsity():
    result = activation_sparsity(network(Sums(), "hidden", "logits"), dataset(6))
    assert np.isnan(result.arrays["neuron_hoyer.logits"].values).tolist() == [False, True, False]
    assert result.metrics["zero_share.logits"] == pytest.approx(1 / 3)
