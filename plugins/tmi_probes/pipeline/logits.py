"""Logits, and the predictions and margins that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .units import in_parts

if TYPE_CHECKING:
    import tmi

NO_CLASS = -1
"""The prediction on an image whose largest logit is shared by two classes, or is NaN."""


def logits_of(network: tmi.Network, scenes: tmi.Scenes) -> NDArray[np.float64]:
    """Return the logits on the scenes' images, float64 (N, L), so that their differences are exact."""
    most = min(256, getattr(network.module, "images_at_once", 256))  # so that parts end where the network's batches do
    return np.concatenate([network.logits(part.images).double().numpy() for _, part in in_parts(scenes, most=most)])


def predictions(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class whose logit is strictly greater than every other, or −1.

    Parameters
    ----------
    logits : ndarray, shape (…, L)

    Returns
    -------
    ndarray of int64, shape (…)
    """
    largest = logits == logits.max(-1, keepdims=True)
    return np.where(largest.sum(-1) == 1, largest.argmax(-1), NO_CLASS)


def of_label(logits: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return the logit of each image's label: (N, L) and (N,) give (N,)."""
    own: NDArray[Any] = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return own


def of_others(logits: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return the logits of the other classes in their order: (N, L) and (N,) give (N, L − 1)."""
    others = np.arange(logits.shape[1]) != labels[:, None]
    rest: NDArray[Any] = logits[others].reshape(len(logits), -1)
    return rest


def margins(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the label's logit minus the largest other one, or 0 if there is only one class: (N, L) and (N,) give (N,)."""
    largest = of_others(logits, labels).max(1) if logits.shape[1] > 1 else 0.0
    margin: NDArray[np.float64] = of_label(logits, labels) - largest
    return margin


def commonest_share(labels: NDArray[np.int64]) -> float:
    """Return the share of the most frequent class: the accuracy of always naming it."""
    return float(np.bincount(labels).max() / len(labels))
