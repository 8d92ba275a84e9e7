"""Axes to draw on, and pictures in the cells of a grid on one pair of axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.runtime.plotting import CONSTRUCTED, axes_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Edges = list[tuple[tuple[float, float], tuple[float, float]]]

_GAP = 0.1  # between two cells of a grid, each 1 wide
_OUTLINED = 128  # pixels a side of a mask whose outline is exact; that of a larger one leaves pixels out
_TICKS = 24  # labels beside an axis, at most


@contextmanager
def drawn(axes: Axes | None, *, size: tuple[float, float] = (4.5, 3.4), ink: bool = False) -> Iterator[Axes]:
    """Yield the given axes, or those of a new figure, which a notebook shows below its cell.

    Parameters
    ----------
    axes : Axes, optional
    size : (float, float)
        Width and height of a new figure in inches.
    ink : bool
        Whether grey images are drawn as ink on paper, 1 black and 0 white.
    """
    if axes is not None:
        with axes_style(ink=ink):
            yield axes
        return
    import matplotlib.pyplot as plt

    # Outside the style: the first figure in a notebook changes settings that must outlast it.
    figure = plt.figure(figsize=size, layout="constrained", facecolor="white")
    with axes_style(ink=ink):
        yield figure.add_subplot()


def colours_of(image: Any) -> NDArray[Any]:
    """Return an image (C, m, n) as matplotlib draws it: (m, n, 3) in colour, else the mean of its channels (m, n)."""
    values = np.asarray(image)
    return np.moveaxis(values, 0, -1) if values.shape[0] == 3 else np.asarray(values.mean(0))


def show_image(
    axes: Axes,
    image: Any,
    mask: Any = None,
    place: tuple[float, float] | None = None,
    *,
    hatched: bool = False,
    **options: Any,
) -> None:
    """Draw an image, and the outline of a mask on it.

    Parameters
    ----------
    axes : Axes
    image : array, shape (C, m, n)
        In [0, 1].
    mask : array of bool, shape (m, n), optional
    place : (float, float), optional
        The row and the column of the cell of a grid, each 1 high and wide, that the image fills; by default it is as large as
        it is in pixels.
    hatched : bool
        Whether thin lines are drawn behind it, seen where it is transparent.
    **options
        For ``imshow``.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    m, n = np.asarray(image).shape[-2:]
    top, left, high, wide = -0.5, -0.5, float(m), float(n)
    if place is not None:
        high, wide = (side * (1 - _GAP) / max(m, n) for side in (m, n))
        top, left = place[0] - high / 2, place[1] - wide / 2
    extent = (left, left + wide, top + high, top)
    if hatched:
        axes.add_patch(Rectangle((left, top), wide, high, fill=False, hatch="////", edgecolor="0.8", linewidth=0, zorder=-1))
    axes.imshow(colours_of(image), **({"vmin": 0, "vmax": 1} | options), extent=extent)
    if mask is not None:
        step = max(1, -(-max(m, n) // _OUTLINED))
        edges = np.array(outline(np.asarray(mask)[::step, ::step]), float).reshape(-1, 2, 2)
        edges = np.minimum((edges + 0.5) * step, (n, m)) * (wide / n, high / m) + (left, top)
        thin = 1.0 if place is None else 0.75
        for colour, width in (("white", 2.4 * thin), (CONSTRUCTED, 1.2 * thin)):  # visible on dark and on light pixels
            axes.add_collection(LineCollection(list(edges), colors=colour, linewidths=width, capstyle="round"))


def frame_grid(axes: Axes, rows: int, cols: int) -> None:
    """Set the limits of a grid of cells, and remove ticks and lines around it."""
    axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def outline(mask: NDArray[Any]) -> Edges:
    """Return the edges between pixels inside and outside of a mask, as lines from (x, y) to (x, y).

    The centre of a pixel is at its column and row.
    """
    padded = np.pad(mask, 1)
    below = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])  # an edge above pixel (row, col)
    beside = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    horizontal: Edges = [((col - 0.5, row - 0.5), (col + 0.5, row - 0.5)) for row, col in below.tolist()]
    return horizontal + [((col - 0.5, row - 0.5), (col - 0.5, row + 0.5)) for row, col in beside.tolist()]


def shortened(text: object, longest: int = 24) -> str:
    """Return a text that fits beside an axis. A dollar sign is escaped: matplotlib would read a formula."""
    short = " ".join(str(text).split())
    short = short if len(short) <= longest else f"{short[: longest - 1]}…"
    return short.replace("$", r"\$")


def label_ticks(axis: Any, names: Sequence[object]) -> None:
    """Write names beside an axis, evenly left out where there are more than fit."""
    step = max(1, -(-len(names) // _TICKS))
    axis.set_tick_params(length=0)
    axis.set_ticks(range(0, len(names), step), [shortened(name) for name in names[::step]])
