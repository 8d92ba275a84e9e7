"""Two measures called sensitivity: of the attribution to small changes of the image, and of the logit to sets of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Positive, Share

from .arrays import flat, known_mean, ratio
from .correlation import pearson
from .replacing import change, contributions_inside, logits_of_images, logits_without

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask

_SHARES: list[Share] = [0.1, 0.3, 0.5, 0.7, 0.9]


@tmi.attribution_measure(better="lower", low=0, topic="fidelity", scored="signed", truth_free=True)
def sensitivity_max(
    maps: Array, truth: Truth, *, seed: int, attribute: Callable[[Truth], Array], radius: Positive = 0.002, draws: Count = 5
) -> Array:
    """Greatest relative change of the attribution near the image: max ‖a(x + δ) − a(x)‖/‖a(x)‖ (Yeh et al. 2019, Definition 3.1).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed.
    truth : Truth
    seed : int
        Of the changes δ, which are the same for every image and method.
    attribute : callable
        Runs the method again.
    radius : float
        δ is uniform in [−radius, radius] at each pixel; the changed image is clipped to [0, 1]. The baselines do not change.
    draws : int
        The number of changes.

    Returns
    -------
    ndarray of float64, shape (N,)
        At least 0. NaN for a map of zeros, and for an image that no change of this radius changes in its dtype.

    Notes
    -----
    ``captum.metrics.sensitivity_max`` with random changes that do not depend on the other images.
    """
    import torch

    rng = np.random.default_rng(seed)
    greatest, changed = np.zeros(len(maps)), np.zeros(len(maps), bool)
    for _ in range(draws):
        noise = torch.from_numpy(rng.uniform(-radius, radius, truth.images.shape[1:])).to(truth.images)
        moved = (truth.images + noise).clamp(0, 1)
        changed |= (moved != truth.images).flatten(1).any(1).cpu().numpy()
        other = attribute(truth.on(moved))
        greatest = np.maximum(greatest, np.linalg.norm(flat(other - maps), axis=1))
    length = np.linalg.norm(flat(maps), axis=1)
    return np.where(changed, ratio(greatest, length), np.nan)


@tmi.attribution_measure(low=-1, high=1, topic="fidelity", scored="signed", truth_free=True)
def sensitivity_n(maps: Array, truth: Truth, *, seed: int, shares: list[Share] = _SHARES, sets: Count = 20) -> Array:
    """Correlation of Σ_S a with the logit's change when the pixels S are removed (sensitivity-n, Ancona et al. 2018).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed.
    truth : Truth
    seed : int
        Of the sets, which are the same for every image and method.
    shares : list of float
        Sizes n of the sets S as shares of the pixels, rounded; at least one pixel.
    sets : int
        Random sets of each size, which are replaced by the baseline.

    Returns
    -------
    ndarray of float64, shape (N,)
        The mean over the sizes of Pearson's correlation over the sets of one size, in [−1, 1]. A map whose sums do not differ,
        such as a constant one, has 0. Sizes at which the logit does not change, or always by the same amount, are left out; NaN
        if all are.

    Raises
    ------
    InputError
        If there is no share.
    """
    if not shares:
        raise InputError("shares: expected at least one")
    regions = _sets(seed, shares, sets, maps.shape[2:])

    def changes() -> Array:
        return change(logits_of_images(truth), logits_without(truth, regions.reshape(-1, *maps.shape[2:])), truth)

    observed = truth.once(("sensitivity-n", seed, tuple(shares), sets), changes).reshape(len(shares), sets, len(maps))
    predicted = [contributions_inside(maps, sets_of_size) for sets_of_size in regions]
    return known_mean(np.stack([pearson(sums.T, changes.T) for sums, changes in zip(predicted, observed, strict=True)]))


def _sets(seed: int, shares: list[float], count: int, shape: tuple[int, ...]) -> Mask:
    """Return random sets of pixels, bool (sizes, count, m, n)."""
    rng = np.random.default_rng(seed)
    pixels = int(np.prod(shape))
    sets = np.zeros((len(shares), count, pixels), bool)
    for share, sets_of_size in zip(shares, sets, strict=True):
        for chosen in sets_of_size:
            chosen[rng.permutation(pixels)[: max(1, round(share * pixels))]] = True
    return sets.reshape(len(shares), count, *shape)
