"""Selectivity measures held against the truth, neuron by neuron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, TRAINED

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


def measures_and_truth(results: Mapping[str, tmi.ProbeResult], layer: str = "hidden") -> Figure:
    """Draw each selectivity measure against tile purity, a dot a neuron.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``selectivity``, by network.
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
            color = CONSTRUCTED if network.startswith("constructed") else TRAINED
            defined = np.isfinite(values) & np.isfinite(purity)
            axis.scatter(
                values[defined],
                purity[defined],
                s=14,
                color=color,
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
