from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.plugins.tmi_networks.expected import (
    EXACT,
    class_sums,
    hidden_by_formula,
    hidden_by_patches,
    input_gradient,
)
from tests.strategies import images_of, tasks
from tmi_networks.theorem1 import theorem1
from tmi_networks.theorem2 import theorem2

FOURTHS = ((4, 0.0),)  # sums of fourths are exact: what is 0 on paper is 0 in the layers


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_theorems_the_formula_and_phi_agree(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task))
    tolerance = {"atol": EXACT[images.dtype], "rtol": 0}
    hidden, logits = hidden_by_formula(images, task), task.phi(images)
    for build in (theorem1, theorem2):
        for realisation in ("fused", "literal"):
            seen = build(task, realisation=realisation).activations(images, ["hidden", "logits"])
            assert seen["hidden"].dtype == seen["logits"].dtype == images.dtype
            torch.testing.assert_close(seen["hidden"], hidden, **tolerance)
            # Logits add up to 75 neurons, here in the images' dtype: their rounding grows with them.
            torch.testing.assert_close(seen["logits"], logits, atol=tolerance["atol"], rtol=4 * torch.finfo(images.dtype).eps)


@pytest.mark.slow
@settings(max_examples=70, deadline=None)
@given(st.data())
def test_the_gradient_is_that_of_theorem1_except_where_a_patch_matches_exactly(data):
    task = data.draw(tasks(grids=FOURTHS))
    images = data.draw(images_of(task))
    draw = np.random.default_rng(data.draw(st.integers(0, 9)))
    upstream = torch.from_numpy(draw.integers(-3, 4, (len(images), len(task.classes)))).to(images.dtype)
    expected = input_gradient(lambda x: class_sums(hidden_by_patches(x, task), task), images, upstream)
    for realisation in ("fused", "literal"):
        gradient = input_gradient(theorem2(task, realisation=realisation).module, images, upstream)
        torch.testing.assert_close(gradient, expected, atol=0, rtol=0)
    first = input_gradient(theorem1(task, realisation="literal").module, images, upstream)
    exact = input_gradient(lambda x: class_sums(hidden_by_formula(x, task), task), images, upstream)
    torch.testing.assert_close(first, exact, atol=0, rtol=0)


@pytest.mark.slow
@settings(max_examples=70, deadline=None)
@given(tasks(), st.integers(0, 2**32 - 1))
def test_off_the_kinks_the_gradients_are_equal(task, seed):
    rng = np.random.default_rng(seed)
    images = rng.random((4, *task.image_shape))
    for image in images[:3]:
        index = rng.integers(len(task.tiles))
        tile = task.tiles[index]
        row, col = (rng.integers(limit) for limit in task.windows[index])
        jitter = rng.uniform(0.1, 1, tile.shape) * min(0.3, 0.9 * tile.epsilon / tile.values.size)
        pasted = np.where(tile.values > 0.5, tile.values - jitter, tile.values + jitter)
        image[:, row : row + tile.shape[1], col : col + tile.shape[2]] = pasted
    images = torch.from_numpy(images)
    upstream = torch.from_numpy(rng.integers(1, 4, (4, len(task.classes)))).double()
    modules = [theorem1(task, realisation="literal").module, theorem2(task).module, theorem2(task, realisation="fused").module]
    first, *others = (input_gradient(module, images, upstream) for module in modules)
    assert (modules[0](images[:3]).max(1).values > 0).all()
    for gradient in others:
        torch.testing.assert_close(gradient, first, atol=1e-9, rtol=0)


def test_an_exact_paste_has_no_gradient_and_a_jittered_one_has_that_of_theorem1():
    tile = tmi.FeatureTile(np.random.default_rng(0).integers(1, 5, (4, 4)) / 4, 1.0)
    task = tmi.TemplateTask([tmi.TileClass("one", [tile])], (1, 6, 7))
    scene = tmi.Scenes(task, torch.full((1, 1, 6, 7), 0.25), 0, 1, 2)
    one, two = theorem1(task).module, theorem2(task).module
    sums = [input_gradient(module, scene.images, 1.0).abs().sum().item() for module in (one, two)]
    assert sums == [16, 0]
    images = scene.images - 0.03125 * scene.masks[:, None]
    first, second = (input_gradient(module, images, 1.0) for module in (one, two))
    assert torch.equal(first, second)
    assert torch.equal(first[0, 0] != 0, scene.masks[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_tiles_agree_to_rounding(dtype):
    rng = np.random.default_rng(3)
    bright, dark = rng.uniform(0.5, 1, (28, 28)), rng.random((28, 28)) * (rng.random((28, 28)) < 0.5)
    task = tmi.TemplateTask(
        [tmi.TileClass("bright", [tmi.FeatureTile(bright, 20)]), tmi.TileClass("dark", [tmi.FeatureTile(dark, 20)])], (1, 31, 30)
    )
    scenes = tmi.Scenes.draw(task, 6, rng=rng)
    jitter = torch.from_numpy(rng.uniform(-0.02, 0.02, scenes.images.shape)) * scenes.masks[:, None]
    images = (scenes.images.double() + jitter).clamp(0, 1).to(dtype)
    one, two = theorem1(task), theorem2(task)
    limit = 1e-4 if dtype == torch.float32 else 1e-9
    seen = [network.activations(images, ["hidden", "logits"]) for network in (one, two)]
    assert (seen[0]["hidden"].max(1).values > 1).all()
    for layer in ("hidden", "logits"):
        torch.testing.assert_close(seen[0][layer], seen[1][layer], atol=limit, rtol=0)
    torch.testing.assert_close(seen[1]["logits"], task.phi(images), atol=limit, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_images_of_one_class_have_one_positive_logit_and_the_others_exactly_zero(data):
    task = data.draw(tasks(grids=FOURTHS))
    images = data.draw(images_of(task, min_images=1))
    labels = task.labels(images)
    logits = theorem2(task).logits(images)
    for label, row in zip(labels[labels >= 0], logits[labels >= 0], strict=True):
        assert row[label] > 0
        assert all(value == 0 for i, value in enumerate(row) if i != label)


def test_converting_the_module_does_not_move_its_kinks(task, images):
    network = theorem2(task)
    expected = network.logits(images)
    network.module.float()
    assert torch.equal(network.logits(images), expected)
    network.module.double()
    assert network.logits(images.float()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 4), (1, 4, 1), (2, 2, 2)])
def test_images_with_a_side_of_one_and_tiles_as_large_as_the_image(shape):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, shape) / 4
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile(values, 0.5)])], shape)
    network = theorem2(task)
    images = torch.from_numpy(np.stack([values, rng.random(shape)]))
    assert torch.equal(network.logits(images[:1]), torch.tensor([[0.5]]))
    torch.testing.assert_close(network.logits(images), task.phi(images))
    assert network.logits(images[:0]).shape == (0, 1)
    assert {layer: len(part) for layer, part in network.activations(images[:0]).items()} == dict.fromkeys(network.layers, 0)


def test_an_impossible_memory_bound_says_what_is_needed(many):
    with pytest.raises(tmi.InputError, match=r"need at least \S+ GB, one tile and one image at a time, more than memory = 1e-05"):
        theorem2(many, memory=1e-5)
    with pytest.raises(tmi.InputError, match=r"need at least 1\.\d+e\+14 GB"):
        theorem2(many, levels=36)


def test_tiles_beyond_the_levels_are_named(many):
    with pytest.raises(
        tmi.InputError, match=r"levels: tile 0/0 of 5×4 pixels is larger than 2\^2 = 4; needs levels of at least 3"
    ):
        theorem2(many, levels=2)
    images = tmi.Scenes.draw(many, 5, rng=np.random.default_rng(1)).images.double()
    more = theorem2(many, levels=4)
    assert more.layers[-3] == "level4"
    torch.testing.assert_close(more.logits(images), many.phi(images), atol=1e-9, rtol=0)


def test_registered_and_checked(task, images):
    network = tmi.build("theorem2", task, realisation="literal")
    assert network.origin == "constructed"
    assert network.params == {"realisation": "literal", "levels": None, "memory": 1.0}
    assert torch.equal(network.logits(images), theorem2(task).logits(images))
    fused = tmi.build("theorem2", task, realisation="fused")
    assert fused.layers == ("hidden", "logits")
    assert fused.neurons("hidden").equals(network.neurons("hidden"))
    with pytest.raises(tmi.InputError, match="realisation"):
        tmi.build("theorem2", task, realisation="dense")
    for bad in (images[:, :, :3], images + 1, images.half()):
        with pytest.raises(tmi.InputError, match="images"):
            network.module(bad)


def test_no_warnings_and_batches_change_nothing(task, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = theorem2(task)
        whole = network.activations(images)
        input_gradient(network.module, images, 1.0)
    for layer, seen in network.activations(images, batch_size=1).items():
        torch.testing.assert_close(seen, whole[layer], atol=1e-12, rtol=0)


def test_importing_the_builder_does_not_import_torch():
    code = "import sys, tmi_networks.theorem2; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
