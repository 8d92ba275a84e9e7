"""The support pixels of many tiles as flat arrays, and the bound that sums in float32 need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmi.tasks.tiles import FeatureTile


class Pixels(NamedTuple):
    """Support pixels, tile after tile and row by row within a tile.

    Attributes
    ----------
    start : ndarray of int64, shape (T + 1,)
        Where each tile's pixels begin.
    offset : ndarray of int32, shape (P,)
        A pixel's place in the flat image, seen from the window's top left corner.
    value : ndarray, shape (P,)
        The template there, in the images' dtype.
    scattered : ndarray of int32, shape (P,)
        The same pixels in an order that is scattered within each tile.
    epsilon : ndarray of float64, shape (T,)
    bound : ndarray of float32, shape (T,)
        A float32 sum over support pixels, in any order, that reaches it proves t ≥ ε.
    """

    start: NDArray[np.int64]
    offset: NDArray[np.int32]
    value: NDArray[Any]
    scattered: NDArray[np.int32]
    epsilon: NDArray[np.float64]
    bound: NDArray[np.float32]


def support_pixels(tiles: Sequence[FeatureTile], shape: tuple[int, int, int], dtype: Any) -> Pixels:
    """Lay out the tiles' support pixels for images of a shape (C, m, n) and a dtype."""
    _, m, n = shape
    count = np.array([np.count_nonzero(tile.support) for tile in tiles])
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    offset, scattered = np.empty(start[-1], np.int32), np.empty(start[-1], np.int32)
    value = np.empty(start[-1], dtype)
    for tile, first, last in zip(tiles, start[:-1], start[1:], strict=True):
        channel, row, col = np.nonzero(tile.support)
        offset[first:last] = (channel * m + row) * n + col
        value[first:last] = tile.values[tile.support]
        # Neighbouring pixels differ by nearly the same; scattered ones pass the bound after fewer pixels.
        scattered[first:last] = first + np.random.default_rng(0).permutation(last - first)
    epsilon = np.array([tile.epsilon for tile in tiles])
    # |x − t| errs by at most 2^-24 through rounding x and t to float32 and 2^-24 relative through the subtraction; each of
    # at most `count` additions adds 2^-24 relative. Twice that is a safe bound.
    slop = (count + 2) * 2.0**-23
    bound = np.minimum(epsilon * (1 + slop) + slop, 1e38)  # more than any sum, and a float32
    bound = np.nextafter(bound.astype(np.float32), np.float32(np.inf))
    return Pixels(start, offset, value, scattered, epsilon, bound)
