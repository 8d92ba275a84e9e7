"""The plain formula, one tile and one window at a time: slow, and what the fast versions are tested against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmi.tasks.tiles import FeatureTile


def distances(images: NDArray[Any], tile: FeatureTile) -> NDArray[np.float64]:
    """Return t(window) for every window of every image, shape (N, m − k + 1, n − l + 1), summed in float64."""
    template = tile.values.astype(images.dtype).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(images, tile.shape, axis=(1, 2, 3))[:, 0]
    result = np.empty(windows.shape[:3])
    for place in np.ndindex(result.shape):
        # cumsum adds one after another, as the fast versions do; sum would add in pairs and round otherwise.
        result[place] = np.abs(windows[place].astype(np.float64) - template)[tile.support].cumsum()[-1]
    return result


def match_arrays(images: NDArray[Any], tiles: Sequence[FeatureTile]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the windows with t < ε as rows (image, tile, row, col), and their slack ε − t."""
    places, slacks = [np.empty((0, 4), np.int64)], [np.empty(0)]
    for index, tile in enumerate(tiles):
        slack = tile.epsilon - distances(images, tile)
        contained = np.argwhere(slack > 0)
        places.append(np.insert(contained, 1, index, axis=1))
        slacks.append(slack[slack > 0])
    return np.concatenate(places), np.concatenate(slacks)
