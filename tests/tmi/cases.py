"""Random tasks for the core's property tests: images, tiles, and the plain double loop that judges them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

import tmi


@st.composite
def matching_cases(draw, counts=(0, 1, 2, 31, 32, 33, 65), dtypes=(torch.float32, torch.float64)):
    """Draw images and tiles, quantised coarsely enough that ties t = ε happen."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, m, n = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    levels = draw(st.sampled_from([1, 2, 4, 255, 10**6]))
    count = draw(st.sampled_from(counts))
    images = torch.from_numpy(rng.integers(0, levels + 1, (count, channels, m, n)) / levels).to(draw(st.sampled_from(dtypes)))
    tiles = []
    for _ in range(draw(st.integers(1, 4))):
        k, l = draw(st.integers(1, m)), draw(st.integers(1, n))  # noqa: E741
        values = rng.integers(0, levels + 1, (channels, k, l)) / levels
        support = rng.random(values.shape) < draw(st.sampled_from([0.3, 1.0]))
        support.flat[rng.integers(support.size)] = True
        epsilon = draw(st.sampled_from([1e-40, 1e-6, 0.25, 0.5, 1.0, 2.0, 5.0, 1e4, 1e300]))
        tiles.append(tmi.FeatureTile(values, epsilon, support))
    if count and draw(st.booleans()):  # paste one, so that something matches exactly
        tile = tiles[0]
        _, k, l = tile.shape  # noqa: E741
        images[-1, :, m - k :, n - l :] = torch.tensor(tile.values, dtype=images.dtype)
    return images, tiles


@st.composite
def tasks(draw):
    """Draw a task whose classes can be told apart: distinct quantised tiles, ε below their least distance."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, m, n = draw(st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6)))
    k, l = draw(st.integers(1, m)), draw(st.integers(1, n))  # noqa: E741
    count = draw(st.integers(1, 3))
    # Tile i is constant 1/(i+1) but for one random pixel: distances are at least (pixels − 2)/12.
    pixels = channels * k * l
    epsilon = draw(st.floats(0.005, 0.05)) * max(pixels - 2, 1)
    classes = []
    for i in range(count):
        values = np.full((channels, k, l), 1 / (i + 1))
        if pixels > 3:
            values.flat[rng.integers(pixels)] = rng.random()
        classes.append(tmi.TileClass(f"c{i}", [tmi.FeatureTile(values, epsilon, np.ones_like(values, bool))]))
    return tmi.TemplateTask(classes, (channels, m, n))


@st.composite
def scenes(draw, max_count=5):
    """Draw scenes, some of them without a tile, by both ways of pasting."""
    task = draw(tasks())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, max_count))
    tile = rng.integers(-1, len(task.tiles), count)
    rows, cols = task.windows[0]
    backgrounds = rng.random((count, *task.image_shape)).astype(draw(st.sampled_from([np.float32, np.float64])))
    return tmi.Scenes(
        task,
        backgrounds,
        tile,
        rng.integers(0, rows, count),
        rng.integers(0, cols, count),
        paste=draw(st.sampled_from(["rectangle", "support"])),
    )


def plain_distance(image: np.ndarray, tile: tmi.FeatureTile, row: int, col: int) -> float:
    """t(window) as a Python loop over the support, in float64."""
    values = tile.values.astype(image.dtype)
    return sum(abs(float(image[c, row + i, col + j]) - float(values[c, i, j])) for c, i, j in np.argwhere(tile.support))


def plain_phi(image: np.ndarray, task: tmi.TemplateTask) -> list[float]:
    """φ for each class, straight from Proposition 1."""
    result = [0.0] * len(task.classes)
    for index, tile in enumerate(task.tiles):
        for row in range(image.shape[1] - tile.shape[1] + 1):
            for col in range(image.shape[2] - tile.shape[2] + 1):
                result[task.tile_class[index]] += max(0.0, tile.epsilon - plain_distance(image, tile, row, col))
    return result
