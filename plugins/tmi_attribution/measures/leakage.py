"""Leakage: attribution to pixels on which the logit provably does not depend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi

from .arrays import share_inside, share_of_pixels

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array


def chance(truth: Truth) -> Array:
    """Return the null region's share of the pixels, NaN where it is empty or not known."""
    return np.full(len(truth.masks), np.nan) if truth.null is None else share_of_pixels(truth.null)


@tmi.attribution_measure(better="lower", low=0, high=1, topic="leakage", chance=chance)
def null_leakage(maps: Array, truth: Truth) -> Array:
    """Share of the attribution on pixels on which the logit provably does not depend: Σ_null a / Σ a. It must be 0.

    It measures the null-player axiom of Shapley values (sensitivity (b) in Sundararajan et al. 2017) where null players are
    known.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        At least 0.
    truth : Truth
        With its null region.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]. NaN where the null region is empty or not known, and for a map of zeros, of which nothing is a share.
    """
    if truth.null is None:
        return np.full(len(maps), np.nan)
    return np.where(maps.any((1, 2)), share_inside(maps, truth.null), np.nan)
