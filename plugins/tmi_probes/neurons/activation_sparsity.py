"""Activation sparsity: how many neurons an image wakes, how many images wake a neuron, and how many never wake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.hoyer import hoyer, hoyer_of_norms
from ..pipeline.scenes import activations_in_parts, described, labelled, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


INFO = {
    "active_per_image": tmi.MetricInfo("Mean number of neurons that are not 0 on a test image (L0)", "lower", 0),
    "active_share": tmi.MetricInfo("Mean share of a layer's neurons that are not 0 on a test image", "lower", 0, 1),
    "zero_share": tmi.MetricInfo("Mean share of a layer's neurons that are 0 on a test image", "higher", 0, 1),
    "hoyer": tmi.MetricInfo("Hoyer sparsity (√n − ‖a‖₁/‖a‖₂)/(√n − 1), mean over test images (Hoyer 2004)", "higher", 0, 1),
    "neuron_hoyer": tmi.MetricInfo("Hoyer sparsity of a neuron over the test images, mean over live neurons", "higher", 0, 1),
    "dead_share": tmi.MetricInfo("Share of a layer's neurons that are 0 on every test image", None, 0, 1),
    "neurons": tmi.MetricInfo("Neurons in the layer", None, 1),
    "windows_per_image": tmi.MetricInfo(
        "Mean number of windows of a test image that contain a tile: the oracle of active_per_image", None, 0
    ),
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
        For each layer the metrics ``active_per_image``, ``active_share``, ``zero_share``, ``hoyer``, ``neuron_hoyer``,
        ``dead_share`` and ``neurons``; ``windows_per_image``, which is how many neurons an image would wake if each stood for a
        tile at a place. Arrays ``active_count`` and ``image_hoyer`` (image, layer), the latter NaN where it is not defined; for
        each neuron ``firing_rate.<layer>``, the share of images on which it is not 0, ``mean_activation.<layer>`` and
        ``neuron_hoyer.<layer>``, NaN where it is dead.

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
    sums, total, squares = ({layer: np.zeros(size) for layer, size in sizes.items()} for _ in range(3))
    for rows, activations in activations_in_parts(network, scenes, sizes):
        for column, layer in enumerate(layers):
            values = activations[layer]
            active = values != 0
            count[rows, column] = active.sum(1)
            fired[layer] += active.sum(0)
            sparsity[rows, column] = hoyer(values)
            sums[layer] += values.sum(0, dtype=np.float64)
            total[layer] += np.abs(values).sum(0, dtype=np.float64)
            squares[layer] += np.square(values, dtype=np.float64).sum(0)
    windows = len(tmi.match(scenes.images, data.task.tiles).image) / len(scenes)
    metrics: dict[str, float] = {"windows_per_image": windows}
    notes: list[str] = []
    arrays: dict[str, Any] = {
        "active_count": (("image", "layer"), count),
        "image_hoyer": (("image", "layer"), sparsity),
    }
    for column, layer in enumerate(layers):
        neurons = len(fired[layer])
        metrics[f"active_per_image.{layer}"] = count[:, column].mean()
        metrics[f"active_share.{layer}"] = count[:, column].mean() / neurons
        metrics[f"zero_share.{layer}"] = 1 - metrics[f"active_share.{layer}"]
        metrics[f"dead_share.{layer}"] = (fired[layer] == 0).mean()
        metrics[f"neurons.{layer}"] = neurons
        of_neuron = hoyer_of_norms(total[layer], np.sqrt(squares[layer]), len(scenes))
        for name, found in (("hoyer", sparsity[:, column]), ("neuron_hoyer", of_neuron)):
            defined = found[~np.isnan(found)]
            if len(defined):
                metrics[f"{name}.{layer}"] = defined.mean()
        defined = ~np.isnan(sparsity[:, column])
        if neurons == 1:
            notes.append(f"hoyer.{layer}: left out, for the layer has one neuron")
        elif not defined.all():
            notes.append(f"hoyer.{layer}: without {(~defined).sum()} of {len(scenes)} images, whose activations are all 0")
        axis = (f"neuron.{layer}",)
        arrays |= {
            f"firing_rate.{layer}": (axis, (fired[layer] / len(scenes)).astype(np.float32)),
            f"mean_activation.{layer}": (axis, (sums[layer] / len(scenes)).astype(np.float32)),
            f"neuron_hoyer.{layer}": (axis, of_neuron.astype(np.float32)),
        }
    return tmi.ProbeResult(metrics, arrays, {"layer": np.array(layers)}, described(INFO, metrics), tuple(notes))
