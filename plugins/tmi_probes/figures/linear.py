"""Linear pieces: local linear forms as images, and breakpoints along a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE

from .common import color_of, show_image, two_lines, without_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

PATHS = {"background": "to another background", "translation": "to the tile moved by one pixel"}


def local_forms(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], images: int = 4) -> Figure:
    """Draw the weights W of the label's logit around images, a row an image, a column a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``local-linear-form`` on the same data, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    images : int
        At most so many rows.
    """
    import matplotlib.pyplot as plt

    first = next(iter(results.values()))
    shown, masks = first.arrays["images"].values[:images], first.arrays["masks"].values
    figure, axes = plt.subplots(
        len(shown), len(results) + 1, figsize=(1.25 * (len(results) + 1), 1.22 * len(shown) + 0.35), squeeze=False
    )
    for row, image in enumerate(shown):
        show_image(axes[row, 0], image)
        for col, result in enumerate(results.values(), 1):
            weight = result.arrays["weights"].values[row].sum(0)
            largest = np.abs(weight).max()
            axis = axes[row, col]
            axis.imshow(weight, vmin=-(largest or 1), vmax=largest or 1, cmap="RdBu_r")
            if largest == 0:
                axis.text(0.5, 0.5, "0", ha="center", va="center", color="0.35", transform=axis.transAxes, fontsize=9)
        for axis in axes[row]:
            _outline(axis, masks[row])
            without_ticks(axis)
            axis.spines[:].set_visible(False)
    axes[0, 0].set_title("image", fontsize=8)
    for col, name in enumerate(results, 1):
        axes[0, col].set_title(two_lines(name), fontsize=8, color=color_of(origins[name]))
    return figure


def pieces_on_paths(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw the label's logit on the path from one image to another, with a mark wherever the linear piece changes.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``linear-regions``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    kinds = [kind for kind in PATHS if any(f"breakpoints.{kind}" in result.arrays for result in results.values())]
    figure, axes = plt.subplots(
        len(kinds), len(results), figsize=(2.3 * len(results) + 0.4, 1.75 * len(kinds) + 0.3), squeeze=False, sharex=True
    )
    for row, kind in enumerate(kinds):
        for col, (name, result) in enumerate(results.items()):
            axis = axes[row, col]
            if f"breakpoints.{kind}" not in result.arrays:
                axis.axis("off")
                continue
            curve = result.arrays[f"label_logit.{kind}"].values[0]
            breaks = result.arrays[f"breakpoints.{kind}"].values[0]
            breaks = breaks[np.isfinite(breaks)]
            axis.plot(np.linspace(0, 1, len(curve)), curve, color=color_of(origins[name]), linewidth=1.6)
            axis.margins(y=0.25)
            if np.ptp(curve) < 1e-9:
                axis.set_ylim(curve[0] - 1, curve[0] + 1)
            axis.vlines(
                breaks, 0, 0.07, transform=axis.get_xaxis_transform(), color="0.3", linewidth=0.3 if len(breaks) > 50 else 1.2
            )
            above = [two_lines(name)] if row == 0 else []
            axis.set_title("\n".join([*above, f"{len(breaks) + 1:,} piece{'s' if len(breaks) else ''}"]), fontsize=8)
            axis.set_xticks([0, 0.5, 1])
            axis.tick_params(labelsize=7)
            if row == len(kinds) - 1:
                axis.set_xlabel("share of the path")
        axes[row, 0].set_ylabel(f"{PATHS[kind]}\nlabel's logit", fontsize=8)
    return figure


def _outline(axis: Axes, mask: NDArray[Any]) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, [0.5], colors=PALETTE[4], linewidths=0.8)
