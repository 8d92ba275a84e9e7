"""Test images of each class with the network's logits: the paper's Figures 2 and 3."""

from __future__ import annotations

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.logits import logits_of, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled

INFO = {"correct": tmi.MetricInfo("Share of the shown images that are predicted right", "higher", 0, 1)}


def examples(network: tmi.Network, data: tmi.Dataset, *, per_class: Count = 2) -> tmi.ProbeResult:
    """Show the first test images of each class, where their tile is, and the network's logits.

    Parameters
    ----------
    per_class : int
        How many test images of each class; fewer where there are fewer.

    Returns
    -------
    ProbeResult
        Metric ``correct``; arrays ``images`` (image, channel, row, col), ``masks``, ``logits``, ``label``, ``prediction``
        (−1 where tied), and of the pasted tile its index ``tile`` and its place ``tile_row``, ``tile_col``. Sorted by class.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    test = labelled(data.test)
    labels = test.labels.numpy()
    chosen = np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in range(len(data.task.classes))])
    shown = test[chosen]
    label, logits = shown.labels.numpy(), logits_of(network, shown)
    prediction = predictions(logits)
    result = ResultBuilder(INFO)
    if logits.shape[1] > 1:
        result.add("correct", (prediction == label).mean())
    else:  # the images are shown all the same
        result.notes.append(f"correct: not applicable, for {ONE_CLASS}")
    result.arrays |= {
        "images": (("image", "channel", "row", "col"), shown.images),
        "masks": (("image", "row", "col"), shown.masks),
        "logits": (("image", "class"), logits),
        "label": ("image", label),
        "prediction": ("image", prediction),
        "tile": ("image", shown.tile),
        "tile_row": ("image", shown.row),
        "tile_col": ("image", shown.col),
    }
    result.coords["class"] = data.task.class_names
    missing = [name for i, name in enumerate(data.task.class_names) if (label == i).sum() < per_class]
    if missing:
        result.notes.append(f"fewer than {per_class} test images: {', '.join(missing)}")
    return result.result()
