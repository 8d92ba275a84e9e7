"""What the measures share: flat maps, shares of them, and how much is held at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return one row an image: (N, …) gives (N, pixels), without a copy where there need not be one."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def parts(count: int, each: int, elements: int) -> Iterator[slice]:
    """Yield slices over ``count`` images of ``each`` elements, of about ``elements`` together and of one image at least."""
    step = max(1, elements // max(1, each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def sizes(region: Mask) -> NDArray[np.int64]:
    """Return how many pixels a region has in each image: (N, …) gives (N,)."""
    found: NDArray[np.int64] = np.count_nonzero(flat(region), axis=1)
    return found


def ratio(part: NDArray[Any], whole: NDArray[Any], otherwise: Any = np.nan) -> Array:
    """Return ``part / whole``, and something else where the whole is 0; (N,) each."""
    found: Array = np.full(len(whole), otherwise, np.float64)
    np.divide(part, whole, out=found, where=whole != 0)
    return found


def known_mean(scores: Array) -> Array:
    """Return the mean over the first axis of what is not NaN: (k, N) gives (N,), NaN where all are."""
    known = ~np.isnan(scores)
    return ratio(np.where(known, scores, 0).sum(0), known.sum(0))


def share_of_pixels(region: Mask) -> Array:
    """Return a region's share of the pixels, NaN where it is empty: (N, …) gives (N,)."""
    inside = sizes(region)
    return ratio(inside, np.where(inside > 0, flat(region).shape[1], 0))


def share_inside(maps: Array, region: Mask) -> Array:
    """Return the share of each map that lies in a region.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, …)
        At least 0. Very large and very small numbers count as they are.
    region : ndarray of bool, shape (N, …)

    Returns
    -------
    ndarray of float64, shape (N,)
        Σ inside / Σ, in [0, 1]. A map that is 0 everywhere counts as a constant one; NaN where the region is empty.
    """
    values, inside = flat(maps), flat(region)
    with np.errstate(over="ignore"):
        total = values.sum(1)
        if not np.isfinite(total).all():
            values = np.ldexp(values, -64)  # what is lost of the small ones is nothing beside numbers whose sum overflows
            total = values.sum(1)
    within = np.einsum("np,np->n", values, inside)
    even = share_of_pixels(region)
    return np.where(np.isnan(even), np.nan, np.minimum(ratio(within, total, even), 1))
