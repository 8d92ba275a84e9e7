"""Plots of networks: their first filters, how they were trained, or the tiles that their neurons stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError, UnknownNameError, did_you_mean

from .axes import drawn, frame_grid, shortened, show_image
from .networks import first_filters
from .task_plots import task as task_plot
from .tasks import size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WEIGHTS = "weights"


def network(shown: Any, what: str | None = None, axes: Axes | None = None) -> Axes:
    """Draw a `Network`; see its method ``plot``."""
    found = first_filters(shown)
    known = [*([WEIGHTS] if found else []), *shown.history]
    if what is None:
        if not known:
            return _without_weights(shown, axes)
        what = known[0]
    if what == WEIGHTS and found:
        return _filters(shown, *found, axes)
    if what not in shown.history:
        if what == WEIGHTS:
            raise InputError(f"plot: {shown!r} has no weights that read images")
        raise UnknownNameError(f"plot: {what!r} was not recorded during training{did_you_mean(what, known)}")
    from matplotlib.ticker import MaxNLocator

    with drawn(axes, size=(4.5, 3)) as axes:
        values = shown.history[what]
        axes.plot(range(1, len(values) + 1), values, marker="o" if len(values) <= 30 else None, markersize=3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=shortened(what, 40))
        axes.set_title(f"training of {_name(shown)}", loc="left")
    return axes


def _filters(shown: Any, layer: str, weights: Any, axes: Axes | None) -> Axes:
    from matplotlib.colors import LinearSegmentedColormap

    from tmi.runtime.plotting import CONSTRUCTED, TRAINED

    cols = min(8, len(weights))
    rows = -(-len(weights) // cols)
    maps = weights.mean(1)
    largest = float(np.abs(maps).max(initial=0)) or 1.0
    colours = LinearSegmentedColormap.from_list("tmi weights", (CONSTRUCTED, "white", TRAINED))
    with drawn(axes, size=(0.6 * cols + 1.6, 0.6 * rows + 0.9)) as axes:
        for number, one in enumerate(maps):
            show_image(axes, one[None], place=divmod(number, cols), cmap=colours, vmin=-largest, vmax=largest)
        frame_grid(axes, rows, cols)
        mean = ", mean over channels" if weights.shape[1] > 1 else ""
        axes.figure.colorbar(axes.images[-1], ax=axes, label=f"weight{mean}", shrink=0.8)
        axes.set_title(f"{_name(shown)}: weights of {shortened(layer or 'the module')}, {size_of(weights.shape[1:])}", loc="left")
    return axes


def _without_weights(shown: Any, axes: Axes | None) -> Axes:
    axes = task_plot(shown.task, axes)
    axes.set_title(f"{_name(shown)} has no weights that read images; its task:\n{axes.get_title(loc='left')}", loc="left")
    return axes


def _name(shown: Any) -> str:
    return shortened(shown.name or type(shown.module).__name__)
