"""Plots of tiles, classes, tasks, scenes, data sets and matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError

from .axes import drawn, frame_grid, label_ticks, shortened, show_image
from .tasks import size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLASSES = 12  # rows of a grid
_ROW = 1.25  # height of a row of images with labels below


def tile(shown: Any, axes: Axes | None = None) -> Axes:
    """Draw a `FeatureTile`: its values, and the outline of its support where that is not all of it."""
    with drawn(axes, size=(3.4, 3.2)) as axes:
        partial = not shown.support.all()
        _draw_tile(axes, shown, None)
        _, k, ll = shown.shape
        axes.set(xticks=sorted({0, ll - 1}), yticks=sorted({0, k - 1}), xlabel="column", ylabel="row")
        outlined = "\nthe hatched pixels do not count" if partial else ""
        axes.set_title(f"feature tile {size_of(shown.shape)}, ε = {shown.epsilon:g}{outlined}", loc="left")
    return axes


def task(shown: Any, axes: Axes | None = None, *, per_class: int = 8) -> Axes:
    """Draw the first tiles of each class of a `TemplateTask`, a class in a row."""
    _check_count("per_class", per_class)
    members = shown.classes[:_CLASSES]
    if not shown.has_tiles:
        with drawn(axes, size=(4.5, 0.6 + 0.3 * len(members))) as axes:
            frame_grid(axes, len(members), 1)
            axes.set_aspect("auto")
            label_ticks(axes.yaxis, [member.name for member in members])
            axes.set_title(f"{_classes(shown, len(members))}; no tiles: the labels are given", loc="left")
        return axes
    wide = max(min(len(member.tiles), per_class) for member in members)
    with drawn(axes, size=_grid_size(len(members), wide), ink=shown.ink) as axes:
        for row, member in enumerate(members):
            for col, one in enumerate(member.tiles[:per_class]):
                _draw_tile(axes, one, (row, col))
        frame_grid(axes, len(members), wide)
        label_ticks(axes.yaxis, [member.name for member in members])
        most = max(len(member.tiles) for member in members)
        first = f"; the first {wide} tiles of each" if most > wide else ""
        axes.set_title(f"{_classes(shown, len(members))}, {len(shown.tiles):,} tiles{first}", loc="left")
    return axes


def scenes(shown: Any, axes: Axes | None = None, *, count: int = 12) -> Axes:
    """Draw the first images of `Scenes`, each with its label and the outline of the pixels that decide."""
    _check_count("count", count)
    number = min(count, len(shown))
    cols = min(6, max(number, 1))
    rows = max(1, -(-number // cols))
    with drawn(axes, size=_grid_size(_ROW * rows, cols, labels=False), ink=shown.task.ink) as axes:
        part = shown[:number]
        _draw_images(axes, part, [(_ROW * (i // cols), i % cols) for i in range(number)])
        for i, label in enumerate(part.labels.tolist()):
            name = shown.task.class_names[label] if label >= 0 else "no class"
            axes.text(i % cols, _ROW * (i // cols) + 0.48, shortened(name, 16), ha="center", va="top", fontsize=8)
        frame_grid(axes, rows, cols)
        axes.set_ylim(_ROW * (rows - 1) + 0.75, -0.5)
        which = f"the first {number} of {len(shown):,} scenes" if number < len(shown) else f"{number} scenes"
        outlined = ", the pixels that decide outlined" if shown.task.has_tiles else ""
        axes.set_title(which + outlined, loc="left")
    return axes


def dataset(shown: Any, axes: Axes | None = None, *, per_class: int = 6) -> Axes:
    """Draw the first images of each class of a `Dataset`, a class in a row.

    Training images come first, test images where there are too few.
    """
    _check_count("per_class", per_class)
    names = shown.task.class_names[:_CLASSES]
    with drawn(axes, size=_grid_size(len(names), per_class), ink=shown.task.ink) as axes:
        for label in range(len(names)):
            col = 0
            for part in (shown.train, shown.test):
                chosen = part[np.flatnonzero(part.labels.numpy() == label)[: per_class - col]]
                _draw_images(axes, chosen, [(label, col + i) for i in range(len(chosen))])
                col += len(chosen)
        frame_grid(axes, len(names), per_class)
        label_ticks(axes.yaxis, names)
        name = shortened(shown.name or "data set", 40)
        about = f"{name}: {_classes(shown.task, len(names))}, images {size_of(shown.task.image_shape)}"
        outlined = "; what decides is outlined" if shown.task.has_tiles else ""
        counts = f"{len(shown.train):,} for training, {len(shown.test):,} for tests{outlined}"
        axes.set_title(f"{about}\n{counts}", loc="left")
    return axes


def matches(shown: Any, axes: Axes | None = None) -> Axes:
    """Draw where `Matches` are: the number of windows with a tile by the place of their top left pixel."""
    from matplotlib.ticker import MaxNLocator

    with drawn(axes, size=(4.2, 3.4)) as axes:
        if not len(shown):
            axes.text(0.5, 0.5, "no window contains a tile", ha="center", va="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
            return axes
        row, col = shown.row.cpu().numpy(), shown.col.cpu().numpy()
        wide = int(col.max()) + 1
        counts = np.bincount(row * wide + col, minlength=(int(row.max()) + 1) * wide).reshape(-1, wide)
        image = axes.imshow(counts, cmap="viridis", vmin=0)
        axes.figure.colorbar(image, ax=axes, label="windows", ticks=MaxNLocator(integer=True))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="column of the top left pixel", ylabel="row of the top left pixel")
        axes.set_title(f"{len(shown):,} windows with a tile", loc="left")
    return axes


def _draw_tile(axes: Axes, tile: Any, place: tuple[float, float] | None) -> None:
    inside = tile.support.any(0)
    if inside.all():
        show_image(axes, tile.values, None, place)
    else:
        show_image(axes, tile.values, inside, place, hatched=True, alpha=inside.astype(float))


def _draw_images(axes: Axes, part: Any, places: Sequence[tuple[float, float]]) -> None:
    masks = part.masks.numpy() if part.task.has_tiles else [None] * len(part)
    for image, mask, place in zip(part.images.numpy(), masks, places, strict=True):
        show_image(axes, image, mask, place)


def _grid_size(rows: float, cols: int, *, labels: bool = True) -> tuple[float, float]:
    return max(3.2, 0.85 * cols + (1.4 if labels else 0.2)), 0.85 * rows + 0.5


def _classes(task: Any, shown: int) -> str:
    count = len(task.classes)
    text = f"{count:,} {'class' if count == 1 else 'classes'}"
    return text if shown == count else f"{text}, {shown} shown"


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}")
