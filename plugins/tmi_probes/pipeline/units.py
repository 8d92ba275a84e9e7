"""Which units of a layer a probe looks at, and their activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .scenes import activations_in_parts, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

_HELD = 50_000_000  # activations of several layers held at a time


@dataclass(frozen=True, eq=False)
class Units:
    """Some or all units of a layer.

    Attributes
    ----------
    index : ndarray of int64, shape (units,)
        Which of the flattened layer's units, ascending.
    size : int
        How many the layer has.
    activations : ndarray of float, shape (N, units)
        In the network's dtype.
    """

    index: NDArray[np.int64]
    size: int
    activations: NDArray[Any]


def examined(
    network: tmi.Network, scenes: tmi.Scenes, layers: Sequence[str], neurons: int, rng: np.random.Generator, notes: list[str]
) -> Iterator[tuple[str, Units]]:
    """Yield each layer with its activations; a layer that is too large is sampled, and a note says so.

    As many layers are held at a time as fit, and the images go through the network once for those.

    Parameters
    ----------
    network : Network
    scenes : Scenes
    layers : sequence of str
    neurons : int
        How many units of a layer at most; of a larger one so many are drawn without replacement.
    rng : Generator
    notes : list of str
        Added to.

    Yields
    ------
    layer : str
    units : Units
    """
    if not layers:
        return
    sizes = sizes_of(network, scenes, layers)
    index = {
        layer: np.sort(rng.permutation(size)[:neurons]) if size > neurons else np.arange(size) for layer, size in sizes.items()
    }
    notes += [
        f"{layer}: {len(index[layer])} of {size} neurons examined, drawn at random"
        for layer, size in sizes.items()
        if len(index[layer]) < size
    ]
    for group in _groups({layer: len(scenes) * len(one) for layer, one in index.items()}):
        found: dict[str, NDArray[Any]] = {}
        for rows, activations in activations_in_parts(network, scenes, {layer: sizes[layer] for layer in group}):
            for layer, values in activations.items():
                if layer not in found:  # filled in place: parts to be joined would need twice the memory
                    found[layer] = np.empty((len(scenes), len(index[layer])), values.dtype)
                found[layer][rows] = values[:, index[layer]]
        for layer in group:
            yield layer, Units(index[layer], sizes[layer], found.pop(layer))


def _groups(numbers: Mapping[str, int]) -> list[list[str]]:
    """Divide layers into runs that are held together."""
    groups: list[list[str]] = []
    held = 0
    for layer, count in numbers.items():
        if not groups or held + count > _HELD:
            groups.append([])
            held = 0
        groups[-1].append(layer)
        held += count
    return groups
