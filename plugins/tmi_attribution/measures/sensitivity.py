"""Two measures called sensitivity: of the attribution to small changes of the image, and of the logit to sets of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count, Positive, Share

from ..truth import Baseline
from .arrays import flat, known_mean, ratio
from .correlation import pearson
from .declared import undefined
from .replacing import change, contributions_inside, logits_of_baselines, logits_of_images, logits_without

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask

_MAX_BASELINE_SHARE = 0.1
"""A size counts if at most this share of its sets leaves the logit of the baseline."""


@undefined("the map is 0 everywhere, or no change of this radius changes the image in its dtype")
@tmi.attribution_measure(better="lower", low=0, topic="fidelity", scored="signed", truth_free=True)
def sensitivity_max(
    maps: Array,
    truth: Truth,
    *,
    seed: int,
    attribute: Callable[[Truth], Array],
    radius: Positive = 0.002,
    draws: Count = 10,
    images: Count = 50,
) -> Array:
    """Greatest relative change ‖a(x + δ) − a(x)‖/‖a(x)‖ over random δ: a lower bound of the maximum (Yeh et al. 2019, Def. 3.1).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; nothing is ranked.
    truth : Truth
    seed : int
        Of the changes δ, which are the same for every image and method; with more draws the first ones stay as they are.
    attribute : callable
        Runs the method again.
    radius : float
        δ is uniform in [−radius, radius] at each pixel; the changed image is clipped to [0, 1]. The baselines do not change. For
        several radii name the measure several times, as in "sensitivity-max(radius=0.02)".
    draws : int
        The number of changes.
    images : int
        The number of images that are scored, the first ones: each costs ``draws`` runs of the method.

    Returns
    -------
    ndarray of float64, shape (N,)
        At least 0, and at most the maximum over all δ of the radius: it grows with the draws, and no number of them shows that a
        map is stable. A map and its negation have the same score, and a map that ignores the image has 0. NaN for a map of zeros,
        for an image that no change of this radius changes in its dtype, and for the other images.

    Notes
    -----
    ``captum.metrics.sensitivity_max`` with random changes that do not depend on the other images.
    """
    import torch

    rng = np.random.default_rng(seed)
    scored, known = truth[:images], maps[:images]
    greatest, changed = np.zeros(len(known)), np.zeros(len(known), bool)
    for _ in range(draws):
        noise = torch.from_numpy(rng.uniform(-radius, radius, truth.images.shape[1:])).to(truth.images)
        moved = (scored.images + noise).clamp(0, 1)
        changed |= (moved != scored.images).flatten(1).any(1).cpu().numpy()
        other = attribute(scored.on(moved))
        greatest = np.maximum(greatest, np.linalg.norm(flat(other - known), axis=1))
    scores = np.full(len(maps), np.nan)
    scores[:images] = np.where(changed, ratio(greatest, np.linalg.norm(flat(known), axis=1)), np.nan)
    return scores


@undefined("with sets of every size the logit changes equally, or is that of the baseline for more than a tenth of the sets")
@tmi.attribution_measure(low=-1, high=1, topic="fidelity", scored="signed", truth_free=True)
def sensitivity_n(
    maps: Array,
    truth: Truth,
    *,
    seed: int,
    largest: Share = 0.8,
    sizes: Count = 5,
    sets: Count = 20,
    baseline: Baseline | None = None,
) -> Array:
    """Correlation of Σ_S a with the logit's change when the pixels S are removed (sensitivity-n, Ancona et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed. A pixel's attribution counts as its contribution to the logit, which a plain gradient is not.
    truth : Truth
    seed : int
        Of the sets, which are the same for every image and method.
    largest : float
        The largest size n of the sets S as a share of the pixels, rounded; it is halved down to one pixel.
    sizes : int
        So many sizes count for an image: the largest usable ones. A size is usable if at most a tenth of its sets leaves the
        logit of the baseline, and the changes of the logit differ between the sets.
    sets : int
        Random sets of each size, which are replaced by the baseline.
    baseline : {"black", "background"}, optional
        What sets are replaced by; by default the bench's baseline.

    Returns
    -------
    ndarray of float64, shape (N,)
        The mean over the sizes of Pearson's correlation over the sets of one size, in [−1, 1]. A map whose sums do not differ,
        such as a constant one, has 0. NaN if no size is usable.
    """
    truth = truth.against(baseline)

    def usable_sizes() -> tuple[list[Mask], Array]:
        return _usable_sizes(truth, seed, largest, sizes, sets)

    regions, observed = truth.once(("sensitivity-n", seed, largest, sizes, sets), usable_sizes)
    return known_mean(
        np.stack([pearson(contributions_inside(maps, some).T, seen.T) for some, seen in zip(regions, observed, strict=True)])
    )


def _usable_sizes(truth: Truth, seed: int, largest: float, sizes: int, sets: int) -> tuple[list[Mask], Array]:
    """Return sets of halving sizes, each (sets, m, n), and the changes (tried, sets, N), all 0 at sizes that do not count."""
    whole, nothing = logits_of_images(truth), logits_of_baselines(truth)
    regions: list[Mask] = []
    observed: list[Array] = []
    count = np.zeros(len(truth), np.int64)
    pixels, number = int(np.prod(truth.images.shape[2:])), 0
    while not observed or ((count < sizes).any() and round(largest * pixels / 2 ** (number - 1)) > 1):
        some = _sets(seed, number, max(1, round(largest * pixels / 2**number)), sets, tuple(truth.images.shape[2:]))
        left = logits_without(truth, some)
        changes = change(whole, left, truth)
        as_baseline = (change(left, nothing, truth) == 0) & (changes != 0)
        counts = (as_baseline.mean(0) <= _MAX_BASELINE_SHARE) & (changes != changes[0]).any(0) & (count < sizes)
        regions.append(some)
        observed.append(np.where(counts, changes, 0))
        count, number = count + counts, number + 1
    return regions, np.stack(observed)


def _sets(seed: int, number: int, size: int, count: int, shape: tuple[int, ...]) -> Mask:
    """Return random sets of ``size`` pixels, bool (count, m, n)."""
    rng = np.random.default_rng([seed, number])
    pixels = int(np.prod(shape))
    sets = np.zeros((count, pixels), bool)
    for chosen in sets:
        chosen[rng.permutation(pixels)[:size]] = True
    return sets.reshape(count, *shape)
