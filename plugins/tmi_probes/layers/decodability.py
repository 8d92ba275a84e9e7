"""Decodability: whether a linear model can read class, tile and place off a layer."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..measures.decoding import coordinates, decode
from ..pipeline.scenes import labelled
from ..pipeline.units import examined

INFO = {
    "decodability": tmi.MetricInfo(
        "Share of held-out images of which a linear model on the layer tells class, tile, row or column right", "higher", 0, 1
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
    """How well linear models read class, tile and place off each layer, the logits included, and off the pixels.

    Ridge regression on one-hot labels, cross-validated; it sees all units of a wide layer, as coordinates in the space that the
    images span, which changes nothing for a ridge regression.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.
    folds : int
        In how many parts the images are divided; each is told by models fitted on the others.

    Returns
    -------
    ProbeResult
        For each layer, and ``pixels`` for the images themselves, ``decodability.<target>.<layer>`` of the targets ``class``,
        ``tile``, ``row`` and ``col`` of the tile's top left corner, and ``place``, for which both have to be right; with
        ``.chance`` the same of shuffled labels, with ``.oracle`` what the same models read off the exact features one-hot: tile,
        row and column side by side. Array ``right`` (target, layer, image): 1 where the label is told, a share where it is tied.

    Raises
    ------
    InputError
        If fewer test scenes than folds show a tile.
    """
    scenes = labelled(data.test, images)
    if len(scenes) < folds:
        raise InputError(f"folds: {folds} of {len(scenes)} labelled test images")
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    fold = rng.permutation(len(scenes)) % folds
    order = rng.permutation(len(scenes))
    columns = {"class": scenes.labels, "tile": scenes.tile, "row": scenes.row, "col": scenes.col}
    labels = {name: column.numpy() for name, column in columns.items()}
    both = labels | {f"{name}.chance": label[order] for name, label in labels.items()}
    exact = np.concatenate([np.eye(label.max() + 1)[label] for name, label in labels.items() if name != "class"], axis=1)
    oracle = _with_place(decode(coordinates(exact), labels, fold))
    layers = ((layer, units.activations) for layer, units in examined(network, scenes, network.layers, neurons, rng, notes))
    pixels = [] if "pixels" in network.layers else [("pixels", scenes.images.flatten(1).numpy())]
    metrics: dict[str, float] = {}
    right, names = [], []
    for layer, values in chain(pixels, layers):
        names.append(layer)
        if not np.isfinite(values).all():
            notes.append(f"{layer}: left out, for activations are NaN or infinite")
            right.append(np.full((len(TARGETS) + 1, len(scenes)), np.nan))
            continue
        points = coordinates(values)
        if not points.shape[1]:
            notes.append(f"{layer}: is the same on all images, so that nothing can be read off it")
        found = decode(points, both, fold)
        real = _with_place(found)
        control = _with_place({name: found[f"{name}.chance"] for name in labels})
        right.append(np.stack(list(real.values())))
        for target in real:
            name = f"decodability.{target}.{layer}"
            metrics |= {
                name: real[target].mean(),
                f"{name}.chance": control[target].mean(),
                f"{name}.oracle": oracle[target].mean(),
            }
    arrays: dict[str, Any] = {"right": (("target", "layer", "image"), np.stack(right, axis=1))}
    coords: dict[str, Any] = {"target": [*TARGETS, "place"], "layer": names}
    return tmi.ProbeResult(metrics, arrays, coords, INFO if metrics else {}, tuple(notes))


def _with_place(right: dict[str, Any]) -> dict[str, Any]:
    """The targets, and the place: its row and its column."""
    return {name: right[name] for name in TARGETS} | {"place": right["row"] * right["col"]}
