"""Gradient descent: the compiled steps against torch's, and masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi.errors import InputError
from tmi_networks import training
from tmi_networks.cnn import check, make_module
from tmi_networks.compiled_training import compiled_epoch

FULL = np.ones((2, 2), bool)


def task(classes: int, channels: int, side: int) -> tmi.TemplateTask:
    values = np.linspace(0, 1, classes)
    tiles = [tmi.FeatureTile(np.full((channels, 2, 2), value), 0.01) if value else None for value in values]
    tiles[0] = tmi.FeatureTile(np.zeros((channels, 2, 2)), 0.01, FULL)
    return tmi.TemplateTask([tmi.TileClass(str(i), [tile]) for i, tile in enumerate(tiles)], (channels, side, side))


def module_of(data: tmi.Dataset, filters: int, kernel: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make_module(data.task, check(data, kernel, 1, "none"), filters, kernel, "none", 0)


def trained(monkeypatch, data, filters, kernel, seed, *, compiled, masks=None, **settings) -> tuple[nn.Module, dict]:
    module = module_of(data, filters, kernel, seed)
    monkeypatch.setattr(training, "_SMALL_STEP", 1_000_000 if compiled else 0)
    return module, training.descend(module, data.train, seed=seed, masks=masks, **settings)


@settings(max_examples=25, deadline=None)
@given(
    classes=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    side=st.integers(2, 5),
    kernel=st.integers(1, 3),
    filters=st.integers(1, 5),
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    lr=st.floats(0.001, 0.3),
    seed=st.integers(0, 1000),
    masked=st.booleans(),
)
def test_compiled_steps_equal_torchs(classes, channels, side, kernel, filters, samples, batch_size, lr, seed, masked):
    kernel = min(kernel, side)
    problem = task(classes, channels, side)
    scenes = tmi.Scenes.draw(problem, samples, rng=np.random.default_rng(seed))
    data = tmi.Dataset(problem, scenes, scenes)
    generator = torch.Generator().manual_seed(seed)
    masks = (
        {"logits.weight": torch.rand(classes, filters * (side - kernel + 1) ** 2, generator=generator) < 0.5} if masked else None
    )
    with pytest.MonkeyPatch.context() as patch:
        (a, history), (b, expected) = (
            trained(
                patch,
                data,
                filters,
                kernel,
                seed,
                compiled=compiled,
                masks=masks,
                epochs=2,
                lr=lr,
                batch_size=batch_size,
            )
            for compiled in (True, False)
        )
    for one, other in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert np.allclose(history["loss"], expected["loss"], atol=1e-4)
    assert len(history["accuracy"]) == 2
    if masks:
        assert not a.logits.weight[~masks["logits.weight"]].any()


def test_the_steps_change_the_weights_and_reach_the_same_accuracy_as_torch(monkeypatch):
    data = tmi.generate("squares", seed=3, test_samples=1)
    start = [p.clone() for p in module_of(data, 4, 2, 3).parameters()]
    runs = [
        trained(monkeypatch, data, 4, 2, 3, compiled=compiled, epochs=20, lr=0.05, batch_size=10) for compiled in (True, False)
    ]
    assert all(not torch.equal(a, b) for a, b in zip(start, runs[0][0].parameters(), strict=True))
    assert runs[0][1]["accuracy"][-1] > 0.9
    assert runs[0][1]["accuracy"] == pytest.approx(runs[1][1]["accuracy"], abs=0.01)
    assert runs[0][1]["loss"] == pytest.approx(runs[1][1]["loss"], abs=1e-4)


def test_which_modules_are_compiled():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=1)
    plain = module_of(data, 2, 2, 0)
    images = data.train.images
    assert compiled_epoch(plain, images, 0.1, 5, {}) is not None
    assert compiled_epoch(plain.double(), images, 0.1, 5, {}) is None
    for other in (
        nn.Sequential(nn.Conv2d(1, 2, 2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(50, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(18, 2)),
        nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
    ):
        assert compiled_epoch(other, images, 0.1, 5, {}) is None


@pytest.mark.parametrize("compiled", [True, False])
def test_weights_outside_the_masks_are_exactly_0(monkeypatch, compiled):
    data = tmi.generate("squares", seed=0, samples=40, test_samples=1)
    masks = {"conv.0.weight": torch.rand(3, 1, 2, 2) < 0.5, "logits.weight": torch.rand(2, 27) < 0.3}
    module, _ = trained(monkeypatch, data, 3, 2, 0, compiled=compiled, masks=masks, epochs=3, lr=0.05, batch_size=10)
    for name, mask in masks.items():
        weight = dict(module.named_parameters())[name]
        assert not weight[~mask].any()
        assert weight[mask].all()


@pytest.mark.parametrize("small", [1_000_000, 0], ids=["compiled", "torch"])
def test_logits_that_are_not_finite_are_an_error(monkeypatch, small):
    data = tmi.generate("squares", seed=0, samples=40, test_samples=1)
    module = module_of(data, 3, 2, 0)
    monkeypatch.setattr(training, "_SMALL_STEP", small)
    with torch.no_grad():
        module.conv[0].bias.fill_(3e38)
        module.logits.weight.fill_(3e38)
    with pytest.raises(InputError, match="diverged in epoch 1 of 20"):
        training.descend(module, data.train, seed=0, epochs=20, lr=0.1, batch_size=10)


def test_code_is_compiled_where_no_folder_can_be_written(monkeypatch):
    """numba raises an error where neither the package's folder nor the user's can be written, as in a container."""
    from tmi_networks import compiled_training

    calls = []

    def njit(*functions, cache=False, nogil=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        calls.extend(functions)
        return functions[0]

    monkeypatch.setattr(compiled_training.numba, "njit", njit)
    assert compiled_training._compiled(len) is len
    assert calls == [len]
