"""How well a measure that needs no truth ranks methods: Kendall's τ-b between its ranking and the ranking by the truth.

Methods are ranked seed by seed, by their means over the images. The interval is over the seeds and the methods: other seeds, and
other methods, would have given another τ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi import statistics
from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Better = Literal["higher", "lower"]

FEWEST = 3
"""With fewer methods no ranking is compared."""

_EQUAL = 1e-12  # relative differences below it come from the order of summation


def tau_b(x_scores: NDArray[Any], y_scores: NDArray[Any]) -> Array:
    """Return Kendall's τ-b between columns: the value of `scipy.stats.kendalltau`, for many pairs of rankings at once.

    Parameters
    ----------
    x_scores, y_scores : array_like, shape (methods, …)
        NaN where a method has no value: its pairs are left out.

    Returns
    -------
    ndarray of float64, shape (…)
        NaN where fewer than `FEWEST` methods have both values, or all values of a ranking are equal.
    """
    x, y = np.broadcast_arrays(np.asarray(x_scores, np.float64), np.asarray(y_scores, np.float64))
    known = np.isfinite(x) & np.isfinite(y)
    both = np.zeros(x.shape[1:])
    squares = np.zeros((2, *x.shape[1:]))
    for first in range(len(x) - 1):
        paired = known[first] & known[first + 1 :]
        signs = [np.where(paired, _sign(values[first], values[first + 1 :]), 0) for values in (x, y)]
        both += (signs[0] * signs[1]).sum(0)
        squares += [(sign * sign).sum(0) for sign in signs]
    size = np.sqrt(squares[0] * squares[1])
    enough = (known.sum(0) >= FEWEST) & (size > 0)
    tau: Array = np.where(enough, both / np.where(enough, size, 1), np.nan)
    return tau


def kendall(
    truth_free: NDArray[Any],
    truth: NDArray[Any],
    seeds: NDArray[Any],
    *,
    better: Better = "higher",
    truth_better: Better = "higher",
) -> statistics.Estimate | None:
    """Compare the ranking of the methods by a measure that needs no truth with the ranking by the truth.

    Parameters
    ----------
    truth_free, truth : array_like, shape (methods, images)
        A score for each image; NaN where there is none.
    seeds : array_like, shape (images,)
        The seed of the data, and of the training, that each image comes from.
    better, truth_better : {"higher", "lower"}
        Which direction of each is better.

    Returns
    -------
    Estimate or None
        Kendall's τ-b, mean over the seeds, from −1 (reversed) to 1 (the same); 0 for unrelated rankings. `units` is the number of
        seeds and `n` that of the methods that both rankings have in some seed. The interval for a single seed is [−1, 1]. None
        where fewer than `FEWEST` methods have both values, or all means of a ranking are equal.

    Raises
    ------
    InputError
        For arrays of different shape, or an unknown direction.

    Notes
    -----
    The squared standard error is the sum of two: that of the mean over the seeds; and that of leaving out one method at a time
    (jackknife, Efron and Stein 1981), at least the variance of τ between unrelated rankings of n methods,
    2(2n + 5)/(9n(n − 1)) (Kendall 1938): the jackknife of a perfect agreement is 0 however few the methods. The degrees of
    freedom of the sum are Satterthwaite's (1946), between seeds − 1 and methods − 1.
    """
    x, y = np.asarray(truth_free, np.float64), np.asarray(truth, np.float64)
    if x.ndim != 2 or x.shape != y.shape or np.shape(seeds) != x.shape[1:]:
        raise InputError(
            f"truth: expected scores (methods, images) like truth_free, {x.shape}, and a seed for each image; "
            f"got {y.shape} and {np.shape(seeds)}"
        )
    for direction in (better, truth_better):
        if direction not in ("higher", "lower"):
            raise InputError(f'better: expected "higher" or "lower", got {direction!r}')
    x, y = (-values if direction == "lower" else values for values, direction in ((x, better), (y, truth_better)))
    of_image = np.unique(np.asarray(seeds), return_inverse=True)[1].reshape(-1)
    x, y = (_means(values, of_image) for values in (x, y))
    taus = tau_b(x, y)
    ranked = np.isfinite(taus)
    if not ranked.any():
        return None
    x, y, taus = x[:, ranked], y[:, ranked], taus[ranked]
    known = (np.isfinite(x) & np.isfinite(y)).any(1)
    methods, count = int(known.sum()), len(taus)
    if count < 2:
        return statistics.from_error(float(taus.mean()), np.inf, freedom=1, n=methods, units=count, low=-1, high=1)
    left_out = [tau_b(np.delete(x[known], i, 0), np.delete(y[known], i, 0)) for i in range(methods)]
    without = np.nanmean(np.where(np.isfinite(left_out), left_out, taus), axis=1)
    of_methods = max(
        (methods - 1) / methods * float(np.square(without - without.mean()).sum()),
        2 * (2 * methods + 5) / (9 * methods * (methods - 1)),
    )
    of_seeds = float(taus.var(ddof=1)) / count
    freedom = (of_seeds + of_methods) ** 2 / (of_seeds**2 / (count - 1) + of_methods**2 / (methods - 1))
    error = float(np.sqrt(of_seeds + of_methods))
    return statistics.from_error(float(taus.mean()), error, freedom=freedom, n=methods, units=count, low=-1, high=1)


def _means(scores: Array, of_image: NDArray[Any]) -> Array:
    """Return the mean of each method over the images of each seed that have a value: (methods, images) gives (methods, seeds)."""
    weights = (of_image[:, None] == np.arange(of_image.max() + 1)).astype(np.float64)
    known = np.isfinite(scores)
    count = known.astype(np.float64) @ weights
    total = np.where(known, scores, 0) @ weights
    means: Array = np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
    return means


def _sign(value: Array, others: Array) -> Array:
    """Return the sign of the difference; 0 where it is rounding."""
    difference = value - others
    sign: Array = np.where(np.abs(difference) <= _EQUAL * np.maximum(np.abs(value), np.abs(others)), 0, np.sign(difference))
    return sign
