"""Unit recovery: how well single units match exact features, one to one and each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pipeline.features import Features

    Array = NDArray[np.float64]

_AT_ONCE = 4_000_000  # activations for which F1 is computed at a time


@dataclass(frozen=True, eq=False)
class Recovery:
    """How well units match features.

    Attributes
    ----------
    mcc : float
        Mean |correlation| over the features, each with its unit in the best one-to-one matching; a feature without a unit counts
        0. NaN where no feature varies.
    uniqueness : float
        Distinct best features / units. NaN without units, or where no feature varies.
    f1 : ndarray of float64, shape (units,)
        Best F1 of each unit, over features and thresholds.
    f1_feature : ndarray of int64, shape (units,)
        The feature with that F1, the first of equals.
    best : ndarray of float64, shape (units,)
        Largest |correlation| of each unit with a feature; 0 where no feature varies.
    best_feature : ndarray of int64, shape (units,)
        The feature with that correlation, the first of equals; −1 where no feature varies.
    matched : ndarray of float64, shape (features,)
        |Correlation| of each feature with its unit in the matching; 0 without one.
    matched_unit : ndarray of int64, shape (features,)
        The unit of each feature in the matching; −1 without one.
    """

    mcc: float
    uniqueness: float
    f1: Array
    f1_feature: NDArray[np.int64]
    best: Array
    best_feature: NDArray[np.int64]
    matched: Array
    matched_unit: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MatchedUnits:
    """Units, prepared to be matched with any number of truths: what does not depend on the truth is computed once.

    Attributes
    ----------
    deviations : ndarray of float64, shape (N, units)
        Activations less their mean, scaled so that squares neither overflow nor underflow; 0 for a unit that does not vary.
    spread : ndarray of float64, shape (units,)
        Their norms.
    order : ndarray of int, shape (units, N)
        The images of each unit, the strongest first.
    above : ndarray of int, shape (units, N)
        How many images are at least as strong as each in that order.
    """

    deviations: Array
    spread: Array
    order: NDArray[Any]
    above: NDArray[Any]

    @classmethod
    def of(cls, activations: NDArray[Any]) -> MatchedUnits:
        """Prepare units, as activations (N, units)."""
        images, units = activations.shape
        largest = np.abs(activations).max(0, initial=0).astype(np.float64)
        deviations = activations / np.where(largest > 0, largest, 1)
        deviations -= deviations.mean(0)
        deviations[:, ~varies(activations)] = 0
        small = np.int16 if images < 2**15 else np.int64
        order, above = np.empty((units, images), small), np.empty((units, images), small)
        for part in _parts(units, images):
            order[part], above[part] = _ranked(activations[:, part])
        return cls(deviations, np.sqrt(np.square(deviations).sum(0)), order, above)

    def __len__(self) -> int:
        return len(self.order)

    def recovery(self, features: Features) -> Recovery:
        """Match the units with features."""
        units, count = len(self), len(features)
        size = np.abs(self.correlations(features))
        f1, f1_feature = self.best_f1(features)
        matched, matched_unit = np.zeros(count), np.full(count, -1)
        best, best_feature = np.zeros(units), np.full(units, -1)
        mcc = uniqueness = np.nan
        if count > 1:  # a single feature is shown by every image: it does not vary
            feature, unit = match(size)
            matched[feature], matched_unit[feature] = size[feature, unit], unit
            mcc = float(matched.mean())
            if units:
                best, best_feature = size.max(0), _best_of(size)
                uniqueness = len(np.unique(best_feature)) / units
        return Recovery(mcc, uniqueness, f1, f1_feature, best, best_feature, matched, matched_unit)

    def correlations(self, features: Features) -> Array:
        """Return Pearson's correlation of every feature's indicator with every unit, as `correlations` does."""
        counts = features.counts[:, None]
        spread = np.sqrt(counts * (1 - counts / len(self.deviations))) * self.spread
        total = features.members @ self.deviations
        result: Array = np.clip(np.divide(total, spread, out=np.zeros_like(total), where=spread > 0), -1, 1)
        return result

    def best_f1(self, features: Features, units: NDArray[np.int64] | None = None) -> tuple[Array, NDArray[np.int64]]:
        """Return the best F1 of each unit, or of some by their numbers, and its feature, as `best_f1` does."""
        chosen = np.arange(len(self)) if units is None else units
        f1, feature = np.zeros(len(chosen)), np.full(len(chosen), -1)
        for part in _parts(len(chosen), len(self.deviations)):
            f1[part], feature[part] = _best_f1(self.order[chosen[part]], self.above[chosen[part]], features)
        return f1, feature

    def by_chance(self, shuffled: Features, few: int, rng: np.random.Generator) -> dict[str, float]:
        """Return what the units score against shuffled features: ``mcc``, ``uniqueness``, and ``f1``, the mean over a few units.

        Parameters
        ----------
        shuffled : Features
            At least two.
        few : int
            How many units are drawn for F1, whose mean over units does not depend on their number.
        rng : numpy.random.Generator
        """
        size = np.abs(self.correlations(shuffled))
        feature, unit = match(size)
        found = {"mcc": float(size[feature, unit].sum() / len(shuffled))}
        if len(self):
            chosen = np.sort(rng.permutation(len(self))[:few])
            found |= {"uniqueness": len(np.unique(_best_of(size))) / len(self), "f1": self.best_f1(shuffled, chosen)[0].mean()}
        return found


def recovery(activations: NDArray[Any], features: Features) -> Recovery:
    """Match units with features.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
        Activations of units that vary; see `varies`.
    features : Features
        What the same images show.

    Returns
    -------
    Recovery
    """
    return MatchedUnits.of(activations).recovery(features)


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
    return MatchedUnits.of(activations).correlations(features)


def _best_of(size: Array) -> NDArray[np.int64]:
    """Return the feature with the largest of sizes (features, units) for each unit.

    Values that differ by rounding count as equal, and of equals the first is the best.
    """
    best: NDArray[np.int64] = (size >= size.max(0) - 1e-9).argmax(0)
    return best


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
    # Each feature needs only its best `count` units as candidates: the other features take at most `count` − 1 of them.
    if size.shape[1] > count * count:
        candidates = np.unique(np.argpartition(-size, count - 1, axis=1)[:, :count])
    else:
        candidates = np.arange(size.shape[1])
    feature, unit = linear_sum_assignment(size[:, candidates], maximize=True)
    return feature, candidates[unit]


def best_f1(activations: NDArray[Any], features: Features) -> tuple[Array, NDArray[np.int64]]:
    """Return the best F1 of each unit, over features and thresholds θ, of "the activation is at least θ" as a test for a feature.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
    features : Features

    Returns
    -------
    f1 : ndarray of float64, shape (units,)
        In (0, 1]; that of a constant unit is the F1 of always naming the commonest feature.
    feature : ndarray of int64, shape (units,)
        The feature with that F1, the first of equals.

    Notes
    -----
    Between two images of a feature a lower θ only adds false positives, so the best θ is an image's activation. With r images at
    or above it, s of them among the n images of the feature, F1 = 2s/(r + n): two sortings give it for all features.
    """
    return MatchedUnits.of(activations).best_f1(features)


def _parts(units: int, images: int) -> Iterator[slice]:
    """Yield which units to sort at a time."""
    step = max(1, _AT_ONCE // max(images, 1))
    for start in range(0, units, step):
        yield slice(start, min(start + step, units))


def _ranked(activations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unit's images, the strongest first, and how many are at least as strong as each: (units, N) both."""
    values = np.ascontiguousarray(-activations.T)
    order = values.argsort(1)
    values = np.take_along_axis(values, order, 1)
    last = np.concatenate([values[:, 1:] != values[:, :-1], np.ones((len(values), 1), bool)], axis=1)
    # At or above an image are all images up to the last one with an equal activation.
    ends = np.where(last, np.arange(1, values.shape[1] + 1), values.shape[1])
    return order, np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def _best_f1(order: NDArray[Any], above: NDArray[Any], features: Features) -> tuple[Array, NDArray[np.int64]]:
    # By feature, the strongest image first. Labels are small numbers, which a stable sort orders in linear time.
    small = np.int16 if len(features) < 2**15 else np.int64
    grouped = np.take_along_axis(above, features.of_image.astype(small)[order].argsort(1, kind="stable"), 1)
    counts = features.counts
    label = np.repeat(np.arange(len(features)), counts)
    own = np.arange(1, len(label) + 1) - (np.cumsum(counts) - counts)[label]
    f1 = 2 * own / (grouped + counts[label])
    first = f1.argmax(1)  # within a feature, the last of images with equal activations counts them all and has the highest F1
    return f1[np.arange(len(f1)), first], label[first]


def varies(activations: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which units vary by more than rounding, which constant and dead units do not.

    Parameters
    ----------
    activations : ndarray of float, shape (N, units)

    Returns
    -------
    ndarray of bool, shape (units,)
        Also False for a unit with NaN or infinite activations.
    """
    if not len(activations):
        return np.zeros(activations.shape[1], bool)
    low, high = activations.min(0), activations.max(0)
    with np.errstate(invalid="ignore"):
        wide = high - low > 16 * np.finfo(activations.dtype).eps * np.maximum(np.abs(low), np.abs(high))
    result: NDArray[np.bool_] = wide & np.isfinite(low) & np.isfinite(high)
    return result
