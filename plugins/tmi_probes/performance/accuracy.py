"""Accuracy, margins and the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.logits import NO_CLASS, commonest_share, logits_of, margins, of_label, of_others, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "accuracy": tmi.MetricInfo(
        "Share of test images whose label's logit is strictly greater than every other; a tie is not right", "higher", 0, 1
    ),
    "train_accuracy": tmi.MetricInfo("The same share on the training images", "higher", 0, 1),
    "tied": tmi.MetricInfo("Share of test images whose largest logit two classes share", "lower", 0, 1),
    "chance": tmi.MetricInfo("Share of the commonest class: what always naming it would score", None, 0, 1),
    "offlabel_logit_max": tmi.MetricInfo(
        "Largest logit of a class that the test image does not show; exactly 0 in Theorem 1", "lower", unit="logit"
    ),
    "label_logit_min": tmi.MetricInfo("Smallest logit of a test image's own class", "higher", unit="logit"),
    "margin_min": tmi.MetricInfo(
        "Label's logit less the largest other one: the smallest over the test images", "higher", unit="logit"
    ),
    "margin_mean": tmi.MetricInfo(
        "Label's logit less the largest other one: the mean over the test images", "higher", unit="logit"
    ),
}


def accuracy(network: tmi.Network, data: tmi.Dataset, *, images: Count | None = None) -> tmi.ProbeResult:
    """How often a network is right on the test images, and by how much.

    Parameters
    ----------
    images : int, optional
        How many test images, and how many training images: the first ones. By default all.

    Returns
    -------
    ProbeResult
        Metrics ``accuracy``, ``train_accuracy``, ``tied``, ``chance``, ``offlabel_logit_max``, ``label_logit_min``,
        ``margin_min``, ``margin_mean``; arrays ``logits``, ``label``, ``prediction`` (−1 where tied), ``confusion``, and the
        training curves, by epoch, as ``training_loss`` and the like.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    test = labelled(data.test, images)
    logits, label = logits_of(network, test), test.labels.numpy()
    prediction = predictions(logits)
    result = ResultBuilder(INFO)
    several = logits.shape[1] > 1
    if several:
        result.add("accuracy", (prediction == label).mean())
        result.add("tied", (prediction == NO_CLASS).mean())
        result.add("chance", commonest_share(label))
    else:
        result.cannot_fail("accuracy, train_accuracy, tied, margins", ONE_CLASS)
    result.add("label_logit_min", of_label(logits, label).min())
    if several and (data.train.labels >= 0).any():
        train = labelled(data.train, images)
        result.add("train_accuracy", (predictions(logits_of(network, train)) == train.labels.numpy()).mean())
    elif several:
        result.notes.append("train_accuracy: left out, for no training scene shows a tile")
    if several:
        margin = margins(logits, label)
        result.add("offlabel_logit_max", of_others(logits, label).max())
        result.add("margin_min", margin.min())
        result.add("margin_mean", margin.mean())
    classes = list(data.task.class_names)
    result.arrays |= {
        "logits": (("image", "class"), logits),
        "label": ("image", label),
        "prediction": ("image", prediction),
        "confusion": (("true", "predicted"), confusion(label, prediction, len(classes))),
        **_training_curves(network),
    }
    result.coords |= {"class": classes, "true": classes, "predicted": [*classes, "tied"]}
    return result.result()


def confusion(label: NDArray[np.int64], prediction: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count the images of each class by their prediction.

    Parameters
    ----------
    label : ndarray of int64, shape (N,)
    prediction : ndarray of int64, shape (N,)
        −1 where no single class was predicted.
    classes : int

    Returns
    -------
    ndarray of int64, shape (classes, classes + 1)
        Rows are the true classes; the last column counts the images without a prediction.
    """
    counts = np.zeros((classes, classes + 1), np.int64)
    np.add.at(counts, (label, prediction), 1)  # −1 is the last column
    return counts


def _training_curves(network: tmi.Network) -> dict[str, Any]:
    """Return the recorded training curves; one of another length than the first gets an axis of its own."""
    lengths = [len(values) for values in network.history.values()]
    return {
        f"training_{name}": ("epoch" if len(values) == lengths[0] else f"epoch_of_{name}", values)
        for name, values in network.history.items()
    }
