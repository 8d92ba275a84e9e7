"""The scenes on which each unit of a layer is most active; of a layer of maps, a unit is a channel at its most active place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pipeline.samples import middles, widened
from ..pipeline.scenes import in_float64
from ..pipeline.units import in_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

NONE = -1
"""The number of a scene where a unit has no more scenes that activate it."""


@dataclass(frozen=True, eq=False)
class Top:
    """The most activating scenes of the units of a layer, the most activating first, equal ones in their order.

    Attributes
    ----------
    scene : ndarray of int64, shape (units, top)
        Scenes on which the unit is above its least value on all scenes; −1 where there are no more.
    activation : ndarray of float64, shape (units, top)
        NaN where there is no scene.
    place : ndarray of int64, shape (units, top)
        The place of the channel's map, flat, at which it is most active; 0 in a layer without maps.
    least : ndarray of float64, shape (units,)
        Least value on all scenes.
    shape : (int, int, int)
        Units, and the rows and columns of their maps, 1 and 1 in a layer without.
    """

    scene: Index
    activation: Array
    place: Index
    least: Array
    shape: tuple[int, int, int]

    @property
    def has_places(self) -> bool:
        """Whether the layer has maps of several places."""
        return self.shape[1] * self.shape[2] > 1

    @property
    def size(self) -> int:
        """Number of neurons of the layer, each place of a map counted."""
        return math.prod(self.shape)

    def neuron(self, unit: Index, rank: Index) -> Index:
        """Return the number of the unit's neuron in the flattened layer at its place on the scene of a rank."""
        return unit * (self.shape[1] * self.shape[2]) + self.place[unit, rank]

    def pixels(self, image_shape: tuple[int, int, int]) -> tuple[Index, Index]:
        """Return row and column of the pixel in the middle of what the unit reads at each place, (units, top); 0 without maps."""
        row, col = np.divmod(self.place, self.shape[2])
        if not self.has_places:
            return row, col
        down, across = (middles(count, side) for count, side in zip(self.shape[1:], image_shape[1:], strict=True))
        return down[row], across[col]


def tops_of(network: tmi.Network, layers: Sequence[str], scenes: tmi.Scenes, top: int) -> dict[str, Top]:
    """Return the most activating scenes of each unit of each layer.

    Activations are computed in float64 where the network can and then rounded to float32, so that the order of scenes does not
    depend on the size of a batch.

    Parameters
    ----------
    network : Network
    layers : sequence of str
    scenes : Scenes
    top : int
    """
    wide = widened(network, layers[0], scenes[:1])
    exact = wide or network
    first = exact.activations((in_float64(scenes[:1]) if wide else scenes[:1]).images, layers)
    running = {layer: _Running(_shape(values.shape[1:]), top) for layer, values in first.items()}
    for rows, part in in_parts(scenes, sum(values.numel() for values in first.values())):
        for layer, values in exact.activations((in_float64(part) if wide else part).images, layers).items():
            running[layer].add(rows, values.float().numpy())
    return {layer: one.result() for layer, one in running.items()}


def _shape(seen: Sequence[int]) -> tuple[int, int, int]:
    return (seen[0], seen[1], seen[2]) if len(seen) == 3 else (math.prod(seen), 1, 1)


class _Running:
    """The most activating scenes of the units of a layer among those seen so far."""

    def __init__(self, shape: tuple[int, int, int], top: int) -> None:
        self._shape, self._top = shape, top
        self._best: list[NDArray[Any]] = [np.empty((shape[0], 0), kind) for kind in (np.float32, np.int64, np.int64)]
        self._least = np.full(shape[0], np.inf, np.float32)

    def add(self, rows: slice, activations: NDArray[np.float32]) -> None:
        maps = activations.reshape(len(activations), self._shape[0], -1)
        place = maps.argmax(2)
        values = np.take_along_axis(maps, place[:, :, None], 2)[:, :, 0].T  # (units, images)
        self._least = np.minimum(self._least, values.min(1))
        number = np.broadcast_to(np.arange(rows.start, rows.stop), values.shape)
        joined = [np.concatenate(pair, 1) for pair in zip(self._best, (values, number, place.T), strict=True)]
        order = np.argsort(-joined[0], axis=1, kind="stable")[:, : self._top]
        self._best = [np.take_along_axis(column, order, 1) for column in joined]

    def result(self) -> Top:
        activation, scene, where = self._best
        above = activation > self._least[:, None]
        return Top(
            np.where(above, scene, NONE),
            np.where(above, activation, np.nan).astype(float),
            np.where(above, where, 0),
            self._least.astype(float),
            self._shape,
        )
