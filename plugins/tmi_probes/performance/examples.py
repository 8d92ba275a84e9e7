"""Test images of each class with the network's logits: the paper's Figures 2 and 3."""

from __future__ import annotations

from typing import Any

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
        How many test images of each class, and of how many of its tiles the template is given; fewer where there are fewer.

    Returns
    -------
    ProbeResult
        Metric ``correct``; arrays ``images`` (image, channel, row, col), ``masks``, ``logits``, ``label``, ``prediction``
        (−1 where tied), and of the pasted tile its index ``tile`` and its place ``tile_row``, ``tile_col``. Sorted by class.
        Of the first tiles of each class ``templates`` (template, channel, row, col) and ``template_support``, padded with 0 and
        false to the size of an image, their ``template_size`` (rows and columns) and ``template_label``.

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
        "logits": (("image", "class"), logits),
        "label": ("image", label),
        "prediction": ("image", prediction),
    }
    if data.task.has_tiles:
        result.arrays |= {
            "masks": (("image", "row", "col"), shown.masks),
            "tile": ("image", shown.tile),
            "tile_row": ("image", shown.row),
            "tile_col": ("image", shown.col),
            **_templates(data.task, per_class),
        }
    else:
        result.notes.append("masks, tile, templates: left out, for the images have no tiles")
    result.coords["class"] = data.task.class_names
    missing = [name for i, name in enumerate(data.task.class_names) if (label == i).sum() < per_class]
    if missing:
        result.notes.append(f"fewer than {per_class} test images: {', '.join(missing)}")
    return result.result()


def _templates(task: tmi.TemplateTask, per_class: int) -> dict[str, Any]:
    """Return the arrays of the first tiles of each class."""
    chosen = np.concatenate([np.flatnonzero(task.tile_class == label)[:per_class] for label in range(len(task.classes))])
    values = np.zeros((len(chosen), *task.image_shape), np.float32)
    support = np.zeros(values.shape, bool)
    for k, tile in enumerate(task.tiles[int(index)] for index in chosen):
        _, rows, cols = tile.shape
        values[k, :, :rows, :cols] = tile.values
        support[k, :, :rows, :cols] = tile.support
    axes = ("template", "channel", "row", "col")
    return {
        "templates": (axes, values),
        "template_support": (axes, support),
        "template_size": (("template", "side"), np.array([task.tiles[int(index)].shape[1:] for index in chosen])),
        "template_label": ("template", task.tile_class[chosen]),
    }
