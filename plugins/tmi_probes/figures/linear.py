"""Local linear forms as pictures, and linear pieces along a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

PATHS = {"background": "to another background", "translation": "to the tile one pixel on"}


def local_forms(results: Mapping[str, tmi.ProbeResult], images: int = 4) -> Figure:
    """Draw the weights W of the label's logit around images, a row an image, a column a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``local-linear-form`` on the same data, by network.
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
        picture = image[0] if len(image) != 3 else image.transpose(1, 2, 0)
        axes[row, 0].imshow(picture, vmin=0, vmax=1)
        for col, result in enumerate(results.values(), 1):
            weight = result.arrays["weights"].values[row].sum(0)
            largest = np.abs(weight).max()
            axis = axes[row, col]
            axis.imshow(weight, vmin=-(largest or 1), vmax=largest or 1, cmap="RdBu_r")
            if largest == 0:
                axis.text(0.5, 0.5, "0", ha="center", va="center", color="0.35", transform=axis.transAxes, fontsize=9)
        for axis in axes[row]:
            _outline(axis, masks[row])
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    axes[0, 0].set_title("image", fontsize=8)
    for col, name in enumerate(results, 1):
        axes[0, col].set_title(_broken(name), fontsize=8)
    return figure


def pieces_on_paths(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw the label's logit on the way from one image to another, with a mark wherever the linear piece changes.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``linear-regions``, by network.
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
            color = CONSTRUCTED if name.startswith("constructed") else TRAINED
            curve = result.arrays[f"label_logit.{kind}"].values[0]
            breaks = result.arrays[f"breakpoints.{kind}"].values[0]
            breaks = breaks[np.isfinite(breaks)]
            axis.plot(np.linspace(0, 1, len(curve)), curve, color=color, linewidth=1.6)
            axis.margins(y=0.25)
            if np.ptp(curve) < 1e-9:
                axis.set_ylim(curve[0] - 1, curve[0] + 1)
            axis.vlines(
                breaks, 0, 0.07, transform=axis.get_xaxis_transform(), color="0.3", linewidth=0.3 if len(breaks) > 50 else 1.2
            )
            above = [_broken(name)] if row == 0 else []
            axis.set_title("\n".join([*above, f"{len(breaks) + 1:,} piece{'s' if len(breaks) else ''}"]), fontsize=8)
            axis.set_xticks([0, 0.5, 1])
            axis.tick_params(labelsize=7)
            if row == len(kinds) - 1:
                axis.set_xlabel("share of the way")
        axes[row, 0].set_ylabel(f"{PATHS[kind]}\nlabel's logit", fontsize=8)
    return figure


def _outline(axis: Axes, mask: NDArray[Any]) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, [0.5], colors=PALETTE[4], linewidths=0.8)


def _broken(name: str) -> str:
    """A long name on two lines."""
    return name.replace(", ", ",\n", 1).replace(": ", ":\n", 1)
