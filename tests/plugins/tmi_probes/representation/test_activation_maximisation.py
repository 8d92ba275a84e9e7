"""Activation maximisation where the exact optimum is known: a template, a linear unit; starts, the regulariser, controls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.representation.ascent import ascend, total_variation

from ..toys import TASK, Phi, cnn_network, dataset, network

DATA = dataset(40)


def far_apart():
    """Two tiles with patterns on a task whose constructed neurons stand for one of them at a place."""
    tiles = [tmi.FeatureTile(np.random.default_rng(seed).random((1, 4, 4)) * 0.8 + 0.1, 0.4) for seed in range(2)]
    task = tmi.TemplateTask([tmi.TileClass(name, [tile]) for name, tile in zip("ab", tiles, strict=True)], (1, 7, 7))
    rng = np.random.default_rng(0)
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, 40, rng=rng) for _ in range(2)))


@pytest.mark.parametrize("builder", ["theorem1", pytest.param("theorem1(realisation='literal')", marks=pytest.mark.slow)])
def test_the_preferred_picture_of_a_constructed_neuron_is_its_tile(builder):
    data = far_apart()
    name, _, literal = builder.partition("(")
    own = tmi.build(name, data, **({"realisation": "literal"} if literal else {}))
    result = tmi.probe("activation-maximisation", own, data, units=3, steps=150)
    table = own.neurons("hidden")
    assert result.metrics["known_tile.hidden"] > 0.999
    assert result.metrics["best_tile.hidden"] > 0.999
    assert result.metrics["known_tile.hidden.chance.high"] < 0.6
    assert result.metrics["from_scenes.hidden"] == 1  # a neuron is 0 on all noise
    assert result.metrics["own_class.logits"] == 1
    assert result.metrics["own_class.logits.chance"] == 0.5
    for unit, picture, reached in zip(
        result.coords["unit.hidden"],
        result.arrays["picture.hidden"].values,
        result.arrays["activation.hidden"].values,
        strict=True,
    ):
        tile, row, col = (int(table[column][unit]) for column in ("tile", "row", "col"))
        window = picture[:, row : row + 4, col : col + 4]
        assert np.abs(window - data.task.tiles[tile].values).sum() < 0.01  # the exact optimum, where the activation is ε
        assert reached == pytest.approx(data.task.tiles[tile].epsilon, abs=0.01)


def test_the_optimum_of_a_linear_unit_is_black_and_white_by_the_sign_of_its_weights():
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.Linear(72, 3))
    with torch.no_grad():
        module.conv[0].bias.fill_(3.0)  # active everywhere
    result = tmi.probe("activation-maximisation", network(module, "conv", "logits"), DATA)
    pictures = result.arrays["picture.conv"].values
    weights = module.conv[0].weight.detach().numpy()[result.coords["unit.conv"]]
    for picture, weight, reached in zip(pictures, weights, result.arrays["activation.conv"].values, strict=True):
        read = np.isfinite(picture[0])
        assert read.sum() == 9
        assert np.array_equal(picture[0][read].reshape(3, 3), (weight[0] > 0).astype(float))
        assert reached == pytest.approx(3.0 + weight.clip(0).sum(), rel=1e-6)
    assert result.metrics["from_scenes.conv"] == 0
    assert result.metrics["gain.conv"] >= 1


def test_the_objective_never_falls_and_pictures_stay_images():
    own = cnn_network()
    own = own.with_module(own.module.double())
    images = torch.rand(6, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    neurons = torch.arange(6)
    values = [ascend(own, "hidden", 16, neurons, images, steps, 0.0)[1] for steps in (0, 1, 5, 30)]
    for before, after in pairwise(values):
        assert (after >= before).all()
    assert (values[-1] > values[0]).any()
    found, value = ascend(own, "hidden", 16, neurons, images, 30, 0.0)
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.allclose(own.activations(found, "hidden")["hidden"].gather(1, neurons[:, None])[:, 0], value)


@pytest.mark.slow
def test_the_regulariser_is_subtracted_and_makes_smoother_pictures():
    assert total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).item() == 0.5
    assert total_variation(torch.zeros(1, 1, 1, 1)).item() == 0
    rough, smooth = (
        tmi.probe("activation-maximisation", cnn_network(), DATA, total_variation=weight, units=4) for weight in (0.0, 5.0)
    )
    variation = [np.nanmean(np.abs(np.diff(result.arrays["picture.hidden"].values, axis=-1))) for result in (rough, smooth)]
    assert variation[1] < variation[0]
    assert smooth.metrics["gain.hidden"] <= rough.metrics["gain.hidden"]


@pytest.mark.slow
def test_the_untrained_control_is_the_network_before_training():
    data = tmi.generate("digits", seed=0, samples=60, test_samples=40)
    settings = {"filters": 3, "kernel": 3, "hidden": 6, "batch_size": 10, "lr": 0.1}
    trained, initial = (tmi.build("cnn", data, seed=0, epochs=epochs, **settings) for epochs in (3, 0))
    found, before = (tmi.probe("activation-maximisation", each, data, steps=20, units=2) for each in (trained, initial))
    names = [name for name in before.metrics if name.startswith("best_tile") and name.count(".") == 1]
    assert names
    for name in names:
        if f"{name}.untrained" in found.metrics:
            assert found.metrics[f"{name}.untrained"] == pytest.approx(before.metrics[name], abs=1e-6)


def test_tiles_of_one_value_have_no_correlation_and_a_network_without_gradient_no_picture():
    result = tmi.probe("activation-maximisation", cnn_network(), tmi.Dataset(TASK, DATA.train, DATA.test), units=2, steps=5)
    assert result.applicable  # the diagonal tile has a pattern
    even = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((3, 3), v), 0.3)]) for n, v in (("a", 0.1), ("b", 0.9))], (1, 8, 8)
    )
    data = dataset(20, task=even)
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(1, 2, 3))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.Linear(72, 2))
    result = tmi.probe("activation-maximisation", network(module, "conv", "logits", task=even), data, steps=5)
    assert "best_tile.conv" not in result.metrics
    assert any("no tile has two values" in note for note in result.notes)
    assert not tmi.probe("activation-maximisation", network(Phi(), "logits"), DATA).applicable
