"""The selectivity panel: what single neurons say about the class, by the measures in common use.

Such measures can mislead (Gale et al. 2019), so there are several, and each is compared with the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.monosemanticity import monosemanticity_score, tile_purity
from ..measures.recovery import varies
from ..measures.selectivity import auc, class_selectivity, classes_fired, group_means, mutual_information, one_hot
from ..pipeline.features import feature_of_neurons, features
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled, pictures
from ..pipeline.units import units_of_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


INFO = {
    "class_selectivity": tmi.MetricInfo(
        "(μ_max − μ_rest)/(μ_max + μ_rest) of class means, mean over live neurons (Morcos et al. 2018)", "higher", 0, 1
    ),
    "auc": tmi.MetricInfo("Best one-against-rest ROC AUC over the classes, mean over live neurons", "higher", 0, 1),
    "mutual_information": tmi.MetricInfo(
        "Mutual information of 'is active' with the label, mean over live neurons", "higher", 0, None, "nat"
    ),
    "label_entropy": tmi.MetricInfo("Entropy of the labels, which no mutual information exceeds", None, 0, None, "nat"),
    "classes_per_neuron": tmi.MetricInfo("Number of classes a live neuron fires for, mean", "lower", 0),
    "monosemantic": tmi.MetricInfo("Share of live neurons that fire for exactly one class", "higher", 0, 1),
    "monosemanticity_score": tmi.MetricInfo(
        "Σ ã_i ã_j cos(e_i, e_j) / Σ ã_i ã_j over pairs of images, e = one-hot tile and class, mean over live neurons",
        "higher",
        0,
        1,
    ),
    "live": tmi.MetricInfo("Share of the examined neurons that are not 0 on some image, and finite on all", None, 0, 1),
    "tile_purity": tmi.MetricInfo(
        "Largest share of a neuron's mean activation that one tile has, mean over live neurons", "higher", 0, 1
    ),
    "known_tile": tmi.MetricInfo(
        "Share of live neurons whose purest tile is the one that they are known to stand for", "higher", 0, 1
    ),
    "truth_spearman": tmi.MetricInfo("Spearman's correlation of a measure with tile purity over live neurons", "higher", -1, 1),
    "truth_pearson": tmi.MetricInfo("Pearson's correlation of a measure with tile purity over live neurons", "higher", -1, 1),
}
MEASURES = ("class_selectivity", "auc", "mutual_information", "classes_per_neuron", "monosemanticity_score")
"""The panel. For all but the number of classes, more is more selective."""


def selectivity(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, images: Count = 500, neurons: Count = 2000, firing: Share = 0.01
) -> tmi.ProbeResult:
    """How much single neurons say about the class, in every layer but the logits, and how far such measures follow the truth.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    neurons : int
        How many neurons of a layer to examine; a larger layer is sampled without replacement.
    firing : float
        A neuron fires for a class if it is active (not 0) on more than this share of the class's images.

    Returns
    -------
    ProbeResult
        For each layer, over the neurons that are active on some image and finite on all: ``class_selectivity``, ``auc``,
        ``mutual_information``, ``classes_per_neuron``, ``monosemantic``, ``monosemanticity_score``, ``tile_purity``, and the
        share ``live``; ``label_entropy``. Arrays of the same names for each examined neuron, NaN where a measure is not defined,
        and ``neuron_index.<layer>``.

        For each measure of the panel, ``auc.<layer>.chance`` is its value for the same neurons on shuffled images, and
        ``auc.oracle`` its value for neurons that respond to one tile each, wherever it is. Its correlation with tile purity over
        the neurons of a layer is ``truth_spearman.<measure>.<layer>`` and ``truth_pearson.<measure>.<layer>``, the number of
        classes counted negatively, so that 1 is best for all.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    label, tile = scenes.labels.numpy(), scenes.tile.numpy()
    share = np.bincount(label) / len(label)
    share = share[share > 0]
    result = ResultBuilder(INFO)
    vacuous = _vacuous(result, label, tile, pictures(scenes)) if len(network.layers) > 1 else set()
    result.add("label_entropy", max(0.0, -(share * np.log(share)).sum()))
    rng = np.random.default_rng(seed)
    if len(network.layers) == 1:
        result.notes.append("the network names no layer but the logits")
    else:
        _add_means(result, panel(one_hot(tile).T, label, tile, firing), "oracle", vacuous)
    for layer, units in units_of_layers(network, scenes, network.layers[:-1], neurons, rng, result.notes):
        live = (units.activations != 0).any(0)
        if not live.all():
            result.notes.append(f"{layer}: {int((~live).sum())} of {len(live)} examined neurons are 0 on all images and left out")
        defined = np.isfinite(units.activations).all(0)
        if not defined.all():
            result.notes.append(
                f"{layer}: {int((~defined).sum())} of {len(live)} examined neurons are left out: NaN or infinite somewhere"
            )
            live &= defined
        axis = f"neuron.{layer}"
        result.arrays |= {f"neuron_index.{layer}": (axis, units.index), f"is_live.{layer}": (axis, live)}
        result.add(f"live.{layer}", live.mean())
        if not live.any():
            continue
        values = _without_rounding(units.activations[:, live])
        measured = panel(values, label, tile, firing)
        purity = tile_purity(values, tile)
        for name, of_neurons in (measured | {"tile_purity": purity}).items():
            every = np.full(len(live), np.nan)
            every[live] = of_neurons
            result.arrays[f"{name}.{layer}"] = (axis, every)
            undefined = int((~np.isfinite(of_neurons)).sum())
            if undefined:
                result.notes.append(f"{name}.{layer}: not defined for {undefined} of {len(of_neurons)} live neurons, left out")
        order = rng.permutation(len(label))
        shuffled = panel(values, label[order], tile[order], firing) | {"tile_purity": tile_purity(values, tile[order])}
        _add_means(result, measured | {"tile_purity": purity}, layer, vacuous)
        if "monosemantic" not in vacuous:
            result.add(f"monosemantic.{layer}", (measured["classes_per_neuron"] == 1).mean())
        _add_means(result, shuffled, f"{layer}.chance", vacuous)
        _add_correlations(result, {name: measured[name] for name in MEASURES if f"truth.{name}" not in vacuous}, purity, layer)
        table = network.neurons(layer)
        if table is not None and "tile" in table and "known_tile" not in vacuous:
            known = feature_of_neurons(table, features(scenes, "tile"), data.task)[units.index[live]]
            result.add(f"known_tile.{layer}", (group_means(np.abs(values), tile).argmax(0) == known).mean())
    return result.result()


def _vacuous(result: ResultBuilder, label: NDArray[np.int64], tile: NDArray[np.int64], picture: NDArray[np.int64]) -> set[str]:
    """Return the measures that cannot fail on images of these labels, tiles and numbers of pictures, and note them."""
    classes, tiles, different = (len(np.unique(shown)) for shown in (label, tile, picture))
    about_class = "class_selectivity", "auc", "mutual_information", "classes_per_neuron", "monosemantic"
    cases = (
        (classes == 1, about_class, "all images show one class"),
        (tiles == 1, ("monosemanticity_score", "tile_purity", "known_tile"), "all images show one tile"),
        (different == 2, ("monosemanticity_score",), "there are two different images"),
        (classes > 1 and different == classes, ("auc",), "all images of a class are equal"),
        (tiles == classes > 1, ("truth.class_selectivity",), "with one tile a class it rises with tile purity by definition"),
    )
    names: set[str] = set()
    for holds, alike, reason in cases:
        if holds:
            result.cannot_fail(", ".join(alike), reason)
            names.update(alike)
    return names


def panel(activations: Array, label: NDArray[np.int64], tile: NDArray[np.int64], firing: float = 0.01) -> dict[str, Array]:
    """Return every measure of the panel for every neuron.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label, tile : ndarray of int64, shape (N,)
        Class and tile that each image shows.
    firing : float
        See `selectivity`.

    Returns
    -------
    dict of str to ndarray, shape (neurons,)
        NaN where a measure is not defined.
    """
    active = activations != 0
    values = (
        class_selectivity(activations, label),
        auc(activations, label).max(0, initial=-np.inf),
        mutual_information(active, label),
        classes_fired(active, label, firing),
        monosemanticity_score(activations, label, tile),
    )
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in zip(MEASURES, values, strict=True)}


def _add_means(result: ResultBuilder, measured: Mapping[str, Array], name: str, vacuous: set[str]) -> None:
    """Add the mean of each measure over the neurons for which it is defined; those named as vacuous are left out."""
    for measure, values in measured.items():
        if np.isfinite(values).any() and measure not in vacuous:
            result.add(f"{measure}.{name}", values[np.isfinite(values)].mean())


def _without_rounding(activations: NDArray[Any]) -> Array:
    """Return the activations in float64, constant where they vary by rounding alone: ranks would see the difference."""
    values = activations.astype(np.float64)
    still = ~varies(activations) & np.isfinite(values).all(0)
    values[:, still] = values[0, still]
    return values


def _add_correlations(result: ResultBuilder, measured: Mapping[str, Array], purity: Array, layer: str) -> None:
    """Add each measure's correlation with tile purity over the neurons."""
    from scipy.stats import pearsonr, spearmanr

    without = []
    for name, values in measured.items():
        defined = np.isfinite(values) & np.isfinite(purity)
        pair = np.stack([-values if name == "classes_per_neuron" else values, purity], axis=1)[defined]
        pair = np.round(pair, 9)  # values that differ by rounding count as equal
        if len(pair) < 3 or not np.ptp(pair, axis=0).all():
            without.append(name)
            continue
        result.add(f"truth_pearson.{name}.{layer}", pearsonr(pair[:, 0], pair[:, 1]).statistic)
        result.add(f"truth_spearman.{name}.{layer}", spearmanr(pair[:, 0], pair[:, 1]).statistic)
    if without:
        result.notes.append(
            f"truth.{layer}: no correlation with tile purity, for one of the two does not vary: {', '.join(without)}"
        )
