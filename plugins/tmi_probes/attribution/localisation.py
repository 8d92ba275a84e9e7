"""Scores of an attribution map against the true mask, image by image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mass(maps: Array, masks: NDArray[np.bool_]) -> Array:
    """Return the share of the attribution in the mask: Σ_G a / Σ a.

    Parameters
    ----------
    maps : ndarray, shape (N, m, n)
        Attributions without sign, at least 0.
    masks : ndarray of bool, shape (N, m, n)
        The true pixels G.

    Returns
    -------
    ndarray, shape (N,)
        In [0, 1]; 0 for a map that is 0 everywhere, which finds nothing.
    """
    largest = maps.max((1, 2), keepdims=True)
    scaled = maps / np.where(largest > 0, largest, 1)  # so that the sum of tiny numbers does not vanish
    total = scaled.sum((1, 2))
    share: Array = (scaled * masks).sum((1, 2)) / np.where(total > 0, total, 1)
    return share


def precision(maps: Array, masks: NDArray[np.bool_]) -> Array:
    """Return the share of the |G| strongest pixels that lie in the mask G.

    Parameters
    ----------
    maps : ndarray, shape (N, m, n)
        Attributions without sign, at least 0.
    masks : ndarray of bool, shape (N, m, n)
        The true pixels G; none may be empty.

    Returns
    -------
    ndarray, shape (N,)
        In [0, 1]. Where equal pixels compete for the last ranks it is the expectation over a random order of them, so that a
        constant map scores chance; 0 for a map that is 0 everywhere.
    """
    return np.array([_precision(a.ravel(), g.ravel()) for a, g in zip(maps, masks, strict=True)])


def _precision(values: Array, truth: NDArray[np.bool_]) -> float:
    size = int(truth.sum())
    if not values.any():
        return 0.0
    threshold = np.partition(values, -size)[-size]
    above, equal = values > threshold, values == threshold
    share = (size - above.sum()) / equal.sum()  # of the equal pixels, so many still belong to the strongest
    return float(((above & truth).sum() + share * (equal & truth).sum()) / size)


def chance(masks: NDArray[np.bool_]) -> Array:
    """Return what a constant map scores in both measures: the mask's share of the pixels, shape (N,)."""
    share: Array = masks.mean((1, 2))
    return share


def skill(score: float, chance: float, oracle: float) -> float:
    """Return (score − chance)/(oracle − chance): 0 for chance, 1 for the oracle, below 0 for worse than chance."""
    return (score - chance) / (oracle - chance)
