"""Data set tetrominoes: the images of XAI-TRIS as template tasks."""

import hashlib

import numpy as np
import pytest
import torch

import tmi
from tmi_datasets.tetrominoes import STRENGTHS

SMALL = {"samples": 40, "test_samples": 30}
BACKGROUNDS = ["gaussian", *(pytest.param(law, marks=pytest.mark.slow) for law in ("correlated", "natural"))]


def generate(scenario="linear", seed=0, **given):
    return tmi.generate("tetrominoes", seed=seed, scenario=scenario, **(SMALL | given))


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("scenario", STRENGTHS)
def test_labels_are_exact_and_masks_are_the_patterns(scenario, background):
    data = generate(scenario, background=background)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
        changed = (scenes.images != scenes.backgrounds)[:, 0]
        assert not (changed & ~scenes.masks).any()
        assert changed.sum() > 0.9 * scenes.masks.sum()  # a pixel at the middle of its interval stays
        assert set(scenes.masks.sum((1, 2)).tolist()) == {8 if scenario == "xor" else 4}


@pytest.mark.parametrize("scenario", STRENGTHS)
def test_pixels_are_signal_and_noise(scenario):
    """Against the formula of XAI-TRIS, with 0.5 as its 0."""
    data = generate(scenario, strength=0.75)
    noise = data.train.backgrounds.double() - 0.5
    signs = torch.zeros_like(noise)
    for scene, tile in enumerate(data.train.tile.tolist()):
        values, (row, col) = data.task.tiles[tile].values, (int(data.train.row[scene]), int(data.train.col[scene]))
        signs[scene, :, row : row + values.shape[1], col : col + values.shape[2]] = torch.from_numpy(np.sign(values - 0.5))
    masks = data.train.masks[:, None]
    signal = 0 if scenario == "multiplicative" else 0.75 * signs / 2  # XAI-TRIS's ±α for noise in [−1, 1], here in [−0.5, 0.5]
    expected = torch.where(masks, signal + (1 - 0.75) * noise, noise) + 0.5
    torch.testing.assert_close(data.train.images.double(), expected, rtol=0, atol=0.25 * 2**-11 + 1e-6)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("theorem", ["theorem1", "theorem2"])
@pytest.mark.parametrize("scenario", STRENGTHS)
def test_both_theorems_make_no_error(scenario, theorem, realisation):
    data = generate(scenario)
    network = tmi.build(theorem, data, realisation=realisation)
    images = data.test.images.double()
    logits = network.logits(images)
    torch.testing.assert_close(logits, data.task.phi(images), rtol=0, atol=1e-12)
    assert torch.equal(logits > 0, torch.nn.functional.one_hot(data.test.labels, 2).bool())


def test_patterns():
    shown = {name: [tile.support[0].astype(int).tolist() for tile in generate(name).task.tiles] for name in ("linear", "rotated")}
    t, l = np.array([[1, 0], [1, 1], [1, 0]]), np.array([[1, 0], [1, 0], [1, 1]])  # noqa: E741
    assert np.array_equal(np.array(shown["linear"][0])[1:4, 1:3], t)
    assert np.array_equal(np.array(shown["linear"][1])[4:7, 5:7], l)
    assert np.array(shown["linear"]).shape == (2, 8, 8)
    assert shown["rotated"] == [np.rot90(shape, k).tolist() for shape in (t, l) for k in range(4)]
    xor = generate("xor").task
    assert xor.class_names == ("same", "opposite")
    signs = [tuple(np.sign(tile.values[0][at] - 0.5) for at in ((1, 1), (4, 5))) for tile in xor.tiles]
    assert signs == [(1, 1), (-1, -1), (1, -1), (-1, 1)]
    assert [tile.epsilon for tile in xor.tiles] == pytest.approx([8 * 0.2] * 4)


def test_means_do_not_tell_multiplicative_classes_apart():
    data = generate("multiplicative", samples=1000)
    images, labels = data.train.images[:, 0], data.train.labels
    masks = torch.stack([data.train.masks[labels == k][0] for k in range(2)])
    means = torch.tensor([[images[labels == k][:, mask].mean() for mask in masks] for k in range(2)])
    assert (means - 0.5).abs().max() < 0.03
    spread = torch.tensor([[images[labels == k][:, mask].std() for mask in masks] for k in range(2)])
    assert (spread.diag() < 0.4 * spread.flip(1).diag()).all()


@pytest.mark.parametrize(
    ("scenario", "digest"),
    [
        ("linear", "09c226d61560e7b3"),
        ("multiplicative", "c4913c3e15a4327e"),
        ("rotated", "8d22fc002e86adda"),
        ("xor", "1557e4ffa51f3a29"),
    ],
)
def test_images_are_the_same_on_every_machine(scenario, digest):
    assert hashlib.sha256(generate(scenario).train.images[:8].numpy().tobytes()).hexdigest()[:16] == digest


def test_seed():
    one, same, other = generate(seed=1), generate(seed=1), generate(seed=2)
    assert torch.equal(one.train.images, same.train.images)
    assert not torch.equal(one.train.images, other.train.images)
    assert torch.equal(generate(samples=10).test.images, generate(samples=50).test.images)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"scenario": "xor", "strength": 0.4}, "classes cannot be told apart: .*; use a strength above 0.4, or less noise"),
        ({"scenario": "rotated", "strength": 0.7, "samples": 2}, "show no class .* use a strength above 0.7"),
        ({"scenario": "rigid"}, "scenario"),
        ({"strength": 0.0}, "strength"),
        ({"strength": 1.0}, "strength"),
        ({"samples": 0}, "samples"),
        ({"epsilon": 1.0}, "epsilon"),
    ],
)
def test_bad_settings(given, what, monkeypatch):
    monkeypatch.setattr("tmi.tasks.scenes._ROUNDS", 2)
    with pytest.raises(tmi.InputError, match=what) as caught:
        generate(**given)
    assert "\n" not in str(caught.value)


def skills(network, data, methods):
    benches = {
        method: tmi.probe("attribution-bench", network, data, method=method, images=60, measures=["mass", "auc"])
        for method in methods
    }
    return {method: bench.metrics["skill.mean"] for method, bench in benches.items()}


CONTROLS = ("random", "sobel", "laplace")


@pytest.mark.slow
def test_in_linear_and_white_methods_are_better_than_controls():
    data = generate(samples=2000, test_samples=200)
    for builder, least in (("theorem1", 0.9), ("mlp", 0.3)):
        network = tmi.build(builder, data, **({"seed": 0} if builder == "mlp" else {}))
        found = skills(network, data, ("saliency", "input-x-gradient", "integrated-gradients", *CONTROLS))
        controls = [found.pop(name) for name in CONTROLS]
        assert max(map(abs, controls)) < 0.15
        assert min(found.values()) > least
