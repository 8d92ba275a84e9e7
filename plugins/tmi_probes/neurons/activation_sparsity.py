"""Activation sparsity: how many neurons are active on an image, on how many images a neuron is active, how many never are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tmi
from tmi.params import Count

from ..measures.hoyer import hoyer, hoyer_of_norms
from ..pipeline.layer_scores import add_untrained
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import activations_in_parts, in_parts, sizes_of

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
        ``dead_share``, each with ``.untrained``, its value before training, and ``neurons``; ``windows_per_image``, the number of
        neurons that would be active on an image if each stood for a tile at a place. There is no chance: shuffled images leave
        all of them as they are. Arrays ``active_count`` and ``image_hoyer`` (image, layer), the latter NaN where it is not
        defined; for each neuron ``firing_rate.<layer>``, the share of images on which it is not 0, ``mean_activation.<layer>``
        and ``neuron_hoyer.<layer>``, NaN where it is dead.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    result = ResultBuilder(INFO)
    result.coords["layer"] = np.array(network.layers)
    if data.task.has_tiles:
        windows = sum(len(tmi.match(part.images, data.task.tiles)) for _, part in in_parts(scenes))
        result.add("windows_per_image", windows / len(scenes))
    else:
        result.cannot_fail("windows_per_image", "the images have no tiles")
    _add_sparsity(result, network, network.layers, scenes)
    add_untrained(result, network, lambda before, collected: _add_sparsity(collected, before, network.layers, scenes))
    for layer, neurons in sizes_of(network, scenes, network.layers).items():
        result.add(f"neurons.{layer}", neurons)
    return result.result()


def _add_sparsity(result: ResultBuilder, network: tmi.Network, layers: Sequence[str], scenes: tmi.Scenes) -> None:
    """Add the metrics and arrays of a network's layers."""
    sizes = sizes_of(network, scenes, layers)
    active_count = np.zeros((len(scenes), len(layers)), np.int64)
    image_hoyer = np.full((len(scenes), len(layers)), np.nan)
    fired = {layer: np.zeros(size, np.int64) for layer, size in sizes.items()}
    sums, magnitudes, squares = ({layer: np.zeros(size) for layer, size in sizes.items()} for _ in range(3))
    for rows, activations in activations_in_parts(network, scenes, sizes):
        for column, layer in enumerate(layers):
            values = activations[layer]
            active = values != 0
            active_count[rows, column] = active.sum(1)
            image_hoyer[rows, column] = hoyer(values)
            fired[layer] += active.sum(0)
            sums[layer] += values.sum(0, dtype=np.float64)
            magnitudes[layer] += np.abs(values).sum(0, dtype=np.float64)
            squares[layer] += np.square(values, dtype=np.float64).sum(0)
    result.arrays |= {"active_count": (("image", "layer"), active_count), "image_hoyer": (("image", "layer"), image_hoyer)}
    for column, layer in enumerate(layers):
        neurons = sizes[layer]
        active_share = active_count[:, column].mean() / neurons
        result.add(f"active_per_image.{layer}", active_count[:, column].mean())
        result.add(f"active_share.{layer}", active_share)
        result.add(f"zero_share.{layer}", 1 - active_share)
        result.add(f"dead_share.{layer}", (fired[layer] == 0).mean())
        neuron_hoyer = hoyer_of_norms(magnitudes[layer], np.sqrt(squares[layer]), len(scenes))
        for name, values in (("hoyer", image_hoyer[:, column]), ("neuron_hoyer", neuron_hoyer)):
            if not np.isnan(values).all():
                result.add(f"{name}.{layer}", values[~np.isnan(values)].mean())
        if len(scenes) == 1:
            result.notes.append(f"neuron_hoyer.{layer}: left out, for there is one image only")
        undefined = int(np.isnan(image_hoyer[:, column]).sum())
        if neurons == 1:
            result.notes.append(f"hoyer.{layer}: left out, for the layer has one neuron")
        elif undefined:
            result.notes.append(f"hoyer.{layer}: without {undefined} of {len(scenes)} images, whose activations are all 0")
        axis = f"neuron.{layer}"
        result.arrays |= {
            f"firing_rate.{layer}": (axis, (fired[layer] / len(scenes)).astype(np.float32)),
            f"mean_activation.{layer}": (axis, (sums[layer] / len(scenes)).astype(np.float32)),
            f"neuron_hoyer.{layer}": (axis, neuron_hoyer.astype(np.float32)),
        }
