from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tmi import InputError, Network, UnknownNameError
from tmi.networks.layers import flat


class Plain(nn.Module):
    """conv → relu → flatten → drop → logits."""

    def __init__(self, inplace=False):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2)
        self.relu = nn.ReLU(inplace=inplace)
        self.drop = nn.Dropout(0.5)
        self.logits = nn.Linear(27, 2)
        self.unused = nn.Identity()

    def forward(self, x):
        return self.logits(self.drop(self.relu(self.conv(x)).flatten(1)))


class Columns(nn.Module):
    """The first two columns."""

    def forward(self, x):
        return x[:, :2]


@pytest.fixture
def images():
    return torch.rand(10, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network(squares):
    torch.manual_seed(0)
    return Network(Plain(), ["conv", "relu", "logits"], "trained", task=squares)


def hooks(module):
    return sum(len(m._forward_hooks) for m in module.modules())


def test_activations_are_the_forward_pass(network, images):
    module = network.module
    conv = module.conv(images)
    found = network.activations(images)
    assert list(found) == ["conv", "relu", "logits"]
    torch.testing.assert_close(found["conv"], conv, rtol=0, atol=0)
    torch.testing.assert_close(found["relu"], conv.relu(), rtol=0, atol=0)
    torch.testing.assert_close(found["logits"], module.logits(conv.relu().flatten(1)), rtol=0, atol=0)
    torch.testing.assert_close(network.logits(images), found["logits"], rtol=0, atol=0)
    assert not any(value.requires_grad for value in found.values())
    assert hooks(module) == 0


def test_an_in_place_relu_does_not_reach_back(squares, images):
    network = Network(Plain(inplace=True), ["conv", "relu", "logits"], "imported", task=squares)
    with torch.no_grad():
        expected = network.module.conv(images)
    assert (expected < 0).any()
    assert torch.equal(network.activations(images)["conv"], expected)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 11])
def test_batches_do_not_matter(network, images, batch_size):
    whole = network.activations(images, batch_size=256)
    for layer, values in network.activations(images, batch_size=batch_size).items():
        torch.testing.assert_close(values, whole[layer])
    torch.testing.assert_close(network.logits(images, batch_size=batch_size), whole["logits"])


def test_layers_are_chosen_by_name(network, images):
    assert list(network.activations(images, "relu")) == ["relu"]
    assert list(network.activations(images, ["logits", "conv"])) == ["logits", "conv"]
    assert network.activations(images, ["relu", "relu"], batch_size=3)["relu"].shape == (10, 3, 3, 3)
    with pytest.raises(UnknownNameError, match=r"layer 'rellu': .*did you mean \"relu\""):
        network.activations(images, ["rellu"])


def test_no_images(network):
    found = network.activations(torch.zeros(0, 1, 4, 4))
    assert {layer: tuple(v.shape) for layer, v in found.items()} == {"conv": (0, 3, 3, 3), "relu": (0, 3, 3, 3), "logits": (0, 2)}
    assert network.logits(torch.zeros(0, 1, 4, 4)).shape == (0, 2)
    assert flat(found["conv"]).shape == (0, 27)


def test_flat():
    assert flat(torch.zeros(2, 3, 4)).shape == (2, 12)
    assert flat(torch.zeros(2)).shape == (2, 1)


def test_images_are_cast_to_the_weights(network, images):
    assert network.activations(images.double())["logits"].dtype == torch.float32
    network.module.double()
    assert network.activations(images)["logits"].dtype == torch.float64
    assert network.activations(images.numpy())["logits"].dtype == torch.float64


def test_a_module_without_weights_keeps_the_images_dtype(squares, images):
    network = Network(nn.Sequential(nn.Flatten(), Columns()), ["0"], "constructed", task=squares)
    assert network.logits(images.double()).dtype == torch.float64


def test_gradients_are_not_needed(network, images):
    assert not network.logits(images.clone().requires_grad_()).requires_grad


def test_modes_are_put_back(network, images):
    module = network.module
    assert not module.training
    module.train()
    module.conv.eval()
    before = [m.training for m in module.modules()]
    first, second = network.logits(images), network.activations(images)["logits"]
    assert torch.equal(first, second)  # dropout was off
    assert [m.training for m in module.modules()] == before


def test_an_error_leaves_nothing_behind(network, images):
    network.check(images)
    network.module.train()

    def fail(*_):
        raise ZeroDivisionError

    handle = network.module.drop.register_forward_hook(fail)
    for call in (network.activations, network.logits):
        with pytest.raises(ZeroDivisionError):
            call(images)
    handle.remove()
    assert hooks(network.module) == 0
    assert all(m.training for m in network.module.modules())


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_batch_size(network, images, batch_size):
    for call in (network.activations, network.logits):
        with pytest.raises(InputError, match="batch_size"):
            call(images, batch_size=batch_size)


def test_bad_images(network):
    for bad in (torch.zeros(1, 1, 5, 5), torch.full((1, 1, 4, 4), 2.0), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)):
        with pytest.raises(InputError, match="images"):
            network.activations(bad)


def test_neurons(squares):
    meanings = {"conv": {"tile": [0, 1], "class": ["black", "white"], "row": np.arange(2), "col": [0, 0]}}
    network = Network(Plain(), ["conv", "logits"], "constructed", task=squares, meanings=meanings, history={"loss": [1, 0.5]})
    table = network.neurons("conv")
    assert list(table.columns) == ["tile", "class", "row", "col"]
    assert table.index.name == "neuron"
    assert table.loc[1].tolist() == [1, "white", 1, 0]
    assert network.neurons("logits") is None
    assert network.history["loss"].tolist() == [1.0, 0.5]
    with pytest.raises(UnknownNameError, match="layer 'hidden'"):
        network.neurons("hidden")


def test_meanings_are_made_when_they_are_asked_for(squares):
    made = []

    def columns():
        made.append(1)
        return {"tile": range(3)}

    def uneven():
        return {"tile": [0], "row": [0, 1]}

    network = Network(
        Plain(), ["conv", "relu", "logits"], "constructed", task=squares, meanings={"conv": columns, "relu": uneven}
    )
    assert not made
    assert network.neurons("conv")["tile"].tolist() == [0, 1, 2]
    assert made
    with pytest.raises(InputError, match="the columns differ in length: tile 1, row 2"):
        network.neurons("relu")


def test_a_module_says_how_many_images_it_takes_at_once(network, images):
    expected, sizes = network.logits(images), []
    network.module.images_at_once = 2
    handle = network.module.register_forward_hook(lambda _module, given, _output: sizes.append(len(given[0])))
    torch.testing.assert_close(network.logits(images), expected)
    handle.remove()
    assert max(sizes) == 2
    assert sum(sizes) == len(images)


def test_refuses(squares):
    def make(layers=("conv",), origin="trained", **kwargs):
        return Network(Plain(), layers, origin, task=squares, **kwargs)

    with pytest.raises(InputError, match="needs at least one"):
        make(())
    with pytest.raises(UnknownNameError, match="layer 'cnov': the module has none; did you mean \"conv\""):
        make(["cnov"])
    with pytest.raises(UnknownNameError, match="layer ''"):
        make([""])
    with pytest.raises(InputError, match="origin: expected"):
        make(origin="bought")
    with pytest.raises(UnknownNameError, match="meanings 'relu': not among the layers"):
        make(meanings={"relu": {"tile": [0]}})
    with pytest.raises(InputError, match="the columns differ in length: tile 1, row 2"):
        make(meanings={"conv": {"tile": [0], "row": [0, 1]}})
    with pytest.raises(InputError, match="layer 'unused': the module did not use it"):
        make(["conv", "unused"]).activations(torch.zeros(1, 1, 4, 4))


def test_repr(network):
    assert repr(network) == "Network(Plain, trained, layers: conv (before relu), relu, logits)"
    assert make_one(network).layers == ("logits",)


def make_one(network):
    return Network(network.module, "logits", "trained", task=network.task)


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_images_follow_the_module_to_its_device(squares, images, kind):
    devices = []

    class Elsewhere(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Identity()
            weight = torch.empty(1, device="meta")
            if kind == "buffer":
                self.register_buffer("weight", weight)
            else:
                self.weight = torch.nn.Parameter(weight)

        def forward(self, x):
            devices.append(x.device.type)
            return self.inner(torch.zeros(len(x), 2))

    assert Network(Elsewhere(), ["inner"], "constructed", task=squares).logits(images).shape == (len(images), 2)
    assert set(devices) == {"meta"}
