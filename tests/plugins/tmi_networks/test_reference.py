"""The theorems written down densely, step by step, are the oracle of the networks that are built."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.strategies import images_of, tasks
from tmi_networks import reference
from tmi_networks.theorem1 import theorem1
from tmi_networks.theorem2 import theorem2

from .expected import hidden_by_formula, input_gradient

THEOREMS = [(reference.theorem1, theorem1), (reference.theorem2, theorem2)]


def check(task, images):
    """Both realisations of both theorems are the reference, in outputs and hidden neurons; the reference is the formula."""
    tolerance = {"atol": 1e-9, "rtol": 0}
    formula = hidden_by_formula(images, task)
    for dense, build in THEOREMS:
        expected = dense(task, images)
        torch.testing.assert_close(expected["hidden"], formula, **tolerance)
        for realisation in ("fused", "literal"):
            found = build(task, realisation=realisation).activations(images, ["hidden", "logits"])
            torch.testing.assert_close(found["hidden"], expected["hidden"], **tolerance)
            torch.testing.assert_close(found["logits"], expected["logits"], **tolerance)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_random_tasks(data):
    task = data.draw(tasks(max_side=4, max_tiles=2))
    check(task, data.draw(images_of(task, dtype=torch.float64)))


def one_tile(shape, image_shape, seed=0, epsilon=0.5):
    rng = np.random.default_rng(seed)
    tile = tmi.FeatureTile(rng.integers(1, 10, shape) / 10, epsilon)
    return tmi.TemplateTask([tmi.TileClass("one", [tile])], image_shape)


SHAPES = {
    "one pixel": ((1, 1, 1), (1, 3, 4)),
    "one pixel in colour": ((3, 1, 1), (3, 2, 2)),
    "tile = image": ((1, 3, 5), (1, 3, 5)),
    "tile = image, a power of two": ((1, 4, 4), (1, 4, 4)),
    "one row": ((1, 1, 3), (1, 1, 5)),
    "one column": ((2, 3, 1), (2, 5, 1)),
    "one pixel is the image": ((1, 1, 1), (1, 1, 1)),
    "colour": ((3, 2, 3), (3, 4, 5)),
    "not square": ((1, 5, 2), (1, 6, 3)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_window_of_odd_shapes_in_batches_of_none_one_and_three(name, count):
    """Pasted exactly, on the kinks, and off them, at every window: at the border too."""
    task = one_tile(*SHAPES[name])
    tile = task.tiles[0]
    rng = np.random.default_rng(1)
    for row, col in np.ndindex(task.windows[0]):
        images = rng.integers(0, 11, (count, *task.image_shape)) / 10
        for i, image in enumerate(images):
            window = image[:, row : row + tile.shape[1], col : col + tile.shape[2]]
            window[...] = np.clip(tile.values + 0.2 * i / tile.values.size * rng.choice([-1, 1], tile.shape), 0, 1)
        check(task, torch.from_numpy(images))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gradients_on_the_kinks_are_those_of_the_dense_layers(data):
    task = data.draw(tasks(max_side=4, max_tiles=2, grids=((4, 0.0),)))  # sums of fourths are exact: so are the kinks
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    upstream = torch.arange(1.0, 1 + len(task.classes), dtype=torch.float64)
    for dense, build in THEOREMS:
        expected = input_gradient(lambda x, dense=dense: dense(task, x)["logits"], images, upstream)
        for realisation in ("fused", "literal"):
            found = input_gradient(build(task, realisation=realisation).module, images, upstream)
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_layers_of_theorem2_are_those_of_the_literal_network(task, images):
    network = theorem2(task)
    expected = reference.theorem2(task, images)
    found = network.activations(images)
    for layer in ("level1", "level2"):
        # Theirs are sorted, and without the patch in which no pixel counts: each channel is one of the reference's.
        rows, cols = found[layer].shape[2:]
        dense = expected[layer][:, :, :rows, :cols]
        for channel in found[layer].unbind(1):
            assert any(torch.allclose(channel, other, rtol=0, atol=1e-9) for other in dense.unbind(1))
        assert len(network.neurons(layer)["patch"].unique()) in (dense.shape[1], dense.shape[1] - 1)
