"""How often neurons fire: the picture of activation sparsity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi


def firing_rates(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw the share of images on which each neuron is not 0, the busiest neuron first, a panel a layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``activation-sparsity``, by network.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    layers = sorted({str(layer) for result in results.values() for layer in result.coords["layer"]}, key=_depth(results))
    figure, axes = plt.subplots(1, len(layers), figsize=(2.5 * len(layers) + 0.4, 3.0), squeeze=False, sharey=True)
    spare = iter(PALETTE[2:] * len(results))
    colors: dict[str, str] = {}
    for name in results:
        first = CONSTRUCTED if name.startswith("constructed") else TRAINED
        colors[name] = first if first not in colors.values() else next(spare)
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
        axis.set_xlabel("neurons, the busiest first")
    axes[0, 0].set_ylabel("share of images on which it is not 0")
    handles = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    return figure


def _depth(results: Mapping[str, tmi.ProbeResult]) -> Callable[[str], tuple[int, str]]:
    """Order layers of several networks by how far they are from the logits."""
    depth: dict[str, int] = {}
    for result in results.values():
        names = [str(layer) for layer in result.coords["layer"]]
        for place, layer in enumerate(names):
            depth[layer] = min(depth.get(layer, 0), place - len(names))
    return lambda layer: (depth[layer], layer)
