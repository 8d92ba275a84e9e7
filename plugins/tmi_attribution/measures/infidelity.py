"""Infidelity: whether the attributions of a region predict the logit's change when the region is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count, Share

from ..truth import Baseline
from .arrays import ratio
from .declared import undefined
from .replacing import change, constant_if_zero, contributions_inside, logits_of_images, logits_without

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask


@undefined("no removed square changes the logit, or all squares are the same one")
@tmi.attribution_measure(better="lower", low=0, high=1, topic="fidelity", scored="signed", truth_free=True)
def infidelity(
    maps: Array, truth: Truth, *, seed: int, squares: Count = 40, side: Share = 0.25, baseline: Baseline | None = None
) -> Array:
    """Infidelity under the removal of squares, with the best scale β ≥ 0 for each map (Yeh et al. 2019, Definition 2.1).

    A square I of the image is replaced by the baseline; Σ_I a should be the logit's change Δ. The scales of methods differ, so
    the map is scaled by the best β ≥ 0, and the error is relative to the changes: min_β mean (β Σ_I a − Δ)² / mean Δ².

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed. A pixel's attribution counts as its contribution to the logit, as integrated gradients, DeepLift and Shapley
        values mean it. A plain gradient is no contribution: it says how the logit changes with the pixel, not what is lost when
        the pixel is removed. It may score 1 and be right as a gradient.
    truth : Truth
    seed : int
        Of the squares, which are the same for every image and method.
    squares : int
        Their number.
    side : float
        Their side as a share of the image's smaller side, rounded; at least one pixel.
    baseline : {"black", "background"}, optional
        What squares are replaced by; by default the bench's baseline.

    Returns
    -------
    ndarray of float64, shape (N,)
        0 where the map predicts the changes up to a factor. 1 where it predicts nothing, and also where its best factor would be
        negative, as for the negation of a map that predicts something: an inverted map is not told from one without information.
        NaN where no removal changes the logit, and where all squares are the same one: its change is predicted by any map up to a
        factor.

    Notes
    -----
    ``captum.metrics.infidelity(normalize=True)`` over mean Δ², but for β ≥ 0; here all methods share the evaluations of the
    network.
    """
    truth = truth.against(baseline)
    regions = _squares(seed, squares, side, maps.shape[2:])

    def changes() -> Array:
        return change(logits_of_images(truth), logits_without(truth, regions), truth)

    observed = truth.once(("infidelity", seed, squares, side), changes)
    predicted = contributions_inside(constant_if_zero(maps), regions)
    predicted = predicted / np.maximum(np.abs(predicted).max(0), np.finfo(float).tiny)  # squares of small numbers underflow
    explained = np.square((predicted * observed).sum(0).clip(0))
    possible = np.square(predicted).sum(0) * np.square(observed).sum(0)
    if len(np.unique(regions.reshape(len(regions), -1), axis=0)) == 1:  # a factor predicts a single change
        return np.full(len(maps), np.nan)
    return np.where(observed.any(0), (1 - ratio(explained, possible, 0)).clip(0, 1), np.nan)


def _squares(seed: int, count: int, side: float, shape: tuple[int, ...]) -> Mask:
    """Return squares at random places inside the image, bool (count, m, n)."""
    rng = np.random.default_rng(seed)
    length = max(1, round(side * min(shape)))
    squares = np.zeros((count, *shape), bool)
    for square in squares:
        row, col = (rng.integers(0, edge - length + 1) for edge in shape)
        square[row : row + length, col : col + length] = True
    return squares
