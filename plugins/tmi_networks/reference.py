"""The constructions in dense torch, a line for each step of the proof: for small tasks, to be read and to be compared with.

No memory is saved and nothing is shared between calls: at the size of section 6.2 the weights would take gigabytes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d, pad, relu

import tmi


def theorem1(task: tmi.TemplateTask, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the layers of Theorem 1's network on images (N, C, m, n): ``conv`` and ``hidden`` flat, and ``logits``."""
    channels, m, n = task.image_shape
    kernel = min(2, m), min(2, n)
    taps = channels * kernel[0] * kernel[1]
    grey = sorted({c for tile in task.tiles for c in tile.values[tile.support]})
    # Layer conv. One filter σ(y) for each tap of a kernel, then one σ(2y − 2c) for each value c and tap.
    tap = torch.eye(taps, dtype=images.dtype).view(taps, channels, *kernel)
    weight = torch.cat([tap, *(2 * tap for _ in grey)])
    bias = torch.tensor([0.0, *(-2 * c for c in grey)], dtype=images.dtype).repeat_interleave(taps)
    maps = relu(conv2d(images, weight, bias))
    # Layer hidden (Lemma 5.2). For each tile and window ε − Σ_S |y − c|, with |y − c| = σ(2y − 2c) − σ(y) + c.
    rows, cols = maps.shape[2:]
    signs, offsets = [], []
    for tile, windows in zip(task.tiles, task.windows, strict=True):
        for row, col in np.ndindex(windows):
            sign = torch.zeros(1 + len(grey), channels, *kernel, rows, cols, dtype=images.dtype)
            for channel, i, j in np.argwhere(tile.support):
                y, x = row + i, col + j
                # The tap is at the top left, unless the kernel would leave the image.
                neuron = channel, int(y >= rows), int(x >= cols), min(y, rows - 1), min(x, cols - 1)
                sign[0][neuron] += 1
                sign[1 + grey.index(tile.values[channel, i, j])][neuron] -= 1
            signs.append(sign.flatten())
            offsets.append(tile.epsilon - tile.values[tile.support].sum())
    hidden = relu(maps.flatten(1) @ torch.stack(signs).T + torch.tensor(offsets, dtype=images.dtype))
    return {"conv": maps.flatten(1), "hidden": hidden, "logits": hidden @ _class_weights(task, images.dtype)}


def theorem2(task: tmi.TemplateTask, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the layers of Theorem 2's network on images (N, C, m, n): ``values``, ``level1`` …, ``hidden``, ``logits``."""
    channels = task.image_shape[0]
    r = max(1, (max(max(tile.shape[1:]) for tile in task.tiles) - 1).bit_length())
    grey = sorted({c for tile in task.tiles for c in tile.values[tile.support]})
    # Padding: tiles to 2^r × 2^r outside their support, where nothing counts (NaN); images so that all windows fit.
    tiles = [np.full((channels, 2**r, 2**r), np.nan) for _ in task.tiles]
    for padded, tile in zip(tiles, task.tiles, strict=True):
        padded[:, : tile.shape[1], : tile.shape[2]] = np.where(tile.support, tile.values, np.nan)
    y = pad(images, (0, 2**r - 1, 0, 2**r - 1))
    # Layer values: σ(y) and σ(2y − 2c), pixel by pixel.
    layers = {"values": torch.cat([relu(y), *(relu(2 * y - 2 * c) for c in grey)], 1)}
    # Level 1: for each distinct patch of 2×2 pixels its distance, Σ σ(2y − 2c) − σ(y) + c.
    known = _distinct(tiles, 2)
    weight = torch.zeros(len(known), 1 + len(grey), channels, 2, 2, dtype=images.dtype)
    for number, patch in enumerate(known):
        for channel, i, j in np.argwhere(~np.isnan(patch)):
            weight[number, 0, channel, i, j] -= 1
            weight[number, 1 + grey.index(patch[channel, i, j]), channel, i, j] += 1
    bias = torch.tensor([np.nansum(patch) for patch in known], dtype=images.dtype)
    layers["level1"] = distance = relu(conv2d(layers["values"], weight.flatten(1, 2), bias))
    # Level i (Lemma 5.3): the distance of a patch is the sum of its quarters'; they are 2^(i − 1) pixels apart.
    for i in range(2, r + 1):
        below, known, half = known, _distinct(tiles, 2**i), 2 ** (i - 1)
        weight = torch.zeros(len(known), len(below), 2, 2, dtype=images.dtype)
        for number, patch in enumerate(known):
            for a, b in np.ndindex(2, 2):
                quarter = patch[:, a * half : (a + 1) * half, b * half : (b + 1) * half]
                weight[number, _number(quarter, below), a, b] += 1
        layers[f"level{i}"] = distance = relu(conv2d(distance, weight, dilation=half))
    # Threshold: σ(ε − t) at the windows of the image, not at those over the padding.
    windows = [
        relu(tile.epsilon - distance[:, _number(padded, known), :rows, :cols]).flatten(1)
        for tile, padded, (rows, cols) in zip(task.tiles, tiles, task.windows, strict=True)
    ]
    layers["hidden"] = torch.cat(windows, 1)
    return layers | {"logits": layers["hidden"] @ _class_weights(task, images.dtype)}


def superposed(
    task: tmi.TemplateTask, images: torch.Tensor, codes: torch.Tensor, beta: float | None = None
) -> dict[str, torch.Tensor]:
    """Return the layers of Theorem 1 in superposition: ``hidden``, ``mixed`` and ``decoded`` as maps, and ``logits``.

    A tile reads what its code, shape (T, d), has in common with another one's; that is the share μ of itself at most. By default
    β is μ · max ε / (1 − μ).
    """
    size = codes.square().sum(1)[:, None]
    overlap = (codes @ codes.T / size).fill_diagonal_(0).max()
    if beta is None:
        beta = float(overlap * max(tile.epsilon for tile in task.tiles) / (1 - overlap))
    # Layer hidden: detectors σ(ε + β − t(window)), at the place of the window's top left corner. A tile has no window at some.
    hidden = torch.zeros(len(images), len(task.tiles), *np.max(task.windows, axis=0), dtype=images.dtype)
    is_window = torch.zeros(hidden.shape[1:], dtype=torch.bool)
    for number, tile in enumerate(task.tiles):
        _, high, wide = tile.shape
        for row, col in np.ndindex(task.windows[number]):
            is_window[number, row, col] = True
            difference = (images[:, :, row : row + high, col : col + wide] - torch.from_numpy(tile.values)).abs()
            hidden[:, number, row, col] = relu(tile.epsilon + beta - difference[:, torch.from_numpy(tile.support)].sum(1))
    # Layer mixed: every detector adds its activation to the neurons of its code.
    mixed = relu(torch.einsum("ntrc, td -> ndrc", hidden, codes))
    # Layer decoded: every tile reads its neurons. Another tile than the active one reads at most μ · (max ε + β) = β.
    decoded = relu(torch.einsum("ndrc, td -> ntrc", mixed, codes / size) - beta) * is_window
    # Layer logits: the sums over the tiles of each class.
    logits = decoded.sum((2, 3)) @ torch.from_numpy(task.tile_class[:, None] == np.arange(len(task.classes))).to(images.dtype)
    return {"hidden": hidden, "mixed": mixed, "decoded": decoded, "logits": logits}


def _class_weights(task: tmi.TemplateTask, dtype: torch.dtype) -> torch.Tensor:
    """The last layer: 1 from the neurons of a class's tiles, 0 from others; shape (H, L)."""
    label = np.repeat(task.tile_class, np.prod(task.windows, axis=1))
    return torch.from_numpy(label[:, None] == np.arange(len(task.classes))).to(dtype)


def _distinct(tiles: list[NDArray[np.float64]], side: int) -> list[NDArray[np.float64]]:
    """The distinct patches that the tiles are cut into, empty ones too."""
    places = range(0, tiles[0].shape[1], side)
    patches = [tile[:, i : i + side, j : j + side] for tile in tiles for i in places for j in places]
    return list({patch.tobytes(): patch for patch in patches}.values())


def _number(patch: NDArray[np.float64], known: list[NDArray[np.float64]]) -> int:
    return next(i for i, other in enumerate(known) if patch.tobytes() == other.tobytes())
