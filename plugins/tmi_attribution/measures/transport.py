"""Earth mover's distance between the attribution and the tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count

from .arrays import flat, sizes

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array


@tmi.attribution_measure(low=0, high=1, topic="localisation", spatial=True)
def earth_mover(maps: Array, truth: Truth, *, resolution: Count = 20) -> Array:
    """1 − EMD(map, mask)/diagonal, both as masses that sum to 1 (Clark et al. 2024, XAI-TRIS).

    The earth mover's distance is the least Σ mass · distance of a transport plan from one to the other, in pixels; the diagonal
    is the greatest distance between two pixels, √2 · (side − 1) for a square image.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        At least 0.
    truth : Truth
    resolution : int
        The greatest number of cells on a side. Larger images are pooled into blocks of b × b pixels, b = ⌈longer
        side/resolution⌉, each at its centre; that changes the score by at most √2 · (b − 1)/diagonal. Smaller images are scored
        exactly.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; a map of zeros counts as a constant one. NaN where the mask is empty, and for images of one cell.

    Notes
    -----
    Mass that map and mask share is not moved: by the triangle inequality some plan of least cost moves no mass away from where
    mass arrives. The rest is solved exactly by POT (Flamary et al. 2021).
    """
    result = np.full(len(maps), np.nan)
    high, wide = maps.shape[1:]
    diagonal = np.hypot(high - 1, wide - 1)
    block = -(-max(high, wide) // resolution)
    rows, cols = (_centres(side, block) for side in (high, wide))
    places = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
    cost = np.linalg.norm(places[:, None] - places, axis=2)
    masses, wanted = (flat(_pooled(_normalised(values), block)) for values in (maps, truth.masks.astype(np.float64)))
    for image in np.flatnonzero(sizes(truth.masks)):
        surplus = masses[image] - wanted[image]
        if len(places) > 1:  # in a single cell all masses are alike
            result[image] = 1 - _distance(surplus, cost) / diagonal
    return result.clip(0, 1)


def _distance(surplus: Array, cost: Array) -> float:
    """Return the cost of moving surplus mass (> 0) to where mass is missing (< 0)."""
    import ot

    source, target = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    more, less = surplus[source], -surplus[target]
    moved = more.sum()
    if not moved or not len(target):
        return 0.0
    plan_cost = ot.emd2(more / moved, less / less.sum(), cost[np.ix_(source, target)], numItermax=10_000_000)
    return float(moved * plan_cost)


def _normalised(maps: Array) -> Array:
    """Return masses that sum to 1 for each image; a map of zeros becomes a constant one."""
    largest = maps.max((1, 2), keepdims=True)
    scaled = np.where(largest > 0, maps / np.where(largest > 0, largest, 1), 1)
    return np.asarray(scaled / scaled.sum((1, 2), keepdims=True))


def _pooled(maps: Array, block: int) -> Array:
    """Return the sums over blocks of b × b pixels; those at the right and bottom edge may be smaller."""
    if block == 1:
        return maps
    starts = [np.arange(0, side, block) for side in maps.shape[1:]]
    return np.asarray(np.add.reduceat(np.add.reduceat(maps, starts[0], axis=1), starts[1], axis=2))


def _centres(side: int, block: int) -> Array:
    """Return the middle of each block along one axis, in pixels."""
    starts = np.arange(0, side, block)
    return (starts + np.minimum(starts + block, side) - 1) / 2
