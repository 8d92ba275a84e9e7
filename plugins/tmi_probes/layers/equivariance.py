"""The equivariance defect: how far a layer's activations fail to move along when the picture moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import originals
from ..pipeline.units import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INFO = {
    "defect_mean": tmi.MetricInfo("‖Φ(T x) − T Φ(x)‖/‖Φ(x)‖, mean over legal shifts and tiles", "lower", 0),
    "defect_worst": tmi.MetricInfo("‖Φ(T x) − T Φ(x)‖/‖Φ(x)‖, largest over legal shifts and tiles", "lower", 0),
}


def equivariance(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    tiles: Count = 3,
    level: Share = 0.0,
    places: Count | Literal["all"] = "all",
) -> tmi.ProbeResult:
    """Equivariance defect ‖Φ(T x) − T Φ(x)‖/‖Φ(x)‖ of every layer, over all legal shifts T of a tile on an even background.

    On such a background a move of the tile is a move of the whole picture, so that the shifted picture is exact. A layer with
    rows and columns is compared where both activations have a value. In a layer with stride s only shifts by multiples of s
    count, and move its activations by 1/s of the shift; s is chosen as the stride of least mean defect. The hidden layer of a
    constructed network has rows and columns too, those of its windows. A layer without, such as the logits, should not change at
    all: its defect is ‖Φ(T x) − Φ(x)‖/‖Φ(x)‖.

    Parameters
    ----------
    tiles : int
        How many test scenes' tiles; of distinct classes and tiles as far as there are any.
    level : float
        Brightness of the background; by default black, so that it looks like the zeros with which layers pad.
    places : int or "all"
        To how many places a tile is moved, drawn without replacement; by default to all legal ones.

    Returns
    -------
    ProbeResult
        For each layer the metrics ``defect_mean`` and ``defect_worst``; arrays ``defect.<layer>`` (tile, place), NaN where the
        shift does not count, and the place of the worst shift ``worst_row.<layer>``, ``worst_col.<layer>`` (tile); ``place_row``
        and ``place_col`` (tile, place), −1 beyond the tile's places. Tiles on whose unmoved picture a layer is 0 do not count for
        that layer; tiles whose picture no shift changes do not count at all, and the probe is not applicable where that is so of
        all.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    result = ResultBuilder(INFO)
    rng = np.random.default_rng(seed)
    chosen, result.notes = originals(data.test, tiles, rng)
    scenes = data.test[chosen].with_backgrounds(level)
    windows = np.array(data.task.windows)[scenes.tile.numpy()]
    most = int(windows.prod(1).max())
    shape = (len(scenes), most if places == "all" else min(places, most))
    rows, cols = np.full(shape, -1), np.full(shape, -1)
    maps = {layer: _Map(network, layer, values.shape[1:]) for layer, values in network.activations(scenes.images[:1]).items()}
    of_stride = {layer: {stride: np.full(shape, np.nan) for stride in layout.strides} for layer, layout in maps.items()}
    for k in range(len(scenes)):
        row, col = (part.ravel() for part in np.indices(windows[k]))
        if len(row) > shape[1]:
            taken = np.sort(rng.permutation(len(row))[: shape[1]])
            row, col = row[taken], col[taken]
        rows[k, : len(row)], cols[k, : len(col)] = row, col
        if not _moves(scenes[[k]], row, col):
            name = data.task.tile_name(int(scenes.tile[k]))
            result.cannot_fail(f"tile {name}", "no shift changes its picture")
            continue
        for layer, stride, values in _of_scene(network, scenes[[k]], row, col, maps):
            of_stride[layer][stride][k, : len(row)] = values
    result.arrays |= {"place_row": (("tile", "place"), rows), "place_col": (("tile", "place"), cols)}
    for layer, candidates in of_stride.items():
        values = min(candidates.values(), key=lambda defects: round(_mean(defects), 6))
        result.arrays[f"defect.{layer}"] = (("tile", "place"), values)
        defined = np.isfinite(values)
        worst = np.where(defined, values, -1).argmax(1)
        for name, place in (("row", rows), ("col", cols)):
            worst_place = np.take_along_axis(place, worst[:, None], 1)[:, 0]
            result.arrays[f"worst_{name}.{layer}"] = ("tile", np.where(defined.any(1), worst_place, -1))
        if defined.any():
            result.add(f"defect_mean.{layer}", values[defined].mean())
            result.add(f"defect_worst.{layer}", values[defined].max())
        else:
            result.notes.append(
                f"defect.{layer}: left out, for every unmoved picture leaves it 0 or not finite, or no shift can be compared"
            )
    result.coords["tile"] = [data.task.tile_name(int(tile)) for tile in scenes.tile]
    return result.result()


def _moves(scene: tmi.Scenes, row: NDArray[np.int64], col: NDArray[np.int64]) -> bool:
    """Return whether the picture is another one with the tile at some of the places."""
    for rows in parts_of(len(row), scene.task):
        if bool((scene.repeated(len(row[rows])).moved(row[rows], col[rows]).images != scene.images).any()):
            return True
    return False


class _Map:
    """How a layer's values are laid out as maps (channels, rows, cols): one map, one a tile, or values without a place.

    Attributes
    ----------
    strides : range
        Candidates for how many pixels of the image one step on the map is.
    """

    def __init__(self, network: tmi.Network, layer: str, shape: tuple[int, ...]) -> None:
        windows = network.task.windows
        sizes = np.array(windows).prod(1)
        self._shapes: list[tuple[int, int, int]] = [(int(np.prod(shape)), 1, 1)]
        self.strides = range(1, 2)
        if len(shape) == 3 and shape[1] * shape[2] > 1:
            self._shapes = [(shape[0], shape[1], shape[2])]
            sides = zip(network.task.image_shape[1:], shape[1:], strict=True)
            self.strides = range(1, 1 + max(1, *(-(-side // steps) for side, steps in sides)))
        elif layer != network.layers[-1] and shape == (sizes.sum(),) and _of_windows(network, layer):
            self._shapes = [(1, *window) for window in windows]
        self._ends = np.cumsum([np.prod(shape) for shape in self._shapes])[:-1]

    @property
    def has_place(self) -> bool:
        return self._shapes[0][1:] != (1, 1) or len(self._shapes) > 1

    def difference(self, before: Array, after: Array, down: int, across: int) -> float:
        """Return ‖Φ(T x) − T Φ(x)‖ where both have a value, for a shift of the map by whole steps; NaN where they never do."""
        if not self.has_place:
            return float(np.linalg.norm(after - before))
        total, compared = 0.0, 0
        parts = (np.split(values.ravel(), self._ends) for values in (before, after))
        for still, moved, (channels, rows, cols) in zip(*parts, self._shapes, strict=True):
            here = still.reshape(channels, rows, cols)[
                :, max(0, -down) : max(0, rows - max(0, down)), max(0, -across) : max(0, cols - max(0, across))
            ]
            there = moved.reshape(channels, rows, cols)[
                :, max(0, down) : max(0, rows + min(0, down)), max(0, across) : max(0, cols + min(0, across))
            ]
            total, compared = total + float(np.square(there - here).sum()), compared + here.size
        return float(np.sqrt(total)) if compared else float("nan")


def _of_windows(network: tmi.Network, layer: str) -> bool:
    table = network.neurons(layer)
    return table is not None and {"tile", "row", "col"} <= set(table)


def _of_scene(
    network: tmi.Network, scene: tmi.Scenes, row: NDArray[np.int64], col: NDArray[np.int64], maps: dict[str, _Map]
) -> Iterator[tuple[str, int, Array]]:
    """Yield each layer's defects over all places of a scene's tile; NaN for no shift, and for shifts between strides."""
    before = {layer: values[0].double().numpy() for layer, values in network.activations(scene.images).items()}
    down, across = row - int(scene.row), col - int(scene.col)
    by_stride = {(layer, stride): np.full(len(row), np.nan) for layer, layout in maps.items() for stride in layout.strides}
    for rows in parts_of(len(row), scene.task, sum(values.size for values in before.values())):
        moved_scenes = scene.repeated(len(row[rows])).moved(row[rows], col[rows])
        for layer, values in network.activations(moved_scenes.images).items():
            size = float(np.linalg.norm(before[layer]))
            if not 0 < size < np.inf:
                continue
            for i, moved in enumerate(values.double().numpy(), rows.start):
                for stride in maps[layer].strides:
                    if (down[i] or across[i]) and down[i] % stride == across[i] % stride == 0:
                        y, x = int(down[i]) // stride, int(across[i]) // stride
                        by_stride[layer, stride][i] = maps[layer].difference(before[layer], moved, y, x) / size
    for (layer, stride), defects in by_stride.items():
        yield layer, stride, defects


def _mean(values: Array) -> float:
    """Return the mean of the defined values; infinite where there is none, so that such a stride is not chosen."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("inf")
