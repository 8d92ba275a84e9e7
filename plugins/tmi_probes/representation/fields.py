"""Which part of the image a unit reads, as a box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError
from tmi_attribution.receptive import readers

from ..pipeline.features import own_kind
from ..pipeline.units import parts_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    import tmi


def fields_of(network: tmi.Network, layer: str, size: int, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest box of pixels outside which each unit reads nothing, by the network's connections.

    Parameters
    ----------
    network : Network
    layer : str
    size : int
        Number of the layer's units.
    units : ndarray of int64, shape (K,)
        Indices into the flattened layer.

    Returns
    -------
    ndarray of int64, shape (K, 4)
        First row, first column, and the row and column after the last. Of a unit that is known to stand for a tile at a place,
        that tile's rectangle; the whole image where the module refuses the NaN with which connections are found.
    """
    _, m, n = network.task.image_shape
    table = network.neurons(layer)
    if table is not None and own_kind(table) == "tile-place":
        tile, row, col = table[["tile", "row", "col"]].to_numpy(np.int64)[units].T
        high, wide = np.array([one.shape[1:] for one in network.task.tiles])[tile].T
        return np.stack([row, col, row + high, col + wide], 1)
    try:
        down, across = (_reads(network, layer, size, units, axis) for axis in (2, 3))
    except InputError:
        return np.tile(np.array([0, 0, m, n]), (len(units), 1))
    ends = [(lines.argmax(0), lines.shape[0] - lines[::-1].argmax(0)) for lines in (down, across)]
    return np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], 1).astype(np.int64)


def _reads(network: tmi.Network, layer: str, size: int, units: NDArray[np.int64], axis: int) -> NDArray[np.bool_]:
    """Return which units read something of each row (axis 2) or column (axis 3), bool (rows or columns, K)."""
    import torch

    shape = network.task.image_shape
    most = min(256, getattr(network.module, "images_at_once", 256))
    module = network.plain().module
    found = []
    for lines in parts_of(shape[axis - 1], network.task, size, most):
        number = torch.arange(lines.start, lines.stop)
        marked = torch.zeros((len(number), *shape), dtype=torch.bool)
        marked.transpose(1, axis)[torch.arange(len(number)), number] = True
        found.append(readers(module, layer, marked, _part(network, layer))[:, units])
    return np.concatenate(found)


def _part(network: tmi.Network, layer: str) -> Any:
    def of_layer(output: Any) -> torch.Tensor:
        activations: torch.Tensor = network.part(layer, output)
        return activations

    return of_layer
