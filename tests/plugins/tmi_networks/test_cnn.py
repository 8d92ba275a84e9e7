from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_networks.cnn import cnn


def squares(samples=400, test_samples=200, seed=0):
    """A black or a white square of 2×2 on 4×4 grey noise: section 6.1."""
    full = np.ones((2, 2), bool)
    classes = [tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2), v), 0.5, full)]) for name, v in (("black", 1), ("white", 0))]
    task = tmi.TemplateTask(classes, (1, 4, 4))
    train, test = (tmi.Scenes.draw(task, n, rng=np.random.default_rng(seed + i)) for i, n in enumerate((samples, test_samples)))
    return tmi.Dataset(task, train, test)


@pytest.fixture(scope="module")
def data():
    return squares()


SHORT = {"filters": 3, "kernel": 2, "hidden": 5, "epochs": 2, "batch_size": 30}


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.module.parameters()])


def test_the_same_seed_gives_the_same_network_bit_for_bit(data):
    one = cnn(data, seed=3, **SHORT)
    torch.rand(7)  # what happened before must not matter
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        two = tmi.build("cnn", data, seed=3, **SHORT)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(weights(one), weights(two))
    assert np.array_equal(one.history["loss"], two.history["loss"])
    assert not torch.equal(weights(one), weights(cnn(data, seed=4, **SHORT)))


def test_nothing_global_is_left_changed(data):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    was = torch.get_num_threads()
    torch.set_num_threads(2)  # other than the one that training takes
    settings = 2, torch.backends.mkldnn.enabled
    cnn(data, seed=0, **SHORT)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == settings
    with pytest.raises(tmi.InputError):
        cnn(data, seed=0, lr=1e30, **SHORT)
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == settings
    torch.set_num_threads(was)


def test_layers_are_those_of_theorem1_each_with_its_own_relu(data):
    network = cnn(data, seed=0, **SHORT)
    assert network.layers == ("conv", "hidden", "logits")
    assert network.origin == "trained"
    relus = [module for module in network.module.modules() if isinstance(module, nn.ReLU)]
    assert len(set(map(id, relus))) == 2
    assert not any(relu.inplace for relu in relus)
    seen = network.activations(data.test.images)
    assert {layer: tuple(a.shape[1:]) for layer, a in seen.items()} == {"conv": (3, 3, 3), "hidden": (5,), "logits": (2,)}
    assert (seen["conv"] >= 0).all()
    assert (seen["hidden"] >= 0).all()
    assert torch.equal(network.logits(data.test.images), seen["logits"])
    assert network.neurons("hidden") is None
    assert not network.module.training


def test_the_defaults_are_the_network_and_the_settings_of_section_6_2():
    described = {name: parameter.default for name, parameter in inspect.signature(cnn).parameters.items()}
    expected = {"filters": 12, "kernel": 5, "depth": 1, "pool": "none", "hidden": 0, "epochs": 15, "lr": 0.03, "batch_size": 100}
    assert {name: described[name] for name in expected} == expected
    network = cnn(large(), seed=0, epochs=1)
    assert network.layers == ("conv", "logits")
    assert network.module.logits.in_features == 12 * 10 * 9


def test_without_a_hidden_layer(data):
    network = cnn(data, seed=0, filters=2, kernel=3, hidden=0, epochs=1)
    assert network.layers == ("conv", "logits")
    assert network.module.logits.in_features == 2 * 2 * 2


def test_training_is_plain_gradient_descent(data):
    """One epoch written with torch.optim.SGD gives the same weights and the same history."""
    from torch.nn.functional import cross_entropy

    from tmi.runtime.seeds import fixed_seed

    network = cnn(data, seed=1, filters=3, kernel=2, hidden=5, epochs=1, lr=0.2, batch_size=150)
    with fixed_seed(1):
        module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 5), nn.ReLU(), nn.Linear(5, 2))
    descent = torch.optim.SGD(module.parameters(), lr=0.2)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(1))
    total, right = 0.0, 0
    for batch in (order[:150], order[150:300], order[300:]):  # the last one is smaller
        logits, labels = module(data.train.images[batch]), data.train.labels[batch]
        descent.zero_grad()
        loss = cross_entropy(logits, labels)
        loss.backward()
        descent.step()
        total += float(loss.detach()) * len(batch)
        right += int((logits.argmax(1) == labels).sum())
    expected = torch.cat([p.detach().flatten() for p in module.parameters()])
    torch.testing.assert_close(weights(network), expected, atol=1e-6, rtol=0)
    assert network.history["loss"] == pytest.approx([total / 400], abs=1e-6)
    assert network.history["accuracy"] == pytest.approx([right / 400])


def test_learns_the_squares(data):
    network = cnn(data, seed=0, filters=4, kernel=2, hidden=0, lr=0.05, epochs=60, batch_size=10)
    right = network.logits(data.test.images).argmax(1) == data.test.labels
    assert right.double().mean() >= 0.9
    loss, accuracy = network.history["loss"], network.history["accuracy"]
    assert len(loss) == len(accuracy) == 60
    assert loss[-5:].mean() < loss[:5].mean() / 2
    assert accuracy[-5:].mean() >= 0.9


def test_colour_and_float64_images():
    rng = np.random.default_rng(0)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.random((3, 2, 2)), 0.5)]) for i in range(3)]
    task = tmi.TemplateTask(classes, (3, 5, 4))
    scenes = tmi.Scenes.draw(task, 20, rng=rng)
    wide = tmi.Scenes(task, scenes.backgrounds.double(), scenes.tile, scenes.row, scenes.col)
    network = cnn(tmi.Dataset(task, wide, wide), seed=0, **SHORT)
    assert network.logits(wide.images).shape == (20, 3)
    assert weights(network).dtype == torch.float32


def test_errors_say_what_is_wrong(data):
    with pytest.raises(tmi.InputError, match="Dataset with training images, got TemplateTask"):
        tmi.build("cnn", data.task)
    with pytest.raises(tmi.InputError, match="5×5 is larger than the images, 4×4"):
        tmi.build("cnn", data)
    with pytest.raises(tmi.InputError, match=r"epoch 1 of 2: use a smaller lr than 1e\+30$"):
        tmi.build("cnn", data, lr=1e30, **SHORT)
    for name in ("orthogonality", "weight_decay"):
        with pytest.raises(tmi.InputError, match=rf"epoch 1 of 2: use a smaller lr than 0\.03, or less {name} than 1e\+30$"):
            tmi.build("cnn", data, **SHORT, **{name: 1e30})
    bare = tmi.Dataset(data.task, data.train.without_tiles(), data.test)
    with pytest.raises(tmi.InputError, match="400 of 400 training scenes have no tile"):
        tmi.build("cnn", bare, kernel=2)
    none = tmi.Dataset(data.task, data.train[:0], data.test)
    with pytest.raises(tmi.InputError, match="no training images"):
        tmi.build("cnn", none, kernel=2)
    with pytest.raises(tmi.InputError, match="epochs"):
        tmi.build("cnn", data, epochs=-1, kernel=2)


def test_depth_and_pooling_are_modules_of_their_own(data):
    network = cnn(data, seed=0, filters=3, kernel=2, depth=2, pool="none", hidden=5, epochs=1)
    assert network.layers == ("conv", "conv2", "hidden", "logits")
    seen = network.activations(data.test.images[:2])
    assert {layer: tuple(a.shape[1:]) for layer, a in seen.items()} == {
        "conv": (3, 3, 3),
        "conv2": (3, 2, 2),
        "hidden": (5,),
        "logits": (2,),
    }
    relus = [module for module in network.module.modules() if isinstance(module, nn.ReLU)]
    assert len(set(map(id, relus))) == 3


@pytest.mark.parametrize(("pool", "kind"), [("max", nn.MaxPool2d), ("average", nn.AvgPool2d)])
def test_pooling_stands_behind_the_layer_and_is_no_part_of_it(pool, kind):
    data = large()
    network = cnn(data, seed=0, filters=3, kernel=3, depth=2, pool=pool, hidden=0, epochs=1)
    assert [name for name, _ in network.module.named_children()] == ["conv", "pool", "conv2", "pool2", "flatten", "logits"]
    assert network.layers == ("conv", "conv2", "logits")
    images = data.test.images[:4]
    seen = network.activations(images)
    assert (tuple(seen["conv"].shape[1:]), tuple(seen["conv2"].shape[1:])) == ((3, 12, 11), (3, 4, 3))
    # The odd column is left out, as torch does.
    by_hand = getattr(seen["conv"][..., :10].unflatten(3, (5, 2)).unflatten(2, (6, 2)), {"max": "amax", "average": "mean"}[pool])
    pooled = network.module.pool(seen["conv"])
    assert type(network.module.pool) is kind
    torch.testing.assert_close(pooled, by_hand((3, 5)))
    assert network.module.pool is not network.module.pool2
    assert network.module.logits.in_features == 3 * 2 * 1


def test_by_default_the_network_is_what_it_was_without_depth_and_pooling(data):
    network, named = cnn(data, seed=0, **SHORT), cnn(data, seed=0, depth=1, pool="none", **SHORT)
    assert [name for name, _ in network.module.named_children()] == ["conv", "flatten", "hidden", "logits"]
    assert torch.equal(weights(network), weights(named))


@pytest.mark.parametrize("more", [{}, {"depth": 2, "pool": "max"}, {"pool": "average", "hidden": 0}], ids=str)
def test_with_stored_weights_it_is_not_trained_and_is_the_same(more, monkeypatch):
    from tmi.networks.train_once import recording
    from tmi.store.networks import why_not_kept

    def build():
        return tmi.build("cnn", large(), seed=3, filters=3, kernel=3, epochs=1, **more)

    with recording() as training:
        network = build()
    assert training.calls == 1
    monkeypatch.setattr(torch.optim.SGD, "step", None)
    assert why_not_kept(network, training, build, large().test.images) == ""


def test_maps_that_a_kernel_or_a_pool_does_not_fit():
    data = large()
    with pytest.raises(tmi.InputError, match="5×5 is larger than the maps that conv4 is laid on, 2×1"):
        cnn(data, seed=0, kernel=5, depth=4)
    with pytest.raises(tmi.InputError, match="3×3 is larger than the maps that conv3 is laid on, 2×1"):
        cnn(data, seed=0, kernel=3, depth=3, pool="max")
    with pytest.raises(tmi.InputError, match="maps of conv, 2×1, are too small for 2×2"):
        cnn(data, seed=0, kernel=13, pool="average")
    with pytest.raises(tmi.InputError, match="pool"):
        tmi.build("cnn", data, pool="median")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"pool": "max"}, {"pool": "average"}, {"depth": 2, "lr": 0.05}], ids=str)
def test_deep_and_pooled_networks_learn_the_clothes(settings):
    data = tmi.generate("fashion", seed=1, source="sample")
    network = tmi.build("cnn", data, seed=1, **{"hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50} | settings)
    right = network.logits(data.test.images).argmax(1) == data.test.labels
    assert right.double().mean() >= 0.95


def large():
    """Squares on 14×13 pixels."""
    classes = [
        tmi.TileClass(name, [tmi.FeatureTile(np.full((2, 2), v), 0.2, np.ones((2, 2), bool))])
        for name, v in (("black", 1), ("white", 0))
    ]
    task = tmi.TemplateTask(classes, (1, 14, 13))
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, 20, rng=np.random.default_rng(i)) for i in range(2)))
