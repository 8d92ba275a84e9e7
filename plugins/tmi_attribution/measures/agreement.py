"""Agreement of a map with the exact signed attribution, which is known for constructed networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi

from .arrays import flat, ratio, sizes
from .correlation import pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..truth import Truth
    from .arrays import Array


@tmi.attribution_measure(better="lower", low=0, topic="agreement", scored="signed")
def relative_error(maps: Array, truth: Truth) -> Array:
    """Σ |a − o|/Σ |o|, with o the exact attribution.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed. Maps of one channel are compared with o summed over the channels.
    truth : Truth
        With the exact attribution.

    Returns
    -------
    ndarray of float64, shape (N,)
        At least 0; a map of zeros has 1. NaN where o is 0 everywhere or not known.
    """
    if truth.exact is None:
        return np.full(len(maps), np.nan)
    exact = truth.exact
    if maps.shape[1] != exact.shape[1]:
        maps, exact = (values.sum(1, keepdims=True) for values in (maps, exact))
    whole = np.abs(flat(exact)).sum(1)
    return ratio(np.abs(flat(maps - exact)).sum(1), whole)


@tmi.attribution_measure(low=0, high=1, topic="agreement", scored="signed")
def signed_agreement(maps: Array, truth: Truth) -> Array:
    """Share of the exact attribution's k strongest pixels that are among the map's k strongest, with the right sign.

    Signed top-k agreement (Krishna et al. 2022) with k = |G|; fewer where the exact attribution has fewer pixels that are not 0.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; the channels are summed.
    truth : Truth
        With the exact attribution.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1], the expectation over random orders of equal pixels; a pixel of 0 has no sign. NaN where the exact attribution
        is 0 everywhere or not known, or G is empty.
    """
    if truth.exact is None:
        return np.full(len(maps), np.nan)
    summed, exact = _summed(maps), _summed(truth.exact)
    k = np.minimum(sizes(truth.masks), sizes(exact != 0))
    both = _chosen(np.abs(summed), k) * _chosen(np.abs(exact), k) * (np.sign(summed) == np.sign(exact)) * (exact != 0)
    return ratio(both.sum(1), k)


@tmi.attribution_measure(low=-1, high=1, topic="agreement", scored="signed")
def rank_correlation(maps: Array, truth: Truth) -> Array:
    """Spearman's rank correlation of |a| and |o| over the pixels, with o the exact attribution.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed; the absolute values are summed over the channels.
    truth : Truth
        With the exact attribution.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [−1, 1]; a constant map, or one of zeros, has 0. NaN where |o| is constant or not known.
    """
    from scipy.stats import rankdata

    if truth.exact is None:
        return np.full(len(maps), np.nan)
    sizes_of_maps, sizes_of_exact = (_summed(np.abs(values)) for values in (maps, truth.exact))
    return pearson(rankdata(sizes_of_maps, axis=1), rankdata(sizes_of_exact, axis=1))


def _summed(values: Array) -> Array:
    """Return one row for each image, the channels summed: (N, C, m, n) gives (N, m · n)."""
    return flat(values.sum(1))


def _chosen(values: Array, k: NDArray[np.int64]) -> Array:
    """Return the probability that each pixel is among the k strongest, equal pixels in random order: (N, P) gives (N, P)."""
    last = np.take_along_axis(np.sort(values, 1), (values.shape[1] - np.maximum(k, 1))[:, None], 1)
    above, equal = values > last, values == last
    share = (k - sizes(above)) / sizes(equal)
    return np.where(equal, share[:, None], above)
