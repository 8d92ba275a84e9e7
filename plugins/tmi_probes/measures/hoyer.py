"""Hoyer's sparsity: 1 if exactly one value is not 0, 0 if all have the same magnitude (Hoyer 2004)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def hoyer(activations: NDArray[Any]) -> Array:
    """Return Hoyer's sparsity of each row: 1 if one neuron is active, 0 if all are equally active.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)

    Returns
    -------
    ndarray of float64, shape (N,)
        (√n − ‖a‖₁/‖a‖₂)/(√n − 1), in [0, 1]; NaN for a row of zeros, or of one neuron.
    """
    size = np.abs(activations, dtype=np.float64)
    largest = size.max(1, initial=0)
    size /= np.where((largest > 0) & np.isfinite(largest), largest, 1)[:, None]  # so that squares neither overflow nor underflow
    return hoyer_of_norms(size.sum(1), np.sqrt(np.square(size).sum(1)), activations.shape[1])


def hoyer_of_norms(sums: Array, norms: Array, count: int) -> Array:
    """Return Hoyer's sparsity of vectors with known norms.

    Parameters
    ----------
    sums, norms : ndarray of float64, shape (N,)
        ‖a‖₁ and ‖a‖₂.
    count : int
        How many values each vector has.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; NaN for a vector of zeros or with a value that is not finite, and for vectors of one value.
    """
    result = np.full(len(sums), np.nan)
    defined = (norms > 0) & np.isfinite(sums) & np.isfinite(norms) & (count > 1)
    ratio = sums[defined] / norms[defined]
    result[defined] = np.clip((np.sqrt(count) - ratio) / (np.sqrt(count) - 1), 0, 1)
    return result
