"""Array helpers of the measures: flat maps, shares of them, and slices that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return one row for each image: (N, …) gives (N, pixels), a view where possible."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def parts(count: int, each: int, elements: int) -> Iterator[slice]:
    """Yield slices over ``count`` images of ``each`` elements, each of at most ``elements`` elements but at least one image."""
    step = max(1, elements // max(1, each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def sizes(region: Mask) -> NDArray[np.int64]:
    """Return how many pixels a region has in each image: (N, …) gives (N,)."""
    counts: NDArray[np.int64] = np.count_nonzero(flat(region), axis=1)
    return counts


def ratio(part: NDArray[Any], whole: NDArray[Any], otherwise: Any = np.nan) -> Array:
    """Return ``part / whole``, and ``otherwise`` where the whole is 0; (N,) each."""
    quotient: Array = np.full(len(whole), otherwise, np.float64)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def known_mean(scores: Array) -> Array:
    """Return the mean over the first axis, NaN left out: (k, N) gives (N,), NaN where all are NaN."""
    known = ~np.isnan(scores)
    return ratio(np.where(known, scores, 0).sum(0), known.sum(0))


def share_of_pixels(region: Mask) -> Array:
    """Return a region's share of the pixels, NaN where it is none or all of them: (N, …) gives (N,)."""
    return ratio(sizes(region), np.where(divides(region), flat(region).shape[1], 0))


def divides(region: Mask) -> Mask:
    """Return where a region is some of the pixels: of none and of all of them every map has the same share. (N, …) gives (N,)."""
    inside = sizes(region)
    some: Mask = (inside > 0) & (inside < flat(region).shape[1])
    return some


def share_inside(maps: Array, region: Mask) -> Array:
    """Return the share of each map that lies in a region.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, …)
        At least 0; numbers of any size.
    region : ndarray of bool, shape (N, …)

    Returns
    -------
    ndarray of float64, shape (N,)
        Σ inside / Σ, in [0, 1]. A map that is 0 everywhere counts as a constant one; NaN where the region is empty, or all
        pixels.
    """
    values, inside = flat(maps), flat(region)
    with np.errstate(over="ignore"):
        total = values.sum(1)
        if not np.isfinite(total).all():
            values = np.ldexp(values, -64)  # small numbers underflow, which does not matter beside numbers whose sum overflows
            total = values.sum(1)
    within = np.einsum("np,np->n", values, inside)
    even = share_of_pixels(region)
    return np.where(np.isnan(even), np.nan, np.minimum(ratio(within, total, even), 1))
