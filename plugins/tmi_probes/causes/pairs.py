"""Pairs of a scene and an exact counterfactual: another tile, another place or another background, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.errors import InputError

from ..pipeline.units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Change = Literal["tile", "place", "background"]
"""What differs between the two scenes of a pair."""

_ROUNDS = 20  # draws before a scene is left out
_ROUNDING = 1e-6  # difference of logits that rounding explains, relative


@dataclass(frozen=True, eq=False)
class Pairs:
    """N scenes and their counterfactuals.

    Attributes
    ----------
    clean, counterfactual : Scenes
        Of one task, N each.
    change : {"tile", "place", "background"}

    Raises
    ------
    InputError
        If the scenes belong to different tasks, or are not equally many.
    """

    clean: tmi.Scenes
    counterfactual: tmi.Scenes
    change: Change

    def __post_init__(self) -> None:
        first, second = self.clean, self.counterfactual
        if not same_task(first.task, second.task):
            raise InputError(
                f"counterfactual: scenes of {second.task!r} are of another task than the clean ones, {first.task!r}; "
                "patch between scenes of one task"
            )
        if len(first) != len(second):
            raise InputError(f"counterfactual: expected one for each of the {len(first)} clean scenes, got {len(second)}")

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: slice) -> Pairs:
        return Pairs(self.clean[index], self.counterfactual[index], self.change)

    def measured(self) -> NDArray[np.float64]:
        """Return the weights of the logits in what is measured on each pair, float64 (N, L).

        Where the tile is another, the logit of the clean scene's label less that of the counterfactual's label. Else both scenes
        have one label: its logit less the mean of the others, which does not change where all logits rise alike.
        """
        label, other = self.clean.labels.numpy(), self.counterfactual.labels.numpy()
        images, classes = np.arange(len(self)), len(self.clean.task.classes)
        weights = np.zeros((len(self), classes))
        if self.change == "tile":
            weights[images, other] = -1.0
        elif classes > 1:
            weights[:] = -1.0 / (classes - 1)
        weights[images, label] = 1.0
        return weights


def scale_of(change: Change, logits: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> float | None:
    """Return what the effects of a pair are shares of; None where that is 0, or rounding.

    Parameters
    ----------
    change : {"tile", "place", "background"}
    logits : pair of ndarray of float64, shape (L,)
        Of the clean scene and of the counterfactual.
    weights : ndarray of float64, shape (L,)
        See `Pairs.measured`.
    """
    clean, other = (float(weights @ one) for one in logits)
    scale = clean - other if change == "tile" else abs(clean)
    size = sum(float(np.abs(weights) @ np.abs(one)) for one in logits)
    return scale if abs(scale) > _ROUNDING * size else None


def same_task(first: tmi.TemplateTask, second: tmi.TemplateTask) -> bool:
    """Whether two tasks have the same classes with the same tiles, and images of one shape."""
    return not _difference(first, second)


def check_task(network: tmi.Network, data: tmi.Dataset) -> None:
    """Check that a network and a data set have one task.

    Raises
    ------
    InputError
        If they have not: says the first thing that differs.
    """
    if difference := _difference(network.task, data.task):
        raise InputError(f"images of different tasks: {difference}; give data of the network's task")


def _difference(first: tmi.TemplateTask, second: tmi.TemplateTask) -> str:
    """Return the first thing in which the tasks of a network and of data differ; empty for equal ones."""
    if first is second:
        return ""
    if first.image_shape != second.image_shape:
        shapes = ["×".join(map(str, task.image_shape)) for task in (first, second)]
        return f"the network's images are {shapes[0]}, the data's {shapes[1]}"
    if len(first.classes) != len(second.classes):
        return f"the network has {len(first.classes)} classes, the data {len(second.classes)}"
    for number, (one, other) in enumerate(zip(first.classes, second.classes, strict=True)):
        if one.name != other.name:
            return f"class {number} of the network is {one.name!r}, of the data {other.name!r}"
        if len(one.tiles) != len(other.tiles):
            return f"class {one.name!r} of the network has {len(one.tiles)} tiles, of the data {len(other.tiles)}"
    for tile, (mine, its) in enumerate(zip(first.tiles, second.tiles, strict=True)):
        if mine.epsilon != its.epsilon:
            return f"tile {first.tile_name(tile)} of the network has epsilon {mine.epsilon:g}, of the data {its.epsilon:g}"
        if not (np.array_equal(mine.values, its.values) and np.array_equal(mine.support, its.support)):
            return f"tile {first.tile_name(tile)} of the network has other pixels than that of the data"
    return ""


def draw_pairs(scenes: tmi.Scenes, change: Change, rng: np.random.Generator, notes: list[str]) -> Pairs | None:
    """Draw a counterfactual for each scene: a random other tile of another class, place, or background of another of the scenes.

    Parameters
    ----------
    scenes : Scenes
        Each shows a tile.
    change : {"tile", "place", "background"}
    rng : numpy.random.Generator
    notes : list of str
        A note is appended where scenes are left out: those without a counterfactual that changes the image and belongs to exactly
        the class of its tile.

    Returns
    -------
    Pairs or None
        None where no scene has one.
    """
    drawn_columns: list[NDArray[np.int64]] = []
    kept: list[NDArray[np.int64]] = []
    for rows, part in in_parts(scenes):
        numbers = np.arange(rows.start, rows.start + len(part))
        columns = np.stack([part.tile.numpy(), part.row.numpy(), part.col.numpy(), numbers])
        pending = np.arange(len(part))
        for _ in range(_ROUNDS):
            drawn = [_drawn(scenes, int(numbers[i]), change, rng) for i in pending]
            pending = pending[[one is not None for one in drawn]]
            if not len(pending):
                break
            columns[:, pending] = np.array([one for one in drawn if one is not None]).T
            made = _made(scenes, columns[:, pending])
            good = made.unambiguous().numpy() & (made.images != part.images[pending]).flatten(1).any(1).numpy()
            kept.append(numbers[pending[good]])
            pending = pending[~good]
        drawn_columns.append(columns)
    chosen = np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)
    if len(chosen) < len(scenes):
        left = len(scenes) - len(chosen)
        notes.append(f"{left} of {len(scenes)} scenes left out: no other {change} changes the image and leaves it in one class")
    if not len(chosen):
        return None
    return Pairs(scenes[chosen], _made(scenes, np.concatenate(drawn_columns, axis=1)[:, chosen]), change)


def _made(scenes: tmi.Scenes, columns: NDArray[np.int64]) -> tmi.Scenes:
    """Return the scenes of tiles, rows, columns and numbers of backgrounds."""
    tile, row, col, background = columns
    return scenes[background].with_tiles(tile, row, col)


def _drawn(scenes: tmi.Scenes, i: int, change: Change, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Draw tile, row, column and number of the background of a counterfactual; None where there is nothing to draw from."""
    task = scenes.task
    tile, row, col = int(scenes.tile[i]), int(scenes.row[i]), int(scenes.col[i])
    down, across = task.windows[tile]
    if change == "tile":
        fits = (np.array(task.windows) > (row, col)).all(1) & (task.tile_class != task.tile_class[tile])
        others = np.flatnonzero(fits)
        return (int(rng.choice(others)), row, col, i) if len(others) else None
    if change == "place":
        if down * across == 1:
            return None
        other = int(rng.integers(down * across - 1))
        other += other >= row * across + col
        return tile, other // across, other % across, i
    if len(scenes) == 1:
        return None
    other = int(rng.integers(len(scenes) - 1))
    return tile, row, col, other + (other >= i)
