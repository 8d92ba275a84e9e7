"""Warm start: the construction is exact before training, and what training may change."""

import numpy as np
import pytest
import torch

import tmi
from tmi.plugins.together import Request
from tmi_networks.theorem1.filters import needed_filters
from tmi_networks.theorem1.literal import literal_layers
from tmi_networks.warm_start import group, train


def digits(**given):
    return tmi.generate("digits", seed=0, **({"samples": 40, "test_samples": 100, "image_size": 9} | given))


def squares(**given):
    return tmi.generate("squares", seed=0, **({"samples": 60, "test_samples": 100} | given))


@pytest.mark.parametrize(
    "data", [digits(), digits(tiles_per_class=2, epsilon="auto", paste="support"), squares(), squares(epsilon="auto")]
)
def test_before_training_it_is_the_construction(data):
    network = tmi.build("warm-start", data, seed=3, epochs=0)
    assert network.origin == "trained"
    assert network.layers == ("conv", "hidden", "logits")
    images = data.test.images
    literal = literal_layers(data.task, needed_filters(data.task))
    expected = tmi.Network(literal, network.layers, "constructed", task=data.task).activations(images.double())
    for layer, values in network.activations(images).items():
        torch.testing.assert_close(values.double(), expected[layer], rtol=0, atol=4e-6)
    logits = network.logits(images)
    torch.testing.assert_close(logits.double(), data.task.phi(images.double()), rtol=0, atol=4e-6)
    assert not logits.scatter(1, data.test.labels[:, None], 0).any()  # exactly 0
    assert all(network.neurons(layer) is None for layer in network.layers)
    assert {name: len(values) for name, values in network.history.items()} == {"loss": 0, "accuracy": 0}


def test_before_training_superposed_is_that_construction():
    data = digits()
    network = tmi.build("warm-start", data, seed=3, start="superposed", neurons=7, epochs=0)
    constructed = tmi.build("superposed", data, seed=3, neurons=7, realisation="literal")
    assert network.layers == constructed.layers == ("conv", "hidden", "mixed", "decoded", "logits")
    assert (network.origin, network.directions("mixed")) == ("trained", None)
    expected = constructed.activations(data.test.images.double())
    for layer, values in network.activations(data.test.images).items():
        torch.testing.assert_close(values.double(), expected[layer], rtol=0, atol=1e-5)
    trained = tmi.build("warm-start", data, seed=3, start="superposed", neurons=7, epochs=1)
    for name, value in trained.module.named_parameters():
        assert not torch.equal(value, network.module.get_parameter(name)), name


def test_a_colour_task_with_tiles_of_different_sizes():
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((3, *shape)) * (rng.random((3, *shape)) < 0.8), 0.5) for shape in ((2, 3), (4, 1))]
    task = tmi.TemplateTask([tmi.TileClass(name, [tile]) for name, tile in zip("ab", tiles, strict=True)], (3, 4, 5))
    train, test = (tmi.Scenes.draw(task, 20, rng=rng) for _ in range(2))
    network = tmi.build("warm-start", tmi.Dataset(task, train, test), epochs=0)
    torch.testing.assert_close(network.logits(test.images).double(), task.phi(test.images.double()), rtol=0, atol=1e-5)


def test_all_weights_are_trained_and_the_same_seed_gives_the_same_network():
    data = digits()
    start, one, same, other = (
        tmi.build("warm-start", data, seed=seed, epochs=epochs) for seed, epochs in ((1, 0), (1, 2), (1, 2), (2, 2))
    )
    parts = [dict(network.module.named_parameters()) for network in (start, one, same, other)]
    assert list(parts[0]) == [f"{layer}.{what}" for layer in ("conv.0", "hidden.0", "logits") for what in ("weight", "bias")]
    for name, value in parts[1].items():
        assert not torch.equal(value, parts[0][name]), name
        assert torch.equal(value, parts[2][name])
    assert not torch.equal(parts[1]["hidden.0.weight"], parts[3]["hidden.0.weight"])
    assert one.history["loss"][0] > one.history["loss"][1]


@pytest.mark.parametrize("given", [{}, {"start": "superposed", "neurons": 7}, {"start": "random", "masked": True}])
def test_networks_of_one_training_are_those_trained_alone(given):
    data = digits(samples=20)
    alone = [tmi.build("warm-start", data, seed=2, epochs=epochs, **given) for epochs in (2, 0, 1)]
    requests = [Request(data, 2, network.params) for network in alone]
    assert len({group(data, 2, request.params) for request in requests}) == 1
    for network, (weights, history) in zip(alone, train(requests), strict=True):
        assert list(weights) == list(network.module.state_dict())
        for name, value in network.module.state_dict().items():
            np.testing.assert_array_equal(weights[name], value)
        assert {name: values.tolist() for name, values in history.items()} == {
            name: values.tolist() for name, values in network.history.items()
        }
    other = tmi.build("warm-start", data, seed=2, epochs=0, **given | {"lr": 0.1}).params
    assert group(data, 2, other) != group(data, 2, requests[0].params)


def test_training_that_diverges_is_left_to_the_builder():
    data = squares()
    params = tmi.build("warm-start", data, epochs=0, start="random", lr=1e9).params
    one, other = train([Request(data, 0, dict(params) | {"epochs": epochs}) for epochs in (0, 3)])
    assert one is not None
    assert other is None


def test_one_step_is_the_gradient_of_the_cross_entropy():
    """The weights after one step on all images, against the formula on the construction's own weights."""
    data = squares(samples=8)
    before, after = (
        tmi.build("warm-start", data, epochs=epochs, lr=0.01, batch_size=8).module.hidden[0].weight.detach() for epochs in (0, 1)
    )
    start = tmi.build("warm-start", data, epochs=0)
    values = start.activations(data.train.images)
    error = torch.softmax(values["logits"], 1) - torch.nn.functional.one_hot(data.train.labels, 2)
    back = (error @ start.module.logits.weight.detach()) * (values["hidden"] > 0)
    expected = before - 0.01 * back.T @ values["conv"].flatten(1) / 8
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("start", ["construction", "random"])
def test_masked_weights_stay_zero(start):
    data = squares()
    zero = {name: value == 0 for name, value in tmi.build("warm-start", data, epochs=0).module.named_parameters()}
    trained = dict(tmi.build("warm-start", data, epochs=3, start=start, masked=True, lr=0.02).module.named_parameters())
    free = dict(tmi.build("warm-start", data, epochs=3, start=start, lr=0.02).module.named_parameters())
    for name in ("conv.0.weight", "hidden.0.weight", "logits.weight"):
        assert not trained[name][zero[name]].any()
        assert trained[name][~zero[name]].all()
        assert free[name][zero[name]].any()


def test_noise_is_relative_to_the_root_mean_square_of_the_weights():
    data = digits(image_size=12)
    plain, noisy, same = (
        dict(tmi.build("warm-start", data, seed=4, epochs=0, noise=noise).module.named_parameters()) for noise in (0, 0.3, 0.3)
    )
    for name, value in plain.items():
        assert torch.equal(noisy[name], same[name])
        change = float((noisy[name] - value).norm().detach())
        expected = 0 if name.endswith("bias") else 0.3 * float(value.norm().detach())
        assert change == pytest.approx(expected, rel=0.15), name


def test_random_weights_are_torchs():
    data = squares()
    network = tmi.build("warm-start", data, seed=5, epochs=0, start="random")
    weight = network.module.hidden[0].weight
    assert weight.shape == tmi.build("warm-start", data, epochs=0).module.hidden[0].weight.shape
    assert float(weight.abs().max()) <= weight.shape[1] ** -0.5
    assert float(weight.std()) == pytest.approx((3 * weight.shape[1]) ** -0.5, rel=0.1)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"start": "random", "noise": 0.1}, "noise: random weights have nothing .* choose another start"),
        ({"neurons": 3}, 'neurons: the start "construction" has those of Theorem 1; choose the start "superposed"'),
        ({"start": "superposed"}, 'warm-start: the start "superposed" .* at least 6 tiles, not 2; choose another start$'),
        ({"memory": 1e-5}, r"warm-start: the dense layers of .* need .* GB, more than memory = 1e-05; use smaller tiles"),
        ({"start": "constructed"}, "start"),
        ({"epochs": -1}, "epochs"),
        ({"noise": -0.1}, "noise"),
        ({"lr": 1e9, "epochs": 3, "start": "random"}, "training diverged in epoch"),
    ],
)
def test_bad_settings(given, what):
    with pytest.raises(tmi.InputError, match=what) as caught:
        tmi.build("warm-start", squares(), **given)
    assert "\n" not in str(caught.value)


def test_memory_counts_all_large_layers():
    data = digits(image_size=10)
    network = tmi.build("warm-start", data, epochs=0, start="superposed")
    layers = [dict(network.module.named_parameters())[f"{name}.weight"] for name in ("hidden.0", "mixed.0", "decoded.1")]
    needed = (8 + 4) * sum(value.numel() for value in layers) / 1e9
    tmi.build("warm-start", data, epochs=0, start="superposed", memory=needed * 1.001)
    with pytest.raises(tmi.InputError, match=f"need {needed:.3g} GB"):
        tmi.build("warm-start", data, epochs=0, start="superposed", memory=needed * 0.999)


def test_six_tiles_are_enough_for_the_superposed_start():
    data = digits(classes=6)
    assert "mixed" in tmi.build("warm-start", data, epochs=0, start="superposed").layers
    with pytest.raises(tmi.InputError, match="at least 6 tiles, not 5"):
        tmi.build("warm-start", digits(classes=5), epochs=0, start="superposed")


def test_what_it_cannot_be_trained_on():
    data = squares()
    with pytest.raises(tmi.InputError, match="warm-start: needs a Dataset"):
        tmi.build("warm-start", data.task)
    with pytest.raises(tmi.InputError, match="60 of 60 training scenes have no tile"):
        tmi.build("warm-start", tmi.Dataset(data.task, data.train.without_tiles(), data.test))
