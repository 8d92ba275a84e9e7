"""Superposition: whether features have dimensions of their own, in a layer's activations and in weight matrices."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..circuits.weights import IMAGES, with_other_weights
from ..measures.superposition import dimensions_per_feature, feature_dimensionality
from ..pipeline.features import KINDS, Features, Kind, features_of_kinds, own_kind
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import units_of_layers

if TYPE_CHECKING:
    import torch
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
    "known_dimensionality": tmi.MetricInfo(
        "Mean D_i of the directions that the layer is known to have, where it is known (Elhage et al. 2022)", "higher", 0, 1
    ),
    "features_per_neuron": tmi.MetricInfo(
        "Features whose known direction uses a neuron, mean over the neurons that any uses; 1 for a monosemantic layer",
        "lower",
        1,
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
    features: list[Kind] = KINDS,
    images: Count = 1000,
    neurons: Count = 20000,
) -> tmi.ProbeResult:
    """How far features share dimensions, in the activations of each layer and in its weights.

    W_i is the effect of showing feature i: the mean, over the images that show it, of the activations minus those on the same
    image without its tile. What all images share, as the background's part, is no feature and cancels.

    Parameters
    ----------
    features : list of {"tile", "tile-place", "class"}
        The kinds of feature; only features that occur in the sample count.
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.

    Returns
    -------
    ProbeResult
        For each kind and layer ``feature_dimensionality.<kind>.<layer>`` with ``.chance``, the same of shuffled images, and
        ``.oracle``, the most that as many dimensions allow, min(units, features)/features; likewise
        ``dimensions_per_feature``, whose dimensions are the units that some feature changes. For each layer whose directions of
        tiles, tiles at places or classes are known (`tmi.Network.directions`), the truth: ``known_dimensionality.<layer>`` and
        ``features_per_neuron.<layer>``. For each layer of one linear or
        convolutional module ``weight_dimensionality.<layer>``, with ``.oracle`` and, as ``.chance``, the value of the same
        entries in random order, and ``weight_dimensions_per_feature.<layer>``. Arrays of every D_i.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the list of kinds is empty or names one twice.
    """
    scenes = labelled(data.test, images)
    kinds = features_of_kinds(scenes, features)
    result = ResultBuilder(INFO)
    rng = np.random.default_rng(seed)
    result.coords = {f"feature.{kind}": present.names(data.task) for kind, present in kinds.items()}
    same_draws = copy.deepcopy(rng)  # so that the same units are examined without tiles
    with_tiles = units_of_layers(network, scenes, network.layers, neurons, rng, result.notes)
    without_tiles = units_of_layers(network, scenes.without_tiles(), network.layers, neurons, same_draws, [])
    for (layer, units), (_, bare_units) in zip(with_tiles, without_tiles, strict=True):
        change, bare = units.activations, bare_units.activations
        if not (np.isfinite(change).all() and np.isfinite(bare).all()):
            result.notes.append(f"{layer}: left out, for activations are NaN or infinite")
            continue
        change -= bare
        # A change of the size of rounding counts as none.
        change[np.abs(change) < 1e-6 * np.abs(change).max(initial=0)] = 0
        order = rng.permutation(len(scenes))
        for kind, present in kinds.items():
            name = f"{kind}.{layer}"
            directions = _directions(change, present)
            if not len(directions):
                result.notes.append(f"{name}: left out, for no tile changes a unit of the layer")
                continue
            of_features = feature_dimensionality(directions)
            result.arrays[f"feature_dimensionality.{name}"] = (f"feature.{kind}", of_features)
            if len(present) > 1:
                result.add(
                    f"feature_dimensionality.{name}",
                    of_features.mean(),
                    chance=feature_dimensionality(_directions(change[order], present)).mean(),
                    oracle=min(len(directions), len(present)) / len(present),
                )
            else:
                result.cannot_fail(f"feature_dimensionality.{name}", f"all images show one {kind}, which shares with no other")
            result.add(f"dimensions_per_feature.{name}", dimensions_per_feature(directions))
    _add_known(result, network)
    plain = network.plain()
    for layer in network.layers:
        weights = weight_matrix(plain, layer, scenes[:IMAGES].images)
        if isinstance(weights, str) or not np.isfinite(weights).all():
            reason = weights if isinstance(weights, str) else "they are not finite"
            result.notes.append(f"weights of {layer}: left out, for {reason}")
            continue
        of_inputs = feature_dimensionality(weights)
        result.arrays[f"weight_dimensionality.{layer}"] = (f"input.{layer}", of_inputs)
        shuffled = rng.permutation(weights.ravel()).reshape(weights.shape)
        if weights.shape[1] > 1:
            result.add(
                f"weight_dimensionality.{layer}",
                of_inputs.mean(),
                chance=feature_dimensionality(shuffled).mean(),
                oracle=min(weights.shape) / weights.shape[1],
            )
        else:
            result.cannot_fail(f"weight_dimensionality.{layer}", "the layer has one input, which shares with no other")
        result.add(f"weight_dimensions_per_feature.{layer}", dimensions_per_feature(weights))
    return result.result()


def _add_known(result: ResultBuilder, network: tmi.Network) -> None:
    """Add the mean D_i of known directions, 1 where each feature has a neuron of its own, and how many features a neuron has."""
    for layer in network.layers:
        known = network.directions(layer)
        if known is None or own_kind(known.features) is None:
            continue
        of_features = np.ones(len(known)) if known.one_neuron_each else feature_dimensionality(known.matrix.T)
        result.add(f"known_dimensionality.{layer}", of_features.mean())
        result.add(f"features_per_neuron.{layer}", known.sparse.nnz / len(np.unique(known.sparse.indices)))
        result.arrays[f"known_dimensionality.{layer}"] = (f"known_feature.{layer}", of_features)


def weight_matrix(network: tmi.Network, layer: str, images: torch.Tensor) -> Array | str:
    """Return the weights of a layer as a matrix (outputs, inputs); an input of a convolution is a pixel of its kernel.

    Parameters
    ----------
    network : Network
        With plain weights; see `tmi.Network.plain`.
    layer : str
    images : Tensor, shape (N, C, m, n)
        On which it is checked that the layer computes with these weights.

    Returns
    -------
    ndarray of float64 or str
        The reason where there is no such matrix: the layer has no weights, several modules with weights, a module that is neither
        linear nor an ungrouped convolution, or one that computes with other weights than it holds.
    """
    from torch import nn

    parts = network.module.get_submodule(layer).named_modules(prefix=layer)
    weighted = {name: part for name, part in parts if any(True for _ in part.parameters(False))}
    name, part = next(iter(weighted.items()), ("", None))
    if len(weighted) != 1 or not isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "they are not of one dense linear or convolutional module"
    if getattr(part, "groups", 1) != 1 or part.weight.is_sparse:
        return "they are not of one dense linear or convolutional module"
    if with_other_weights(network, images, [name]):
        return "the module computes with other weights than it holds"
    matrix: Array = part.weight.detach().cpu().double().flatten(1).numpy()
    return matrix


def _directions(change: NDArray[Any], present: Features) -> Array:
    """Return W, float64 (units that some feature changes, features)."""
    from scipy.sparse import diags_array

    means: Array = diags_array(1 / present.counts) @ (present.members @ change)
    return means.T[means.any(0)]
