"""Decodability: whether a linear model can read class, tile and place from a layer."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..measures.decoding import coordinates, decode
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import units_of_layers

INFO = {
    "decodability": tmi.MetricInfo(
        "Share of held-out images whose class, tile, row, column or place a linear model on the layer predicts right",
        "higher",
        0,
        1,
    )
}
TARGETS = ("class", "tile", "row", "col")


def decodability(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    neurons: Count = 20000,
    folds: Annotated[int, msgspec.Meta(ge=2)] = 5,
) -> tmi.ProbeResult:
    """How well linear models read class, tile and place from each layer, the logits included, and from the pixels.

    Ridge regression on one-hot labels, cross-validated. A wide layer is not cut: its images' coordinates in the space that they
    span take the place of its units, which changes nothing for a ridge regression.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.
    folds : int
        Into how many parts the images are divided; each part is predicted by models fitted on the others.

    Returns
    -------
    ProbeResult
        For each layer, and ``pixels`` for the images themselves, ``decodability.<target>.<layer>`` of the targets ``class``,
        ``tile``, ``row`` and ``col`` of the tile's top left corner, and ``place``, for which both have to be right; with
        ``.chance`` the same of shuffled labels, with ``.oracle`` what the same models read from the exact features one-hot: tile,
        row and column side by side. Array ``right`` (target, layer, image): 1 where the label is predicted, a share where it is
        tied.

    Raises
    ------
    InputError
        If fewer test scenes than folds show a tile.
    """
    scenes = labelled(data.test, images)
    if len(scenes) < folds:
        raise InputError(f"folds: {folds} of {len(scenes)} labelled test images")
    rng = np.random.default_rng(seed)
    result = ResultBuilder(INFO)
    fold = rng.permutation(len(scenes)) % folds
    order = rng.permutation(len(scenes))
    columns = {"class": scenes.labels, "tile": scenes.tile, "row": scenes.row, "col": scenes.col}
    labels = {name: column.numpy() for name, column in columns.items()}
    for name, label in list(labels.items()):
        if (label == label[0]).all():
            del labels[name]
            result.cannot_fail(f"decodability.{name}", f"all images have one {name}")
    if not labels:
        return result.result()
    targets = labels | {f"{name}.chance": label[order] for name, label in labels.items()}
    one_hot = np.concatenate([np.eye(int(columns[name].max()) + 1)[columns[name].numpy()] for name in TARGETS[1:]], axis=1)
    oracle = _with_place(decode(coordinates(one_hot), labels, fold))
    units = units_of_layers(network, scenes, network.layers, neurons, rng, result.notes)
    pixels = [] if "pixels" in network.layers else [("pixels", scenes.images.flatten(1).numpy())]
    right: dict[str, Any] = {}
    for layer, values in chain(pixels, ((layer, part.activations) for layer, part in units)):
        if not np.isfinite(values).all():
            result.notes.append(f"{layer}: left out, for activations are NaN or infinite")
            right[layer] = np.full((len(oracle), len(scenes)), np.nan)
            continue
        points = coordinates(values)
        if not points.shape[1]:
            result.notes.append(f"{layer}: is the same on all images, so that nothing can be read from it")
        decoded = decode(points, targets, fold)
        own = _with_place(decoded)
        chance = _with_place({name: decoded[f"{name}.chance"] for name in labels})
        right[layer] = np.stack(list(own.values()))
        for target in own:
            result.add(
                f"decodability.{target}.{layer}",
                own[target].mean(),
                chance=chance[target].mean(),
                oracle=oracle[target].mean(),
            )
    result.arrays["right"] = (("target", "layer", "image"), np.stack(list(right.values()), axis=1))
    result.coords |= {"target": list(oracle), "layer": list(right)}
    return result.result()


def _with_place(right: dict[str, Any]) -> dict[str, Any]:
    """Return the targets, and the place: its row and its column, or the one of them that varies."""
    parts = [right[name] for name in ("row", "col") if name in right]
    return {name: right[name] for name in TARGETS if name in right} | ({"place": np.prod(parts, axis=0)} if parts else {})
