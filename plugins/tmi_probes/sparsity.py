"""Activation sparsity: how many neurons an image wakes, and how many never wake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from .common import activations_in_parts, labelled, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


INFO = {
    "active_per_image": tmi.MetricInfo("Mean number of neurons that are not 0 on a test image (L0)", "lower", 0),
    "active_share": tmi.MetricInfo("Mean share of a layer's neurons that are not 0 on a test image", "lower", 0, 1),
    "hoyer": tmi.MetricInfo("Hoyer sparsity (√n − ‖a‖₁/‖a‖₂)/(√n − 1), mean over test images (Hoyer 2004)", "higher", 0, 1),
    "dead_share": tmi.MetricInfo("Share of a layer's neurons that are 0 on every test image", None, 0, 1),
    "neurons": tmi.MetricInfo("Neurons in the layer", None, 1),
}


def activation_sparsity(network: tmi.Network, data: tmi.Dataset, *, images: Count = 1000) -> tmi.ProbeResult:
    """Share of neurons that images leave at zero, in every layer, the logits included.

    Parameters
    ----------
    images : int
        How many test images: the first ones.

    Returns
    -------
    ProbeResult
        For each layer the metrics ``active_per_image``, ``active_share``, ``hoyer``, ``dead_share`` and ``neurons``; arrays
        ``active_count`` (image, layer) and ``firing_rate.<layer>``, the share of images on which each neuron is not 0.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    layers = network.layers
    sizes = sizes_of(network, scenes, layers)
    count = np.zeros((len(scenes), len(layers)), np.int64)
    sparsity = np.full((len(scenes), len(layers)), np.nan)
    fired = {layer: np.zeros(size, np.int64) for layer, size in sizes.items()}
    for rows, activations in activations_in_parts(network, scenes, sizes):
        for column, layer in enumerate(layers):
            values = activations[layer]
            active = values != 0
            count[rows, column] = active.sum(1)
            fired[layer] += active.sum(0)
            sparsity[rows, column] = hoyer(values)
    metrics: dict[str, float] = {}
    notes: list[str] = []
    for column, layer in enumerate(layers):
        neurons = len(fired[layer])
        metrics[f"active_per_image.{layer}"] = count[:, column].mean()
        metrics[f"active_share.{layer}"] = count[:, column].mean() / neurons
        metrics[f"dead_share.{layer}"] = (fired[layer] == 0).mean()
        metrics[f"neurons.{layer}"] = neurons
        defined = sparsity[~np.isnan(sparsity[:, column]), column]
        if len(defined):
            metrics[f"hoyer.{layer}"] = defined.mean()
        if neurons == 1:
            notes.append(f"hoyer.{layer}: left out, for the layer has one neuron")
        elif len(defined) < len(scenes):
            notes.append(
                f"hoyer.{layer}: without {len(scenes) - len(defined)} of {len(scenes)} images, whose activations are all 0"
            )
    arrays: dict[str, Any] = {"active_count": (("image", "layer"), count)}
    for layer in layers:
        arrays[f"firing_rate.{layer}"] = ((f"neuron.{layer}",), (fired[layer] / len(scenes)).astype(np.float32))
    bases = {name.partition(".")[0] for name in metrics}
    info = {name: info for name, info in INFO.items() if name in bases}
    return tmi.ProbeResult(metrics, arrays, {"layer": np.array(layers)}, info, tuple(notes))


def hoyer(activations: NDArray[Any]) -> NDArray[np.float64]:
    """Return Hoyer's sparsity of each row: 1 if one neuron is active, 0 if all are equally.

    Parameters
    ----------
    activations : ndarray, shape (N, neurons)

    Returns
    -------
    ndarray of float64, shape (N,)
        (√n − ‖a‖₁/‖a‖₂)/(√n − 1), in [0, 1]; NaN for a row of zeros, or of one neuron.
    """
    neurons = activations.shape[1]
    size = np.abs(activations, dtype=np.float64)
    largest = size.max(1, initial=0)
    possible = (largest > 0) & np.isfinite(largest) & (neurons > 1)
    result = np.full(len(size), np.nan)
    if possible.any():
        scaled = size[possible] / largest[possible, None]  # so that squares neither overflow nor vanish
        ratio = scaled.sum(1) / np.sqrt(np.square(scaled).sum(1))
        result[possible] = np.clip((np.sqrt(neurons) - ratio) / (np.sqrt(neurons) - 1), 0, 1)
    return result
