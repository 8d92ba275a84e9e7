"""What a single neuron says about the class: selectivity index, ROC AUC, mutual information, number of classes it fires for."""

from __future__ import annotations

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


def auc(activations: Array, label: NDArray[np.int64]) -> Array:
    """Return the area under the ROC curve of each class against the rest, ties counting half.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (classes seen, neurons)
        Empty along the first axis where all images are of one class.
    """
    from scipy.stats import rankdata

    member = one_hot(label)
    if len(member) < 2:
        return np.empty((0, activations.shape[1]))
    ranks = member @ rankdata(activations, axis=0)  # the Mann-Whitney statistic of all neurons
    inside = member.sum(1)[:, None]
    result: Array = (ranks - inside * (inside + 1) / 2) / (inside * (len(label) - inside))
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


def classes_fired(active: NDArray[np.bool_], label: NDArray[np.int64], firing: float) -> Array:
    """Return for how many classes each neuron fires: is active on more than a share of the class's images.

    Parameters
    ----------
    active : ndarray of bool, shape (N, neurons)
    label : ndarray of int64, shape (N,)
    firing : float
        The share.

    Returns
    -------
    ndarray of float64, shape (neurons,)
    """
    count: Array = (group_means(active, label) > firing).sum(0).astype(float)
    return count


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
