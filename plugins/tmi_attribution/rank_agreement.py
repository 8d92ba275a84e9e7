"""How well a measure that needs no truth ranks methods: Kendall's τ-b between its ranking and the ranking by the truth.

Methods are ranked seed by seed, by their means over the images. The interval is over the seeds and the methods: other seeds, and
other methods, would have given another τ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class Agreement:
    """How far two rankings of the methods agree.

    Attributes
    ----------
    tau : float
        Kendall's τ-b, mean over the seeds, from −1 (reversed) to 1 (the same); 0 for unrelated rankings.
    low, high : float
        The 95 % interval; −1 and 1 for a single seed, which says nothing about others.
    p : float
        Two-sided p-value of τ = 0: below 0.05 exactly where the interval excludes 0.
    methods, seeds : int
        The number of methods that both rankings have in some seed, and of seeds.
    """

    tau: float
    low: float
    high: float
    p: float
    methods: int
    seeds: int
    _error: float = field(default=0.0, repr=False)
    _freedom: float = field(default=1.0, repr=False)

    @property
    def shown(self) -> bool:
        """Whether the rankings are shown to be related."""
        return self.p < 1 - statistics.CONFIDENCE


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
) -> Agreement | None:
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
    Agreement or None
        None where fewer than `FEWEST` methods have both values, or all means of a ranking are equal.

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
    found = Agreement(float(taus.mean()), -1.0, 1.0, 1.0, methods, count)
    if count < 2:
        return found
    left_out = [tau_b(np.delete(x[known], i, 0), np.delete(y[known], i, 0)) for i in range(methods)]
    without = np.nanmean(np.where(np.isfinite(left_out), left_out, taus), axis=1)
    of_methods = max(
        (methods - 1) / methods * float(np.square(without - without.mean()).sum()),
        2 * (2 * methods + 5) / (9 * methods * (methods - 1)),
    )
    of_seeds = float(taus.var(ddof=1)) / count
    freedom = (of_seeds + of_methods) ** 2 / (of_seeds**2 / (count - 1) + of_methods**2 / (methods - 1))
    return _with_interval(replace(found, _error=float(np.sqrt(of_seeds + of_methods)), _freedom=freedom))


def corrected(agreements: Sequence[Agreement]) -> list[Agreement]:
    """Return agreements with p-values and intervals corrected for their number, by Holm's method; see `statistics.corrected`.

    Parameters
    ----------
    agreements : sequence of Agreement
        All that are compared at once.
    """
    p_values = statistics.holm([each.p for each in agreements])
    return [
        _with_interval(each, float(p) / each.p if 0 < each.p < 1 else 1.0) for each, p in zip(agreements, p_values, strict=True)
    ]


def _with_interval(found: Agreement, factor: float = 1.0) -> Agreement:
    """Return the p-value times a factor, at most 1, and the interval of the confidence that belongs to it."""
    from scipy.special import stdtr, stdtrit

    if found.seeds < 2:
        return found
    p = min(1.0, float(2 * stdtr(found._freedom, -abs(found.tau) / found._error)) * factor)
    half = float(-stdtrit(found._freedom, (1 - statistics.CONFIDENCE) / 2 / factor)) * found._error
    return replace(found, p=p, low=max(-1.0, found.tau - half), high=min(1.0, found.tau + half))


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
