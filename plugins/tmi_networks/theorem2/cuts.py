"""The patches that tiles are cut into: quarters of quarters, down to single pixels, each kept once for all tiles.

Theorem 2 pads each tile to 2^r × 2^r and cuts it into four quarters, each of these into four, and so on. The layers, the share of
them that several tiles have in common, and the meaning of each neuron follow from these cuts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import tmi

if TYPE_CHECKING:
    import pandas as pd

EMPTY = -1
"""The number of a quarter in which no pixel counts."""


@dataclass(frozen=True)
class Level:
    """The distinct patches of 2^i × 2^i pixels in which some pixel counts, and where in the tiles they are.

    Attributes
    ----------
    side : int
        2^i.
    parts : ndarray of int64, shape (P, C, 2, 2) at level 1, (P, 1, 2, 2) above, (V, 0, 2, 2) at level 0
        For each patch its four quarters, as patches of the level below, or ``EMPTY``. The patches are sorted by their parts.
    patch, tile, row, col : ndarray of int64, shape (O,)
        Each place where a patch occurs: which patch, in which tile, and where in the tile its top left pixel is.
    """

    side: int
    parts: NDArray[np.int64]
    patch: NDArray[np.int64]
    tile: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def shared(self) -> int:
        """The number of patches that belong to more than one tile."""
        of_tile = np.unique(np.stack([self.patch, self.tile]), axis=1)
        return int((np.bincount(of_tile[0], minlength=len(self)) > 1).sum())


@dataclass(frozen=True)
class Patches:
    """All patches of a group of tiles.

    Attributes
    ----------
    channel, value : ndarray, shape (V,)
        The patches of level 0: one support value c of one channel each, sorted.
    levels : list of Level
        Level 0, single pixels, to level r, whole tiles.
    """

    channel: NDArray[np.int64]
    value: NDArray[np.float64]
    levels: list[Level]


def least_levels(tiles: Sequence[tmi.FeatureTile]) -> int:
    """Return the least r ≥ 1 with 2^r at least every side of every tile."""
    return max(1, (max(max(tile.shape[1:]) for tile in tiles) - 1).bit_length())


def patches_of(tiles: Sequence[tmi.FeatureTile], levels: int, first: int = 0) -> Patches:
    """Cut tiles into patches, level by level.

    Parameters
    ----------
    tiles : sequence of FeatureTile
        With no side above 2^levels.
    levels : int
        r.
    first : int
        The number of the first tile.
    """
    side = 1 << levels
    counts = np.zeros((len(tiles), tiles[0].shape[0], side, side), bool)
    values = np.zeros(counts.shape)
    for index, tile in enumerate(tiles):
        _, high, wide = tile.shape
        counts[index, :, :high, :wide], values[index, :, :high, :wide] = tile.support, tile.values
    tile_number, channel, row, col = np.nonzero(counts)
    pixels, number = np.unique(np.stack([channel, values[counts]]), axis=1, return_inverse=True)
    number = number.reshape(-1)
    grid = np.full(counts.shape, EMPTY)  # of patches of the level below: tile, channel, row, col
    grid[counts] = number
    cut = [Level(1, np.empty((pixels.shape[1], 0, 2, 2), np.int64), number, tile_number + first, row, col)]
    for level in range(1, levels + 1):
        count, channels, rows, cols = grid.shape
        quarters = grid.reshape(count, channels, rows // 2, 2, cols // 2, 2).transpose(0, 2, 4, 1, 3, 5)
        grid = np.full((count, 1, rows // 2, cols // 2), EMPTY)
        counts = (quarters != EMPTY).any((3, 4, 5))[:, None]
        parts, grid[counts] = _distinct(quarters[counts[:, 0]])
        tile_number, _, row, col = np.nonzero(counts)
        cut.append(Level(1 << level, parts, grid[counts], tile_number + first, row << level, col << level))
    return Patches(pixels[0].astype(np.int64), pixels[1], cut)


def sharing(data: tmi.Dataset | tmi.TemplateTask) -> pd.DataFrame:
    """Count the patches of a task's tiles at each level, and those that several tiles share.

    Parameters
    ----------
    data : Dataset or TemplateTask

    Returns
    -------
    DataFrame
        A row for each level from 0 (pixels) to r (tiles); ``side`` in pixels; ``patches``, those in which some pixel counts;
        ``distinct``, those that are computed; ``shared``, the distinct ones that belong to more than one tile.
    """
    import pandas as pd

    tiles = (data if isinstance(data, tmi.TemplateTask) else data.task).tiles
    levels = patches_of(tiles, least_levels(tiles)).levels
    rows = [(level.side, len(level.patch), len(level), level.shared) for level in levels]
    return pd.DataFrame(rows, columns=["side", "patches", "distinct", "shared"]).rename_axis("level")


def patch_meanings(level: Level, places: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Return what each neuron of a combining layer computes, as columns for `tmi.Network`.

    Parameters
    ----------
    level : Level
    places : (int, int)
        Rows and columns of the layer's output.
    """
    patch, row, col = (part.ravel() for part in np.indices((len(level), *places), np.int32))
    order = np.argsort(level.patch, kind="stable")
    ends = np.bincount(level.patch, minlength=len(level)).cumsum()
    tiles, within = (np.empty(len(level), object) for _ in range(2))
    for number, occurrences in enumerate(np.split(order, ends[:-1])):
        tiles[number] = tuple(level.tile[occurrences].tolist())
        within[number] = tuple(zip(level.row[occurrences].tolist(), level.col[occurrences].tolist(), strict=True))
    return {
        "level": np.full(len(patch), level.side.bit_length() - 1, np.int8),
        "patch": patch,
        "tiles": tiles[patch],
        "places": within[patch],
        "row": row,
        "col": col,
    }


def _distinct(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct rows, sorted, and for each row its number among them."""
    flat = rows.reshape(len(rows), -1) - EMPTY
    number = np.zeros(len(rows), np.int64)
    for column in flat.T:  # one column more at a time: sorting numbers is far quicker than sorting rows
        _, first, number = np.unique(number * (flat.max() + 1) + column, return_index=True, return_inverse=True)
    return rows[first], number
