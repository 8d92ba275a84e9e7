"""Superposition: how many dimensions each feature has to itself (Elhage et al. 2022, "Toy models of superposition")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def feature_dimensionality(directions: Array) -> Array:
    """Return D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a dimension that each feature has to itself.

    Parameters
    ----------
    directions : ndarray, shape (dimensions, features)
        W: column i is the direction W_i of feature i.

    Returns
    -------
    ndarray of float64, shape (features,)
        1 for a feature orthogonal to all others; 1/2, 2/3, 3/4 and 2/5 for each feature in a pair of opposites, a triangle, a
        tetrahedron and a pentagon; 0 for a feature that is not represented, ‖W_i‖ = 0.

    Notes
    -----
    With the Gram matrix G = WᵀW, D_i = G_ii²/Σ_j G_ij². With C = WWᵀ it is ‖W_i‖⁴/(W_iᵀ C W_i): the smaller matrix is
    computed. D_i is at most the leverage W_iᵀ C⁺ W_i (Cauchy and Schwarz), so that their sum is at most the rank of W.
    """
    scaled = _scaled(directions)
    dimensions, features = scaled.shape
    squares = np.square(scaled).sum(0)
    few = features <= dimensions
    shared = np.square(scaled.T @ scaled).sum(0) if few else (scaled * (scaled @ scaled.T @ scaled)).sum(0)
    result: Array = np.minimum(np.divide(squares**2, shared, out=np.zeros(features), where=shared > 0), 1)
    return result


def dimensions_per_feature(directions: Array) -> float:
    """Return D* = m/‖W‖²_F, the number of dimensions m for each feature that W represents.

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


def _scaled(directions: Array) -> Array:
    """Divide by the largest entry, so that fourth powers neither overflow nor underflow."""
    largest = np.abs(directions).max(initial=0)
    return np.asarray(directions / largest if largest > 0 else directions, np.float64)
