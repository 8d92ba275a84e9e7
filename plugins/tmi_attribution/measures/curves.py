"""Deletion and insertion: the logit as the most important pixels are removed, or inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count

from .arrays import flat, parts, ratio
from .replacing import ELEMENTS, change, logits_of_baselines, logits_of_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..truth import Truth
    from .arrays import Array


def flipping_curve(maps: Array, truth: Truth, *, steps: int = 20, insert: bool = False) -> Array:
    """Return the attributed logit as pixels are flipped, the most important first (pixel flipping, Samek et al. 2017).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        Importance. Equal pixels are flipped in a random order, the same for every image and method, so that a constant map does
        not flip row after row.
    truth : Truth
    steps : int
        After step s the first round(s · P/steps) of the P pixels are flipped, with all their channels.
    insert : bool
        False: from the image to the baseline. True: from the baseline to the image.

    Returns
    -------
    ndarray of float64, shape (N, steps + 1)
        The logit with no pixel flipped first, with all pixels flipped last.
    """
    import torch

    pixels = flat(maps).shape[1]
    step = _step_of_pixel(flat(maps), _flipped(pixels, steps)).reshape(maps.shape)
    before, after = (truth.baselines, truth.images) if insert else (truth.images, truth.baselines)
    result = np.empty((len(maps), steps + 1))
    reached = torch.arange(steps + 1, device=before.device)[:, None, None, None, None]
    for rows in parts(len(maps), (steps + 1) * before[:1].numel(), ELEMENTS):
        flipped = torch.from_numpy(step[rows]).to(before.device)[:, None] <= reached
        result[rows] = truth[rows].logit(torch.where(flipped, after[rows], before[rows])).T
    return result


@tmi.attribution_measure(better="lower", topic="fidelity", truth_free=True)
def deletion(maps: Array, truth: Truth, *, steps: Count = 20) -> Array:
    """Area under the logit as the most important pixels are replaced by the baseline (deletion, Petsiuk et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        At least 0; see `flipping_curve`.
    truth : Truth
    steps : int
        The number of steps in which all pixels are removed.

    Returns
    -------
    ndarray of float64, shape (N,)
        The area under (f(x_s) − f(b))/(f(x) − f(b)) over the share of pixels flipped; that goes from 1 to 0, not always in [0,
        1]. NaN where image and baseline have the same logit.
    """
    return _area(maps, truth, steps, insert=False)


@tmi.attribution_measure(better="higher", topic="fidelity", truth_free=True)
def insertion(maps: Array, truth: Truth, *, steps: Count = 20) -> Array:
    """Area under the logit as the most important pixels are put on the baseline (insertion, Petsiuk et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n)
        At least 0; see `flipping_curve`.
    truth : Truth
    steps : int
        The number of steps in which all pixels are inserted.

    Returns
    -------
    ndarray of float64, shape (N,)
        The area under (f(x_s) − f(b))/(f(x) − f(b)) over the share of pixels flipped; that goes from 0 to 1, not always in [0,
        1]. NaN where image and baseline have the same logit.
    """
    return _area(maps, truth, steps, insert=True)


def _area(maps: Array, truth: Truth, steps: int, *, insert: bool) -> Array:
    curve = flipping_curve(maps, truth, steps=steps, insert=insert) - logits_of_baselines(truth)[:, None]
    share = _flipped(flat(maps).shape[1], steps) / flat(maps).shape[1]
    area = (np.diff(share) * (curve[:, 1:] + curve[:, :-1]) / 2).sum(1)
    whole = change(logits_of_images(truth), logits_of_baselines(truth), truth)
    return ratio(area, whole)


def _flipped(pixels: int, steps: int) -> NDArray[np.int64]:
    """Return the number of pixels flipped after each step, from 0 to all."""
    return np.round(np.linspace(0, pixels, steps + 1)).astype(np.int64)


def _step_of_pixel(values: Array, flipped: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the step in which each pixel is flipped: (N, P) gives (N, P)."""
    shuffled = np.random.default_rng(0).permutation(values.shape[1])
    order = shuffled[np.argsort(-values[:, shuffled], axis=1, kind="stable")]
    step = np.empty(values.shape, np.int64)
    np.put_along_axis(step, order, np.searchsorted(flipped, np.arange(values.shape[1]), side="right")[None], axis=1)
    return step
