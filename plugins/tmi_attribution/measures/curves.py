"""Deletion and insertion: the network's output as the most important pixels are removed, or inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.params import Count

from ..truth import Baseline
from .arrays import flat, parts, ratio
from .declared import undefined
from .replacing import ELEMENTS, change

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..truth import Truth
    from .arrays import Array

Ranking = Literal["signed", "absolute"]
Curve = Literal["probability", "logit"]

LEAST_CHANGE = 0.1
"""A curve of logits has no score where image and baseline differ by less than this share of the image's spread of logits."""


def importance(maps: Array, ranking: Ranking) -> Array:
    """Return what pixels are ranked by: Σ a over the channels, or Σ |a|; (N, C, m, n) gives (N, m, n)."""
    ranked: Array = (np.abs(maps) if ranking == "absolute" else maps).sum(1)
    return ranked


def flipping_curve(
    maps: Array, truth: Truth, *, steps: int = 20, fine: bool = False, insert: bool = False, output: Curve = "logit"
) -> Array:
    """Return the network's output as pixels are flipped, the most important first (pixel flipping, Samek et al. 2017).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        Importance. Equal pixels are flipped in a random order, the same for every image and method, so that a constant map does
        not flip row after row.
    truth : Truth
    steps, fine : int, bool
        See `flipped`. A pixel is flipped with all its channels.
    insert : bool
        False: from the image to the baseline. True: from the baseline to the image.
    output : {"logit", "probability"}
        Of the attributed class.

    Returns
    -------
    ndarray of float64, shape (N, points)
        The output with no pixel flipped first, with all pixels flipped last.
    """
    import torch

    counts = flipped(flat(maps).shape[1], steps, fine)
    step = step_of_pixel(flat(maps), counts).reshape(maps.shape)
    before, after = (truth.baselines, truth.images) if insert else (truth.images, truth.baselines)
    result = np.empty((len(maps), len(counts)))
    reached = torch.arange(len(counts), device=before.device)[:, None, None, None, None]
    for rows in parts(len(maps), len(counts) * before[:1].numel(), ELEMENTS):
        is_flipped = torch.from_numpy(step[rows]).to(before.device)[:, None] <= reached
        result[rows] = truth[rows].output(torch.where(is_flipped, after[rows], before[rows]), output).T
    return result


_REASON = (
    "all pixels together change the probability by nothing, or the logit by less than a tenth of the spread of the image's logits"
)


@undefined(_REASON)
@tmi.attribution_measure(better="lower", topic="fidelity", scored="signed", truth_free=True)
def deletion(
    maps: Array,
    truth: Truth,
    *,
    steps: Count = 10,
    fine: bool = True,
    ranking: Ranking = "signed",
    output: Curve = "probability",
    baseline: Baseline | None = None,
) -> Array:
    """Area under the class's probability as pixels are removed, the greatest attribution first (deletion, Petsiuk et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; summed over the channels.
    truth : Truth
    steps : int
        All pixels are removed in so many steps of the same size.
    fine : bool
        Whether the network is also evaluated after 1, 4, 16, … pixels from both ends, see `flipped`.
    ranking : {"signed", "absolute"}
        Whether pixels are removed by a, as in the source, or by |a|.
    output : {"probability", "logit"}
        The softmax probability, as in the source; or the logit as (f(x_s) − f(b))/|f(x) − f(b)|.
    baseline : {"black", "background"}, optional
        What pixels are replaced by; by default the bench's baseline.

    Returns
    -------
    ndarray of float64, shape (N,)
        The area over the share of pixels removed. Of probabilities in [0, 1]. NaN where removing all pixels changes the
        probability by rounding alone; for logits, where it changes the logit by less than `LEAST_CHANGE` of the greatest minus
        the least logit of the image.

    Notes
    -----
    Probabilities are not normalised: where the baseline has the greater one, the area is large for every map, and a better map
    still has the smaller one.
    """
    return _area(importance(maps, ranking), truth.against(baseline), steps, fine, output, insert=False)


@undefined(_REASON)
@tmi.attribution_measure(better="higher", topic="fidelity", scored="signed", truth_free=True)
def insertion(
    maps: Array,
    truth: Truth,
    *,
    steps: Count = 10,
    fine: bool = True,
    ranking: Ranking = "signed",
    output: Curve = "probability",
    baseline: Baseline | None = None,
) -> Array:
    """Area under the class's probability as pixels are inserted, the greatest attribution first (insertion, Petsiuk et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; summed over the channels.
    truth : Truth
    steps : int
        All pixels are inserted in so many steps of the same size.
    fine : bool
        Whether the network is also evaluated after 1, 4, 16, … pixels from both ends, see `flipped`.
    ranking : {"signed", "absolute"}
        Whether pixels are inserted by a, as in the source, or by |a|.
    output : {"probability", "logit"}
        The softmax probability, as in the source; or the logit as (f(x_s) − f(b))/|f(x) − f(b)|.
    baseline : {"black", "background"}, optional
        Where pixels are inserted; by default the bench's baseline. The source has a blurred image.

    Returns
    -------
    ndarray of float64, shape (N,)
        See `deletion`.
    """
    return _area(importance(maps, ranking), truth.against(baseline), steps, fine, output, insert=True)


def _area(maps: Array, truth: Truth, steps: int, fine: bool, output: Curve, *, insert: bool) -> Array:
    curve = flipping_curve(maps, truth, steps=steps, fine=fine, insert=insert, output=output)
    whole, nothing = (truth.once((output, name), _output_of(truth, name, output)) for name in ("images", "baselines"))
    changes = change(whole, nothing, truth)
    if output == "logit":
        spread = truth.once("spread of the images", lambda: truth.output(truth.images, "spread"))
        curve = curve - nothing[:, None]
        scale = np.where(np.abs(changes) < LEAST_CHANGE * spread, 0, np.abs(changes))
    else:
        scale = (changes != 0).astype(np.float64)
    share = flipped(flat(maps).shape[1], steps, fine) / flat(maps).shape[1]
    return ratio((np.diff(share) * (curve[:, 1:] + curve[:, :-1]) / 2).sum(1), scale)


def _output_of(truth: Truth, name: str, output: Curve):  # type: ignore[no-untyped-def]
    return lambda: truth.output(getattr(truth, name), output)


def flipped(pixels: int, steps: int, fine: bool = False) -> NDArray[np.int64]:
    """Return the numbers of flipped pixels at which the network is evaluated, from 0 to all.

    Parameters
    ----------
    pixels : int
    steps : int
        round(s · pixels/steps) for s = 0, …, steps.
    fine : bool
        Also 1, 4, 16, … pixels and as many less than all, up to a step. The logit of a network that depends on few
        pixels changes only there: with Theorem 1 it is 0 as soon as some ten pixels of the tile are removed.
    """
    even = np.round(np.linspace(0, pixels, steps + 1)).astype(np.int64)
    if not fine:
        return even
    few = 4 ** np.arange(15)
    few = few[few * steps < pixels]
    return np.unique(np.concatenate([even, few, pixels - few]))


def step_of_pixel(values: Array, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the step in which each pixel is flipped, the greatest value first: (N, P) gives (N, P).

    Parameters
    ----------
    values : ndarray of float64, shape (N, P)
        Equal ones are flipped in a random order, which is the same for every row.
    counts : ndarray of int64
        The number of pixels that are flipped after each step.
    """
    shuffled = np.random.default_rng(0).permutation(values.shape[1])
    order = shuffled[np.argsort(-values[:, shuffled], axis=1, kind="stable")]
    step = np.empty(values.shape, np.int64)
    np.put_along_axis(step, order, np.searchsorted(counts, np.arange(values.shape[1]), side="right")[None], axis=1)
    return step
