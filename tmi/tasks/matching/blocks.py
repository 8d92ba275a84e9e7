"""Block sums of tiles, quantised to bytes so that comparing them never overstates a distance.

A tile's support holds disjoint square blocks. For each, ``|Σ x − Σ t| ≤ Σ |x − t|``, so that the sum of the blocks' differences
is at most t(window) (successive elimination). The sums of the images' blocks come from one box filter, which all tiles share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmi.tasks.tiles import FeatureTile

from .lanes import LANES, STEP

SIDES = (4, 2)
"""Sides of the blocks, in pixels: powers of 2, so that each level is four sums of the one below."""

LEVELS = len(SIDES)
_SLOP = 2.0**-10  # the error of a quantised sum before rounding, in units: see `Blocks`


class Blocks:
    """The blocks of all tiles, tile after tile, as the elimination reads them.

    With a scale s and a box sum X of pixels the images hold ``q(X) = ⌊X s⌋`` in 0…255. A float32 box filter errs by less than
    2b·2^-24·255 < 2^-10 units for sides b ≤ 8, so ``X s − 1 − slop < q(X) ≤ X s + slop``. So for a tile's block sum T:
    ``q(X) − ⌈T s + slop⌉ ≤ (X − T) s`` and ``⌊T s − slop⌋ − 1 − q(X) ≤ (T − X) s``, and what is summed never exceeds t(window)·s.

    Attributes
    ----------
    side, scale : ndarray, shape (P,)
        Side and scale of each plane of box sums.
    start : ndarray of int64, shape (T + 1,)
        Where each tile's blocks begin; equal to the next for a tile without any. Rounded up to whole steps.
    offset : ndarray of int64
        A block's place in the planes, from the window's corner.
    low, high : ndarray of uint32
        The interval around the tile's sum within which nothing is added, the byte four times over.
    limit : ndarray of uint8, shape (T,)
        A window whose sum reaches it is at least ε away.
    """

    def __init__(self, tiles: Sequence[FeatureTile], shape: tuple[int, int, int], dtype: Any) -> None:
        levels = [_level(tile, side, shape, dtype) for tile in tiles for side in SIDES]
        kinds = sorted({(level.side, level.scale) for level in levels if len(level.place)})
        planes = {kind: index for index, kind in enumerate(kinds)}
        area = shape[0] * shape[1] * shape[2]
        padded = -(-area // LANES) * LANES
        self.side = np.array([side for side, _ in kinds], np.int64)
        self.scale = np.array([scale for _, scale in kinds], np.float32)
        self.start = np.cumsum([0, *(len(level.place) for level in levels)], dtype=np.int64)
        self.offset = np.concatenate([level.place + planes.get((level.side, level.scale), 0) * padded for level in levels])
        self.low = np.concatenate([level.low for level in levels]).astype(np.uint32) * np.uint32(0x01010101)
        self.high = np.concatenate([level.high for level in levels]).astype(np.uint32) * np.uint32(0x01010101)
        self.limit = np.array([level.limit for level in levels], np.uint8)


class _Level(NamedTuple):
    side: int
    scale: float
    limit: int
    place: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def _level(tile: FeatureTile, side: int, shape: tuple[int, int, int], dtype: Any) -> _Level:
    """Return a tile's blocks of one side in scattered order; none where they could not exclude any window."""
    # ε (1 + 2^-20) also covers what float64 rounds off when the reference sums t. The limit must fit into a byte.
    reach = tile.epsilon * (1 + 2.0**-20)
    scale = 255 / side**2
    if reach * scale >= 254:
        # Steps of the scale, so that tiles of similar ε share a plane.
        scale *= 2.0 ** (np.floor(4 * np.log2(254 / (reach * scale))) / 4)
    scale = float(np.float32(scale * (1 - 2.0**-12)))
    none = _Level(side, scale, 1, np.empty(0, np.int64), np.empty(0), np.empty(0))
    corner = _packed(tile.support, side)
    if not len(corner):
        return none
    _, m, n = shape
    values = tile.values.astype(dtype).astype(np.float64)
    channel, row, col = corner[np.random.default_rng(0).permutation(len(corner))].T
    total = sum(values[channel, row + i, col + j] for i in range(side) for j in range(side)) * scale
    high = np.clip(np.ceil(total + _SLOP), 0, 255)
    low = np.clip(np.floor(total - _SLOP) - 1, 0, 255)
    limit = int(reach * scale) + 1
    if np.maximum(low, int(side**2 * scale) - high).sum() < limit:
        return none
    place = (channel * m + row) * n + col
    more = (0, -len(place) % STEP)
    return _Level(side, scale, limit, np.pad(place, more, "edge"), np.pad(low, more), np.pad(high, more, constant_values=255))


def _packed(support: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Return the corners (channel, row, col) of disjoint blocks inside the support: the best of all grids."""
    if side == 1:
        return np.argwhere(support)
    best = np.empty((0, 3), np.int64)
    channels, rows, cols = support.shape
    for top in range(min(side, rows)):
        for left in range(min(side, cols)):
            down, across = (rows - top) // side, (cols - left) // side
            part = support[:, top : top + down * side, left : left + across * side]
            corners = np.argwhere(part.reshape(channels, down, side, across, side).all((2, 4)))
            if len(corners) > len(best):
                best = corners * (1, side, side) + (0, top, left)
    return best
