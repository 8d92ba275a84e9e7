"""Superposition: whether features have dimensions of their own, in a layer's activations and in weight matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..circuits.weights import IMAGES, with_other_weights
from ..measures.superposition import (
    dimensionality_of_products,
    dimensions_per_feature,
    feature_dimensionality,
    most_dimensionality,
)
from ..pipeline.designs import Sample, sampled
from ..pipeline.features import KINDS, Features, Kind, features_of_kinds, own_kind
from ..pipeline.layer_scores import DRAWS, LayerScore, Measured, add_untrained, score_layers
from ..pipeline.result import ResultBuilder
from ..pipeline.units import Units, units_of_layers

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Array = NDArray[np.float64]

INFO = {
    "feature_dimensionality": tmi.MetricInfo(
        "D_i = ‖W_i‖²/Σ_j(Ŵ_i·W_j)² of the centred W, the share of a dimension that a feature has to itself, mean (Elhage et al. "
        "2022)",
        "higher",
        0,
        1,
    ),
    "dimensions_per_feature": tmi.MetricInfo(
        "D* = m/‖W‖²_F, dimensions for each feature that is represented, the longest W_i being 1 (Elhage et al. 2022)", None, 0
    ),
    "known_dimensionality": tmi.MetricInfo(
        "Mean D_i of the directions that the layer is known to have, centred, where it is known (Elhage et al. 2022)",
        "higher",
        0,
        1,
    ),
    "features_per_neuron": tmi.MetricInfo(
        "Features whose known direction uses a neuron, mean over the neurons that any uses; 1 for a monosemantic layer",
        "lower",
        1,
    ),
    "weight_dimensionality": tmi.MetricInfo(
        "Mean D_i of a layer's weights, centred, a feature being one of its inputs (Elhage et al. 2022)", "higher", 0, 1
    ),
    "weight_dimensions_per_feature": tmi.MetricInfo("D* = m/‖W‖²_F of a layer's weights (Elhage et al. 2022)", None, 0),
}
LEAST = 3
"""As many features are needed for D_i to say something."""
_TOO_FEW = "fewer than three centred directions are one, or two opposites, in every network"
_UNITS = 4096  # units whose products are summed at a time


def superposition(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    features: list[Kind] = KINDS,
    sample: Sample = "design",
    images: Count = 1000,
    neurons: Count = 20000,
) -> tmi.ProbeResult:
    """How far features share dimensions, in the activations of each layer and in its weights.

    W_i is the effect of showing feature i: the mean, over the images that show it, of the activations minus those on the same
    image without its tile. What all images share, as the background's part, is no feature and cancels. What all features have in
    common is subtracted as well, see `tmi_probes.measures.superposition.feature_dimensionality`: a layer that every tile excites
    in much the same way does not represent the tiles.

    Parameters
    ----------
    features : list of {"tile", "tile-place", "class"}
        The kinds of feature; only features that occur in the sample count.
    sample : {"design", "test"}
        Scenes by design, every tile at each of some places on several backgrounds, or the first test scenes, in which a tile at a
        place may occur once.
    images : int
        How many images at most.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.

    Returns
    -------
    ProbeResult
        For each kind and layer ``feature_dimensionality.<kind>.<layer>`` with ``.chance``, the same of shuffled images,
        ``.untrained``, the same of the network before training, and ``.oracle``, the most that as many dimensions allow,
        min(units, features − 1)/features; likewise ``dimensions_per_feature``, whose dimensions are the units that some feature
        changes. For each layer whose directions of
        tiles, tiles at places or classes are known (`tmi.Network.directions`), the truth: ``known_dimensionality.<layer>`` and
        ``features_per_neuron.<layer>``. For each layer of one linear or
        convolutional module ``weight_dimensionality.<layer>``, with ``.oracle``, ``.untrained`` and, as ``.chance``, the values
        of the same entries in random orders, and ``weight_dimensions_per_feature.<layer>``. Arrays of every D_i.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the list of kinds is empty or names one twice.
    """
    result = ResultBuilder(INFO)
    scenes = sampled(data.test, sample, images, seed, result.notes)
    kinds = features_of_kinds(scenes, features)
    result.coords = {f"feature.{kind}": present.names(data.task) for kind, present in kinds.items()}

    def read(examined: tmi.Network, notes: list[str]) -> Iterator[tuple[str, Units]]:
        draws = [np.random.default_rng(seed) for _ in range(2)]  # the same units with and without tiles
        shown = units_of_layers(examined, scenes, examined.layers, neurons, draws[0], notes)
        bare = units_of_layers(examined, scenes.without_tiles(), examined.layers, neurons, draws[1], [])
        for (layer, units), (_, without) in zip(shown, bare, strict=True):
            with np.errstate(invalid="ignore"):
                change = np.subtract(units.activations, without.activations, out=units.activations)
            yield layer, Units(units.index, units.size, change)

    def scoring(layer: str, units: Units, collected: ResultBuilder) -> Dimensions | None:
        change = units.activations
        if not np.isfinite(change).all():
            collected.notes.append(f"{layer}: left out, for activations are NaN or infinite")
            return None
        # A change of the size of rounding counts as none.
        change[np.abs(change) < 1e-6 * np.abs(change).max(initial=0)] = 0
        if not change.any():
            collected.notes.append(f"{layer}: left out, for no tile changes a unit of the layer")
            return None
        return Dimensions(change)

    score_layers(result, network, read, scoring, kinds, seed=seed)
    _add_known(result, network)
    _add_weights(result, network, scenes, seed)
    if network.untrained() is not None:
        add_untrained(result, network, lambda before, collected: _add_weights(collected, before, scenes, seed))
    return result.result()


class Dimensions(LayerScore[Features]):
    """D_i of the features of a layer, from the products of the images' activations.

    Parameters
    ----------
    change : ndarray of float, shape (N, units)
        Activations on each image minus those without its tile.

    Notes
    -----
    A direction is a mean over images, so that WᵀW is made of the products of the images: they are computed once for all kinds
    and all shuffles.
    """

    def __init__(self, change: NDArray[Any]) -> None:
        scale = float(np.abs(change).max())
        self._change, self._products = change, np.zeros((len(change), len(change)))
        for start in range(0, change.shape[1], _UNITS):
            part = change[:, start : start + _UNITS].astype(np.float64) / scale
            self._products += part @ part.T

    def measured(self, truth: Features) -> Measured:
        """Return mean and array of D_i, and D*."""
        directions = _directions(self._change, truth)
        of_features = self._of_features(truth)
        metrics = {"dimensions_per_feature": dimensions_per_feature(directions)}
        arrays = {"feature_dimensionality": (f"feature.{truth.kind}", of_features)}
        if len(truth) < LEAST:
            return Measured(metrics, cannot_fail={"feature_dimensionality": f"{_TOO_FEW}; the images show {len(truth)}"})
        most = most_dimensionality(len(directions), len(truth))
        return Measured({"feature_dimensionality": of_features.mean()} | metrics, {"feature_dimensionality": most}, arrays)

    def by_chance(self, shuffled: Features) -> Mapping[str, float]:
        """Return the mean D_i."""
        return {"feature_dimensionality": float(self._of_features(shuffled).mean())} if len(shuffled) >= LEAST else {}

    def _of_features(self, truth: Features) -> Array:
        means = _means(truth)
        return dimensionality_of_products(means @ (means @ self._products).T)


def _add_known(result: ResultBuilder, network: tmi.Network) -> None:
    """Add the mean D_i of known directions, (n − 1)/n where each of n has a neuron, and how many features a neuron has."""
    for layer in network.layers:
        known = network.directions(layer)
        if known is None or own_kind(known.features) is None:
            continue
        count = len(known)
        result.add(f"features_per_neuron.{layer}", known.sparse.nnz / len(np.unique(known.sparse.indices)))
        if count < LEAST:
            result.cannot_fail(f"known_dimensionality.{layer}", f"{_TOO_FEW}; there are {count} known directions")
            continue
        of_features = np.full(count, 1 - 1 / count) if known.one_neuron_each else feature_dimensionality(known.matrix.T)
        most = most_dimensionality(len(np.unique(known.sparse.indices)), count)
        result.add(f"known_dimensionality.{layer}", of_features.mean(), oracle=most)
        result.arrays[f"known_dimensionality.{layer}"] = (f"known_feature.{layer}", of_features)


def _add_weights(result: ResultBuilder, network: tmi.Network, scenes: tmi.Scenes, seed: int) -> None:
    """Add D_i and D* of the weights of each layer, the inputs being the features."""
    plain, rng = network.plain(), np.random.default_rng(seed)
    for layer in network.layers:
        weights = weight_matrix(plain, layer, scenes[:IMAGES].images)
        if isinstance(weights, str) or not np.isfinite(weights).all():
            reason = weights if isinstance(weights, str) else "they are not finite"
            result.notes.append(f"weights of {layer}: left out, for {reason}")
            continue
        outputs, inputs = weights.shape
        if inputs >= LEAST:
            of_inputs = feature_dimensionality(weights)
            result.arrays[f"weight_dimensionality.{layer}"] = (f"input.{layer}", of_inputs)
            shuffled = (rng.permutation(weights.ravel()).reshape(weights.shape) for _ in range(DRAWS))
            result.add(
                f"weight_dimensionality.{layer}",
                of_inputs.mean(),
                chance=[feature_dimensionality(matrix).mean() for matrix in shuffled],
                oracle=most_dimensionality(outputs, inputs),
            )
        else:
            result.cannot_fail(f"weight_dimensionality.{layer}", f"{_TOO_FEW}; the layer has {inputs} inputs")
        result.add(f"weight_dimensions_per_feature.{layer}", dimensions_per_feature(weights))


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
    means: Array = _means(present) @ change
    return means.T[means.any(0)]


def _means(present: Features) -> csr_array:
    """Return the matrix (features, N) that averages images by feature."""
    from scipy.sparse import csr_array, diags_array

    return csr_array(diags_array(1 / present.counts) @ present.members)
