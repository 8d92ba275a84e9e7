"""The Monosemanticity Score, and tile purity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .selectivity import group_means, one_hot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def monosemanticity_score(activations: Array, label: NDArray[np.int64], tile: NDArray[np.int64]) -> Array:
    """Return Σ ã_i ã_j cos(e_i, e_j) / Σ ã_i ã_j over the pairs i < j of images.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label, tile : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        In [0, 1]. NaN where fewer than two images have ã > 0.

    Notes
    -----
    ã is the activation scaled to [0, 1] neuron by neuron, and 1 for a neuron that is constant. e is the exact feature vector of
    an image: one-hot tile beside one-hot class. The cosine is therefore 1 for two images of one tile, 1/2 for two tiles of
    one class, and 0 otherwise, and the sums over pairs become sums over tiles and classes.
    """
    return score_of_scaled(scaled_to_one(activations), label, tile)


def scaled_to_one(activations: Array) -> Array:
    """Return activations (N, neurons) scaled to [0, 1] neuron by neuron; 1 for a neuron that is constant."""
    low, high = activations.min(0), activations.max(0)
    constant = low == high
    return np.where(constant, 1.0, (activations - low) / np.where(constant, 1.0, high - low))


def score_of_scaled(scaled: Array, label: NDArray[np.int64], tile: NDArray[np.int64]) -> Array:
    """Return the `monosemanticity_score` of activations that are scaled to [0, 1]."""
    squares = np.square(scaled).sum(0)
    alike = (np.square(one_hot(tile) @ scaled).sum(0) + np.square(one_hot(label) @ scaled).sum(0)) / 2 - squares
    pairs = np.square(scaled.sum(0)) - squares
    defined = ((scaled > 0).sum(0) >= 2) & (pairs > 0)
    result = np.full(scaled.shape[1], np.nan)
    result[defined] = np.clip(alike[defined] / pairs[defined], 0, 1)
    return result


def tile_purity(activations: Array, tile: NDArray[np.int64]) -> Array:
    """Return the largest share of a neuron's activation that one tile has.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    tile : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        max_t μ_t / Σ_t μ_t with μ_t = mean |a| over the images of tile t, so that the tiles' frequencies do not matter. From 1/T,
        where all T tiles in the sample have the same mean, to 1, where a neuron responds to one tile alone. NaN for a neuron of
        zeros.

    Notes
    -----
    It is no truth with which other measures could be compared: class selectivity is computed from nearly the same means, so that
    the two correlate even on noise.
    """
    means = group_means(np.abs(activations), tile)
    total = means.sum(0)
    result: Array = np.divide(means.max(0), total, out=np.full(len(total), np.nan), where=total > 0)
    return result
