"""Figure 1 of the paper: the feature tiles of each class, and images that show one of them on a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmi_probes.figures.common import show_image, without_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

_SQUARES = 24
"""Squares, along the height of an image, of the pattern that stands for transparency."""


def figure_1(result: tmi.ProbeResult) -> Figure:
    """Draw the feature tiles of each class on the left and test images of it on the right: the paper's Figure 1.

    Parameters
    ----------
    result : ProbeResult
        Of probe ``examples``, on a data set in grey or in colour. The paper shows two tiles and four images of each class.

    Returns
    -------
    Figure
        A row for each class. Tiles and images are on one scale. A tile is transparent outside its support, which grey and white
        squares show.
    """
    import matplotlib.pyplot as plt

    images, labels = result.arrays["images"].values, result.arrays["label"].values
    tiles, supports, sizes, tile_labels = (
        result.arrays[name].values for name in ("templates", "template_support", "template_size", "template_label")
    )
    names = [str(name) for name in result.coords["class"]]
    tile_cols, image_cols = (int(np.bincount(each).max()) for each in (tile_labels, labels))
    widths = [1.0] * tile_cols + [0.12] + [1.0] * image_cols
    figure, axes = plt.subplots(
        len(names), len(widths), figsize=(1.15 * sum(widths), 1.1 * len(names) + 0.2), width_ratios=widths, squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for label, name in enumerate(names):
        row = axes[label]
        for axis, tile in zip(row, np.flatnonzero(tile_labels == label), strict=False):
            _show_tile(axis, tiles[tile], supports[tile], sizes[tile])
        for axis, image in zip(row[tile_cols + 1 :], np.flatnonzero(labels == label), strict=False):
            axis.axis("on")
            show_image(axis, images[image])
            axis.spines[:].set_visible(False)
        row[0].text(-0.06, 0.5, name, rotation=90, ha="right", va="center", transform=row[0].transAxes)
    axes[0, 0].set_title("feature tiles", loc="left")
    axes[0, tile_cols + 1].set_title("test images", loc="left")
    return figure


def _show_tile(axis: Axes, values: NDArray[np.float32], support: NDArray[np.bool_], size: NDArray[np.int64]) -> None:
    """Draw a tile, padded to the size of an image, in the middle of an area of that size."""
    rows, cols = (int(side) for side in size)
    high, wide = values.shape[1:]
    place_row, place_col = np.indices((rows, cols)) // max(1, high // _SQUARES)
    pattern = np.where((place_row + place_col) % 2, 0.86, 1.0)
    tile = np.where(support[:, :rows, :cols], values[:, :rows, :cols], pattern)
    show_image(axis, tile)
    # The limits of the axis are those of a whole image, so that a pixel is as large here as there.
    axis.set_xlim((cols - wide) / 2 - 0.5, (cols + wide) / 2 - 0.5)
    axis.set_ylim((rows + high) / 2 - 0.5, (rows - high) / 2 - 0.5)
    without_ticks(axis)
