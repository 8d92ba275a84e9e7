"""Which classes a network confuses, and whether they are those with the most similar tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi_probes.pipeline.logits import logits_of, predictions
from tmi_probes.pipeline.result import ONE_CLASS, ResultBuilder
from tmi_probes.pipeline.scenes import labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "errors": tmi.MetricInfo("Test images that are predicted wrong", "lower", 0),
    "least_distance": tmi.MetricInfo("Least L1 distance between two tiles of different classes, laid on each other", None, 0),
    "nearest_share": tmi.MetricInfo(
        "Share of the errors that confuse the two classes whose tiles are nearest; chance: one of all pairs", None, 0, 1
    ),
    "worst_share": tmi.MetricInfo("Share of the errors that confuse one pair of classes, for the pair with most", None, 0, 1),
}


def confused_tiles(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    """Compare the pairs of classes that a network confuses with the distances between their tiles.

    Returns
    -------
    ProbeResult
        Metrics ``errors`` and ``least_distance``; where there are errors ``nearest_share`` with ``.chance``, and
        ``worst_share``. Arrays ``distance`` (class, other): the least L1 distance over all pixels between tiles of the two
        classes with their top left corners at one place, NaN where no two have the same size; ``confused`` (class, other): how
        many test images of one are taken for the other. Not applicable to a task of one class.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    classes = len(data.task.classes)
    if classes == 1:
        return tmi.ProbeResult.not_applicable(ONE_CLASS)
    scenes = labelled(data.test)
    label, predicted = scenes.labels.numpy(), predictions(logits_of(network, scenes))
    wrong = predicted != label
    confused = np.zeros((classes, classes), np.int64)
    known = wrong & (predicted >= 0)
    np.add.at(confused, (label[known], predicted[known]), 1)
    distance = class_distances(data.task)
    result = ResultBuilder(INFO)
    result.add("errors", wrong.sum())
    pairs = np.triu_indices(classes, 1)
    of_pairs, counts = distance[pairs], (confused + confused.T)[pairs]
    if np.isfinite(of_pairs).any():
        result.add("least_distance", np.nanmin(of_pairs))
    if wrong.any():
        result.add("worst_share", counts.max() / wrong.sum())
        if np.isfinite(of_pairs).any():
            result.add("nearest_share", counts[np.nanargmin(of_pairs)] / wrong.sum(), chance=1 / len(of_pairs))
    result.arrays |= {"distance": (("class", "other"), distance), "confused": (("class", "other"), confused)}
    result.coords |= {"class": data.task.class_names, "other": data.task.class_names}
    return result.result()


def class_distances(task: tmi.TemplateTask) -> NDArray[np.float64]:
    """Return the least L1 distance between tiles of two classes, shape (L, L); NaN on the diagonal and without a common size."""
    distance = np.full((len(task.classes), len(task.classes)), np.nan)
    for i, own in enumerate(task.classes):
        for j, other in enumerate(task.classes[:i]):
            both = [np.abs(a.values - b.values).sum() for a in own.tiles for b in other.tiles if a.shape == b.shape]
            if both:
                distance[i, j] = distance[j, i] = min(both)
    return distance
