"""How well a measure that needs no truth ranks methods: Kendall's τ-b between its ranking and the ranking by the truth.

Methods are ranked by their means over the images. The bootstrap interval resamples the images, the same ones for both rankings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
        Kendall's τ-b, from −1 (reversed) to 1 (the same); 0 for unrelated rankings.
    low, high : float
        The bootstrap interval over the images, widened where it does not contain ``tau``.
    methods : int
        The number of methods that both rankings have.
    """

    tau: float
    low: float
    high: float
    methods: int


def true_scores(score: NDArray[Any], chance: NDArray[Any], oracle: NDArray[Any]) -> Array:
    """Return each image's contribution to a method's mean skill.

    Parameters
    ----------
    score, chance, oracle : array_like, shape (measures, images)
        Of the localisation measures; NaN where one is undefined.

    Returns
    -------
    ndarray of float64, shape (images,)
        The average over the measures of skill + (score − chance − skill·(oracle − chance))/mean(oracle − chance). Its mean over
        the images is the mean skill; its spread is that of the skill to first order, for a skill is a ratio of means. NaN where
        no measure has a value; a measure whose oracle is no better than chance is left out.
    """
    s, c, o = np.broadcast_arrays(*(np.asarray(values, np.float64) for values in (score, chance, oracle)))
    known = np.isfinite(s) & np.isfinite(c) & np.isfinite(o)
    count = known.sum(1, keepdims=True)
    room = np.where(known, o - c, 0).sum(1, keepdims=True) / np.maximum(count, 1)
    known &= np.abs(room) > _EQUAL
    room = np.where(np.abs(room) > _EQUAL, room, 1)
    skill = np.where(known, s - c, 0).sum(1, keepdims=True) / np.maximum(count, 1) / room
    each = np.where(known, skill + (s - c - skill * (o - c)) / room, 0)
    measures = known.sum(0)
    mean: Array = np.where(measures > 0, each.sum(0) / np.maximum(measures, 1), np.nan)
    return mean


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
    *,
    better: Better = "higher",
    truth_better: Better = "higher",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement | None:
    """Compare the ranking of the methods by a measure that needs no truth with the ranking by the truth.

    Parameters
    ----------
    truth_free, truth : array_like, shape (methods, images)
        A score for each image; NaN where there is none. See `true_scores`.
    better, truth_better : {"higher", "lower"}
        Which direction of each is better.
    resamples : int
        The number of bootstrap samples of the images.
    confidence : float
        Of the interval, from 0 to 1; its ends are percentiles.
    seed : int
        Of the draws.

    Returns
    -------
    Agreement or None
        None where fewer than `FEWEST` methods have both values, or all means of a ranking are equal.

    Raises
    ------
    InputError
        For arrays of different shape, or an unknown direction.
    """
    x, y = np.asarray(truth_free, np.float64), np.asarray(truth, np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise InputError(f"truth: expected scores (methods, images) like truth_free, {x.shape}; got {y.shape}")
    for direction in (better, truth_better):
        if direction not in ("higher", "lower"):
            raise InputError(f'better: expected "higher" or "lower", got {direction!r}')
    x, y = (-values if direction == "lower" else values for values, direction in ((x, better), (y, truth_better)))
    images = x.shape[1]
    whole = np.ones((1, images))
    means = [_means(values, whole) for values in (x, y)]
    tau = float(tau_b(*means)[0])
    if np.isnan(tau):
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    taus = tau_b(_means(x, drawn), _means(y, drawn))
    taus = taus[np.isfinite(taus)]
    low, high = np.quantile(taus, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(taus) else (tau, tau)
    # Resampling adds noise to a ranking: a τ near 1 may lie above every resampled one.
    return Agreement(tau, min(float(low), tau), max(float(high), tau), int(np.isfinite(means[0] + means[1]).sum()))


def _means(scores: Array, weights: NDArray[Any]) -> Array:
    """Return weighted means of (methods, images) over the images that have a value: (methods, resamples)."""
    known = np.isfinite(scores)
    count = known @ weights.T.astype(np.float64)
    total = np.where(known, scores, 0) @ weights.T.astype(np.float64)
    means: Array = np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
    return means


def _sign(value: Array, others: Array) -> Array:
    """Return the sign of the difference; 0 where it is rounding."""
    difference = value - others
    sign: Array = np.where(np.abs(difference) <= _EQUAL * np.maximum(np.abs(value), np.abs(others)), 0, np.sign(difference))
    return sign
