"""Continuous spectra of shapes: how many templates they need, and how far networks recognise their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE
from tmi_datasets.tile_paths import UNITS

from .common import line_styles, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    import tmi


def templates_needed(result: tmi.ProbeResult) -> Figure:
    """Draw the number of templates that contain a whole spectrum against its extent, a line a tolerance, and members above.

    Parameters
    ----------
    result : ProbeResult
        Of probe ``spectrum``. The numbers depend on the data alone. Lines are means over tiles; dotted lines are the L1 length of
        the path over 2ε, the number of templates on a straight path.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    kinds = _kinds([result])
    figure = plt.figure(figsize=(7.4, 3.1))
    grid = figure.add_gridspec(2, 5 * len(kinds), height_ratios=(1, 4))
    first: Axes | None = None
    for k, kind in enumerate(kinds):
        axis = figure.add_subplot(grid[1, 5 * k : 5 * (k + 1)], sharey=first)
        first = first or axis
        for i, member in enumerate(result.arrays[f"shown.{kind}"].values):
            above = figure.add_subplot(grid[0, 5 * k + i])
            show_image(above, member)
            if i == 2:
                above.set_title(kind)
        extents = result.arrays[f"extent.{kind}"].values[1:]
        templates = result.arrays[f"templates.{kind}"].values[:, :, 1:].mean(1)
        length = result.arrays[f"length.{kind}"].values[:, 1:].mean(0)
        for factor, color, counts in zip(result.coords["factor"], PALETTE, templates, strict=False):
            name = "ε" if factor == 1 else f"{factor}ε"
            axis.plot(extents, counts, "o-", color=color, markersize=3, linewidth=1.3, label=f"tolerance {name}")
            # result.metrics["length.…"] is the length over 2ε, of all tiles: it gives the scale.
            scale = result.metrics[f"length.{kind}"] / length[-1] / factor
            axis.plot(extents, np.maximum(1, length * scale), ":", color=color, linewidth=1)
        axis.set_yscale("log")
        _extents(axis, kind, extents)
        if k:
            axis.tick_params(labelleft=False)
    assert first is not None
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= first.get_ylim()[1]]
    first.set_yticks(ticks, [str(tick) for tick in ticks])
    first.set_ylabel("templates a tile")
    handles, labels = first.get_legend_handles_labels()
    dotted = Line2D([], [], linestyle=":", color="0.3", linewidth=1)
    figure.legend(
        [*handles, dotted], [*labels, "L1 length over twice the tolerance"], loc="outside lower center", ncols=4, fontsize=8
    )
    return figure


def accuracy_on_members(results: Mapping[str, Sequence[tmi.ProbeResult]], origins: Mapping[str, str]) -> Figure:
    """Draw accuracy on members against the extent of their spectrum, a panel a kind and a line a network.

    Parameters
    ----------
    results : mapping of str to sequence of ProbeResult
        Of probe ``spectrum``, by heading: one for each seed, of any kinds. Lines are means, shaded from least to greatest.
    origins : mapping of str to str
        `network.origin`, by heading.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    everything = [result for of in results.values() for result in of]
    kinds = _kinds(everything)
    styles = line_styles(origins)
    figure, axes = plt.subplots(1, len(kinds), figsize=(7.4, 2.5), squeeze=False, sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for name, of in results.items():
            seen = [result for result in of if f"accuracy.{kind}" in result.arrays]
            if not seen:
                continue
            extents = seen[0].arrays[f"extent.{kind}"].values[1:]
            accuracy = np.stack([result.arrays[f"accuracy.{kind}"].values[1:] for result in seen])
            axis.plot(extents, accuracy.mean(0), linewidth=1.6, label=name, **styles[name])
            axis.fill_between(extents, accuracy.min(0), accuracy.max(0), color=styles[name]["color"], alpha=0.15, linewidth=0)
            _extents(axis, kind, extents)
        axis.axhline(float(np.mean([result.metrics["chance"] for result in everything])), color="0.6", linewidth=0.8, zorder=0)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(kind)
    axes[0, 0].set_ylabel("accuracy on members")
    chance = Line2D([], [], color="0.6", linewidth=0.8)
    lines = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [name for name in results if name in lines]
    figure.legend([*(lines[name] for name in names), chance], [*names, "chance"], loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _kinds(results: Sequence[tmi.ProbeResult]) -> list[Any]:
    return [kind for kind in UNITS if any(f"accuracy.{kind}" in result.arrays for result in results)]


def _extents(axis: Axes, kind: Any, extents: Any) -> None:
    axis.set_xscale("log")
    axis.set_xticks(extents[1::2], [f"±{extent:.3g}" for extent in extents[1::2]], fontsize=7)
    axis.minorticks_off()
    axis.set_xlabel(f"extent ({UNITS[kind]})", fontsize=8)
