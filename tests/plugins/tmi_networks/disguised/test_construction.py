"""Disguised networks compute the same logits, and what was known of their neurons is known of the new ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi.errors import InputError
from tmi_networks.disguised import DISGUISES, check_logits, disguise

from .nets import EVERY, network, networks


def plain_task(shape=(1, 4, 4)):
    tiles = [tmi.FeatureTile(np.full((shape[0], 2, 2), value), 0.1) for value in (0.2, 0.9)]
    return tmi.TemplateTask([tmi.TileClass(name, [tile]) for name, tile in zip("ab", tiles, strict=True)], shape)


def images_of(task, count=3):
    return torch.rand(count, *task.image_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def old_activations(network, mixing, layer, images):
    """Return activations of a layer with its mixture undone, as (N, old channels, places)."""
    values = network.activations(images, layer)[layer].double()
    values = values.reshape(len(values), len(mixing), -1).numpy()
    return np.einsum("nkp,ok->nop", values, np.linalg.pinv(mixing))


def mixes_added_neurons(names):
    """Whether added neurons are no longer orthogonal to the old ones, so that a projection does not separate them."""
    at = {name: index for index, name in enumerate(names)}
    last = max(at.get(name, -1) for name in ("rescaling", "split"))
    return at.get("cancelling", 9) < at.get("basis", -1) < last


def test_the_disguises():
    assert DISGUISES == EVERY


@settings(max_examples=15, deadline=None)
@given(networks(), st.permutations(EVERY), st.integers(0, 5), st.integers(0, 99), st.integers(1, 3))
def test_any_network_in_any_disguise(original, names, count, seed, batch):
    images = images_of(original.task, batch)
    before = original.activations(images)
    other, mixing = disguise(original, names[:count], seed=seed)
    assert other.layers == original.layers
    scale = max(1.0, float(before["logits"].abs().max()))
    assert float((other.logits(images) - before["logits"]).abs().max()) <= 1e-11 * scale
    if mixes_added_neurons(names[:count]):
        return
    for layer, known in mixing.items():
        wanted = before[layer].reshape(batch, known.shape[1], -1).numpy()
        found = old_activations(other, known, layer, images)
        assert np.abs(found - wanted).max() <= 1e-9 * max(1.0, np.abs(wanted).max())
    for layer in set(original.layers) - set(mixing):
        assert torch.allclose(other.activations(images, layer)[layer], before[layer], rtol=1e-11, atol=1e-11)
    assert all(type(part).__module__.startswith("torch.nn") for part in other.module.modules())


@pytest.mark.parametrize("name", EVERY)
def test_each_disguise_by_its_definition(name):
    task = plain_task()
    parts = [("conv", nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU())), ("flatten", nn.Flatten()), ("logits", nn.Linear(36, 2))]
    original = network(parts, task, ["conv", "logits"])
    other, mixing = disguise(original, [name], seed=3)
    old, new = (dict(each.module.named_parameters()) for each in (original, other))
    weight, outgoing = new["conv.0.weight"].detach().numpy(), new["logits.weight"].detach().numpy().reshape(2, -1, 9)
    before, after = old["conv.0.weight"].detach().numpy(), old["logits.weight"].detach().numpy().reshape(2, 4, 9)
    known = mixing["conv"]
    if name == "permutation":
        order = known.argmax(1)
        assert sorted(order) == [0, 1, 2, 3]
        assert list(order) != [0, 1, 2, 3]
        assert np.array_equal(weight, before[order])
        assert np.array_equal(outgoing, after[:, order])
    elif name == "rescaling":
        factor = np.diag(known)
        assert set(np.log2(factor)) <= {-3, -2, -1, 1, 2, 3}
        assert np.array_equal(weight, before * factor[:, None, None, None])
        assert np.array_equal(outgoing, after / factor[:, None])
    elif name == "split":
        assert len(known) > 4
        assert np.array_equal(known.sum(0), np.ones(4))  # the neurons' sum is the old neuron
        assert ((known > 0).sum(1) == 1).all()
        of = known.argmax(1)
        assert np.array_equal(weight, before[of] * known.max(1)[:, None, None, None])
        assert np.array_equal(outgoing, after[:, of])
    elif name == "cancelling":
        assert np.array_equal(known, np.eye(6, 4))
        assert np.array_equal(weight[4], weight[5])
        assert np.array_equal(outgoing[:, 4], -outgoing[:, 5])
        assert np.abs(outgoing[:, 4]).min() > 0
        # The added neurons are active on some image, unless their weights happen to be negative: they do not hide by being dead.
        others = [disguise(original, [name], seed=seed)[0] for seed in range(5)]
        assert any(each.activations(images_of(task, 20), "conv")["conv"][:, 4].max() > 0 for each in others)
    else:
        basis = new["conv.1.basis.weight"].detach().numpy()[:, :, 0, 0]
        assert np.allclose(basis @ basis.T, np.eye(4), atol=1e-14)
        assert np.array_equal(basis, known)
        assert np.abs(np.abs(basis).max(1)).max() < 0.999  # no permutation
        assert np.allclose(outgoing, np.einsum("ocp,dc->odp", after, basis), atol=1e-14)
        assert np.array_equal(weight, before)


def test_a_basis_between_two_linear_layers_is_multiplied_into_them():
    task = plain_task()
    parts = [("flatten", nn.Flatten()), ("first", nn.Linear(16, 3)), ("second", nn.Linear(3, 2))]
    original = network(parts, task, ["second"])
    other, mixing = disguise(original, ["basis"], seed=0)
    assert [type(part) for part in other.module] == [nn.Flatten, nn.Linear, nn.Linear]
    assert not mixing  # no named layer is between them
    assert not torch.allclose(other.module.first.weight, original.module.first.weight)
    assert check_logits(original, other, images_of(task)) < 1e-14


def test_a_layer_before_a_maximum_gets_its_basis_back():
    task = plain_task()
    parts = [
        ("conv", nn.Conv2d(1, 3, 1)),
        ("pool", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("logits", nn.Linear(12, 2)),
    ]
    other, mixing = disguise(network(parts, task, ["conv", "logits"]), ["basis"], seed=0)
    assert list(mixing) == ["conv"]
    assert [name for name, _ in other.module.pool.named_children()] == ["back", "layer"]


# What is known stays known.


@pytest.fixture(scope="module")
def constructed():
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((3, *size)), 0.3) for size in ((2, 2), (2, 3), (3, 2))]
    task = tmi.TemplateTask([tmi.TileClass("a", tiles[:2]), tmi.TileClass("b", tiles[2:])], (3, 4, 5))
    images = tmi.Scenes.draw(task, 12, rng=rng).images.double()
    return {of: (tmi.build(of, task, realisation="literal"), images) for of in ("theorem1", "theorem2")}


@pytest.mark.parametrize(
    ("of", "names"),
    [
        ("theorem1", ["split"]),
        ("theorem2", ["cancelling"]),
        *(
            pytest.param(of, names, marks=pytest.mark.slow)
            for of in ("theorem1", "theorem2")
            for names in (["permutation"], ["basis"], [*EVERY])
        ),
    ],
)
def test_directions_give_the_activations_of_what_they_stand_for(constructed, of, names):
    original, images = constructed[of]
    other, _ = disguise(original, names, seed=1)
    assert other.origin == "constructed"
    assert check_logits(original, other, images) < 1e-9
    for layer in original.layers:
        table, known = original.neurons(layer), other.directions(layer)
        wanted = original.activations(images, layer)[layer].flatten(1).numpy()
        found = other.activations(images, layer)[layer].flatten(1).numpy()
        if other.neurons(layer) is not None:  # permuted: each row of the table is about the neuron of its number
            assert layer == "logits" or names == ["permutation"]
            assert same_activations_of_same_meanings(table, wanted, other.neurons(layer), found)
            continue
        assert known.features.equals(table.rename_axis("feature"))
        if len(known) <= 400:
            assert np.abs(found @ np.linalg.pinv(known.matrix) - wanted).max() < 1e-9


def same_activations_of_same_meanings(table, values, other_table, other_values):
    """Whether rows with equal meanings have equal activations."""
    known = {}
    for row, column in zip(map(str, table.itertuples(index=False)), values.T, strict=True):
        known.setdefault(row, []).append(column)
    for row, column in zip(map(str, other_table.itertuples(index=False)), other_values.T, strict=True):
        if not any(np.allclose(column, one, atol=1e-9) for one in known[row]):
            return False
    return True


def test_a_trained_network_has_no_directions():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=5)
    other = tmi.build("disguised", data, of="cnn(kernel=2, filters=2, epochs=1)", seed=0)
    assert other.origin == "trained"
    assert other.directions("conv") is None
    assert len(other.history["loss"]) == 1


# The builder.


def test_the_call_of_the_design():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    other = tmi.build("disguised", data, of="theorem2", seed=0)
    original = tmi.build("theorem2", data)
    assert other.layers == original.layers
    wanted = original.logits(data.test.images)
    assert float((other.logits(data.test.images) - wanted).abs().max()) <= 1e-6 * float(wanted.abs().max())
    again = tmi.build("disguised", data, of="theorem2", seed=0)
    assert all(torch.equal(a, b) for a, b in zip(other.module.parameters(), again.module.parameters(), strict=True))
    third = tmi.build("disguised", data.task, of="theorem2", seed=1)
    assert [p.shape for p in third.module.parameters()] != [p.shape for p in other.module.parameters()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_seed_is_the_networks_too_and_the_dtype_is_chosen(dtype):
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    settings = {"kernel": 2, "filters": 3, "epochs": 1}
    original = tmi.build("cnn", data, seed=4, **settings)
    other = tmi.build(
        "disguised",
        data,
        of="cnn(kernel=2, filters=3, epochs=1)",
        seed=4,
        dtype=dtype,
        disguises=["permutation", "split", "cancelling"],
    )
    assert next(other.module.parameters()).dtype == getattr(torch, dtype)
    assert torch.allclose(other.logits(data.test.images).float(), original.logits(data.test.images), atol=2e-6)


def test_a_disguised_network_can_be_disguised_again():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    once = tmi.build("disguised", data, of="printed-squares", seed=0)
    twice = tmi.build("disguised", data, of="disguised(of='printed-squares')", seed=0)
    assert float((once.logits(data.test.images) - twice.logits(data.test.images)).abs().max()) < 1e-12
    assert sum(p.numel() for p in twice.module.parameters()) > sum(p.numel() for p in once.module.parameters())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("logits", nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))], "no neurons between two linear layers"),
        (
            [("tanh", nn.Tanh()), ("flatten", nn.Flatten()), ("logits", nn.Linear(16, 2))],
            r"module 'tanh' is a Tanh; supported are Conv1d",
        ),
        ([("logits", nn.Sequential(nn.Linear(4, 4), nn.Flatten(), nn.Linear(16, 2)))], "module 'logits.0' is a Linear"),
    ],
)
def test_what_cannot_be_disguised(parts, message):
    with pytest.raises(InputError, match=message) as error:
        disguise(network(parts, plain_task()), ["split"], seed=0)
    assert "\n" not in str(error.value)


def test_other_refusals():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    with pytest.raises(InputError, match=r"TileMatch, which has no neurons.*realisation='literal'"):
        tmi.build("disguised", data, of="theorem1")
    with pytest.raises(InputError, match="each at most once"):
        tmi.build("disguised", data, of="printed-squares", disguises=["split", "split"])
    with pytest.raises(InputError, match=r'disguises.*did you mean "split"'):
        tmi.build("disguised", data, of="printed-squares", disguises=["splits"])
    with pytest.raises(InputError, match="GB, more than memory"):
        tmi.build("disguised", data, of="theorem2", memory=1e-6)
    with pytest.raises(tmi.UnknownNameError, match=r"network 'theorem3' is unknown; did you mean .theorem2"):
        tmi.build("disguised", data, of="theorem3")
    printed = tmi.build("printed-squares", data)
    hooked = tmi.Network(printed.module, printed.layers, "imported", task=data.task, output=lambda y: y)
    with pytest.raises(InputError, match="output= or form="):
        disguise(hooked, ["split"], seed=0)


def test_a_wrong_disguise_is_refused(monkeypatch):
    """The comparison of logits can fail."""
    data = tmi.generate("squares", seed=0, samples=20, test_samples=20)
    from tmi_networks.disguised import exchange

    wrong = lambda count, rng: (np.eye(count), 1.001 * np.eye(count), np.eye(count))  # noqa: E731
    monkeypatch.setitem(exchange._MIXTURES, "permutation", wrong)
    with pytest.raises(InputError, match="logits differ by"):
        tmi.build("disguised", data, of="printed-squares", disguises=["permutation"])
