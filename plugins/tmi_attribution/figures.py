"""Figures of the attribution bench: the ranking of the methods, their maps, their cost, and how well measures rank them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED

from .comparisons import EDGES, Trust, against
from .figures_maps import broken
from .findings import two_digits
from .leaderboard import MethodScores, networks_of, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi
    from tmi.statistics import Estimate

    from .comparisons import FreeMeasure

ARROWS = {"higher": "↑", "lower": "↓"}
PART_TEXTS = {"absolute": "|a|", "positive": "max(a, 0)"}
_COLORS = {"constructed": CONSTRUCTED, "trained": TRAINED, "imported": PALETTE[2]}
_LEAST = -1.0
"""Skills below it are drawn at the left edge."""


def leaderboard(rows: Sequence[MethodScores], *, columns: int | None = None) -> Figure:
    """Draw the skill of every method: a row for each method, best first and controls below, a panel for each network.

    Parameters
    ----------
    rows : sequence of MethodScores
        A mark is hollow where a method is shown to have less skill than Sobel, whose skill is the dashed line; bars are 95 %
        intervals. A small line is the skill of the method on the network before training.
    columns : int, optional
        Networks beside each other, 2 for a phone; by default all.
    """
    import matplotlib.pyplot as plt

    names = ranked(rows)
    controls = {row.method for row in rows if row.control}
    places = {name: place + (0.6 if name in controls else 0) for place, name in enumerate(names)}
    networks = networks_of(rows)
    low = max(_LEAST, min([0.0, *(row.skill for row in rows if row.skill is not None)]) - 0.1)
    columns = min(columns or len(networks), len(networks))
    lines = -(-len(networks) // columns)
    size = (1.7 + 1.25 * columns, (0.19 * len(names) + 0.7) * lines + 0.5)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True)
    for axis in axes.flat[len(networks) :]:
        axis.axis("off")
    for axis, (network, methods) in zip(axes.flat, networks.items(), strict=False):
        color = _color(methods)
        edges = methods[EDGES].skill if EDGES in methods else None
        worse = {row.method for row, difference in against(list(methods.values()), EDGES) if difference.direction == "lower"}
        axis.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        axis.axvline(1, color="0.8", linewidth=0.8, zorder=0)
        if edges is not None:
            axis.axvline(edges, color="0.35", linewidth=0.9, linestyle="--", zorder=0)
        for name, row in methods.items():
            _mark(axis, row, places[name], "0.35" if row.control else color, hollow=name in worse, low=low)
        axis.set_title(broken(network), fontsize=8, color=color)
        axis.set_xlim(low - 0.04, 1.08)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7)
    axes[0, 0].set_yticks(list(places.values()), list(places), fontsize=7.5)
    axes[0, 0].set_ylim(max(places.values(), default=0) + 0.7, -0.7)
    for axis in axes.flat[: len(networks)]:
        axis.tick_params(axis="y", length=0, labelsize=7.5)
        for name, place in places.items():
            axis.axhline(place, color="0.93", linewidth=0.6, zorder=-1)
            if name in controls and places[name] == min(places[control] for control in controls):
                axis.axhline(place - 0.8, color="0.6", linewidth=0.8)
    where = "mean over the localisation measures" if columns > 2 else "mean over the measures"
    figure.supxlabel(f"skill, {where}: 0 is chance, 1 the oracle", fontsize=9)
    _explain_marks(figure, rows, 2 if columns < 4 else 9)
    return figure


def trust_scatter(rows: Sequence[MethodScores], trusts: Sequence[Trust]) -> Figure:
    """Draw skill against each measure that needs no truth: a row for each network, a column for each measure.

    Parameters
    ----------
    rows : sequence of MethodScores
        Each is a point: the skill of the part of the attributions that the measure scores.
    trusts : sequence of Trust
        Which measures and networks; τ and its corrected interval stand above each panel.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    measures = list(dict.fromkeys(trust.measure for trust in trusts))
    networks = list(dict.fromkeys(trust.network for trust in trusts))
    panels = {(trust.network, trust.measure): trust for trust in trusts}
    by_network = networks_of(rows)
    figure, axes = plt.subplots(
        len(networks),
        len(measures),
        figsize=(1.45 * len(measures) + 0.9, 1.35 * len(networks) + 0.7),
        squeeze=False,
        sharey="row",
    )
    for r, network in enumerate(networks):
        for c, measure in enumerate(measures):
            axis = axes[r, c]
            trust = panels.get((network, measure))
            if trust is None:
                axis.axis("off")
                continue
            points = [
                (_mean(row.measures[measure.name]), _mean(row.skills_of(measure.part)), row.control)
                for row in by_network[network].values()
                if measure.name in row.measures and row.skill is not None
            ]
            points = [point for point in points if np.isfinite(point[0])]
            for control, color, mark in ((True, "0.55", "x"), (False, _color(by_network[network]), "o")):
                chosen = [(x, y) for x, y, is_control in points if is_control == control]
                if chosen:
                    axis.scatter(*zip(*chosen, strict=True), s=11, color=color, marker=mark, linewidths=0.9, alpha=0.85)
            values = [x for x, _, _ in points]
            if values and min(values) > 0 and max(values) > 100 * min(values):
                axis.set_xscale("log")
                axis.minorticks_off()
            else:
                axis.xaxis.set_major_locator(MaxNLocator(2))
            axis.tick_params(labelsize=6, length=2)
            axis.margins(0.12)
            title = _title(measure) if r == 0 else ""
            said = f"τ = {tau}" if (tau := tau_text(trust.agreement)) else trust_text(trust)
            axis.set_title(f"{title}{said}", fontsize=7)
        axes[r, 0].set_ylabel(f"{broken(network)}\nskill", fontsize=7)
    figure.supxlabel("mean score of the measure that needs no truth; the arrow points to its better direction", fontsize=8)
    _explain_points(figure, [row for row in rows if row.network in networks])
    return figure


def cost(rows: Sequence[MethodScores]) -> Figure:
    """Draw skill against evaluations of the module for each image: a panel for each network, every method with its name.

    Parameters
    ----------
    rows : sequence of MethodScores
        Controls are left out, for they do not evaluate the network; Sobel is the dashed line.
    """
    import matplotlib.pyplot as plt

    networks = {network: methods for network, methods in networks_of(rows).items() if any(map(_has_cost, methods.values()))}
    columns = min(2, max(1, len(networks)))
    lines = -(-len(networks) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, 3.7 * lines), squeeze=False)
    for axis in axes.flat[len(networks) :]:
        axis.axis("off")
    panels: list[tuple[Axes, list[str], NDArray[Any], NDArray[Any]]] = []
    for axis, (network, methods) in zip(axes.flat, networks.items(), strict=False):
        color = _color(methods)
        shown = {name: row for name, row in methods.items() if _has_cost(row)}
        x = np.array([row.evaluations for row in shown.values()], float)
        y = np.array([row.skill for row in shown.values()], float)
        axis.scatter(x, y, s=16, color=color, zorder=3)
        axis.set_xscale("log")
        edges = methods[EDGES].skill if EDGES in methods else None
        if edges is not None:
            axis.axhline(edges, color="0.35", linewidth=0.9, linestyle="--", zorder=0)
            axis.text(
                0.995, edges, EDGES, ha="right", va="bottom", fontsize=6.5, color="0.35", transform=axis.get_yaxis_transform()
            )
        axis.set_xlim(x.min() / 1.6, x.max() * 30)
        axis.margins(y=0.09)
        axis.set_title(network, fontsize=8.5, color=color)
        axis.set_xlabel("evaluations of the network for each image", fontsize=8)
        axis.set_ylabel("skill", fontsize=8)
        axis.tick_params(labelsize=7)
        panels.append((axis, list(shown), x, y))
    figure.canvas.draw()  # the layout is computed only now
    for panel in panels:
        _name_points(figure, *panel)
    return figure


def convergence(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw how Captum's integrated gradients approach the closed form as their steps grow.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``ig-convergence``, by network.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.2, 3.4))
    kinds = {"error": "-", "awake": "--"}
    top: list[tuple[float, float]] = []
    last = 0.0
    for color, (name, result) in zip(PALETTE * len(results), results.items(), strict=False):
        steps = np.asarray(result.coords["step"], float)
        last = max(last, float(steps.max()))
        for kind, style in kinds.items():
            if kind not in result.arrays:
                continue
            errors = np.where(result.arrays[kind].values > 0, result.arrays[kind].values, np.nan)
            drawn = np.isfinite(errors).any(1)  # an error of 0 has no logarithm
            if not drawn.any():
                continue
            x, errors = steps[drawn], errors[drawn]
            axis.fill_between(x, np.nanmin(errors, 1), np.nanmax(errors, 1), color=color, alpha=0.15, linewidth=0)
            label = name if kind == "error" else f"{name},\nactive on the whole path"
            axis.plot(x, np.nanmedian(errors, 1), style, marker="o", markersize=3.5, linewidth=1.4, color=color, label=label)
            if kind == "error":
                top.append((float(x[0]), float(np.nanmedian(errors[0]))))
    if top:
        first, level = max(top, key=lambda pair: pair[1])
        axis.plot([first, last], [level, level * first / last], color="0.35", linestyle=":", linewidth=1, label="1/steps")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("steps of integrated-gradients")
    axis.set_ylabel("error relative to the closed form")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _title(measure: FreeMeasure) -> str:
    """Return a measure's name, its settings on a line of their own, with the arrow of its better direction."""
    name, _, settings = measure.name.replace("_", "-").partition("(")
    return f"{name} {ARROWS[measure.better]}\n" + (f"({settings}\n" if settings else "")


def _mark(axis: Axes, row: MethodScores, place: float, color: str, *, hollow: bool, low: float) -> None:
    """Draw a skill with its interval, or write "refused" where there is none."""
    if row.skill is None:
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axis.text(0.5, place, "refused", ha="center", va="center", fontsize=6, color="0.45", style="italic", bbox=behind)
        return
    if row.estimate is not None:
        ends = np.clip([row.estimate.low, row.estimate.high], low, 1.06)
        axis.plot(ends, [place, place], color=color, linewidth=1.3, zorder=2, solid_capstyle="butt")
    if np.isfinite(row.untrained).any():
        before = float(np.nanmean(row.untrained))
        axis.plot(max(before, low), place, marker="|", markersize=7, color="0.35", linestyle="none", zorder=2)
    axis.plot(
        max(row.skill, low),
        place,
        marker="<" if row.skill < low else "s" if row.control else "o",
        markersize=4,
        color=color,
        markerfacecolor="white" if hollow else color,
        linestyle="none",
        zorder=3,
        clip_on=False,
    )


def _explain_marks(figure: Figure, rows: Sequence[MethodScores], ncols: int) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", color=color, label=origin, markersize=4) for origin, color in _origins(rows).items()]
    if any(row.control for row in rows):
        handles.append(Line2D([], [], marker="s", color="0.35", label="control", markersize=4))
    handles += [
        Line2D(
            [],
            [],
            marker="o",
            color="0.35",
            markerfacecolor="white",
            linestyle="none",
            label="shown to be worse than Sobel",
            markersize=4,
        ),
        Line2D([], [], color="0.35", linestyle="--", linewidth=0.9, label="Sobel"),
    ]
    if any(np.isfinite(row.untrained).any() for row in rows):
        handles.append(Line2D([], [], marker="|", color="0.35", linestyle="none", label="before training", markersize=7))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(ncols, len(handles)), fontsize=8)


def _explain_points(figure: Figure, rows: Sequence[MethodScores]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", color=color, linestyle="none", label=f"method, {origin}", markersize=4)
        for origin, color in _origins(rows).items()
    ]
    if any(row.control for row in rows):
        handles.append(Line2D([], [], marker="x", color="0.55", linestyle="none", label="control, not ranked", markersize=4))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)


def _name_points(figure: Figure, axis: Axes, names: Sequence[str], x: NDArray[Any], y: NDArray[Any]) -> None:
    """Write each point's name beside it, or as near as possible without covering another, with a line to the point."""
    scale = 72 / figure.dpi
    points = axis.transData.transform(np.column_stack([x, y])) * scale
    inside = np.array(axis.get_window_extent().extents) * scale
    taken = np.column_stack([points - 3, points + 3])
    offsets = np.array([(dx, dy) for dx in (5, 14, 28, 46, 70) for dy in range(-100, 101, 4)], float)
    offsets = offsets[np.argsort(np.abs(offsets[:, 1]) + offsets[:, 0] / 2, kind="stable")]
    for i in np.argsort(-y, kind="stable"):
        width, height = 3.2 * len(names[i]) + 4, 7.4  # in points, of a font of 6 points
        low = points[i] + offsets - np.array([0, height / 2])
        high = low + np.array([width, height])
        covers = ((low[:, None] < taken[:, 2:]) & (taken[:, :2] < high[:, None])).all(-1).any(-1)
        free = ~covers & (low >= inside[:2]).all(-1) & (high <= inside[2:]).all(-1)
        best = int(free.argmax())
        taken = np.vstack([taken, [*low[best], *high[best]]])
        axis.annotate(
            names[i],
            (x[i], y[i]),
            xytext=tuple(offsets[best]),
            textcoords="offset points",
            va="center",
            fontsize=6,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.2},
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )


def _has_cost(row: MethodScores) -> bool:
    return not row.control and row.skill is not None and bool(row.evaluations)


def tau_text(agreement: Estimate | None) -> str | None:
    """Return τ with its interval; None where there are too few methods."""
    if agreement is None:
        return None
    if agreement.units < 2:
        return f"{two_digits(agreement.value)}, one seed"
    return f"{two_digits(agreement.value)} [{two_digits(agreement.low)}, {two_digits(agreement.high)}]"


def trust_text(trust: Trust | None) -> str | None:
    """Return τ with its interval, or why there is none; None where the measure was not run."""
    return None if trust is None else tau_text(trust.agreement) or "defined on {} of {} images".format(*trust.defined)


def _mean(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _color(methods: Mapping[str, MethodScores]) -> str:
    """Return the colour of a network, by its origin."""
    return _COLORS.get(next(iter(methods.values())).origin, "0.35")


def _origins(rows: Sequence[MethodScores]) -> dict[str, str]:
    """Return the colours of the origins that occur, by origin."""
    origins = {row.origin for row in rows}
    return {origin: color for origin, color in _COLORS.items() if origin in origins}
