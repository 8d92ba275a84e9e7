"""Single neurons: how often they are active, and for how many classes they fire by which threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import PALETTE

from .common import color_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

DRAWN_HEIGHTS = {0.0: 0.9, 0.5: 2.2, 0.8: 1.4}
"""Shares of a neuron's maximum that are drawn, each with the width of its line; the default is the thickest."""


def firing_rates(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw the share of images on which each neuron is not 0, the most active neuron first, a panel a layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``activation-sparsity``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    layers = sorted({str(layer) for result in results.values() for layer in result.coords["layer"]}, key=_depth(results))
    figure, axes = plt.subplots(1, len(layers), figsize=(2.5 * len(layers) + 0.4, 3.0), squeeze=False, sharey=True)
    others = iter(PALETTE[2:] * len(results))
    colors: dict[str, str] = {}
    for name in results:
        color = color_of(origins[name])
        colors[name] = color if color not in colors.values() else next(others)
    for axis, layer in zip(axes[0], layers, strict=True):
        neurons = []
        for name, result in results.items():
            if f"firing_rate.{layer}" not in result.arrays:
                continue
            rate = np.sort(result.arrays[f"firing_rate.{layer}"].values)[::-1]
            edges = np.linspace(0, 1, len(rate) + 1)
            axis.stairs(rate, edges, baseline=None, color=colors[name], linewidth=1.6)
            neurons.append(f"{name}: {len(rate):,} neurons")
        axis.set_title("\n".join([layer, *neurons]), fontsize=7)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axis.set_xlabel("neurons, the most active first")
    axes[0, 0].set_ylabel("share of images on which it is not 0")
    handles = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    return figure


def _depth(results: Mapping[str, tmi.ProbeResult]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key of layers: their distance from the logits, the largest of all networks."""
    depth: dict[str, int] = {}
    for result in results.values():
        names = [str(layer) for layer in result.coords["layer"]]
        for place, layer in enumerate(names):
            depth[layer] = min(depth.get(layer, 0), place - len(names))
    return lambda layer: (depth[layer], layer)


def firing_curves(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], layer: str = "hidden") -> Figure:
    """Draw for how many classes a neuron fires, against both thresholds, beside the same on shuffled images.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``selectivity``, by network: a panel each, for those that have the layer.
    origins : mapping of str to str
        `network.origin`, by network.
    layer : str
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    shown = {name: result for name, result in results.items() if f"firing_curve.{layer}" in result.arrays}
    figure, axes = plt.subplots(
        1, max(len(shown), 1), figsize=(2.5 * max(len(shown), 1) + 0.4, 3.1), squeeze=False, sharex=True, sharey=True
    )
    for axis, (name, result) in zip(axes[0], shown.items(), strict=False):
        shares = result.coords["firing"]
        for height, width in DRAWN_HEIGHTS.items():
            row = list(np.round(result.coords["height"], 9)).index(height)
            for array, color, style in (("", color_of(origins[name]), "solid"), ("_chance", "0.45", (0, (2, 1.5)))):
                axis.plot(
                    shares,
                    result.arrays[f"firing_curve{array}.{layer}"].values[row],
                    color=color,
                    linestyle=style,
                    linewidth=width,
                )
        axis.axvline(0.5, color="0.8", linewidth=0.8, zorder=0)
        axis.set_title(f"{name}: {layer}")
        axis.set_xlabel("on more than this share\nof a class's images")
        axis.set_xticks([0, 0.5, 0.9], ["any image", "50 %", "90 %"])
    axes[0, 0].set_ylabel("classes a neuron fires for, mean")
    axes[0, 0].set_ylim(bottom=0)
    handles = [
        Line2D([], [], color="black", linewidth=width, label="above 0" if height == 0 else f"above {height:.0%} of its maximum")
        for height, width in DRAWN_HEIGHTS.items()
    ] + [Line2D([], [], color="0.45", linestyle=(0, (2, 1.5)), label="images shuffled")]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
    return figure
