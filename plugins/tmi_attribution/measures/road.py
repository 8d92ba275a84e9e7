"""ROAD: the accuracy as pixels are removed and imputed from their neighbours (Remove And Debias, Rong et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import NotNegative, Share

from .arrays import flat, parts
from .curves import Ranking, importance, step_of_pixel
from .declared import undefined
from .imputation import impute
from .replacing import ELEMENTS

if TYPE_CHECKING:
    import torch

    from ..truth import Truth
    from .arrays import Array, Mask

Fill = Literal["neighbours", "black", "background"]
Output = Literal["accuracy", "probability"]

_SHARES: list[Share] = [0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9]


@undefined("the image has a single pixel, or there is one class")
@tmi.attribution_measure(better="lower", low=0, high=1, topic="fidelity", scored="signed", truth_free=True)
def road_morf(
    maps: Array,
    truth: Truth,
    *,
    seed: int,
    shares: list[Share] = _SHARES,
    noise: NotNegative = 0.01,
    fill: Fill = "neighbours",
    ranking: Ranking = "signed",
    output: Output = "accuracy",
) -> Array:
    """Accuracy as the pixels of greatest attribution are removed first and imputed (ROAD, MoRF, Rong et al. 2022).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; summed over the channels.
    truth : Truth
    seed : int
        Of the noise, which is the same for every image and method.
    shares : list of float
        The shares of the pixels that are removed, rounded; at least one pixel, and at least one is left. The source has 10 % to
        90 %; 1 % and 3 % are added for networks whose logit is 0 after each such removal.
    noise : float
        Standard deviation of the noise on imputed pixels.
    fill : {"neighbours", "black", "background"}
        What removed pixels become: the noisy linear imputation of the source, see `tmi_attribution.measures.imputation.impute`;
        black; or the pixels of the background that is really behind the tile, which is what imputation stands in for.
    ranking : {"signed", "absolute"}
        Whether pixels are removed by a, as in the source, or by |a|.
    output : {"accuracy", "probability"}
        Whether the attributed class has the greatest logit, as in the source (1/k if k classes share it); or its softmax
        probability.

    Returns
    -------
    ndarray of float64, shape (N,)
        The mean over the shares, in [0, 1]. NaN where the image has a single pixel, and where there is one class, which every
        answer names.

    Raises
    ------
    InputError
        If there is no share.
    """
    return _mean_output(importance(maps, ranking), truth, seed, shares, noise, fill, output)


@undefined("the image has a single pixel, or there is one class")
@tmi.attribution_measure(better="higher", low=0, high=1, topic="fidelity", scored="signed", truth_free=True)
def road_lerf(
    maps: Array,
    truth: Truth,
    *,
    seed: int,
    shares: list[Share] = _SHARES,
    noise: NotNegative = 0.01,
    fill: Fill = "neighbours",
    ranking: Ranking = "signed",
    output: Output = "accuracy",
) -> Array:
    """Accuracy as the pixels of least attribution are removed first and imputed (ROAD, LeRF, Rong et al. 2022).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; summed over the channels.
    truth : Truth
    seed : int
        Of the noise, which is the same for every image and method.
    shares : list of float
        See `road_morf`.
    noise : float
        Standard deviation of the noise on imputed pixels.
    fill : {"neighbours", "black", "background"}
        See `road_morf`.
    ranking : {"signed", "absolute"}
        Whether pixels are removed by a, as in the source, or by |a|.
    output : {"accuracy", "probability"}
        See `road_morf`.

    Returns
    -------
    ndarray of float64, shape (N,)
        The mean over the shares, in [0, 1]. NaN where the image has a single pixel, and where there is one class, which every
        answer names.

    Raises
    ------
    InputError
        If there is no share.
    """
    return _mean_output(-importance(maps, ranking), truth, seed, shares, noise, fill, output)


def _mean_output(ranked: Array, truth: Truth, seed: int, shares: list[float], noise: float, fill: Fill, output: Output) -> Array:
    if not shares:
        raise InputError("shares: expected at least one")
    pixels = flat(ranked).shape[1]
    if pixels == 1 or len(truth.scenes.task.classes) == 1:
        return np.full(len(ranked), np.nan)
    counts = np.unique(np.round(np.array(shares) * pixels).astype(np.int64).clip(1, pixels - 1))
    step = step_of_pixel(flat(ranked), np.concatenate([[0], counts])).reshape(ranked.shape)
    added = noise * np.random.default_rng(seed).standard_normal(truth.images.shape[1:])
    total = np.zeros(len(ranked))
    for rows in parts(len(ranked), truth.images[:1].numel(), ELEMENTS):
        part = truth[rows]
        for number in range(1, len(counts) + 1):
            total[rows] += part.output(_filled(part, step[rows] <= number, fill, added), output)
    return total / len(counts)


def _filled(truth: Truth, removed: Mask, fill: Fill, noise: Array) -> torch.Tensor:
    """Return the images with their removed pixels, bool (N, m, n), filled; (N, C, m, n)."""
    import torch

    gone = torch.from_numpy(removed).to(truth.images.device)[:, None]
    if fill == "neighbours":
        images = truth.images.double().cpu().numpy()
        noisy = np.where(removed[:, None], impute(images, removed) + noise, images).clip(0, 1)
        return torch.from_numpy(noisy).to(truth.images)
    return torch.where(gone, truth.against(fill).baselines, truth.images)
