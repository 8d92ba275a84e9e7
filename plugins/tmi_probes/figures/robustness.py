"""Robustness: other kinds of background, deformed tiles, and the worst variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..pipeline.logits import margins
from ..robustness.deformation import UNITS
from .common import color_of, line_styles, show_image, two_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

_MARKS = "osD^vPX"


def background_kinds(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw the share of right answers on each kind of background, and the worst image of each kind for one trained network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``background-kinds``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    kinds = [str(kind) for kind in next(iter(results.values())).coords["kind"]]
    shown = next((name for name in results if origins[name] != "constructed"), next(iter(results)))
    figure = plt.figure(figsize=(7.2, 3.3))
    grid = figure.add_gridspec(2, len(kinds), height_ratios=(1.9, 1))
    axis = figure.add_subplot(grid[0, :])
    for k, (name, result) in enumerate(results.items()):
        values = [result.metrics.get(f"correct.{kind}", np.nan) for kind in kinds]
        color = color_of(origins[name])
        places = np.arange(len(kinds)) + 0.1 * (k - (len(results) - 1) / 2)
        axis.plot(
            places, values, linestyle="none", marker=_MARKS[k % len(_MARKS)], color=color, markersize=5, label=name, clip_on=False
        )
    axis.set_ylim(0, 1.02)
    axis.set_xlim(-0.5, len(kinds) - 0.5)
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set_ylabel("share predicted right")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    worst = results[shown].arrays["worst_image"].values
    for k in range(len(kinds)):
        below = figure.add_subplot(grid[1, k])
        show_image(below, worst[k])
        margin = results[shown].arrays["worst_margin"].values[k]
        below.set_xlabel("none kept" if np.isnan(margin) else f"margin {margin:.2g}", fontsize=7)
        if k == 0:
            below.set_ylabel("worst for\n" + two_lines(shown), fontsize=7)
    return figure


def deformations(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw accuracy against the strength of each deformation, the oracle φ as a grey line.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``deformation``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    first = next(iter(results.values()))
    kinds = [kind for kind in UNITS if f"accuracy.{kind}" in first.arrays]
    styles = line_styles(origins)
    rows = -(-len(kinds) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(7.4, 1.9 * rows + 0.5), squeeze=False, sharey=True)
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    for axis, kind in zip(axes.flat, kinds, strict=False):
        strengths = first.arrays[f"strength.{kind}"].values
        places = np.arange(len(strengths))  # strengths grow by factors: even steps show them best
        for name, result in results.items():
            axis.plot(places, result.arrays[f"accuracy.{kind}"].values, linewidth=1.5, label=name, **styles[name])
        oracle = first.arrays[f"oracle.{kind}"].values
        axis.plot(
            places, oracle, linestyle="none", marker="o", markerfacecolor="none", color="0.4", markersize=5, label="oracle φ"
        )
        axis.axhline(first.metrics["chance"], color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        axis.set_xticks(places, [f"{value:g}" for value in strengths], fontsize=7)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(kind)
        axis.set_xlabel(UNITS[kind], fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy")
    last = axes.flat[len(kinds) - 1]
    last.text(1, first.metrics["chance"], " chance", va="center", fontsize=7, color="0.45", transform=last.get_yaxis_transform())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), fontsize=8)
    return figure


def worst_cases(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw each original beside the variant of least margin, a row a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``background-robustness`` or ``translation-robustness``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    first = next(iter(results.values()))
    tiles = [str(name) for name in first.coords["tile"]]
    figure, axes = plt.subplots(
        len(results), 2 * len(tiles), figsize=(1.15 * 2 * len(tiles), 1.4 * len(results) + 0.3), squeeze=False
    )
    for row, (name, result) in enumerate(results.items()):
        own = margins(result.arrays["original_logits"].values, result.arrays["label"].values)
        for k in range(len(tiles)):
            for col, what in ((2 * k, "original"), (2 * k + 1, "worst")):
                axis = axes[row, col]
                show_image(axis, result.arrays[f"{what}_images"].values[k])
                if row == 0:
                    axis.set_title(f"{tiles[k]}\n{what}", fontsize=7)
            axes[row, 2 * k + 1].set_xlabel(f"margin {result.arrays['worst_margin'].values[k]:.2g}", fontsize=7)
            axes[row, 2 * k].set_xlabel(f"margin {own[k]:.2g}", fontsize=7)
        axes[row, 0].set_ylabel(two_lines(name), fontsize=7, color=color_of(origins[name]))
    return figure


def radii(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw between which bounds the radius of each image lies, by network: from what is proven up to the smallest change found.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``attack``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    units = {"l1": "L1: summed pixel difference", "linf": "L∞: largest pixel difference"}
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 0.42 * len(results) + 1.5), sharey=True)
    for axis, (norm, unit) in zip(axes, units.items(), strict=True):
        for row, (name, result) in enumerate(results.items()):
            color = color_of(origins[name])
            ends = {}
            for bound, marker in (("lower", ">"), ("upper", "<")):
                array = result.arrays.get(f"radius_{bound}.{norm}")
                values = np.empty(0) if array is None else array.values[np.isfinite(array.values) & (array.values > 0)]
                if not len(values):
                    continue
                low, ends[bound], high = np.quantile(values, (0.05, 0.5, 0.95))
                axis.plot([low, high], [row, row], color=color, linewidth=4, alpha=0.35, solid_capstyle="butt")
                axis.plot(ends[bound], row, marker=marker, color=color, markersize=6)
            if len(ends) == 2:
                axis.plot([ends["lower"], ends["upper"]], [row, row], color=color, linewidth=0.9, linestyle=":", zorder=0)
        axis.set_xscale("log")
        axis.set_xlabel(unit)
        axis.set_ylim(len(results) - 0.5, -0.5)
    axes[0].set_yticks(range(len(results)), [two_lines(name) for name in results])
    marks = [
        Line2D([], [], marker=">", color="0.3", linestyle="", label="proven: no smaller change alters the answer"),
        Line2D([], [], marker="<", color="0.3", linestyle="", label="found: this change does"),
        Line2D([], [], color="0.3", linewidth=4, alpha=0.35, label="5 to 95 % of images"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=3, fontsize=8)
    return figure
