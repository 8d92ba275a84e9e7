"""Localisation: six measures of how far the attribution lies in the mask G, the support of the tile.

``mass`` depends on the values, the others on the order of the pixels. With equal pixels the score is the expectation over their
random orders, so a constant map, or a map of zeros, has exactly the score of chance. An image whose mask is empty, or the whole
image, has no score: every map would have the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Share

from .arrays import divides, flat, parts, ratio, share_inside, share_of_pixels, sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..truth import Truth
    from .arrays import Array, Mask

_ELEMENTS = 100_000  # pixels ranked at a time: they fit into the processor's cache


def chance_of_pixels(truth: Truth) -> Array:
    """Return |G|/P, P the number of pixels: the expected share of a random map in G, and the probability that a pixel is in G."""
    return share_of_pixels(truth.masks)


def chance_of_auc(truth: Truth) -> Array:
    """Return 1/2: with a random map a pixel of G is as often above one outside as below it."""
    return np.where(divides(truth.masks), 0.5, np.nan)


def chance_of_average_precision(truth: Truth) -> Array:
    """Return the expectation over all orders of the P pixels: (H + (|G| − 1)/(P − 1) · (P − H))/P with H = 1 + 1/2 + … + 1/P."""
    count = flat(truth.masks).shape[1]
    harmonic = (1 / np.arange(1, count + 1)).sum()
    others = (sizes(truth.masks) - 1) / max(1, count - 1)
    return np.where(np.isnan(share_of_pixels(truth.masks)), np.nan, (harmonic + others * (count - harmonic)) / count)


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_pixels)
def mass(maps: Array, truth: Truth) -> Array:
    """Share of the attribution that lies in G: Σ_G a / Σ a (relevance mass accuracy, Arras et al. 2022).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1].
    """
    return share_inside(maps, truth.masks)


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_pixels)
def precision(maps: Array, truth: Truth) -> Array:
    """Share of the |G| strongest pixels that are in G (relevance rank accuracy, Arras et al. 2022).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1].
    """
    return _among_strongest(maps, truth.masks, sizes(truth.masks))


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_pixels)
def pointing_game(maps: Array, truth: Truth) -> Array:
    """Whether the strongest pixel is in G (pointing game, Zhang et al. 2018, without a margin around G).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth

    Returns
    -------
    ndarray of float64, shape (N,)
        1 or 0; where several pixels are the strongest, the share of them that are in G.
    """
    return _among_strongest(maps, truth.masks, np.ones(len(maps), np.int64))


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_pixels)
def top_k(maps: Array, truth: Truth, *, share: Share = 0.05) -> Array:
    """Share of the k strongest pixels that are in G (top-k intersection, Theiner et al. 2021).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth
    share : float
        k as a share of the pixels, rounded; at least one pixel. If k > |G|, even the mask itself scores below 1.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1].
    """
    k = max(1, round(share * flat(maps).shape[1]))
    return _among_strongest(maps, truth.masks, np.full(len(maps), k))


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_auc)
def auc(maps: Array, truth: Truth) -> Array:
    """Area under the ROC curve of "is the pixel in G?": how often a pixel of G is above one outside (Fawcett 2006).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; equal pixels count half.

    Notes
    -----
    Computed from the sum of the ranks of G (Mann and Whitney 1947), equal pixels at the mean of their ranks.
    """
    inside = sizes(truth.masks)
    outside = flat(maps).shape[1] - inside
    ranks = np.empty(len(maps))
    for rows in parts(len(maps), flat(maps).shape[1], _ELEMENTS):
        within, start, end = _descending(maps[rows], truth.masks[rows])
        # The rank of a pixel: the number of pixels above it, plus half of those equal.
        ranks[rows] = np.einsum("np,np->n", within, start + end) / 2
    pairs = inside * outside
    above = inside * (outside + inside / 2) - ranks
    return ratio(above, pairs)


@tmi.attribution_measure(low=0, high=1, topic="localisation", chance=chance_of_average_precision)
def average_precision(maps: Array, truth: Truth) -> Array:
    """Precision averaged over the ranks of the pixels of G (Buckley and Voorhees 2000).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, m, n) or (N, neurons)
        At least 0.
    truth : Truth

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]. With equal pixels it is the expectation over their orders; scikit-learn takes the precision at the last of
        them, by which a constant map would score less than a random one.
    """
    result = np.empty(len(maps))
    for rows in parts(len(maps), flat(maps).shape[1], _ELEMENTS):
        within, start, end = _descending(maps[rows], truth.masks[rows])
        counts = np.pad(within.cumsum(1), ((0, 0), (1, 0)))
        before = np.take_along_axis(counts, start, 1)
        inside, equal = np.take_along_axis(counts, end, 1) - before, end - start
        place = np.arange(within.shape[1])
        # A place among equal pixels holds one of G with probability inside/equal; the others of G are spread over the rest.
        earlier = before + (place - start) * (inside - 1) / np.maximum(equal - 1, 1)
        result[rows] = (inside / equal * (1 + earlier) / (place + 1)).sum(1)
    return ratio(result, np.where(divides(truth.masks), sizes(truth.masks), 0))


def _among_strongest(maps: Array, masks: Mask, k: NDArray[np.int64]) -> Array:
    """Return the share of the k strongest pixels that are in the mask, (N,); k may differ from image to image."""
    count = flat(maps).shape[1]
    k = np.clip(k, 1, count)
    result = np.empty(len(maps))
    for rows in parts(len(maps), count, _ELEMENTS):
        values, inside, wanted = flat(maps[rows]), flat(masks[rows]), k[rows]
        if (wanted == 1).all():
            last = values.max(1)
        else:
            last = np.take_along_axis(np.sort(values, 1), (count - wanted)[:, None], 1)[:, 0]
        above, equal = values > last[:, None], values == last[:, None]
        # The share of the equal pixels that are among the k strongest.
        share = (wanted - sizes(above)) / sizes(equal)
        result[rows] = (sizes(above & inside) + share * sizes(equal & inside)) / wanted
    return np.where(divides(masks), result, np.nan)


def _descending(maps: Array, masks: Mask) -> tuple[Mask, NDArray[np.int64], NDArray[np.int64]]:
    """Sort the pixels of each image, the strongest first.

    Returns
    -------
    inside : ndarray of bool, shape (N, P)
        Whether the pixel at each place is in the mask.
    start, end : ndarray of int64, shape (N, P)
        The equal pixels of each: the places from start to just before end.
    """
    values = np.ascontiguousarray(flat(maps), np.float64)
    # The bits of numbers ≥ 0, read as integers, have the order of the numbers; the unused sign bit makes room for the mask.
    keys = (values.view(np.uint64) << np.uint64(1)) | flat(masks)
    keys.sort(axis=1)
    keys = keys[:, ::-1]
    inside = (keys & np.uint64(1)).astype(bool)
    keys = keys >> np.uint64(1)
    place = np.arange(keys.shape[1])
    new = np.ones(keys.shape, bool)
    new[:, 1:] = keys[:, 1:] != keys[:, :-1]
    last = np.ones(keys.shape, bool)
    last[:, :-1] = new[:, 1:]
    start = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, place + 1, keys.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return inside, start, end
