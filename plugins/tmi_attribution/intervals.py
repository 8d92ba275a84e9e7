"""Skill, and bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CONFIDENCE = 0.95


def skill(score: Any, chance: Any, oracle: Any) -> Any:
    """Return (score − chance)/(oracle − chance): 0 for chance, 1 for the oracle, below 0 for worse than chance.

    Parameters
    ----------
    score, chance, oracle : float or ndarray
    """
    return (score - chance) / (oracle - chance)


def skill_of_means(scores: Array, chances: Array, oracles: Array, axis: int = -1) -> Array:
    """Return the skill of the mean score, mean chance and mean oracle along an axis of images."""
    skills: Array = skill(scores.mean(axis), chances.mean(axis), oracles.mean(axis))
    return skills


def mean_skill(*parts: Array, axis: int = -1) -> Array:
    """Return the mean of `skill_of_means` over measures, given as scores, chances and oracles of one after another."""
    triples = [parts[i : i + 3] for i in range(0, len(parts), 3)]
    skills: Array = np.mean([skill_of_means(scores, chances, oracles, axis) for scores, chances, oracles in triples], axis=0)
    return skills


def interval(
    samples: Sequence[Array], statistic: Callable[..., Array], *, seed: int, resamples: int
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of a statistic of images, by percentiles (Efron 1979).

    Parameters
    ----------
    samples : sequence of ndarray, shape (N,)
        Values of the images; each resample draws the same images from all of them.
    statistic : callable
        ``(*samples, axis) -> values``.
    seed, resamples : int

    Returns
    -------
    (float, float) or None
        None for fewer than two images.
    """
    from scipy.stats import bootstrap

    if len(samples[0]) < 2:
        return None
    ends = bootstrap(
        tuple(samples),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(samples[0])),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(ends.low), float(ends.high)
