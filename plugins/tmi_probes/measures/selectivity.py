"""What a single neuron says about the class: selectivity index, ROC AUC, mutual information, number of classes it fires for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def class_selectivity(activations: Array, label: NDArray[np.int64]) -> Array:
    """Return (μ_max − μ_rest)/(μ_max + μ_rest), μ_rest being the mean of the other classes' means.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        In [0, 1]; NaN for a neuron with negative activations or none, and where all images are of one class.
    """
    means = group_means(activations, label)
    if len(means) < 2:
        return np.full(activations.shape[1], np.nan)
    largest = means.max(0)
    rest = (means.sum(0) - largest) / (len(means) - 1)
    defined = (activations >= 0).all(0) & (largest > 0)
    result = np.full(activations.shape[1], np.nan)
    result[defined] = np.clip((largest - rest)[defined] / (largest + rest)[defined], 0, 1)
    return result


def ranks_of(activations: Array) -> Array:
    """Return the ranks of the images for each neuron, equal ones their mean, as `auc_of_ranks` needs them: (N, neurons)."""
    from scipy.stats import rankdata

    ranks: Array = rankdata(activations, axis=0)
    return ranks


def auc_of_ranks(ranks: Array, label: NDArray[np.int64]) -> Array:
    """Return the area under the ROC curve of each class against the rest, ties counting half.

    Parameters
    ----------
    ranks : ndarray, shape (N, neurons)
        See `ranks_of`.
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (classes seen, neurons)
        Empty along the first axis where all images are of one class.
    """
    member = one_hot(label)
    if len(member) < 2:
        return np.empty((0, ranks.shape[1]))
    inside = member.sum(1)[:, None]
    # The Mann-Whitney statistic of all neurons.
    result: Array = (member @ ranks - inside * (inside + 1) / 2) / (inside * (len(label) - inside))
    return result


def mutual_information(active: NDArray[np.bool_], label: NDArray[np.int64]) -> Array:
    """Return the mutual information between 'is active' and the label, in nats.

    Parameters
    ----------
    active : ndarray of bool, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        At least 0.
    """
    member = one_hot(label)
    total = np.zeros(active.shape[1])
    for state in (active, ~active):
        joint = member @ state / len(label)
        expected = member.mean(1)[:, None] * state.mean(0)
        seen = joint > 0
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=seen)
        total += (joint * np.log(ratio)).sum(0)
    return np.maximum(total, 0)


def shares_above(activations: Array, label: NDArray[np.int64], height: float) -> Array:
    """Return on which share of each class's images each neuron is above a share of its maximum.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)
    height : float
        In [0, 1): the share of the neuron's maximum over all images. A neuron without a positive activation is above it nowhere.

    Returns
    -------
    ndarray of float64, shape (classes seen, neurons)
        In [0, 1].
    """
    return _shares(_above(activations, height), label)


def classes_fired(shares: Array, firing: float) -> Array:
    """Return for how many classes each neuron fires: is above the height on more than a share of the class's images.

    Parameters
    ----------
    shares : ndarray, shape (classes, neurons)
        See `shares_above`.
    firing : float

    Returns
    -------
    ndarray of float64, shape (neurons,)
    """
    count: Array = (shares > firing).sum(0).astype(float)
    return count


def classes_relative(shares: Array, firing: float) -> Array:
    """Return for how many classes each neuron fires, as often as for its best class times a share or more often.

    A neuron that sees a part of the image only is above the height on few images of any class: those that show the tile there.

    Parameters
    ----------
    shares : ndarray, shape (classes, neurons)
        See `shares_above`.
    firing : float

    Returns
    -------
    ndarray of float64, shape (neurons,)
        1 at least; NaN for a neuron that is above the height on no image.
    """
    most = shares.max(0)
    return np.where(most > 0, (shares > firing * most).sum(0), np.nan)


def firing_curve(
    activations: Array,
    label: NDArray[np.int64],
    heights: Sequence[float],
    firing: Sequence[float],
    shuffles: Sequence[NDArray[Any]],
) -> tuple[Array, Array]:
    """Return for how many classes a neuron fires, mean over neurons, for pairs of thresholds, and the same by chance.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)
    heights, firing : sequence of float
        Shares of a neuron's maximum, and of a class's images.
    shuffles : sequence of ndarray of int64, shape (N,)
        Labels in random order.

    Returns
    -------
    own, by_chance : ndarray of float64, shape (heights, firing)
    """
    found = np.zeros((2, len(heights), len(firing)))
    for i, height in enumerate(heights):
        above = _above(activations, height)
        for k, labels in enumerate([label, *shuffles]):
            shares = np.sort(_shares(above, labels), axis=None)
            counts = (len(shares) - np.searchsorted(shares, firing, side="right")) / max(above.shape[1], 1)
            found[min(k, 1), i] += counts / (1 if k == 0 else len(shuffles))
    return found[0], found[1]


def _above(activations: Array, height: float) -> NDArray[np.float32]:
    above: NDArray[np.float32] = (activations > height * activations.max(0, initial=0)).astype(np.float32)
    return above


def _shares(above: NDArray[np.float32], label: NDArray[np.int64]) -> Array:
    # Counts of images are exact in float32, and their products faster; 3 of 10 images are no more than a share of 0.3.
    member = one_hot(label).astype(np.float32)
    shares: Array = (member @ above).astype(np.float64) / member.sum(1, dtype=np.float64)[:, None]
    return shares


def one_hot(group: NDArray[np.int64]) -> Array:
    """Return one-hot rows of the groups that occur: (groups seen, N)."""
    seen = np.unique(group)
    rows: Array = (group == seen[:, None]).astype(float)
    return rows


def group_means(values: NDArray[Any], group: NDArray[np.int64]) -> Array:
    """Return the means of each group that occurs: (N, neurons) and (N,) give (groups seen, neurons)."""
    member = one_hot(group)
    means: Array = member @ values / member.sum(1)[:, None]
    return means
