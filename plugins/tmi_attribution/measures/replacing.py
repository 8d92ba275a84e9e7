"""What the network says when pixels are replaced by the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arrays import parts

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask

ELEMENTS = 400_000  # pixels of changed images held at a time: they and what a network makes of them stay near the cache


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
        The same for every image, so that no image's score depends on which others are scored with it.

    Returns
    -------
    ndarray of float64, shape (R, N)
    """
    import torch

    images, baselines = truth.images, truth.baselines
    removed = torch.from_numpy(regions).to(images.device)[:, None, None]
    found = np.empty((len(regions), len(truth)))
    for some in parts(len(regions), images.numel(), ELEMENTS):
        found[some] = truth.logit(torch.where(removed[some], baselines, images))
    return found


def change(logits: Array, others: Array, truth: Truth) -> Array:
    """Return ``logits − others``, and exactly 0 where they differ by no more than rounding in the module's dtype."""
    import torch

    found = logits - others
    rounding = 16 * torch.finfo(truth.images.dtype).eps * np.maximum(np.abs(logits), np.abs(others))
    return np.where(np.abs(found) <= rounding, 0, found)


def contributions_inside(maps: Array, regions: Mask) -> Array:
    """Return Σ a over each region, all channels together: (N, C, m, n) and (R, m, n) give (R, N)."""
    summed = maps.sum(1).reshape(len(maps), -1)
    found: Array = regions.reshape(len(regions), -1).astype(np.float64) @ summed.T
    return found


def told(maps: Array) -> Array:
    """Return maps in which one that is 0 everywhere is a constant one instead: both tell nothing."""
    silent = ~maps.any(axis=tuple(range(1, maps.ndim)))
    return np.where(silent.reshape(-1, *[1] * (maps.ndim - 1)), 1.0, maps)
