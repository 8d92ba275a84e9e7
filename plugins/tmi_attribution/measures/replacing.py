"""The logit when pixels are replaced by the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arrays import flat, parts

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask

ELEMENTS = 400_000  # pixels of changed images at a time: they and the activations stay near the processor's cache


def logits_of_images(truth: Truth) -> Array:
    """Return the attributed logit on each image, float64 (N,)."""
    return truth.once("logit of the images", lambda: truth.logit(truth.images))


def logits_of_baselines(truth: Truth) -> Array:
    """Return the attributed logit on each baseline, float64 (N,)."""
    return truth.once("logit of the baselines", lambda: truth.logit(truth.baselines))


def logits_without(truth: Truth, regions: Mask) -> Array:
    """Return the attributed logit when a region of the image is replaced by the baseline.

    Parameters
    ----------
    truth : Truth
    regions : ndarray of bool, shape (R, m, n)
        The same for every image, so that the score of an image does not depend on the others.

    Returns
    -------
    ndarray of float64, shape (R, N)
    """
    import torch

    images, baselines = truth.images, truth.baselines
    removed = torch.from_numpy(regions).to(images.device)[:, None, None]
    logits = np.empty((len(regions), len(truth)))
    for rows in parts(len(regions), images.numel(), ELEMENTS):
        logits[rows] = truth.logit(torch.where(removed[rows], baselines, images))
    return logits


def change(logits: Array, others: Array, truth: Truth) -> Array:
    """Return ``logits − others``, exactly 0 where they differ by no more than rounding in the module's dtype."""
    import torch

    difference = logits - others
    rounding = 16 * torch.finfo(truth.images.dtype).eps * np.maximum(np.abs(logits), np.abs(others))
    return np.where(np.abs(difference) <= rounding, 0, difference)


def contributions_inside(maps: Array, regions: Mask) -> Array:
    """Return Σ a over each region, all channels together: (N, C, m, n) and (R, m, n) give (R, N)."""
    summed = flat(maps.sum(1))
    sums: Array = flat(regions).astype(np.float64) @ summed.T
    return sums


def constant_if_zero(maps: Array) -> Array:
    """Return the maps with 1 everywhere in place of a map of zeros, so that both score the same."""
    zero = ~maps.any(axis=tuple(range(1, maps.ndim)))
    return np.where(zero.reshape(-1, *[1] * (maps.ndim - 1)), 1.0, maps)
