import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tmi_probes.sparsity import activation_sparsity, hoyer

from .test_accuracy import numbered
from .toys import TASK, Fixed, Sums, cnn_network, dataset, network


def test_hoyer_by_hand():
    rows = np.array([[0, 3, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, -2, 0, 0]], float)
    expected = [1, 0, 2 - np.sqrt(2), np.nan, 1]
    assert np.allclose(hoyer(rows), expected, equal_nan=True, rtol=1e-14)
    assert np.isnan(hoyer(np.ones((2, 1)))).all()


@given(hnp.arrays(float, (3, 5), elements=st.floats(-1e6, 1e6)), st.floats(0.01, 100))
def test_hoyer_is_in_range_and_ignores_scale(rows, scale):
    found = hoyer(rows)
    assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()
    assert (np.isnan(found) == ~rows.any(1)).all()
    assert np.allclose(found, hoyer(rows * scale), equal_nan=True, atol=1e-6)


def test_known_answers():
    table = torch.tensor([[2.0, 0, 0], [0, 3, 3], [0, 0, 0], [1, -1, 0]])
    scenes = numbered([0, 1, 3, 0])
    result = tmi.probe("activation-sparsity", network(Fixed(table)), tmi.Dataset(TASK, scenes, scenes))
    two = (np.sqrt(3) - np.sqrt(2)) / (np.sqrt(3) - 1)
    assert result.metrics == pytest.approx(
        {
            "active_per_image.logits": 5 / 4,
            "active_share.logits": 5 / 12,
            "dead_share.logits": 0,
            "neurons.logits": 3,
            "hoyer.logits": (1 + two + two) / 3,
        }
    )
    assert result.arrays["active_count"].values[:, 0].tolist() == [1, 2, 0, 2]
    assert result.arrays["firing_rate.logits"].values.tolist() == [0.5, 0.5, 0.25]
    assert "1 of 4 images" in result.notes[0]


def test_a_layer_of_one_neuron_has_no_hoyer():
    result = activation_sparsity(network(Sums(), "hidden", "logits"), dataset(5))
    assert "hoyer.hidden" not in result.metrics
    assert result.metrics["dead_share.logits"] == pytest.approx(1 / 3)
    assert any("one neuron" in note for note in result.notes)


def test_chunks_do_not_matter(monkeypatch):
    data, net = dataset(), cnn_network()
    whole = activation_sparsity(net, data)
    monkeypatch.setattr("tmi_probes.common._ELEMENTS", 500)
    parts = activation_sparsity(net, data)
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert (parts.arrays["active_count"].values == whole.arrays["active_count"].values).all()


def test_shares_agree_with_the_activations():
    data, net = dataset(), cnn_network()
    metrics = activation_sparsity(net, data, images=10).metrics
    conv = net.activations(data.test.images[:10])["conv"].flatten(1)
    assert metrics["active_per_image.conv"] == pytest.approx(float((conv != 0).sum(1).double().mean()))
    assert metrics["dead_share.conv"] == pytest.approx(float((conv == 0).all(0).double().mean()))
