"""The decomposition of logits: where the units' terms lie, and what the variance of logits is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import PALETTE

from .common import color_of, show_image, two_lines, without_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

_PARTS = {
    "inside": ("units that read the tile alone", PALETTE[0]),
    "border": ("units that read both", PALETTE[5]),
    "outside": ("units that read the background alone", PALETTE[4]),
    "bias": ("bias", "0.6"),
}
_VARIANCES = {
    "sees_tile": ("units that see the tile", PALETTE[0]),
    "background_only": ("units that see the background alone", PALETTE[4]),
    "covariance": ("twice their covariance", "0.6"),
}
_CHANGES = {"backgrounds": "over backgrounds", "places": "over places"}


def contributions(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw for a few images where the units lie that make the logit: each network's terms, summed at each place.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``logit-decomposition``, by network; one whose layer has no places is left out.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if "maps" in result.arrays}
    first = next(iter(shown.values()))
    count = len(first.arrays["images"].values)
    figure, axes = plt.subplots(len(shown) + 1, count, figsize=(1.75 * count + 1.2, 1.75 * (len(shown) + 1)), squeeze=False)
    for k, axis in enumerate(axes[0]):
        show_image(axis, first.arrays["images"].values[k])
        axis.contour(first.arrays["masks"].values[k], [0.5], colors=PALETTE[4], linewidths=1.2)
        axis.set_title(str(first.coords["kept"][k]), fontsize=8)
    axes[0, 0].set_ylabel("image\nand tile", fontsize=8)
    for row, (name, result) in zip(axes[1:], shown.items(), strict=True):
        maps = result.arrays["maps"].values
        limit = np.abs(maps).max() or 1.0
        for k, axis in enumerate(row):
            drawn = axis.imshow(maps[k], cmap="RdBu_r", vmin=-limit, vmax=limit)
            without_ticks(axis)
            axis.set_xlabel(f"Σ terms {maps[k].sum():.2g}", fontsize=7)
        row[0].set_ylabel(two_lines(name), fontsize=8, color=color_of(origins[name]))
        figure.colorbar(drawn, ax=row[-1], shrink=0.8, label="term [logit]")
    return figure


def shares(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw which share of the label's margin comes from units inside the tile, on its border, outside, and from the bias.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``logit-decomposition``, by network, or by network and baseline. One without these shares is left out.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if "inside" in result.metrics}
    figure, axis = plt.subplots(figsize=(7.2, 0.42 * len(shown) + 1.3))
    height = 0.8 / len(_PARTS)
    for k, (part, (label, color)) in enumerate(_PARTS.items()):
        places = np.arange(len(shown)) + (k - (len(_PARTS) - 1) / 2) * height
        axis.barh(places, [result.metrics[part] for result in shown.values()], height, color=color, label=label)
        for place, result in zip(places, shown.values(), strict=True):
            chance = result.metrics.get(f"{part}.chance")
            if chance is not None:
                axis.plot([chance], [place], marker="|", color="black", markersize=6, linestyle="none")
    axis.plot([], [], marker="|", color="black", linestyle="none", label="share of the units that lie there")
    axis.axvline(0, color="0.4", linewidth=0.8)
    axis.set_yticks(range(len(shown)), [two_lines(name) for name in shown])
    axis.invert_yaxis()
    axis.set_xlabel("share of the label's logit less the largest other")
    handles, labels = axis.get_legend_handles_labels()
    order = np.argsort([label.startswith("share") for label in labels], kind="stable")  # the marks after the bars
    figure.legend([handles[k] for k in order], [labels[k] for k in order], loc="outside lower center", ncols=2, fontsize=8)
    return figure


def variance_split(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw the variance of a logit over backgrounds and over places, split by what the units see; a panel a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``logit-decomposition``, by network. One without variances is left out.
    """
    import matplotlib.pyplot as plt

    shown = {
        name: result for name, result in results.items() if any(f"variance.{change}" in result.metrics for change in _CHANGES)
    }
    figure, axes = plt.subplots(1, len(shown), figsize=(1.2 + 3 * len(shown), 2.9), squeeze=False, sharey=True)
    width = 0.8 / (len(_VARIANCES) + 1)
    for axis, (name, result) in zip(axes[0], shown.items(), strict=True):
        for k, (part, (label, color)) in enumerate({**_VARIANCES, "": ("all: the variance of the logit", "black")}.items()):
            key = part if part == "covariance" else f"variance_{part}" if part else "variance"
            values = [result.metrics.get(f"{key}.{change}", np.nan) for change in _CHANGES]
            places = np.arange(len(_CHANGES)) + (k - len(_VARIANCES) / 2) * width
            bars = axis.bar(places, values, width, color=color, label=label)
            axis.bar_label(bars, [f"{value:.2g}" for value in values], fontsize=7, padding=1)
        axis.axhline(0, color="0.4", linewidth=0.8)
        axis.set_xticks(range(len(_CHANGES)), list(_CHANGES.values()))
        axis.set_title(name)
        axis.margins(y=0.12)
    axes[0, 0].set_ylabel("variance of a logit [logit²]")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def feature_overlap(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw how far the sets of units of two features overlap: a panel a network, features by features.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``feature-neurons``, by network; those that are not applicable are left out.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if result.applicable}
    figure, axes = plt.subplots(1, len(shown), figsize=(1 + 3.1 * len(shown), 3.4), squeeze=False)
    for k, (axis, (name, result)) in enumerate(zip(axes[0], shown.items(), strict=True)):
        features = [str(feature) for feature in result.coords["feature"]]
        drawn = axis.imshow(result.arrays["jaccard"].values, cmap="viridis", vmin=0, vmax=1)
        axis.set_title(f"{two_lines(name)}\n{result.metrics['size']:.3g} units a feature", fontsize=8)
        axis.set_xticks(range(len(features)), features, rotation=90, fontsize=7)
        axis.set_yticks(range(len(features)), features if k == 0 else [""] * len(features), fontsize=7)
    figure.colorbar(drawn, ax=axes[0, -1], shrink=0.7, label="|A ∩ B| / |A ∪ B|")
    return figure
