"""Targets other than the label: what is attributed, what is known about it, and what is not applicable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.plugins.tmi_attribution.boards import bench
from tmi_attribution import exact
from tmi_attribution.build_truth import at_level, truth_of
from tmi_attribution.targets import masks_of, targets_of


@pytest.fixture(scope="module")
def crowded():
    """Images that show tiles of several classes: the backgrounds hold tiles too, so that other logits are above 0."""
    task = tmi.TemplateTask(
        [
            tmi.TileClass(name, [tmi.FeatureTile(np.full((1, 2, 2), value), 1.5)])
            for name, value in [("dark", 0.2), ("light", 0.8)]
        ]
        + [tmi.TileClass("never", [tmi.FeatureTile(np.array([[[1.0, 0.0], [0.0, 1.0]]]), 0.01)])],
        image_shape=(1, 6, 6),
    )
    rng = np.random.default_rng(0)
    tile, row, col = rng.integers(2, size=30), rng.integers(5, size=30), rng.integers(5, size=30)
    scenes = tmi.Scenes(task, rng.random((30, 1, 6, 6), dtype=np.float32), tile, row, col)
    return tmi.Dataset(task, scenes, scenes)


def test_whose_logit(data, trained):
    scenes, names = data.test, data.task.class_names
    logits = trained.logits(scenes.images)
    assert torch.equal(targets_of("label", trained, scenes), scenes.labels)
    assert torch.equal(targets_of("predicted", trained, scenes), logits.argmax(1))
    runner_up = targets_of("runner-up", trained, scenes)
    for image, target in enumerate(runner_up.tolist()):
        others = [c for c in range(len(names)) if c != scenes.labels[image]]
        assert target == max(others, key=lambda c: (logits[image, c].item(), -c))
    for index, name in enumerate(names):
        assert targets_of(name, trained, scenes).tolist() == [index] * len(scenes)
    with pytest.raises(tmi.UnknownNameError, match="target: 'runer-up' is no class and none of label, predicted, runner-up"):
        targets_of("runer-up", trained, scenes)


def test_one_class_has_no_runner_up():
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.ones((1, 2, 2)), 0.5)])], image_shape=(1, 4, 4))
    scenes = tmi.Scenes.draw(task, samples=4, rng=np.random.default_rng(0))
    network = tmi.build("theorem1", tmi.Dataset(task, scenes, scenes))
    with pytest.raises(tmi.InputError, match="the task has one class"):
        targets_of("runner-up", network, scenes)
    assert targets_of("predicted", network, scenes).tolist() == [0] * 4


@pytest.mark.parametrize("target", ["predicted", "runner-up", "dark", "light", "never"])
def test_the_truth_of_a_constructed_network_follows(crowded, target):
    """Judged by plain loops: every window of the target's tiles, its z, its support."""
    network = tmi.build("theorem1", crowded)
    truth = truth_of(network, crowded, 30, "black", target)
    task, images = crowded.task, truth.images.double().numpy()
    logits = network.logits(truth.images).double().numpy()
    assert truth.exact.sum((1, 2, 3)) == pytest.approx(logits[np.arange(30), truth.targets], abs=1e-5)
    for image in range(30):
        label, attributed = int(truth.scenes.labels[image]), int(truth.targets[image])
        signed, active = np.zeros((6, 6)), np.zeros((6, 6), bool)
        for index, tile in enumerate(task.tiles):
            if task.tile_class[index] != attributed:
                continue
            for row in range(5):
                for col in range(5):
                    distance = np.abs(images[image, 0, row : row + 2, col : col + 2] - tile.values[0])
                    if distance.sum() < tile.epsilon:
                        signed[row : row + 2, col : col + 2] += tile.epsilon / 4 - distance
                        active[row : row + 2, col : col + 2] = True
        np.testing.assert_allclose(truth.exact[image, 0], signed, atol=1e-6)
        expected = truth.scenes.masks[image].numpy() if attributed == label else active
        assert np.array_equal(truth.masks[image], expected)
        assert not (truth.null[image] & active).any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_null_region_of_another_class(crowded, seed):
    """Pixels there may be anything between baseline and image: the target's logit stays, to the last bit."""
    rng = np.random.default_rng(seed)
    network = tmi.build("theorem1", crowded)
    truth = truth_of(network, crowded, 10, "black", ["dark", "light", "never", "runner-up"][seed % 4])
    changed = torch.where(
        torch.from_numpy(truth.null)[:, None], truth.images * torch.from_numpy(rng.random((10, 1, 6, 6))), truth.images
    )
    assert np.array_equal(truth.logit(changed), truth.logit(truth.images))


def test_the_label_is_as_before(data, trained):
    for network in (trained, tmi.build("theorem1", data)):
        plain, named = bench(network, data), bench(network, data, target="label")
        assert plain.metrics == named.metrics
        assert "target" not in plain.arrays
        truth = truth_of(network, data, 12, "black")
        assert np.array_equal(truth.masks, truth.scenes.masks.numpy())
        assert truth.of_label.all()


def test_what_is_not_known_is_not_applicable(data, trained):
    result = bench(trained, data, target="runner-up")
    localising = ("mass", "precision", "pointing_game", "auc", "average_precision", "top_k", "earth_mover", "contrast",
                  "background_invariance", "null_patch_invariance", "skill.mean")  # fmt: skip
    assert not {name for name in result.metrics if name.startswith(localising)}
    assert {"deletion", "insertion", "infidelity", "sensitivity_max", "sensitivity_n"} <= set(result.metrics)
    assert "deletion.oracle" not in result.metrics
    assert result.notes[0].startswith("target runner-up: the logit of ")
    assert "; on 12 of 12 images it is not the label's" in result.notes[0].replace(" is attributed", "")
    assert "it is not known which pixels decide" in result.notes[1]
    assert "on 12 of 12 images, to which measures of localisation are not applicable" in result.notes[1]
    assert np.array_equal(np.isnan(result.arrays["score"].values[0]), np.ones(12, bool))
    assert not (result.arrays["target"].values == result.arrays["label"].values).any()


def test_images_whose_target_is_the_label_score_as_with_the_label(data, trained):
    """A class name: images of that class as with the label, the others not at all."""
    name = data.task.class_names[0]
    label, named = bench(trained, data), bench(trained, data, target=name)
    shown = data.test.labels[:12].numpy() == 0
    for one, other in zip(label.arrays["score"].values[:7], named.arrays["score"].values[:7], strict=True):
        assert np.array_equal(one[shown], other[shown])
        assert np.isnan(other[~shown]).all()


@pytest.mark.parametrize("method", ["exact", "exact-integrated-gradients", "integrated-gradients", "saliency", "occlusion"])
def test_methods_attribute_the_target(crowded, method):
    network = tmi.build("theorem1", crowded)
    result = bench(network, crowded, method, target="runner-up", images=30)
    if method == "exact":
        assert result.metrics["relative_error"] == 0
        assert result.metrics["mass"] == pytest.approx(1)
    if method != "occlusion":
        assert result.metrics.get("null_leakage", 0) == 0
    if method.endswith("integrated-gradients"):
        assert result.metrics["completeness_relative"] < (1e-5 if method.startswith("exact") else 0.1)


def test_a_layer_and_a_neuron(data):
    network = tmi.build("theorem1", data, realisation="literal")
    truth = truth_of(network, data, 4, "black", "runner-up")
    layer, neuron = (at_level(truth, network, level, "hidden") for level in ("layer", "neuron"))
    assert not layer.masks.any()
    assert np.array_equal(neuron.masks, truth.scenes.masks.numpy())
    assert "mass" not in bench(network, data, "layer-activation", target="runner-up", layer="hidden").metrics
    one, other = (bench(network, data, "neuron-gradient", target=target).metrics for target in ("label", "runner-up"))
    assert one == other


def test_the_overview(data, trained):
    plain = tmi.probe("attribution", trained, data, images=8)
    assert plain.metrics == tmi.probe("attribution", trained, data, images=8, target="label").metrics
    result = tmi.probe("attribution", trained, data, images=8, target="runner-up")
    assert not {name for name in result.metrics if name.startswith(("mass", "precision"))}
    assert result.metrics["completeness_relative.integrated-gradients"] < 0.1
    assert any("measures of localisation are not applicable" in note for note in result.notes)
    assert not any("the whole image" in note for note in result.notes)


def test_masks_of_the_label_are_those_of_the_scenes(crowded):
    scenes = crowded.test
    for constructed in (True, False):
        assert np.array_equal(masks_of(scenes, scenes.labels, scenes.images, constructed=constructed), scenes.masks.numpy())
    assert exact.active_pixels(crowded.task, scenes.images, torch.full_like(scenes.labels, 2)).sum() == 0
