"""Pearson's correlation row by row, with constant rows treated by their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Array


def pearson(predicted: Array, observed: Array) -> Array:
    """Return Pearson's correlation of predicted and observed values, row by row.

    Parameters
    ----------
    predicted, observed : ndarray of float64, shape (N, k)

    Returns
    -------
    ndarray of float64, shape (N,)
        In [−1, 1]. 0 where the predicted values are constant up to rounding, for they predict nothing; NaN where the observed
        values are constant, for there is nothing to predict.
    """
    x, y = _standard(predicted), _standard(observed)
    return np.where(y.any(1), np.clip((x * y).sum(1), -1, 1), np.nan)


def _standard(values: Array) -> Array:
    """Return centred rows of length 1, and zeros where a row is constant up to rounding."""
    largest = np.abs(values).max(1, initial=0, keepdims=True)
    values = values / np.where(largest > 0, largest, 1)
    centred = values - values.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > 1e-12 * np.sqrt(values.shape[1])
    return np.where(varies, centred / np.where(varies, length, 1), 0)
