"""Correlation row by row, where a constant row is met often and means something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Array


def pearson(said: Array, seen: Array) -> Array:
    """Return Pearson's correlation of each row of what is said with that of what is seen.

    Parameters
    ----------
    said, seen : ndarray of float64, shape (N, k)

    Returns
    -------
    ndarray of float64, shape (N,)
        In [−1, 1]. 0 where what is said is constant but for rounding, for it tells nothing; NaN where what is seen is constant,
        for there is nothing to tell.
    """
    x, y = _standard(said), _standard(seen)
    return np.where(y.any(1), np.clip((x * y).sum(1), -1, 1), np.nan)


def _standard(values: Array) -> Array:
    """Return centred rows of length 1, and zeros where a row is constant but for rounding."""
    largest = np.abs(values).max(1, initial=0, keepdims=True)
    values = values / np.where(largest > 0, largest, 1)
    centred = values - values.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > 1e-12 * np.sqrt(values.shape[1])
    return np.where(varies, centred / np.where(varies, length, 1), 0)
