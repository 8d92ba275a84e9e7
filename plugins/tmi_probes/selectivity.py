"""The selectivity panel: what single neurons tell about the class, by the measures in common use.

Such measures can mislead (Gale et al. 2019), so several stand side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count, Share

from .common import activations_in_parts, labelled, sizes_of

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
    "live": tmi.MetricInfo("Share of the examined neurons that are not 0 on some image", None, 0, 1),
}
_MEASURES = ("class_selectivity", "auc", "mutual_information", "classes_per_neuron", "monosemanticity_score")


def selectivity(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, images: Count = 500, neurons: Count = 2000, firing: Share = 0.01
) -> tmi.ProbeResult:
    """How much single neurons tell about the class, in every layer but the logits.

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
        For each layer, over the neurons that are active on some image: ``class_selectivity``, ``auc``, ``mutual_information``,
        ``classes_per_neuron``, ``monosemantic``, ``monosemanticity_score``, and the share ``live``; ``label_entropy``. Arrays of
        the same names for each examined neuron, NaN where a measure is not defined, and ``neuron_index.<layer>``.

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
    for layer, (index, size, activations) in _examined(network, scenes, neurons, rng).items():
        if len(index) < size:
            notes.append(f"{layer}: {len(index)} of {size} neurons examined, drawn at random")
        live = (activations != 0).any(0)
        if not live.all():
            notes.append(f"{layer}: {int((~live).sum())} of {len(index)} examined neurons are 0 on all images and left out")
        measured = panel(activations[:, live], label, tile, firing)
        axis = (f"neuron.{layer}",)
        arrays |= {f"neuron_index.{layer}": (axis, index), f"is_live.{layer}": (axis, live)}
        metrics[f"live.{layer}"] = live.mean()
        for name, values in measured.items():
            every = np.full(len(index), np.nan)
            every[live] = values
            arrays[f"{name}.{layer}"] = (axis, every)
            defined = np.isfinite(values)
            if defined.any():
                metrics[f"{name}.{layer}"] = values[defined].mean()
            if not defined.all():
                notes.append(f"{name}.{layer}: not defined for {int((~defined).sum())} of {len(values)} live neurons, left out")
        if live.any():
            metrics[f"monosemantic.{layer}"] = (measured["classes_per_neuron"] == 1).mean()
    if len(network.layers) == 1:
        notes.append("the network names no layer but the logits")
    bases = {name.partition(".")[0] for name in metrics}
    info = {name: info for name, info in INFO.items() if name in bases}
    return tmi.ProbeResult(metrics, arrays, info=info, notes=tuple(notes))


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
        (_class_means(active, label) > firing).sum(0).astype(float),
        monosemanticity_score(activations, label, tile),
    )
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in zip(_MEASURES, values, strict=True)}


def class_selectivity(activations: Array, label: NDArray[np.int64]) -> Array:
    """Return (μ_max − μ_rest)/(μ_max + μ_rest), μ_rest being the mean of the other classes' means.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        In [0, 1]; NaN for a neuron with negative activations or none, and where all images are of one class.
    """
    means = _class_means(activations, label)
    if len(means) < 2:
        return np.full(activations.shape[1], np.nan)
    largest = means.max(0)
    rest = (means.sum(0) - largest) / (len(means) - 1)
    defined = (activations >= 0).all(0) & (largest > 0)
    result = np.full(activations.shape[1], np.nan)
    result[defined] = np.clip((largest - rest)[defined] / (largest + rest)[defined], 0, 1)
    return result


def auc(activations: Array, label: NDArray[np.int64]) -> Array:
    """Return the area under the ROC curve of each class against the rest, ties counting half.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (classes seen, neurons)
        Empty along the first axis where all images are of one class.
    """
    from scipy.stats import rankdata

    member = _members(label)
    if len(member) < 2:
        return np.empty((0, activations.shape[1]))
    ranks = member @ rankdata(activations, axis=0)  # the Mann-Whitney statistic, for all neurons at once
    inside = member.sum(1)[:, None]
    result: Array = (ranks - inside * (inside + 1) / 2) / (inside * (len(label) - inside))
    return result


def mutual_information(active: NDArray[np.bool_], label: NDArray[np.int64]) -> Array:
    """Return the mutual information between 'is active' and the label, in nats.

    Parameters
    ----------
    active : ndarray of bool, shape (N, neurons)
    label : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        At least 0.
    """
    member = _members(label)
    total = np.zeros(active.shape[1])
    for state in (active, ~active):
        joint = member @ state / len(label)
        expected = member.mean(1)[:, None] * state.mean(0)
        seen = joint > 0
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=seen)
        total += (joint * np.log(ratio)).sum(0)
    return np.maximum(total, 0)


def monosemanticity_score(activations: Array, label: NDArray[np.int64], tile: NDArray[np.int64]) -> Array:
    """Return Σ ã_i ã_j cos(e_i, e_j) / Σ ã_i ã_j over the pairs i < j of images.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)
    label, tile : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray, shape (neurons,)
        In [0, 1]. NaN where fewer than two images have ã > 0.

    Notes
    -----
    ã is the activation scaled to [0, 1] neuron by neuron, and 1 for a neuron that is constant. e is the exact feature vector of
    an image: one-hot tile beside one-hot class. So the cosine is 1 for two images of one tile, 1/2 for two tiles of one class,
    and 0 otherwise, and the sums over pairs become sums over tiles and classes.
    """
    low, high = activations.min(0), activations.max(0)
    constant = low == high
    scaled = np.where(constant, 1.0, (activations - low) / np.where(constant, 1.0, high - low))
    squares = np.square(scaled).sum(0)
    alike = (np.square(_members(tile) @ scaled).sum(0) + np.square(_members(label) @ scaled).sum(0)) / 2 - squares
    pairs = np.square(scaled.sum(0)) - squares
    defined = ((scaled > 0).sum(0) >= 2) & (pairs > 0)
    result = np.full(activations.shape[1], np.nan)
    result[defined] = np.clip(alike[defined] / pairs[defined], 0, 1)
    return result


def _members(group: NDArray[np.int64]) -> Array:
    """One-hot rows of the groups that occur: (groups seen, N)."""
    seen = np.unique(group)
    members: Array = (group == seen[:, None]).astype(float)
    return members


def _class_means(values: NDArray[Any], label: NDArray[np.int64]) -> Array:
    member = _members(label)
    means: Array = member @ values / member.sum(1)[:, None]
    return means


def _examined(
    network: tmi.Network, scenes: tmi.Scenes, neurons: int, rng: np.random.Generator
) -> dict[str, tuple[NDArray[np.int64], int, Array]]:
    """For each layer but the logits: which neurons, of how many, and their activations (N, neurons)."""
    layers = network.layers[:-1]
    if not layers:
        return {}
    sizes = sizes_of(network, scenes, layers)
    index = {
        layer: np.sort(rng.permutation(size)[:neurons]) if size > neurons else np.arange(size) for layer, size in sizes.items()
    }
    found: dict[str, list[Array]] = {layer: [] for layer in layers}
    for _, activations in activations_in_parts(network, scenes, sizes):
        for layer in layers:
            found[layer].append(activations[layer][:, index[layer]].astype(np.float64))
    return {layer: (index[layer], sizes[layer], np.concatenate(found[layer])) for layer in layers}
