"""Which layers have weights, and copies with random ones."""

import pytest
import torch
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import TASK, Phi, cnn_network, dataset, network
from tmi_attribution.random_weights import randomised, weighted_layers, with_parameters

IMAGES = dataset(2).test.images


class Scaled(nn.Module):
    """A parameter of its own, after a layer that is defined after the one that follows it."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(36, 3)
        self.scale = nn.Parameter(torch.arange(36.0))
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2))

    def forward(self, x):
        return self.logits(self.body(x).flatten(1) * self.scale)


def test_layers_in_the_order_of_their_use():
    assert list(weighted_layers(cnn_network(), IMAGES)) == ["conv", "hidden", "logits"]
    groups = weighted_layers(network(Scaled().eval(), "body", "logits"), IMAGES)
    assert groups == {"body": ["body.0", "body.1"], "network": [""], "logits": ["logits"]}
    assert list(groups) == ["body", "network", "logits"]  # the parameter of the whole is used before the logits
    unnamed = weighted_layers(network(Scaled().eval(), "logits"), IMAGES)
    assert list(unnamed) == ["body.0", "body.1", "network", "logits"]


def test_a_layer_that_is_used_again_comes_where_it_is_used_first():
    class Again(nn.Sequential):
        def forward(self, x):
            logits = super().forward(x)
            return logits + 0 * self[1](x.flatten(1)).sum(1, keepdim=True)

    module = Again(nn.Flatten(), nn.Linear(64, 3), nn.Linear(3, 3))
    assert list(weighted_layers(network(module.eval(), "2"), IMAGES)) == ["1", "2"]


def test_a_module_that_is_not_called_belongs_to_the_one_around_it():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn, self.logits = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            tokens = x[:, 0]
            return self.logits(self.attn(tokens, tokens, tokens)[0].mean(1))

    groups = weighted_layers(network(Attending().eval(), "logits"), IMAGES)
    assert groups == {"attn": ["attn", "attn.out_proj"], "logits": ["logits"]}


def test_only_the_chosen_layers_change_and_alike_beside_others():
    net = cnn_network()
    groups = weighted_layers(net, IMAGES)
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    alone = randomised(net.module, groups, ["hidden"], (0, 1)).state_dict()
    beside = randomised(net.module, groups, ["hidden", "logits"], (0, 1)).state_dict()
    other = randomised(net.module, groups, ["hidden"], (0, 2)).state_dict()
    for name, value in before.items():
        assert torch.equal(net.module.state_dict()[name], value)
        assert torch.equal(alone[name], value) == (not name.startswith("hidden"))
        assert torch.equal(beside[name], value) == name.startswith("conv")
        if name.startswith("hidden"):
            assert torch.equal(alone[name], beside[name])
            assert not torch.equal(alone[name], other[name])


def test_weights_are_those_before_training_and_parameters_are_permuted():
    module = Scaled()
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(100)
        module.body[1].running_mean.fill_(7)
    net = network(module.eval(), "body", "logits")
    drawn = randomised(net.module, weighted_layers(net, IMAGES), ["body", "logits", "network"], (3, 4))
    assert drawn.logits.weight.abs().max() <= 1 / 6  # torch's bound, 1/√36
    assert drawn.body[0].weight.abs().max() <= 1 / 3
    assert not drawn.body[1].running_mean.any()
    assert torch.equal(drawn.scale.sort().values, module.scale)
    assert not torch.equal(drawn.scale, module.scale)


@pytest.mark.parametrize("start", [torch.full((36,), 2.0), torch.full((36,), -2.0), torch.zeros(36), torch.tensor([2.0])])
def test_a_parameter_that_no_permutation_changes_is_drawn(start):
    module = Scaled()
    module.scale = nn.Parameter(start.clone())
    net = network(module.eval(), "body", "logits")
    drawn = [randomised(net.module, weighted_layers(net, IMAGES), ["network"], (0, seed)).scale for seed in range(50)]
    assert not any(torch.equal(value, start) for value in drawn)
    values = torch.cat(drawn)
    size = float(start.abs().max()) or 1
    assert float(values.mean()) == pytest.approx(0, abs=size / 2)
    assert float(values.std()) == pytest.approx(size, rel=0.3)


def test_a_parameter_of_zeros_has_the_size_of_its_module():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.linspace(-30, 30, 192).view(64, 3)), nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return x.flatten(1) @ self.weight + self.bias

    net = network(nn.Sequential(Own()).eval(), "0")
    drawn = randomised(net.module, weighted_layers(net, IMAGES), ["0"], (0, 0))[0]
    assert torch.equal(drawn.weight.flatten().sort().values, net.module[0].weight.flatten())
    assert 1 < drawn.bias.abs().max() < 60


def test_parameters_in_lists_and_those_that_are_not_called_have_a_place():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits, self.lstm = nn.Linear(5, 3), nn.LSTM(8, 5, batch_first=True)

        def forward(self, x):
            return self.logits(self.lstm(x[:, 0])[0][:, -1])

    assert list(weighted_layers(network(Recurrent().eval(), "logits"), IMAGES)) == ["lstm", "logits"]


def test_computed_weights_are_folded_in():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, 3)))
    plain = with_parameters(network(module, "1"))
    assert type(plain.module[1]) is nn.Linear


def test_constructions_are_written_in_dense_layers_where_they_can_be():
    built = tmi.build("theorem1", TASK, realisation="literal")
    dense = with_parameters(built)
    assert list(weighted_layers(dense, IMAGES)) == ["conv", "hidden", "logits"]
    assert dense.logits(IMAGES.double()).numpy() == pytest.approx(built.logits(IMAGES.double()).numpy(), abs=1e-9)
    with pytest.raises(tmi.InputError, match=r"no weights to draw: .*TileMatch.*realisation='literal'"):
        with_parameters(tmi.build("theorem1", TASK))
    with pytest.raises(tmi.InputError, match=r"no weights to draw: the dense layers need at least"):
        with_parameters(built, memory=1e-6)
    with pytest.raises(tmi.InputError, match="none of its modules has weights"):
        with_parameters(network(Phi(), "logits"))
