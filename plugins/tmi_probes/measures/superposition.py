"""Superposition: how many dimensions each feature has to itself (Elhage et al. 2022, "Toy models of superposition")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_ROUNDING = 1e-12
"""A centred direction whose square is below this share of the largest one before centring is 0, for it may be rounding.

Products WᵀW are rounded at 1e-16: from them a square of this share is known to 1e-4, one of 1e-18 not at all.
"""


def feature_dimensionality(directions: Array) -> Array:
    """Return D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a dimension that each feature has to itself, W centred.

    W is centred over the features: the mean of the W_i that are not 0 is subtracted from them. What all features have in common,
    as a layer that every tile excites alike, is no feature, and it would hide how the features differ.

    Parameters
    ----------
    directions : ndarray, shape (dimensions, features)
        W: column i is the direction W_i of feature i.

    Returns
    -------
    ndarray of float64, shape (features,)
        1/2, 2/3, 3/4 and 2/5 for each feature in a pair of opposites, a triangle, a tetrahedron and a pentagon, whose mean is 0,
        so that they have the values of Elhage et al. With one neuron each and one length, n features are the corners of a
        regular simplex, and each has (n − 1)/n, the most that is possible. 0 for a feature that is not represented, W_i = 0, for
        one that equals the mean, and for a single one.

    Notes
    -----
    The sum of D_i is at most the rank of the centred W, which is at most min(dimensions, features − 1): D_i is at most the
    leverage W_iᵀ (WWᵀ)⁺ W_i (Cauchy and Schwarz). See `most_dimensionality`.
    """
    scaled = _scaled(directions)
    shown = scaled.any(0)
    whole = np.square(scaled).sum(0)
    centred = scaled - shown * (scaled.sum(1) / max(1, shown.sum()))[:, None]
    dimensions, features = centred.shape
    squares = _without_rounding(np.square(centred).sum(0), whole)
    few = features <= dimensions
    shared = np.square(centred.T @ centred).sum(0) if few else (centred * (centred @ centred.T @ centred)).sum(0)
    return _ratio(squares, shared)


def dimensionality_of_products(products: Array) -> Array:
    """Return `feature_dimensionality` from the products WᵀW alone, shape (features, features), before W is centred."""
    shown = np.diagonal(products) > 0
    mean = np.divide(products[:, shown].sum(1), max(1, shown.sum()))
    centred = products - mean[:, None] - mean + (mean[shown].mean() if shown.any() else 0)
    centred[~shown], centred[:, ~shown] = 0, 0
    squares = _without_rounding(np.diagonal(centred), np.diagonal(products))
    return _ratio(squares, np.square(centred).sum(0))


def most_dimensionality(dimensions: int, features: int) -> float:
    """Return the largest mean D_i of so many features in so many dimensions: min(dimensions, features − 1)/features."""
    return min(dimensions, features - 1) / features


def dimensions_per_feature(directions: Array) -> float:
    """Return D* = m/‖W‖²_F, the number of dimensions m for each feature that W represents; W is not centred.

    Parameters
    ----------
    directions : ndarray, shape (dimensions, features)
        Scaled so that the longest direction is 1: Elhage et al. learn W so that a represented feature has about that length.

    Returns
    -------
    float
        NaN where W is 0. Above 1 where there are more dimensions than features.
    """
    longest = np.square(_scaled(directions)).sum(0)
    if not longest.any():
        return np.nan
    return float(len(directions) / (longest / longest.max()).sum())


def _scaled(directions: NDArray[Any]) -> Array:
    """Divide by the largest entry, so that fourth powers neither overflow nor underflow."""
    largest = np.abs(directions).max(initial=0)
    return np.asarray(directions / largest if largest > 0 else directions, np.float64)


def _without_rounding(squares: Array, before: Array) -> Array:
    return np.where(squares > _ROUNDING * before.max(initial=0), squares, 0)


def _ratio(squares: Array, shared: Array) -> Array:
    result: Array = np.minimum(np.divide(squares**2, shared, out=np.zeros(len(squares)), where=shared > 0), 1)
    return result
