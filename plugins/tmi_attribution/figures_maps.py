"""Figures of attributions on one image: the maps of all methods, and of a few methods on several networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def map_grid(
    image: NDArray[Any],
    mask: NDArray[np.bool_],
    maps: Mapping[str, Mapping[str, NDArray[Any] | None]],
    methods: Sequence[str],
    columns: int = 4,
) -> Figure:
    """Draw the maps of all methods on one image, the networks side by side.

    Parameters
    ----------
    image : ndarray, shape (C, m, n)
    mask : ndarray of bool, shape (m, n)
        Its outline is drawn.
    maps : mapping of network to mapping of method to ndarray, shape (m, n), or None
        Signed attributions, each map with its own colour scale: red supports the class, blue opposes it. None where refused.
    methods : sequence of str
        In this order, row by row.
    columns : int
        Methods in each row.
    """
    import matplotlib.pyplot as plt

    networks = list(maps)
    cells = ["image", *methods]
    rows = -(-len(cells) // columns)
    # Sizes in inches, set here because automatic layouts move small maps apart to make room for long names.
    side, gap, name_height, top = 0.84, 0.16, 0.24, 0.32
    block = len(networks) * side + (len(networks) - 1) * 0.03 + gap
    width, height = columns * block, rows * (side + name_height) + top
    figure = plt.figure(figsize=(width, height), layout="none")
    figure.text(0.5, 1 - 0.12 / height, " | ".join(networks), ha="center", va="center", fontsize=8.5)
    for number, name in enumerate(cells):
        row, col = divmod(number, columns)
        left, bottom = col * block + gap / 2, height - top - (row + 1) * (side + name_height)
        shown = networks if name != "image" else [""]
        for place, network in enumerate(shown):
            axis = figure.add_axes(
                ((left + place * (side + 0.03)) / width, bottom / height, side / width, side / height), xticks=[], yticks=[]
            )
            axis.spines[:].set_visible(False)
            if name == "image":
                _show_image(axis, image, mask)
            else:
                _show_map(axis, maps[network].get(name), mask, known=name in maps[network])
        middle = left + (len(shown) * (side + 0.03) - 0.03) / 2
        figure.text(middle / width, (bottom + side + 0.04) / height, name, ha="center", va="bottom", fontsize=7.5)
    return figure


def side_by_side(
    image: NDArray[Any],
    mask: NDArray[np.bool_],
    maps: Mapping[str, Mapping[str, NDArray[Any] | None]],
    methods: Sequence[str],
) -> Figure:
    """Draw the maps of a few methods on one image: a row for each network, a column for each method.

    Parameters
    ----------
    image, mask, maps, methods
        As for `map_grid`.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(maps), len(methods) + 1, figsize=(1.22 * (len(methods) + 1) + 0.9, 1.22 * len(maps) + 0.35), squeeze=False
    )
    for row, (network, by_method) in enumerate(maps.items()):
        for col, name in enumerate(["image", *methods]):
            axis = axes[row, col]
            if name == "image":
                _show_image(axis, image, mask)
                axis.set_ylabel(broken(network), fontsize=8, rotation=0, ha="right", va="center")
            else:
                _show_map(axis, by_method.get(name), mask, known=name in by_method)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(name.replace("-", "-\n", 1) if len(name) > 14 else name, fontsize=8)
    return figure


def _show_image(axis: Axes, image: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    axis.imshow(image.transpose(1, 2, 0) if len(image) == 3 else image.mean(0), vmin=0, vmax=1)
    _outline(axis, mask, PALETTE[4])


def _show_map(axis: Axes, signed: NDArray[Any] | None, mask: NDArray[np.bool_], *, known: bool) -> None:
    if signed is None:
        # "refused" where the method was run on the network, a dash where it was not.
        axis.imshow(np.ones(mask.shape), cmap="gray", vmin=0, vmax=1.06)
        axis.text(
            0.5, 0.5, "refused" if known else "–", ha="center", va="center", color="0.45", transform=axis.transAxes, fontsize=6.5
        )
        return
    largest = float(np.abs(signed).max())
    axis.imshow(signed, vmin=-(largest or 1), vmax=largest or 1, cmap="RdBu_r")
    _outline(axis, mask, "0.15")
    if largest == 0:
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
        axis.text(0.5, 0.5, "all 0", ha="center", va="center", color="0.35", transform=axis.transAxes, fontsize=7, bbox=behind)


def _outline(axis: Axes, mask: NDArray[np.bool_], color: str) -> None:
    """Draw the border of a mask, along the edges of its pixels."""
    from matplotlib.collections import LineCollection

    padded = np.pad(mask, 1)
    row, col = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    lines = [((c - 0.5, r - 0.5), (c + 0.5, r - 0.5)) for r, c in zip(row, col, strict=True)]
    row, col = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines += [((c - 0.5, r - 0.5), (c - 0.5, r + 0.5)) for r, c in zip(row, col, strict=True)]
    axis.add_collection(LineCollection(lines, colors=color, linewidths=0.6))


def broken(name: str) -> str:
    """Return a long name on several lines."""
    return name.replace(": ", ":\n", 1).replace(", ", ",\n", 1).replace(" as layers", "\nas layers")
