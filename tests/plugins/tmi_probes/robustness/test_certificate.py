import numpy as np
import pytest
import torch
from torch import nn

import tmi

from ..linear.stages import Does
from ..toys import cnn_network, dataset, network, small_cnn


def test_is_that_of_the_network():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=50)
    built = tmi.build("theorem1", data)
    result = tmi.probe("certificate", built, data, images=30)
    radius = built.certificate(data.test.images[:30], data.test.labels[:30]).numpy()
    assert (result.arrays["radius"].values == radius).all()
    assert result.metrics == {"certified": 1.0, "radius_mean": pytest.approx(radius.mean()), "radius_min": radius.min()}
    assert 0 < radius.min() < radius.max() == 0.5
    assert not result.notes


def test_any_other_relu_network_has_that_of_its_linear_regions():
    """It was 0 for every trained network."""
    net, data = cnn_network(), dataset(10)
    result = tmi.probe("certificate", net, data)
    assert set(result.metrics) == {f"region_radius{name}.{norm}" for name in ("", "_mean", "_min") for norm in ("l1", "linf")}
    radius = result.arrays["region_radius.l1"].values
    assert result.metrics["region_radius.l1"] == np.median(radius) > 0
    assert result.metrics["region_radius_mean.l1"] == pytest.approx(radius.mean())
    assert result.metrics["region_radius_min.l1"] == radius.min()
    assert "linear regions" in result.notes[0]
    # Below it every hidden neuron keeps its sign.
    module, images = net.module.double(), data.test.images.double()
    before = module.conv[0](images) > 0
    for pixel in range(0, 64, 7):
        change = torch.zeros(10, 64, dtype=torch.float64)
        change[:, pixel] = torch.from_numpy(0.999 * radius)
        assert ((module.conv[0](images + change.reshape(images.shape)) > 0) == before).all()


def test_a_network_that_is_not_piecewise_linear_has_none_and_the_layer_is_named():
    module = small_cnn()
    module.hidden[1] = nn.Sequential(Does(torch.sigmoid))
    result = tmi.probe("certificate", network(module, "conv", "hidden", "logits"), dataset(5))
    assert not result.applicable
    assert "layer 'hidden.1.0': Sigmoid is not a continuous piecewise linear function" in result.notes[0]


def test_steps_without_a_gradient_leave_no_radius():
    module = small_cnn()
    module.conv.append(Does(lambda h: h + (h > 0.1) * 0.5))
    result = tmi.probe("certificate", network(module, "conv", "hidden", "logits"), dataset(5))
    assert not result.applicable
    assert "layer 'conv.2': the result of gt depends on the image and has no gradient" in result.notes[0]
