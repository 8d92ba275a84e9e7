"""A contact sheet: a few images of each class of a data set, with the outline of the pixels that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tmi.runtime.plotting import CONSTRUCTED, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tmi.tasks.dataset import Dataset


def contact_sheet(data: Dataset, *, per_class: int = 6, classes: int = 12) -> Figure:
    """Draw the first images of each class, a class in a row.

    Parameters
    ----------
    data : Dataset
    per_class : int
        How many training images of each class; where there are fewer, test images follow.
    classes : int
        At most so many classes are shown.

    Returns
    -------
    Figure
        The support of each image's tile is outlined, where the data set has tiles.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.collections import LineCollection

    task = data.task
    names = task.class_names[:classes]
    with figure_style(ink=task.ink):
        figure, axes = plt.subplots(
            len(names), per_class, figsize=(1.15 * per_class + 0.9, 1.15 * len(names) + 0.5), squeeze=False, dpi=150
        )
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for label, name in enumerate(names):
            axes[label, 0].set_ylabel(name if len(name) <= 16 else f"{name[:15]}…", rotation=0, ha="right", va="center")
            parts = [part[np.flatnonzero(part.labels.numpy() == label)[:per_class]] for part in (data.train, data.test)]
            shown = [(part, i) for part in parts for i in range(len(part))][:per_class]
            for axis, (part, i) in zip(axes[label], shown, strict=False):
                pixels = part.images[i].numpy().transpose(1, 2, 0)
                axis.imshow(pixels if pixels.shape[2] == 3 else pixels.mean(2), vmin=0, vmax=1)
                if task.has_tiles:
                    for colour, width in (("white", 1.8), (CONSTRUCTED, 0.9)):  # visible on dark and on light pixels
                        edges = LineCollection(_outline(part.masks[i].numpy()), colors=colour, linewidths=width, capstyle="round")
                        axis.add_collection(edges)
        figure.suptitle(_title(data, len(names)), fontsize=9)
    plt.close(figure)
    return figure


def _outline(mask: Any) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the edges between pixels inside and outside of a mask, as lines from (x, y) to (x, y)."""
    import numpy as np

    padded = np.pad(mask, 1)
    below = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])  # an edge above pixel (row, col)
    beside = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    horizontal = [((col - 0.5, row - 0.5), (col + 0.5, row - 0.5)) for row, col in below.tolist()]
    return horizontal + [((col - 0.5, row - 0.5), (col - 0.5, row + 0.5)) for row, col in beside.tolist()]


def _title(data: Dataset, shown: int) -> str:
    task = data.task
    classes = f"{len(task.classes)} classes" + (f"; {shown} are shown" if shown < len(task.classes) else "")
    tiles = f", {len(task.tiles)} tiles outlined in blue" if task.has_tiles else ""
    size = "×".join(map(str, task.image_shape))
    return (
        f"{data.name or 'data set'}: {classes}{tiles}; images {size}, {len(data.train)} for training, {len(data.test)} for tests"
    )
