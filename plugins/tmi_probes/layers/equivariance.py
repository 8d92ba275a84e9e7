"""The equivariance defect: how far a layer's activations fail to move along when the picture moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..pipeline.layer_scores import DRAWS, add_untrained
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import originals
from ..pipeline.units import in_parts, parts_of

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
    background: Literal["data", "even"] = "data",
    level: Share = 0.0,
    places: Count | Literal["all"] = "all",
) -> tmi.ProbeResult:
    """Equivariance defect ‖Φ(T x) − T Φ(x)‖/‖Φ(x)‖ of every layer, over all legal shifts T of a picture and its tile.

    The whole picture is shifted, so that T x is exact: the background of a test scene is continued by itself on all sides, and
    the pixels that enter on one side are those that left on the other. So they are of the kind that networks were trained on.
    A layer with rows and columns is compared where both activations have a value. In a layer with stride s only shifts by
    multiples of s count, and move its activations by 1/s of the shift; s is chosen as the stride of least mean defect. The hidden
    layer of a constructed network has rows and columns too, those of its windows. A layer without, such as the logits, should not
    change at all: its defect is ‖Φ(T x) − Φ(x)‖/‖Φ(x)‖.

    Parameters
    ----------
    tiles : int
        How many test scenes' tiles; of distinct classes and tiles as far as there are any.
    background : {"data", "even"}
        The scene's own background, or an even one of brightness ``level``.
    level : float
        Brightness of an even background: a black one looks like the zeros with which layers pad.
    places : int or "all"
        To how many places a tile is moved, drawn without replacement; by default to all legal ones.

    Returns
    -------
    ProbeResult
        For each layer the metrics ``defect_mean`` and ``defect_worst``, with ``.untrained``; as ``defect_mean.<layer>.chance``
        the defect where another test scene takes the place of T x. Arrays ``defect.<layer>`` (tile, place), NaN where the
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
    shown = np.flatnonzero(data.test.labels.numpy() >= 0)
    drawn = [rng.choice(shown[shown != scene], DRAWS) for scene in chosen] if len(shown) > 1 else []
    scenes, others = data.test[chosen], data.test[np.concatenate(drawn)] if drawn else None
    if background == "even":
        scenes, others = scenes.with_backgrounds(level), others and others.with_backgrounds(level)
    shifts = _Shifts(scenes, *_places(scenes, places, rng), rolled=background == "data")
    moving = [k for k in range(len(scenes)) if shifts.change(k)]
    for k in sorted(set(range(len(scenes))) - set(moving)):
        result.cannot_fail(f"tile {data.task.tile_name(int(scenes.tile[k]))}", "no shift changes its picture")
    result.arrays |= {"place_row": (("tile", "place"), shifts.row), "place_col": (("tile", "place"), shifts.col)}
    _measure(network, shifts, moving, result, others)
    add_untrained(result, network, lambda before, collected: _measure(before, shifts, moving, collected, None))
    result.coords["tile"] = [data.task.tile_name(int(tile)) for tile in scenes.tile]
    return result.result()


def _places(
    scenes: tmi.Scenes, places: int | Literal["all"], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns to which each scene's tile is moved, (tiles, places); −1 where a tile has fewer places."""
    windows = np.array(scenes.task.windows)[scenes.tile.numpy()]
    most = int(windows.prod(1).max())
    shape = (len(scenes), most if places == "all" else min(places, most))
    rows, cols = np.full(shape, -1), np.full(shape, -1)
    for k in range(len(scenes)):
        row, col = (part.ravel() for part in np.indices(windows[k]))
        if len(row) > shape[1]:
            taken = np.sort(rng.permutation(len(row))[: shape[1]])
            row, col = row[taken], col[taken]
        rows[k, : len(row)], cols[k, : len(col)] = row, col
    return rows, cols


@dataclass(frozen=True, eq=False)
class _Shifts:
    """Scenes that are shifted as a whole, and the places of their tiles afterwards (tiles, places)."""

    scenes: tmi.Scenes
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    rolled: bool

    def of(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return by how many rows and columns scene k is shifted, for each of its places."""
        valid = self.row[k] >= 0
        return self.row[k][valid] - int(self.scenes.row[k]), self.col[k][valid] - int(self.scenes.col[k])

    def in_parts(self, k: int, activations: int = 0) -> Iterator[tuple[slice, tmi.Scenes]]:
        """Yield the shifted pictures of scene k, a few at a time, each part with its places."""
        down, across = self.of(k)
        scene = self.scenes[[k]]
        for part in parts_of(len(down), scene.task, activations):
            moved = scene.repeated(len(down[part])).moved(self.row[k][part], self.col[k][part])
            yield part, moved.with_backgrounds(self._backgrounds(scene, down[part], across[part])) if self.rolled else moved

    def _backgrounds(self, scene: tmi.Scenes, down: NDArray[np.int64], across: NDArray[np.int64]) -> NDArray[Any]:
        height, width = scene.task.image_shape[1:]
        rows, cols = (np.arange(height) - down[:, None]) % height, (np.arange(width) - across[:, None]) % width
        rolled: NDArray[Any] = scene.backgrounds[0].numpy()[:, rows[:, :, None], cols[:, None]].swapaxes(0, 1)
        return rolled

    def change(self, k: int) -> bool:
        """Return whether the picture is another one after some shift."""
        return any(bool((part.images != self.scenes[[k]].images).any()) for _, part in self.in_parts(k))


def _measure(network: tmi.Network, shifts: _Shifts, moving: list[int], result: ResultBuilder, others: tmi.Scenes | None) -> None:
    """Add the defects of every layer, and those of other scenes where there are any: `DRAWS` for each tile, as chance."""
    scenes = shifts.scenes
    maps = {layer: _Map(network, layer, values.shape[1:]) for layer, values in network.activations(scenes.images[:1]).items()}
    of_stride = {
        layer: {stride: np.full(shifts.row.shape, np.nan) for stride in layout.strides} for layer, layout in maps.items()
    }
    for k in moving:
        for layer, stride, values in _of_scene(network, shifts, k, maps):
            of_stride[layer][stride][k, : len(values)] = values
    chosen = {
        layer: min(candidates, key=lambda stride: round(_mean(candidates[stride]), 6)) for layer, candidates in of_stride.items()
    }
    defects = {layer: of_stride[layer][stride] for layer, stride in chosen.items()}
    by_chance = {} if others is None else _by_chance(network, shifts, others, maps, chosen, defects)
    for layer, values in defects.items():
        result.arrays[f"defect.{layer}"] = (("tile", "place"), values)
        defined = np.isfinite(values)
        worst = np.where(defined, values, -1).argmax(1)
        for name, place in (("row", shifts.row), ("col", shifts.col)):
            worst_place = np.take_along_axis(place, worst[:, None], 1)[:, 0]
            result.arrays[f"worst_{name}.{layer}"] = ("tile", np.where(defined.any(1), worst_place, -1))
        if defined.any():
            result.add(f"defect_mean.{layer}", values[defined].mean(), chance=by_chance.get(layer))
            result.add(f"defect_worst.{layer}", values[defined].max())
        else:
            result.notes.append(
                f"defect.{layer}: left out, for every unmoved picture leaves it 0 or not finite, or no shift can be compared"
            )


def _by_chance(
    network: tmi.Network,
    shifts: _Shifts,
    others: tmi.Scenes,
    maps: dict[str, _Map],
    strides: dict[str, int],
    defects: dict[str, Array],
) -> dict[str, Array]:
    """Return for each layer the mean defect of `DRAWS` draws, in which another scene takes the place of each shifted picture."""
    drawn = {layer: np.full((DRAWS, len(shifts.scenes)), np.nan) for layer in maps}
    for k in range(len(shifts.scenes)):
        counted = {layer: np.flatnonzero(np.isfinite(values[k])) for layer, values in defects.items()}
        down, across = shifts.of(k)
        before = _before(network, shifts.scenes[[k]])
        for rows, part in in_parts(others[k * DRAWS : (k + 1) * DRAWS], sum(v.size for v in before.values())):
            for layer, values in network.activations(part.images).items():
                for i, other in zip(range(rows.start, rows.stop), values.double().numpy(), strict=True):
                    if len(counted[layer]):
                        place = counted[layer][i * len(counted[layer]) // DRAWS]
                        shift = int(down[place]) // strides[layer], int(across[place]) // strides[layer]
                        size = float(np.linalg.norm(before[layer]))
                        drawn[layer][i, k] = maps[layer].difference(before[layer], other, *shift) / size
    return {layer: values[:, defined].mean(1) for layer, values in drawn.items() if (defined := np.isfinite(values).all(0)).any()}


def _before(network: tmi.Network, scene: tmi.Scenes) -> dict[str, Array]:
    return {layer: values[0].double().numpy() for layer, values in network.activations(scene.images).items()}


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


def _of_scene(network: tmi.Network, shifts: _Shifts, k: int, maps: dict[str, _Map]) -> Iterator[tuple[str, int, Array]]:
    """Yield each layer's defects over all places of a scene's tile; NaN for no shift, and for shifts between strides."""
    before = _before(network, shifts.scenes[[k]])
    down, across = shifts.of(k)
    by_stride = {(layer, stride): np.full(len(down), np.nan) for layer, layout in maps.items() for stride in layout.strides}
    for part, moved_scenes in shifts.in_parts(k, sum(values.size for values in before.values())):
        for layer, values in network.activations(moved_scenes.images).items():
            size = float(np.linalg.norm(before[layer]))
            if not 0 < size < np.inf:
                continue
            for i, moved in enumerate(values.double().numpy(), part.start):
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
