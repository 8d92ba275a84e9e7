"""Accuracy, margins and the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.scenes import NO_CLASS, finite, labelled, logits_of, of_label, of_others, predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "accuracy": ("Share of test images whose label's logit is strictly greater than every other; a tie is not right", "higher"),
    "train_accuracy": ("The same share on the training images", "higher"),
    "tied": ("Share of test images whose largest logit two classes share", "lower"),
    "chance": ("Share of the commonest class: what always naming it would score", None),
}
MARGINS = {
    "offlabel_logit_max": ("Largest logit of a class that the test image does not show; exactly 0 in Theorem 1", "lower"),
    "label_logit_min": ("Smallest logit of a test image's own class", "higher"),
    "margin_min": ("Label's logit less the largest other one: the smallest over the test images", "higher"),
    "margin_mean": ("Label's logit less the largest other one: the mean over the test images", "higher"),
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
        ``margin_min``, ``margin_mean``; arrays ``logits``, ``label``, ``prediction`` (−1 where tied), ``confusion``, and what was
        recorded in training, by epoch, as ``training_loss`` and the like.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    test = labelled(data.test, images)
    logits, label = logits_of(network, test), test.labels.numpy()
    prediction = predictions(logits)
    notes: list[str] = []
    metrics = {
        "accuracy": (prediction == label).mean(),
        "tied": (prediction == NO_CLASS).mean(),
        "chance": np.bincount(label).max() / len(label),
        "label_logit_min": of_label(logits, label).min(),
    }
    if (data.train.labels >= 0).any():
        train = labelled(data.train, images)
        metrics["train_accuracy"] = (predictions(logits_of(network, train)) == train.labels.numpy()).mean()
    else:
        notes.append("train_accuracy: left out, for no training scene shows a tile")
    if logits.shape[1] > 1:
        others = of_others(logits, label)
        margin = of_label(logits, label) - others.max(1)
        metrics |= {"offlabel_logit_max": others.max(), "margin_min": margin.min(), "margin_mean": margin.mean()}
    else:
        notes.append("margins: left out, for there is only one class")
    metrics = finite(metrics, notes)
    classes = list(data.task.class_names)
    arrays: dict[str, Any] = {
        "logits": (("image", "class"), logits),
        "label": (("image",), label),
        "prediction": (("image",), prediction),
        "confusion": (("true", "predicted"), confusion(label, prediction, len(classes))),
        **_history(network),
    }
    coords: dict[str, Any] = {"class": classes, "true": classes, "predicted": [*classes, "tied"]}
    return tmi.ProbeResult(metrics, arrays, coords, _info(metrics), tuple(notes))


def confusion(label: NDArray[np.int64], prediction: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count the images of each class by what they were taken for.

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


def _history(network: tmi.Network) -> dict[str, Any]:
    """Return the recorded training curves; those of another length than the first get an axis of their own."""
    lengths = [len(values) for values in network.history.values()]
    return {
        f"training_{name}": (("epoch" if len(values) == lengths[0] else f"epoch_of_{name}",), values)
        for name, values in network.history.items()
    }


def _info(metrics: dict[str, float]) -> dict[str, tmi.MetricInfo]:
    shares = {name: tmi.MetricInfo(text, better, 0, 1) for name, (text, better) in INFO.items()}  # type: ignore[arg-type]
    margins = {name: tmi.MetricInfo(text, better, unit="logit") for name, (text, better) in MARGINS.items()}  # type: ignore[arg-type]
    return {name: info for name, info in (shares | margins).items() if name in metrics}
