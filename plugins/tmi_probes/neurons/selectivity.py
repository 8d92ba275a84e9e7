"""The selectivity panel: what single neurons tell about the class, by the measures in common use.

Such measures can mislead (Gale et al. 2019), so several stand side by side, and each is held against the truth.
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
from ..pipeline.scenes import described, labelled
from ..pipeline.units import examined

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
"""The panel. Of all but the number of classes, more is more selective."""


def selectivity(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, images: Count = 500, neurons: Count = 2000, firing: Share = 0.01
) -> tmi.ProbeResult:
    """How much single neurons tell about the class, in every layer but the logits, and whether such measures tell the truth.

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

        Beside each of the panel, as ``auc.<layer>.chance``, what it gives the same neurons on shuffled images, and as
        ``auc.oracle`` what it gives neurons that answer to one tile each, wherever it is. Each one's correlation with tile purity
        over the neurons of a layer is ``truth_spearman.<measure>.<layer>`` and ``truth_pearson.<measure>.<layer>``, the number of
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
    metrics: dict[str, float] = {"label_entropy": float(max(0.0, -(share * np.log(share)).sum()))}
    arrays: dict[str, Any] = {}
    notes: list[str] = []
    rng = np.random.default_rng(seed)
    if len(network.layers) == 1:
        notes.append("the network names no layer but the logits")
    else:
        if len(np.unique(tile)) == len(np.unique(label)):
            notes.append(
                "one tile a class: class selectivity rises with tile purity by definition; their correlation says nothing"
            )
        metrics |= _means(panel(one_hot(tile).T, label, tile, firing), "oracle")
    for layer, units in examined(network, scenes, network.layers[:-1], neurons, rng, notes):
        live = (units.activations != 0).any(0)
        if not live.all():
            notes.append(f"{layer}: {int((~live).sum())} of {len(live)} examined neurons are 0 on all images and left out")
        defined = np.isfinite(units.activations).all(0)
        if not defined.all():
            notes.append(
                f"{layer}: {int((~defined).sum())} of {len(live)} examined neurons are left out: NaN or infinite somewhere"
            )
            live &= defined
        axis = (f"neuron.{layer}",)
        arrays |= {f"neuron_index.{layer}": (axis, units.index), f"is_live.{layer}": (axis, live)}
        metrics[f"live.{layer}"] = live.mean()
        if not live.any():
            continue
        values = _steady(units.activations[:, live])
        measured = panel(values, label, tile, firing)
        purity = tile_purity(values, tile)
        for name, of_neurons in (measured | {"tile_purity": purity}).items():
            every = np.full(len(live), np.nan)
            every[live] = of_neurons
            arrays[f"{name}.{layer}"] = (axis, every)
            missing = int((~np.isfinite(of_neurons)).sum())
            if missing:
                notes.append(f"{name}.{layer}: not defined for {missing} of {len(of_neurons)} live neurons, left out")
        order = rng.permutation(len(label))
        metrics |= _means(measured | {"tile_purity": purity}, layer)
        metrics[f"monosemantic.{layer}"] = (measured["classes_per_neuron"] == 1).mean()
        metrics |= _means(panel(values, label[order], tile[order], firing), f"{layer}.chance")
        metrics |= _means({"tile_purity": tile_purity(values, tile[order])}, f"{layer}.chance")
        metrics |= _truth(measured, purity, layer, notes)
        table = network.neurons(layer)
        if table is not None and "tile" in table:
            found = features(scenes, "tile")
            known = feature_of_neurons(table, found, data.task)[units.index[live]]
            metrics[f"known_tile.{layer}"] = (group_means(np.abs(values), tile).argmax(0) == known).mean()
    return tmi.ProbeResult(metrics, arrays, info=described(INFO, metrics), notes=tuple(notes))


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


def _means(measured: Mapping[str, Array], name: str) -> dict[str, float]:
    """Average each measure over the neurons for which it is defined."""
    return {
        f"{measure}.{name}": values[np.isfinite(values)].mean()
        for measure, values in measured.items()
        if np.isfinite(values).any()
    }


def _steady(activations: NDArray[Any]) -> Array:
    """Return the activations in float64; what varies by rounding alone becomes constant, for ranks would tell it from noise."""
    values = activations.astype(np.float64)
    still = ~varies(activations) & np.isfinite(values).all(0)
    values[:, still] = values[0, still]
    return values


def _truth(measured: Mapping[str, Array], purity: Array, layer: str, notes: list[str]) -> dict[str, float]:
    """Correlate each measure with tile purity over neurons."""
    from scipy.stats import pearsonr, spearmanr

    metrics: dict[str, float] = {}
    missing = []
    for name, values in measured.items():
        defined = np.isfinite(values) & np.isfinite(purity)
        pair = np.stack([-values if name == "classes_per_neuron" else values, purity], axis=1)[defined]
        pair = np.round(pair, 9)  # equal but for rounding is equal
        if len(pair) < 3 or not np.ptp(pair, axis=0).all():
            missing.append(name)
            continue
        metrics[f"truth_pearson.{name}.{layer}"] = pearsonr(pair[:, 0], pair[:, 1]).statistic
        metrics[f"truth_spearman.{name}.{layer}"] = spearmanr(pair[:, 0], pair[:, 1]).statistic
    if missing:
        notes.append(f"truth.{layer}: no correlation with tile purity, for one of the two does not vary: {', '.join(missing)}")
    return metrics
