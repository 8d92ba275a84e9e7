"""Cosines of vectors, and their means over pairs within or between groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def cosine(first: Array, second: Array) -> Array:
    """Return the cosine of rows, (N, …) and (N, …) give (N,); NaN where a row is 0."""
    a, b = first.reshape(len(first), -1), second.reshape(len(second), -1)
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    result: Array = np.full(len(a), np.nan)
    np.divide((a * b).sum(1), size, out=result, where=size > 0)
    return np.clip(result, -1, 1)


def mean_cosine(vectors: Array, groups: Sequence[int] | NDArray[Any], *, same: bool = True) -> float:
    """Return the mean cosine over pairs of rows of the same group, or of different groups; NaN where there is no pair.

    Parameters
    ----------
    vectors : ndarray, shape (N, …)
        Rows that are 0 are left out.
    groups : sequence of int, shape (N,)
    same : bool
        Whether pairs within groups count, or pairs of two groups.
    """
    flat = vectors.reshape(len(vectors), -1)
    size = np.linalg.norm(flat, axis=1)
    unit, group = flat[size > 0] / size[size > 0, None], np.asarray(groups)[size > 0]
    within = between = 0.0
    pairs = 0
    for value in np.unique(group):
        rows = unit[group == value]
        # Σ_{i<j} cos = (‖Σ u‖² − n)/2
        within += float((np.square(rows.sum(0)).sum() - len(rows)) / 2)
        pairs += len(rows) * (len(rows) - 1) // 2
    if not same:
        all_pairs = len(unit) * (len(unit) - 1) // 2
        between = float((np.square(unit.sum(0)).sum() - len(unit)) / 2) - within if len(unit) else 0.0
        within, pairs = between, all_pairs - pairs
    return float(np.clip(within / pairs, -1, 1)) if pairs else float("nan")
