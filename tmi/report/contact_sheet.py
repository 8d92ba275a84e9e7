"""A contact sheet: a few images of each class of a data set, with the outline of the pixels that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tmi.tasks.dataset import Dataset


def contact_sheet(data: Dataset, *, per_class: int = 6) -> Figure:
    """Draw the first images of each class, a class in a row, as ``data.plot`` does, on a figure that needs no screen.

    Parameters
    ----------
    data : Dataset
    per_class : int
        How many training images of each class; where there are fewer, test images follow. At most 12 classes are shown.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    rows = min(len(data.task.classes), 12)
    figure = Figure(figsize=(1.15 * per_class + 0.9, 1.15 * rows + 0.5), dpi=150, layout="constrained", facecolor="white")
    data.plot(figure.add_subplot(), per_class=per_class)
    return figure
