import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.plugins.tmi_probes.toys import TASK, cnn_network, dataset
from tests.strategies import images_of, tasks
from tmi_attribution import exact

FULL = np.ones((2, 2), bool)
SQUARES = tmi.TemplateTask(
    [
        tmi.TileClass("white", [tmi.FeatureTile(np.ones((2, 2)), 1.5, FULL)]),
        tmi.TileClass("black", [tmi.FeatureTile(np.zeros((2, 2)), 1.5, FULL)]),
    ],
    (1, 4, 5),
)


def windows_of(task, label):
    """Every window of a class, one after another: tile, row and column."""
    for index, (down, across) in enumerate(task.windows):
        if task.tile_class[index] == label:
            for row, col in np.ndindex(down, across):
                yield index, row, col


def patch(task, image, index, row, col):
    _, high, wide = task.tiles[index].shape
    return image[:, row : row + high, col : col + wide]


def values_of(task, index, dtype):
    return task.tiles[index].values.astype(dtype).astype(float)


def listed(windows):
    return list(zip(*(part.tolist() for part in (windows.image, windows.tile, windows.row, windows.col)), strict=True))


@st.composite
def questions(draw, **settings):
    """A task, images, baselines, and a class for each image."""
    task = draw(tasks(**settings))
    images = draw(images_of(task, 1))
    baselines = draw(images_of(task, len(images), len(images), images.dtype))
    targets = draw(st.lists(st.integers(0, len(task.classes) - 1), min_size=len(images), max_size=len(images)))
    return task, images, baselines, torch.tensor(targets)


def logit(task, images, targets):
    """φ of the targets, window by window, in float64 from tiles in the images' dtype."""
    total = np.zeros(len(images))
    for i, (image, label) in enumerate(zip(images.numpy(), targets.tolist(), strict=True)):
        for index, row, col in windows_of(task, label):
            tile = task.tiles[index]
            apart = np.abs(patch(task, image, index, row, col) - values_of(task, index, image.dtype))[tile.support].sum()
            total[i] += max(0.0, tile.epsilon - apart)
    return total


@given(questions())
def test_possible_windows_by_the_plain_formula(question):
    task, images, baselines, targets = question
    low, high = torch.minimum(images, baselines), torch.maximum(images, baselines)
    expected = []
    for i, label in enumerate(targets.tolist()):
        for index, row, col in windows_of(task, label):
            tile, t = task.tiles[index], values_of(task, index, low.numpy().dtype)
            nearest = t.clip(patch(task, low[i].numpy(), index, row, col), patch(task, high[i].numpy(), index, row, col))
            if np.abs(nearest - t)[tile.support].cumsum()[-1] < tile.epsilon:
                expected.append((i, index, row, col))
    assert sorted(listed(exact.possible_windows(task, low, high, targets))) == sorted(expected)


@given(questions())
def test_windows_of_an_image_are_those_that_fire(question):
    task, images, _, targets = question
    found = tmi.match(images, task.tiles)
    own = torch.from_numpy(task.tile_class)[found.tile] == targets[found.image]
    expected = torch.stack([found.image, found.tile, found.row, found.col], 1)[own]
    assert sorted(listed(exact.possible_windows(task, images, images, targets))) == sorted(map(tuple, expected.tolist()))


@given(questions(), st.integers(0, 2**32 - 1))
def test_nothing_in_the_null_region_moves_the_logit(question, seed):
    """Any image between the two, its null pixels then replaced by anything else between the two."""
    task, images, baselines, targets = question
    null = torch.from_numpy(exact.null_region(task, images, baselines, targets))[:, None]
    rng = torch.Generator().manual_seed(seed)
    one, other = (torch.lerp(baselines, images, torch.rand(images.shape, generator=rng, dtype=images.dtype)) for _ in range(2))
    # Rounding can carry a point beyond its two ends.
    one, other = (part.clamp(torch.minimum(images, baselines), torch.maximum(images, baselines)) for part in (one, other))
    changed = torch.where(null, other, one)
    assert (logit(task, one, targets) == logit(task, changed, targets)).all()


@given(questions())
def test_the_null_region_is_what_no_possible_window_counts(question):
    task, images, baselines, targets = (part.double() if hasattr(part, "double") else part for part in question)
    null = exact.null_region(task, images, baselines, targets.long())
    windows = exact.possible_windows(
        task, torch.minimum(images, baselines) - 5e-16, torch.maximum(images, baselines) + 5e-16, targets
    )
    expected = np.ones_like(null)
    for i, index, row, col in listed(windows):
        support = task.tiles[index].support.any(0)
        expected[i, row : row + support.shape[0], col : col + support.shape[1]] &= ~support
    assert (null == expected).all()


def test_gradients_are_exactly_zero_in_the_null_region():
    scenes = dataset(30).test
    module = tmi.build("theorem1", TASK).module
    baselines = scenes.without_tiles().images
    null = exact.null_region(TASK, scenes.images, baselines, scenes.labels)
    assert 0 < null.mean() < 1
    for alpha in (0.0, 0.3, 0.999, 1.0):
        x = (baselines + alpha * (scenes.images - baselines)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(module(x).gather(1, scenes.labels[:, None]).sum(), x)
        assert (gradient[:, 0].numpy()[null] == 0).all()
    # What the pasted tile counts is never null: there the logit is above 0.
    assert not (null & scenes.masks.numpy()).any()


@given(questions())
def test_signed_attributions_by_the_plain_formula(question):
    task, images, _, targets = question
    expected = np.zeros(images.shape)
    for i, (image, label) in enumerate(zip(images.numpy(), targets.tolist(), strict=True)):
        for index, row, col in windows_of(task, label):
            tile = task.tiles[index]
            apart = np.abs(patch(task, image, index, row, col) - values_of(task, index, image.dtype)) * tile.support
            if apart[tile.support].cumsum()[-1] < tile.epsilon:
                patch(task, expected[i], index, row, col)[tile.support] += (tile.epsilon / tile.support.sum() - apart)[
                    tile.support
                ]
    found = exact.signed(task, images, targets)
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-12)
    assert found.sum((1, 2, 3)) == pytest.approx(logit(task, images, targets), abs=1e-12)


@given(questions())
def test_integrated_gradients_add_up(question):
    task, images, baselines, targets = question
    found = exact.integrated_gradients(task, images, baselines, targets)
    change = logit(task, images, targets) - logit(task, baselines, targets)
    assert found.sum((1, 2, 3)) == pytest.approx(change, abs=1e-12)
    assert (found[(images == baselines).numpy()] == 0).all()
    assert exact.integrated_gradients(task, baselines, images, targets) == pytest.approx(-found, abs=1e-12)


@given(questions(max_side=3, max_tiles=2))
def test_integrated_gradients_by_fine_integration(question):
    """The midpoint rule, whose error on a piecewise constant derivative is at most one step for each jump and window."""
    task, images, baselines, targets = question
    images, baselines = images.double(), baselines.double()
    steps = 2000
    expected, jumps = np.zeros(images.shape), 0
    alpha = ((np.arange(steps) + 0.5) / steps)[:, None, None, None]
    for i, label in enumerate(targets.tolist()):
        b, x = baselines[i].numpy(), images[i].numpy()
        for index, row, col in windows_of(task, label):
            tile = task.tiles[index]
            start, end = patch(task, b, index, row, col), patch(task, x, index, row, col)
            y = start + alpha * (end - start)
            apart = np.where(tile.support, y - tile.values, 0)
            active = np.abs(apart).sum((1, 2, 3), keepdims=True) < tile.epsilon
            patch(task, expected[i], index, row, col)[:] += (-np.sign(apart) * active).mean(0) * (end - start)
            jumps += 1
    found = exact.integrated_gradients(task, images, baselines, targets)
    assert np.abs(found - expected).max() <= 6 * jumps / steps


def test_one_pixel_by_hand():
    """From 0 to 1 past t = 1/2 with ε = 1/4: active from 1/4 to 3/4, up and down again; to 1/2 alone: up by ε."""
    task = tmi.TemplateTask([tmi.TileClass("half", [tmi.FeatureTile([[0.5]], 0.25)])], (1, 1, 1))
    images = torch.tensor([1.0, 0.5, 0.625, 0.125]).view(4, 1, 1, 1)
    found = exact.integrated_gradients(task, images, torch.zeros_like(images), [0] * 4)
    assert found.ravel() == pytest.approx([0, 0.25, 0.125, 0], abs=1e-15)


def test_two_pixels_by_hand():
    """t = (1/2, 1), from black to white, ε = 1: z = 1 − |α − 1/2| − (1 − α) rises from α = 1/4 by 2 to 1/2, then stays."""
    task = tmi.TemplateTask([tmi.TileClass("two", [tmi.FeatureTile([[0.5, 1.0]], 1.0)])], (1, 1, 2))
    found = exact.integrated_gradients(task, torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), [0])
    assert found.ravel() == pytest.approx([0.25 - 0.5, 0.75], abs=1e-15)


def test_windows_that_only_touch_give_nothing():
    """At best the distance is ε exactly: contained is t < ε."""
    images = torch.tensor([[0.75, 0.5], [0.5, 0.5]]).repeat(1, 1, 1, 1)
    task = tmi.TemplateTask([tmi.TileClass("w", [tmi.FeatureTile(np.ones((2, 2)), 1.75, FULL)])], (1, 2, 2))
    baselines = torch.zeros_like(images)
    assert len(exact.possible_windows(task, baselines, images, [0])) == 0
    assert not exact.signed(task, images, [0]).any()
    assert not exact.integrated_gradients(task, images, baselines, [0]).any()
    touching = exact.Windows(*np.zeros((4, 1), np.int64))
    assert not exact.integrated_gradients_of(task, images, baselines, touching).any()
    assert not exact.signed_of(task, images, touching).any()


def test_overlapping_windows_are_summed():
    """On a white image every window of the white square is active: a pixel gets a share from each that covers it."""
    images = torch.ones(1, 1, 4, 5)
    covered = np.outer([1, 2, 2, 1], [1, 2, 2, 2, 1])
    assert exact.signed(SQUARES, images, [0])[0, 0] == pytest.approx(covered * 1.5 / 4)
    # From black every window becomes active at α = 1 − 1.5/4, and all four pixels have equal shares.
    assert exact.integrated_gradients(SQUARES, images, images * 0, [0])[0, 0] == pytest.approx(covered * 1.5 / 4)
    # To black the windows of the black square become inactive.
    assert exact.integrated_gradients(SQUARES, images, images * 0, [1])[0, 0] == pytest.approx(-covered * 1.5 / 4)


def test_chunks_do_not_show(monkeypatch):
    scenes = dataset(20).test
    given = TASK, scenes.images, scenes.without_tiles().images, scenes.labels

    def everything():
        return exact.null_region(*given), exact.signed(TASK, scenes.images, scenes.labels), exact.integrated_gradients(*given)

    whole = everything()
    for name, size in (("_WINDOWS", 1), ("_NUMBERS", 1), ("_EVERY", 1)):
        monkeypatch.setattr(exact, name, size)
    assert all((one == other).all() for one, other in zip(whole, everything(), strict=True))


def test_no_images_and_arrays():
    empty = np.zeros((0, 1, 8, 8), np.float32)
    assert len(exact.possible_windows(TASK, empty, empty, [])) == 0
    assert exact.null_region(TASK, empty, empty, []).shape == (0, 8, 8)
    assert exact.signed(TASK, empty, []).shape == exact.integrated_gradients(TASK, empty, empty, []).shape == empty.shape
    images = dataset(2).test.images
    assert (exact.signed(TASK, images.numpy(), [0, 1]) == exact.signed(TASK, images, torch.tensor([0, 1]))).all()


def test_whom_it_applies_to():
    assert exact.applies(tmi.build("theorem1", TASK))
    assert exact.applies(tmi.build("theorem2", TASK))
    assert not exact.applies(cnn_network())
