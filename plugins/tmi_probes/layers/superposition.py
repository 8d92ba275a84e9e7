"""Superposition: whether features have dimensions of their own, in a layer's activations and in weight matrices."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.superposition import dimensions_per_feature, feature_dimensionality
from ..neurons.unit_recovery import ALL_KINDS, chosen_kinds
from ..pipeline.features import Features, Kind
from ..pipeline.scenes import described, labelled
from ..pipeline.units import examined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INFO = {
    "feature_dimensionality": tmi.MetricInfo(
        "D_i = ‖W_i‖²/Σ_j(Ŵ_i·W_j)², the share of a dimension that a feature has to itself, mean (Elhage et al. 2022)",
        "higher",
        0,
        1,
    ),
    "dimensions_per_feature": tmi.MetricInfo(
        "D* = m/‖W‖²_F, dimensions for each feature that is represented, the longest W_i being 1 (Elhage et al. 2022)", None, 0
    ),
    "weight_dimensionality": tmi.MetricInfo(
        "Mean D_i of a layer's weights, a feature being one of its inputs (Elhage et al. 2022)", "higher", 0, 1
    ),
    "weight_dimensions_per_feature": tmi.MetricInfo("D* = m/‖W‖²_F of a layer's weights (Elhage et al. 2022)", None, 0),
}


def superposition(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    features: list[Kind] = ALL_KINDS,
    images: Count = 1000,
    neurons: Count = 20000,
) -> tmi.ProbeResult:
    """How far features share dimensions, in the activations of each layer and in its weights.

    W_i is what showing feature i does to the layer: the mean, over the images that show it, of the activations less those on the
    same image without its tile. What all images share, as the background's part, is no feature and cancels.

    Parameters
    ----------
    features : list of {"tile", "tile-place", "class"}
        The kinds of feature; only those that occur in the sample count.
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.

    Returns
    -------
    ProbeResult
        For each kind and layer ``feature_dimensionality.<kind>.<layer>`` with ``.chance``, the same of shuffled images, and
        ``.oracle``, the most that as many dimensions allow, min(units, features)/features; ``dimensions_per_feature`` likewise,
        of which the dimensions are the units that some feature moves. For each layer of one linear or convolutional module
        ``weight_dimensionality.<layer>``, with ``.oracle`` and as ``.chance`` that of the same entries in random order, and
        ``weight_dimensions_per_feature.<layer>``. Arrays of every D_i.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the kinds are none or repeated.
    """
    scenes = labelled(data.test, images)
    kinds = chosen_kinds(features, scenes)
    notes: list[str] = []
    rng = np.random.default_rng(seed)
    metrics: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    coords = {f"feature.{kind}": found.names(data.task) for kind, found in kinds.items()}
    again = copy.deepcopy(rng)  # for the same units
    shown = examined(network, scenes, network.layers, neurons, rng, notes)
    empty = examined(network, scenes.without_tiles(), network.layers, neurons, again, [])
    for (layer, units), (_, bare) in zip(shown, empty, strict=True):
        change, without = units.activations, bare.activations
        if not (np.isfinite(change).all() and np.isfinite(without).all()):
            notes.append(f"{layer}: left out, for activations are NaN or infinite")
            continue
        change -= without
        # A change of the size of rounding is none.
        change[np.abs(change) < 1e-6 * np.abs(change).max(initial=0)] = 0
        order = rng.permutation(len(scenes))
        for kind, found in kinds.items():
            name = f"{kind}.{layer}"
            directions = _directions(change, found)
            dimensions = len(directions)
            if not dimensions:
                notes.append(f"{name}: left out, for no tile moves a unit of the layer")
                continue
            each = feature_dimensionality(directions)
            arrays[f"feature_dimensionality.{name}"] = ((f"feature.{kind}",), each)
            metrics[f"feature_dimensionality.{name}"] = each.mean()
            metrics[f"feature_dimensionality.{name}.chance"] = feature_dimensionality(_directions(change[order], found)).mean()
            metrics[f"feature_dimensionality.{name}.oracle"] = min(dimensions, len(found)) / len(found)
            metrics[f"dimensions_per_feature.{name}"] = dimensions_per_feature(directions)
    coords = {axis: names for axis, names in coords.items() if any(axis in dims for dims, _ in arrays.values())}
    for layer in network.layers:
        weights = weight_matrix(network, layer)
        if weights is None or not np.isfinite(weights).all():
            notes.append(
                f"weights of {layer}: left out, for they are not finite, or not of one dense linear or convolutional module"
            )
            continue
        each = feature_dimensionality(weights)
        arrays[f"weight_dimensionality.{layer}"] = ((f"input.{layer}",), each)
        metrics[f"weight_dimensionality.{layer}"] = each.mean()
        shuffled = rng.permutation(weights.ravel()).reshape(weights.shape)
        metrics[f"weight_dimensionality.{layer}.chance"] = feature_dimensionality(shuffled).mean()
        metrics[f"weight_dimensionality.{layer}.oracle"] = min(weights.shape) / weights.shape[1]
        metrics |= _if_finite(f"weight_dimensions_per_feature.{layer}", dimensions_per_feature(weights))
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), tuple(notes))


def weight_matrix(network: tmi.Network, layer: str) -> Array | None:
    """Return the weights of a layer as a matrix (outputs, inputs); an input of a convolution is a pixel of its kernel.

    Returns
    -------
    ndarray of float64 or None
        None where the layer has no weights, several modules with weights, or others than linear and ungrouped convolutional ones.
    """
    from torch import nn

    weighted = [part for part in network.module.get_submodule(layer).modules() if any(True for _ in part.parameters(False))]
    if len(weighted) != 1 or not isinstance(weighted[0], nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return None
    weight = weighted[0].weight.detach()
    if getattr(weighted[0], "groups", 1) != 1 or weight.is_sparse:
        return None
    matrix: Array = weight.cpu().double().flatten(1).numpy()
    return matrix


def _directions(change: NDArray[Any], found: Features) -> Array:
    """Return W, (units that some feature moves, features)."""
    from scipy.sparse import diags_array

    means: Array = diags_array(1 / found.counts) @ (found.members @ change)
    return means.T[means.any(0)]


def _if_finite(name: str, value: float) -> dict[str, float]:
    return {name: value} if np.isfinite(value) else {}
