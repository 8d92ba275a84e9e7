"""Noisy linear imputation: every missing pixel is the weighted mean of its neighbours (Rong et al. 2022, section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .arrays import Array, Mask

_AFTER = (((0, 1), 1 / 6), ((1, -1), 1 / 12), ((1, 0), 1 / 6), ((1, 1), 1 / 12))
_NEIGHBOURS = (*_AFTER, *(((-row, -col), weight) for (row, col), weight in _AFTER))
"""Offsets and weights: 1/6 for the four direct neighbours, 1/12 for the four diagonal ones, those after a pixel first."""


def impute(images: Array, missing: Mask) -> Array:
    """Return images whose missing pixels solve w_p x_p = Σ_q w_pq x_q, over the neighbours q of each missing pixel p.

    Parameters
    ----------
    images : ndarray of float64, shape (N, C, m, n)
    missing : ndarray of bool, shape (N, m, n)
        At least one pixel of each image is known.

    Returns
    -------
    ndarray of float64, shape (N, C, m, n)
        Between the least and the greatest known value of the channel.

    Notes
    -----
    w_pq is 1/6 for direct and 1/12 for diagonal neighbours, and w_p the sum of them inside the image, as in the authors' code.
    With the missing pixels in the order of the rows the system is symmetric, positive definite and banded, as wide as a row at
    most, so LAPACK's banded Cholesky decomposition solves it faster than a general sparse solver.
    """
    from scipy.linalg import solveh_banded

    count, _, rows, cols = images.shape
    known = np.where(missing[:, None], 0, images)
    right, weight = np.zeros(images.shape), np.zeros((rows, cols))
    for offset, w in _NEIGHBOURS:
        right += w * _shifted(known, offset)
        weight += w * _shifted(np.ones((rows, cols)), offset)
    position = (np.cumsum(missing.reshape(count, rows * cols), axis=1) - 1).reshape(missing.shape)
    bands = [(_shifted(position, offset) - position, _shifted(missing, offset) & missing, w) for offset, w in _AFTER]
    filled = known
    for i, gaps in enumerate(missing):
        if not gaps.any():
            continue
        distances = [(apart[i][gaps], both[i][gaps], w) for apart, both, w in bands]
        width = max(int(apart[both].max(initial=0)) for apart, both, _ in distances)
        matrix = np.zeros((width + 1, np.count_nonzero(gaps)))
        matrix[0] = weight[gaps]
        for apart, both, w in distances:
            matrix[apart[both], np.flatnonzero(both)] = -w
        filled[i][:, gaps] = solveh_banded(matrix, right[i][:, gaps].T, lower=True, check_finite=False).T
    return filled


def _shifted(values: NDArray, offset: tuple[int, int]) -> NDArray:  # type: ignore[type-arg]
    """Return the value of each pixel's neighbour, 0 outside the image: (…, m, n) gives (…, m, n)."""
    moved = np.zeros_like(values)
    (row, col), (high, wide) = offset, values.shape[-2:]
    to_rows, to_cols = (slice(max(0, -d), min(size, size - d)) for d, size in ((row, high), (col, wide)))
    rows, cols = (slice(max(0, d), min(size, size + d)) for d, size in ((row, high), (col, wide)))
    moved[..., to_rows, to_cols] = values[..., rows, cols]
    return moved
