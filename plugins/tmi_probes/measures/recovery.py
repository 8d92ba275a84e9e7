"""Unit recovery: how well single units match exact features, one to one and each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pipeline.features import Features

    Array = NDArray[np.float64]

_NUMBERS = 4_000_000  # that the F1 of many units is worked out on at a time


@dataclass(frozen=True, eq=False)
class Recovery:
    """How well units match features.

    Attributes
    ----------
    mcc : float
        Mean |correlation| over the features, each with the unit that the best one-to-one matching gives it; a feature without a
        unit counts 0. NaN where no feature varies.
    uniqueness : float
        Distinct best features / units. NaN without units, or where no feature varies.
    f1 : ndarray of float64, shape (units,)
        Best F1 of each unit, over features and thresholds.
    f1_feature : ndarray of int64, shape (units,)
        The feature at which it is reached, the first of equals.
    best : ndarray of float64, shape (units,)
        Largest |correlation| of each unit with a feature; 0 where no feature varies.
    best_feature : ndarray of int64, shape (units,)
        The feature with which, the first of equals; −1 where no feature varies.
    matched : ndarray of float64, shape (features,)
        |Correlation| of each feature with its unit in the matching; 0 without one.
    matched_unit : ndarray of int64, shape (features,)
        That unit; −1 without one.
    """

    mcc: float
    uniqueness: float
    f1: Array
    f1_feature: NDArray[np.int64]
    best: Array
    best_feature: NDArray[np.int64]
    matched: Array
    matched_unit: NDArray[np.int64]


def recovery(activations: NDArray[Any], features: Features) -> Recovery:
    """Match units with features.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
        Of units that vary; see `varies`.
    features : Features
        On the same images.

    Returns
    -------
    Recovery
    """
    units, count = activations.shape[1], len(features)
    size = np.abs(correlations(activations, features))
    f1, f1_feature = best_f1(activations, features)
    matched, matched_unit = np.zeros(count), np.full(count, -1)
    best, best_feature = np.zeros(units), np.full(units, -1)
    mcc = uniqueness = np.nan
    if count > 1:  # one feature alone is on every image: it does not vary
        feature, unit = match(size)
        matched[feature], matched_unit[feature] = size[feature, unit], unit
        mcc = float(matched.mean())
        if units:
            # Equal but for rounding is equal: the first one is the best.
            best, best_feature = size.max(0), (size >= size.max(0) - 1e-9).argmax(0)
            uniqueness = len(np.unique(best_feature)) / units
    return Recovery(mcc, uniqueness, f1, f1_feature, best, best_feature, matched, matched_unit)


def correlations(activations: NDArray[Any], features: Features) -> Array:
    """Return Pearson's correlation of every feature's indicator with every unit.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
    features : Features

    Returns
    -------
    ndarray of float64, shape (features, units)
        In [−1, 1]; 0 where the unit or the feature is constant.
    """
    images = len(activations)
    largest = np.abs(activations).max(0, initial=0).astype(np.float64)
    # Scaled, so that squares neither overflow nor vanish.
    scaled = activations / np.where(largest > 0, largest, 1)
    scaled -= scaled.mean(0)
    counts = features.counts[:, None]
    spread = np.sqrt(counts * (1 - counts / images)) * np.sqrt(np.square(scaled).sum(0))
    total = features.members @ scaled
    defined = (spread > 0) & varies(activations)
    result: Array = np.clip(np.divide(total, spread, out=np.zeros_like(total), where=defined), -1, 1)
    return result


def match(size: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the one-to-one matching of features with units of the largest sum (Kuhn 1955).

    Parameters
    ----------
    size : ndarray, shape (features, units)

    Returns
    -------
    feature, unit : ndarray of int64, shape (min(features, units),)
        Ascending by feature.
    """
    from scipy.optimize import linear_sum_assignment

    count = len(size)
    # No feature needs a unit beyond its best `count` ones: the others leave it one of those.
    if size.shape[1] > count * count:
        candidates = np.unique(np.argpartition(-size, count - 1, axis=1)[:, :count])
    else:
        candidates = np.arange(size.shape[1])
    feature, unit = linear_sum_assignment(size[:, candidates], maximize=True)
    return feature, candidates[unit]


def best_f1(activations: NDArray[Any], features: Features) -> tuple[Array, NDArray[np.int64]]:
    """Return the best F1 of each unit: "the activation is at least θ" as a test for a feature, over all features and all θ.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
    features : Features

    Returns
    -------
    f1 : ndarray of float64, shape (units,)
        In (0, 1]; a constant unit scores what always naming the commonest feature does.
    feature : ndarray of int64, shape (units,)
        At which it is reached, the first of equals.

    Notes
    -----
    Between two images of a feature a lower θ only adds false alarms, so the best θ is an image's activation. With r images at or
    above it, s of them among the n of its feature, F1 = 2s/(r + n): two sortings give it for all features.
    """
    units = activations.shape[1]
    f1, feature = np.zeros(units), np.full(units, -1)
    step = max(1, _NUMBERS // max(len(activations), 1))
    for start in range(0, units, step):
        part = slice(start, start + step)
        f1[part], feature[part] = _best_f1(activations[:, part], features)
    return f1, feature


def _best_f1(activations: NDArray[Any], features: Features) -> tuple[Array, NDArray[np.int64]]:
    values = np.ascontiguousarray(-activations.T)
    order = values.argsort(1)
    values = np.take_along_axis(values, order, 1)
    last = np.concatenate([values[:, 1:] != values[:, :-1], np.ones((len(values), 1), bool)], axis=1)
    # At or above an image are all up to the last one that is equal to it.
    ends = np.where(last, np.arange(1, values.shape[1] + 1), values.shape[1])
    above = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    # Feature by feature, the strongest image first. Labels are small numbers, which a stable sort takes in linear time.
    small = np.int16 if len(features) < 2**15 else np.int64
    grouped = np.take_along_axis(above, features.of_image.astype(small)[order].argsort(1, kind="stable"), 1)
    counts = features.counts
    label = np.repeat(np.arange(len(features)), counts)
    own = np.arange(1, len(label) + 1) - (np.cumsum(counts) - counts)[label]
    f1 = 2 * own / (grouped + counts[label])
    first = f1.argmax(1)  # of equals in one feature the last counts all, and scores more
    return f1[np.arange(len(f1)), first], label[first]


def varies(activations: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which units vary by more than rounding: constant and dead ones do not.

    Parameters
    ----------
    activations : ndarray of float, shape (N, units)

    Returns
    -------
    ndarray of bool, shape (units,)
        False too for a unit with NaN or infinite activations.
    """
    if not len(activations):
        return np.zeros(activations.shape[1], bool)
    low, high = activations.min(0), activations.max(0)
    with np.errstate(invalid="ignore"):
        wide = high - low > 16 * np.finfo(activations.dtype).eps * np.maximum(np.abs(low), np.abs(high))
    result: NDArray[np.bool_] = wide & np.isfinite(low) & np.isfinite(high)
    return result
