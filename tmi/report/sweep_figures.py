"""Figures of sweeps: metrics along one swept setting, a line a network, and maps over two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi import statistics
from tmi.runtime.plotting import PALETTE
from tmi.views.results import numeric

from .aggregate import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tmi.probing.result import MetricInfo

MARKS = "os^Dv<>"
LOG = 20
"""Positive values are on a logarithmic axis where the greatest is more than so many times the least."""
MOST_NUMBERS = 60
"""Fields of a map with numbers in them; with more they would not fit."""


@dataclass(frozen=True)
class Sweep:
    """What is drawn of one probe on one data set.

    Attributes
    ----------
    settings : tuple of str
        One or two swept settings.
    groups : sequence of Group
        Of the networks that have these settings; the values over the seeds.
    fixed : sequence of Group
        Of networks without the setting, for comparison.
    metrics : sequence of str
    left_out : int
        The number of other metrics.
    info : mapping of str to MetricInfo
        By the first part of a metric's name.
    """

    settings: tuple[str, ...]
    groups: Sequence[Group]
    fixed: Sequence[Group]
    metrics: Sequence[str]
    left_out: int
    info: Mapping[str, MetricInfo]

    def about(self, metric: str) -> MetricInfo | None:
        """Return the description of a metric."""
        return self.info.get(metric.partition(".")[0])

    def ends(self, group: Group) -> tuple[float, float]:
        """Return the 95 % interval over the seeds by Student's t; NaN for one seed."""
        if len(group.values) < 2:
            return np.nan, np.nan
        about = self.about(group.metric)
        low, high = (about.low, about.high) if about else (None, None)
        found = statistics.over_seeds(group.values, low=low, high=high)
        return found.low, found.high


def along(sweep: Sweep, *, columns: int = 2) -> Figure:
    """Draw metrics along a swept setting, a panel a metric; values that are not numbers stand below each other.

    Parameters
    ----------
    sweep : Sweep
        Of one setting.
    columns : int
        Panels beside each other; 1 for a phone.
    """
    (setting,) = sweep.settings
    values = _values(sweep.groups, setting)
    networks = list(dict.fromkeys(group.network for group in (*sweep.groups, *sweep.fixed)))
    numbers = numeric(values)
    height = 2.5 if numbers else 0.75 + len(values) * max(0.2, 0.11 * len({group.network for group in sweep.groups}))
    figure, axes = _panels(len(sweep.metrics), columns, height)
    for axis, metric in zip(axes, sweep.metrics, strict=True):
        for place, network in enumerate(networks):
            style: dict[str, Any] = {"color": PALETTE[place % len(PALETTE)], "label": network}
            own = [group for group in sweep.groups if (group.network, group.metric) == (network, metric)]
            beside = [group for group in sweep.fixed if (group.network, group.metric) == (network, metric)]
            if own and numbers:
                _line(axis, sweep, own, setting, {**style, "marker": MARKS[place % len(MARKS)]})
            elif own:
                shift = (place - (len(networks) - 1) / 2) * 0.6 / max(1, len(networks))
                _points(axis, sweep, own, setting, values, shift, {**style, "marker": MARKS[place % len(MARKS)]})
            for group in beside:
                (axis.axhline if numbers else axis.axvline)(group.mean, linestyle="--", linewidth=1.2, **style)
        _name(axis, metric, sweep.about(metric), "y" if numbers else "x")
        if numbers:
            _number_axis(axis, values)
            axis.set_xlabel(setting)
        else:
            axis.set_yticks(range(len(values)), [_written(value) for value in values])
            axis.set_ylim(len(values) - 0.5, -0.5)
            axis.set_ylabel(setting)
            axis.grid(axis="y", color="0.92", linewidth=0.6)
            axis.set_axisbelow(True)
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    ordered = [name for name in networks if name in handles]
    ncols = 1 if columns == 1 and max(map(len, ordered)) > 18 else min(2 * columns, len(ordered))
    figure.legend([handles[name] for name in ordered], ordered, loc="outside upper left", ncols=ncols, fontsize=8)
    return figure


def maps(sweep: Sweep, *, columns: int = 2) -> Figure:
    """Draw metrics over two swept settings, a map a metric, its values in the fields where they fit.

    Parameters
    ----------
    sweep : Sweep
        Of two settings and one network.
    columns : int
        Maps beside each other; 1 for a phone.
    """
    down, across = sorted(sweep.settings, key=lambda name: len(_values(sweep.groups, name)))
    rows, cols = _values(sweep.groups, down), _values(sweep.groups, across)
    figure, axes = _panels(len(sweep.metrics), columns, 0.9 + 0.42 * len(rows))
    for axis, metric in zip(axes, sweep.metrics, strict=True):
        means = np.full((len(rows), len(cols)), np.nan)
        halves = means.copy()
        for group in sweep.groups:
            if group.metric == metric:
                place = rows.index(group.swept[down]), cols.index(group.swept[across])
                means[place], halves[place] = group.mean, np.nan if group.half_width is None else group.half_width
        drawn = axis.imshow(means, cmap="cividis", aspect="auto")
        axis.set_xticks(range(len(cols)), [_written(value) for value in cols])
        axis.set_yticks(range(len(rows)), [_written(value) for value in rows])
        axis.set_xlabel(across)
        axis.set_ylabel(down)
        axis.spines[:].set_visible(False)
        axis.set_title(_title(metric, sweep.about(metric)), fontsize=8.5, loc="left")
        if means.size <= MOST_NUMBERS and len(cols) <= 8:
            _numbers(axis, means, halves, drawn.norm)
        else:
            axis.figure.colorbar(drawn, ax=axis)
    return figure


def _line(axis: Axes, sweep: Sweep, own: Sequence[Group], setting: str, style: Mapping[str, Any]) -> None:
    """Draw means as a line, and the intervals as a band."""
    own = sorted((group for group in own if group.swept[setting] is not None), key=lambda group: float(group.swept[setting]))
    x = [float(group.swept[setting]) for group in own]
    low, high = np.array([sweep.ends(group) for group in own]).T
    axis.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    axis.plot(x, [group.mean for group in own], markersize=4, linewidth=1.4, **style)


def _points(
    axis: Axes, sweep: Sweep, own: Sequence[Group], setting: str, values: list[Any], shift: float, style: Mapping[str, Any]
) -> None:
    """Draw means as points, and the intervals as bars; nothing joins values that have no order."""
    own = [group for group in own if group.swept[setting] is not None]
    y = [values.index(group.swept[setting]) + shift for group in own]
    low, high = np.array([sweep.ends(group) for group in own]).T
    axis.hlines(y, low, high, color=style["color"], linewidth=1.3)
    axis.plot([group.mean for group in own], y, linestyle="none", markersize=4, **style)


def _numbers(axis: Axes, means: Any, halves: Any, norm: Any) -> None:
    """Write each mean, with half the width of its interval, into its field."""
    for (row, col), mean in np.ndenumerate(means):
        if np.isfinite(mean):
            half = f"\n± {halves[row, col]:.2g}" if np.isfinite(halves[row, col]) else ""
            axis.text(
                col,
                row,
                f"{mean:.3g}{half}",
                ha="center",
                va="center",
                fontsize=7,
                color="black" if norm(mean) > 0.5 else "white",
            )


def _panels(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.7 * columns, height * rows + 0.35), squeeze=False)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat[:count])


def _name(axis: Axes, metric: str, about: MetricInfo | None, which: str) -> None:
    axis.set_title(_title(metric, about), fontsize=8.5, loc="left")
    if about and about.unit:
        (axis.set_ylabel if which == "y" else axis.set_xlabel)(about.unit)


def _title(metric: str, about: MetricInfo | None) -> str:
    arrow = {"higher": " ↑", "lower": " ↓"}.get((about.better if about else None) or "", "")
    return f"{metric}{arrow}"


def _number_axis(axis: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) > LOG * min(values):
        axis.set_xscale("log")
        axis.minorticks_off()
    if len(values) <= 8:
        axis.set_xticks([float(value) for value in values], [f"{value:g}" for value in values])


def _values(groups: Iterable[Group], setting: str) -> list[Any]:
    """Return the values of a setting: numbers in order, others in the suite's order."""
    found: list[Any] = []
    for group in groups:
        value = group.swept[setting]
        if value is not None and value not in found:
            found.append(value)
    return sorted(found) if numeric(found) else found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
