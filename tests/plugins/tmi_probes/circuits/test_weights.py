"""Weights that may be read, for the layer computes with them."""

import pytest
from torch import nn

from tmi_probes.circuits.weights import converted_parameters, with_other_weights

from ..toys import cnn_network, dataset, network
from .computed import OTHER_WEIGHTS, computed_weights

IMAGES = dataset(6).test.images


def test_usual_layers_convert_nothing():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.ConvTranspose2d(4, 2, 3), nn.Flatten(2),
        nn.TransformerEncoderLayer(64, 4, 8, batch_first=True), nn.GRU(64, 5, batch_first=True),
    )  # fmt: skip

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.logits = module, nn.Linear(5, 3)

        def forward(self, x):
            return self.logits(self.body(x)[0][:, -1])

    net = network(Last(), "logits")
    assert converted_parameters(net, IMAGES) == set()
    assert with_other_weights(net, IMAGES) == []


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
def test_plain_networks_convert_nothing_where_others_do():
    computed, same = computed_weights()
    assert "conv.0.weight_g" in converted_parameters(computed, IMAGES)
    assert converted_parameters(computed.plain(), IMAGES) == converted_parameters(same, IMAGES) == set()


@pytest.mark.parametrize("layer", ["conv", "hidden", "logits"])
@pytest.mark.parametrize("way", OTHER_WEIGHTS)
def test_modules_that_compute_something_else_are_found(way, layer):
    net = cnn_network()
    OTHER_WEIGHTS[way](net.module, layer)
    name = layer if layer == "logits" else f"{layer}.0"
    assert with_other_weights(net, IMAGES) == [name]
    assert with_other_weights(net, IMAGES, []) == []
    assert not any(len(part._forward_hooks) > 1 for part in net.module.modules())
