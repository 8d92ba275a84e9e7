"""Single neurons: how often they are active, and selectivity measures against the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import PALETTE

from .common import color_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

TITLES = {
    "class_selectivity": "class selectivity",
    "auc": "ROC AUC",
    "mutual_information": "mutual information [nat]",
    "classes_per_neuron": "classes a neuron fires for",
    "monosemanticity_score": "Monosemanticity Score",
}


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


def measures_and_truth(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], layer: str = "hidden") -> Figure:
    """Draw each selectivity measure against tile purity, a dot a neuron.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``selectivity``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    layer : str
    """
    import matplotlib.pyplot as plt

    correlated: dict[str, None] = {}
    figure, axes = plt.subplots(1, len(TITLES), figsize=(2.0 * len(TITLES), 2.6), sharey=True)
    for axis, (measure, title) in zip(axes, TITLES.items(), strict=True):
        lines = []
        for network, result in results.items():
            if f"{measure}.{layer}" not in result.arrays:
                continue
            values, purity = result.arrays[f"{measure}.{layer}"].values, result.arrays[f"tile_purity.{layer}"].values
            defined = np.isfinite(values) & np.isfinite(purity)
            axis.scatter(
                values[defined],
                purity[defined],
                s=14,
                color=color_of(origins[network]),
                alpha=0.5,
                linewidths=0,
                label=network,
                clip_on=False,
                zorder=3,
            )
            correlation = result.metrics.get(f"truth_spearman.{measure}.{layer}")
            if correlation is not None:
                lines.append(f"Spearman {correlation:.2f}")
                correlated[network] = None
        axis.set_title("\n".join([title, *(lines or ["no Spearman"])]), fontsize=8)
        axis.set_ylim(0, 1.02)
        axis.margins(x=0.08)
    axes[0].set_ylabel(f"tile purity of a neuron, {layer}")
    below = f"value of the measure; Spearman's correlation with tile purity over the neurons of {', '.join(correlated)}"
    figure.supxlabel(f"{below}, the number of classes counted negatively" if correlated else "value of the measure", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(len(labels), 1), fontsize=8, markerscale=2)
    return figure
