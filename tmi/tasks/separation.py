"""The separation of a task's classes: the largest ε at which no tile contains a tile of another class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError

if TYPE_CHECKING:
    from .tiles import FeatureTile, TileClass


@dataclass(frozen=True)
class Separation:
    """The least distance between tiles of two classes, and the pair of tiles that has it.

    Attributes
    ----------
    epsilon : float
        The largest ε that keeps the classes apart; infinite where no tile can contain one of another class.
    holder, tile : str
        The tiles that limit it, named like ``"coat/2"``: at that ε ``tile`` begins to be contained in ``holder``. The order
        matters: the distance is taken over the support of ``tile`` alone. Empty where nothing limits ε.
    row, col : int
        The window of ``holder`` in which ``tile`` is nearest; 0 and 0 for tiles of one size.
    """

    epsilon: float
    holder: str = ""
    tile: str = ""
    row: int = 0
    col: int = 0

    def __str__(self) -> str:
        if not self.holder:
            return "no tile can contain one of another class, at any epsilon"
        return f"epsilon at most {self.epsilon:.4g}: tile {self.holder} is that near to containing tile {self.tile}"


def separation(classes: Iterable[TileClass]) -> Separation:
    """Find the largest ε that keeps classes apart.

    With an ε up to this one, inclusive, no tile contains a tile of another class, so that `TemplateTask` accepts the classes.

    Parameters
    ----------
    classes : iterable of TileClass
        The ε of their tiles does not matter. Tiles may differ in size; then every window of the larger one counts.

    Returns
    -------
    Separation
        Summed in float64, as `FeatureTile.distance` does. Images in float32 show the tiles rounded, and so do distances between
        them: an ε as large as the separation itself may then fail by about 1e-5.

    Raises
    ------
    InputError
        If there is no class, or the tiles differ in their number of channels.

    Notes
    -----
    Tiles are compared as they are pasted, as rectangles. A window that lies half on a tile and half on the background can be
    nearer to a tile of another class than any tile is; whether an image is of one class, only ``task.labels`` can tell.
    """
    classes = tuple(classes)
    if not classes:
        raise InputError("separation: needs at least one class")
    tiles = [tile for one in classes for tile in one.tiles]
    names = [f"{one.name}/{i}" for one in classes for i in range(len(one.tiles))]
    label = np.repeat(np.arange(len(classes)), [len(one.tiles) for one in classes])
    if len({tile.shape[0] for tile in tiles}) > 1:
        raise InputError("separation: tiles differ in their number of channels")
    nearest = least_distance(tiles, label[:, None] != label)
    if nearest is None:
        return Separation(float("inf"))
    holder, tile, row, col, distance = nearest
    return Separation(distance, names[holder], names[tile], row, col)


def least_distance(tiles: Sequence[FeatureTile], compared: NDArray[np.bool_]) -> tuple[int, int, int, int, float] | None:
    """Find the pair of tiles of which one is nearest to containing the other.

    Parameters
    ----------
    tiles : sequence of FeatureTile
    compared : ndarray of bool, shape (T, T)
        Which pairs (holder, tile) count.

    Returns
    -------
    (holder, tile, row, col, distance) or None
        The first of several that are equally near; None where none of the pairs that count fits one into the other.
    """
    largest = max(int(tile.support.sum()) for tile in tiles)
    reach = 2.0**-4
    # The match is fastest for a small ε: it is doubled until a pair is found. No distance is above the size of the support.
    while True:
        holder, tile, row, col, distance = contained(tiles, [one.with_epsilon(reach) for one in tiles])
        counts = compared[holder, tile]
        if counts.any():
            break
        if reach > largest:
            return None
        reach *= 2
    # ε − slack is rounded: the nearest are summed again.
    near = np.flatnonzero(counts & (distance <= distance[counts].min() * (1 + 1e-12) + 1e-12))
    exact = []
    for i in near:
        _, high, wide = tiles[tile[i]].shape
        window = tiles[holder[i]].values[:, row[i] : row[i] + high, col[i] : col[i] + wide]
        exact.append(tiles[tile[i]].distance(window))
    first = near[int(np.argmin(exact))]
    return int(holder[first]), int(tile[first]), int(row[first]), int(col[first]), min(exact)


def contained(holders: Sequence[FeatureTile], tiles: Sequence[FeatureTile]) -> tuple[NDArray[np.int64], ...]:
    """Find every tile that a holder, pasted unchanged, contains.

    Parameters
    ----------
    holders, tiles : sequence of FeatureTile
        The holders' values serve as images.

    Returns
    -------
    holder, tile, row, col : ndarray of int64, shape (M,)
    distance : ndarray of float64, shape (M,)
    """
    from .matching.matches import match

    columns: list[list[NDArray[np.int64]]] = [[np.empty(0, np.int64)] for _ in range(4)]
    distance = [np.empty(0)]
    for shape in sorted({holder.shape for holder in holders}):
        outside = np.array([i for i, holder in enumerate(holders) if holder.shape == shape])
        inside = np.array([i for i, tile in enumerate(tiles) if np.less_equal(tile.shape, shape).all()], np.int64)
        matches = match(np.stack([holders[i].values for i in outside]), [tiles[i] for i in inside])
        tile = inside[matches.tile.numpy()]
        for column, part in zip(
            columns, (outside[matches.image.numpy()], tile, matches.row.numpy(), matches.col.numpy()), strict=True
        ):
            column.append(part)
        distance.append(np.array([tiles[i].epsilon for i in tile]) - matches.slack.numpy())
    return (*(np.concatenate(column) for column in columns), np.concatenate(distance))


def with_auto_epsilon(classes: Iterable[TileClass], *, within: bool = False) -> tuple[TileClass, ...]:
    """Return the classes with the ε of ``epsilon="auto"``: half the separation s of the classes.

    With a tile pasted as it is, its neuron is ε above 0, and that of a tile s away is s − ε below 0. The certificate is the
    smaller of the two, and ε = s/2 makes it as large as it can be.

    Parameters
    ----------
    classes : iterable of TileClass
        The ε of their tiles does not matter.
    within : bool
        Whether tiles of one class must not contain each other either; ε is then at most the least distance between them.

    Returns
    -------
    tuple of TileClass
        The same tiles with that ε.

    Raises
    ------
    InputError
        If a tile contains another at every ε, or no tile can contain one of another class, so that any ε serves.
    """
    classes = tuple(classes)
    limit = separation(classes)
    if limit.epsilon == 0:
        raise InputError(f'epsilon "auto": tile {limit.holder} contains tile {limit.tile} of another class, at any epsilon')
    if limit.epsilon == float("inf"):
        raise InputError('epsilon "auto": nothing limits it, for no tile can contain one of another class; give a number')
    epsilon = limit.epsilon / 2
    if within:
        for one in classes:
            nearest = least_distance(one.tiles, ~np.eye(len(one.tiles), dtype=bool))
            epsilon = epsilon if nearest is None else min(epsilon, nearest[4])
        if epsilon == 0:
            raise InputError('epsilon "auto": a tile contains another of its class, at any epsilon')
    return tuple(type(one)(one.name, [tile.with_epsilon(epsilon) for tile in one.tiles]) for one in classes)
