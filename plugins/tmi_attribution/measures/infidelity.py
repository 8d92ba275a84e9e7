"""Whether the attributions of a region foretell what happens to the logit when it is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count, Share

from .arrays import ratio
from .replacing import change, contributions_inside, logits_of_images, logits_without, told

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask


@tmi.attribution_measure(better="lower", low=0, high=1, topic="fidelity", scored="signed", truth_free=True)
def infidelity(maps: Array, truth: Truth, *, seed: int, squares: Count = 40, side: Share = 0.25) -> Array:
    """Infidelity under the removal of squares, with the best scale for each map (Yeh et al. 2019, Definition 2.1).

    A square I of the image is replaced by the baseline; Σ_I a should be the logit's change Δ. Methods give numbers of different
    scales, so the map is scaled by the β that suits it best, and the error is given as a share of what there is to foretell:
    min_β mean (β Σ_I a − Δ)² / mean Δ².

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed. A pixel's attribution counts as its contribution, as integrated gradients, DeepLift and Shapley values mean it.
    truth : Truth
    seed : int
        Decides the squares, which are the same for every image and method.
    squares : int
        How many of them.
    side : float
        Their side as a share of the image's smaller side, rounded; at least one pixel.

    Returns
    -------
    ndarray of float64, shape (N,)
        0 where the changes are foretold up to a factor, 1 where the map says nothing of them. NaN where no removal changes the
        logit.

    Notes
    -----
    ``captum.metrics.infidelity(normalize=True)`` over mean Δ²; here all methods share the evaluations.
    """
    regions = _squares(seed, squares, side, maps.shape[2:])

    def changes() -> Array:
        return change(logits_of_images(truth), logits_without(truth, regions), truth)

    seen = truth.once(("infidelity", seed, squares, side), changes)
    said = contributions_inside(told(maps), regions)
    said = said / np.maximum(np.abs(said).max(0), np.finfo(float).tiny)  # so that squares of small numbers do not vanish
    explained = np.square((said * seen).sum(0))
    possible = np.square(said).sum(0) * np.square(seen).sum(0)
    return np.where(seen.any(0), (1 - ratio(explained, possible, 0)).clip(0, 1), np.nan)


def _squares(seed: int, count: int, side: float, shape: tuple[int, ...]) -> Mask:
    """Return squares at random places inside the image, bool (count, m, n)."""
    rng = np.random.default_rng(seed)
    length = max(1, round(side * min(shape)))
    found = np.zeros((count, *shape), bool)
    for square in found:
        row, col = (rng.integers(0, edge - length + 1) for edge in shape)
        square[row : row + length, col : col + length] = True
    return found
