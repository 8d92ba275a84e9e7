"""The activations of layers: all units of a layer, or a sample of a layer that is too large."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

_AT_ONCE = 4_000_000  # pixels, or activations of named layers, of one batch: the one bound of what probes hold at a time
_HELD = 50_000_000  # activations of several layers that are held together


def inner_layer(network: tmi.Network, layer: str | None) -> str | None:
    """Return the layer to look at: the named one, else the last before the logits, or None where the network names no other.

    Raises
    ------
    InputError
        For the layer of the logits.
    """
    if layer is None:
        return network.layers[-2] if len(network.layers) > 1 else None
    if layer == network.layers[-1]:
        raise InputError(f"layer {layer!r}: gives the logits; name one before it")
    return layer


def sizes_of(network: tmi.Network, scenes: tmi.Scenes, layers: Sequence[str]) -> dict[str, int]:
    """Return how many neurons each layer has, counted on one image.

    Raises
    ------
    UnknownNameError
        For a layer that the network does not have.
    """
    return {layer: values.numel() for layer, values in network.activations(scenes[:1].images, layers).items()}


def images_at_once(values: int) -> int:
    """Return how many images to take at a time where each has so many pixels or activations: 1 to 256."""
    return max(1, min(256, _AT_ONCE // max(1, values)))


def parts_of(count: int, task: tmi.TemplateTask, activations: int = 0, most: int = 256) -> Iterator[slice]:
    """Yield which images to take at a time.

    Parameters
    ----------
    count : int
        How many images there are.
    task : TemplateTask
        Its image shape tells how many pixels an image has.
    activations : int
        How many activations of an image are held.
    most : int
        How many images at most.

    Yields
    ------
    slice
    """
    step = min(most, images_at_once(max(activations, math.prod(task.image_shape))))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def in_parts(scenes: tmi.Scenes, activations: int = 0, most: int = 256) -> Iterator[tuple[slice, tmi.Scenes]]:
    """Yield scenes a few at a time, each part with its rows, so that only their images are rendered; see `parts_of`."""
    for rows in parts_of(len(scenes), scenes.task, activations, most):
        yield rows, scenes[rows]


def activations_in_parts(
    network: tmi.Network, scenes: tmi.Scenes, sizes: Mapping[str, int]
) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
    """Yield the activations of layers, a few images at a time, so that memory stays bounded.

    Parameters
    ----------
    network : Network
    scenes : Scenes
    sizes : mapping of str to int
        The layers and their numbers of neurons; see `sizes_of`.

    Yields
    ------
    rows : slice
        Which images.
    activations : dict of str to ndarray
        Layer to activations (images, neurons).
    """
    for rows, part in in_parts(scenes, sum(sizes.values())):
        activations = network.activations(part.images, list(sizes))  # one batch: a part has 256 images at most
        yield rows, {layer: values.reshape(len(values), -1).numpy() for layer, values in activations.items()}


@dataclass(frozen=True, eq=False)
class Units:
    """Some or all units of a layer.

    Attributes
    ----------
    index : ndarray of int64, shape (units,)
        Which units of the flattened layer, ascending.
    size : int
        How many units the layer has.
    activations : ndarray of float, shape (N, units)
        In the network's dtype.
    """

    index: NDArray[np.int64]
    size: int
    activations: NDArray[Any]


def units_of_layers(
    network: tmi.Network,
    scenes: tmi.Scenes,
    layers: Sequence[str],
    neurons: int,
    rng: np.random.Generator,
    notes: list[str],
    preferred: Callable[[str, int], Sequence[int] | NDArray[np.int64]] = lambda layer, size: (),
) -> Iterator[tuple[str, Units]]:
    """Yield each layer with its units; a larger layer is sampled, and a note says so.

    As many layers are held together as fit into memory; for those the images go through the network once.

    Parameters
    ----------
    network : Network
    scenes : Scenes
    layers : sequence of str
    neurons : int
        Units of a layer at most; of a larger layer so many are drawn without replacement.
    rng : numpy.random.Generator
    notes : list of str
        Notes are appended.
    preferred : callable
        A layer and its size to those of its units that are drawn before others.

    Yields
    ------
    layer : str
    units : Units
    """
    if not layers:
        return
    sizes = sizes_of(network, scenes, layers)
    index = {layer: np.arange(size) for layer, size in sizes.items()}
    for layer, size in sizes.items():
        if size > neurons:
            order = rng.permutation(size)
            later = ~np.isin(order, preferred(layer, size))
            index[layer] = np.sort(order[later.argsort(kind="stable")][:neurons])
    notes += [
        f"{layer}: {len(index[layer])} of {size} neurons examined, drawn at random"
        for layer, size in sizes.items()
        if len(index[layer]) < size
    ]
    for group in _groups({layer: len(scenes) * len(units) for layer, units in index.items()}):
        held: dict[str, NDArray[Any]] = {}
        for rows, activations in activations_in_parts(network, scenes, {layer: sizes[layer] for layer in group}):
            for layer, values in activations.items():
                if layer not in held:  # filled in place: joining parts would need twice the memory
                    held[layer] = np.empty((len(scenes), len(index[layer])), values.dtype)
                held[layer][rows] = values[:, index[layer]]
        for layer in group:
            yield layer, Units(index[layer], sizes[layer], held.pop(layer))


def _groups(activations: Mapping[str, int]) -> list[list[str]]:
    """Divide layers, in their order, into groups that are held together; the mapping says how many activations each has."""
    groups: list[list[str]] = []
    held = 0
    for layer, count in activations.items():
        if not groups or held + count > _HELD:
            groups.append([])
            held = 0
        groups[-1].append(layer)
        held += count
    return groups
