"""Plots of the results of probes and of suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError, UnknownNameError, did_you_mean
from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED
from tmi.statistics import over_seeds

from .axes import drawn, frame_grid, label_ticks, shortened, show_image
from .results import numeric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = 24
_CURVES = 8
_IMAGES = 12
_LINE = 60  # values that are joined by a line
_SIDE = 1500  # pixels of a map
_CONTROLS = {"chance": ("chance", "s", "0.45"), "untrained": ("untrained", "x", "#D55E00"), "oracle": ("oracle", "^", "#009E73")}
_BESIDES = {*_CONTROLS, "low", "high"}
"""Parts of the names of metrics that are drawn beside another one."""


def probe_result(shown: Any, name: str | None = None, axes: Axes | None = None) -> Axes:
    """Draw a `ProbeResult`; see its method ``plot``."""
    if not shown.applicable:
        with drawn(axes, size=(4.5, 1.2)) as axes:
            axes.text(0.5, 0.5, shortened(f"not applicable: {'; '.join(shown.notes)}", 90), ha="center", va="center", wrap=True)
            axes.set_axis_off()
        return axes
    if name in shown.arrays:
        return _array(shown, str(name), axes)
    metrics = [key for key in shown.metrics if name is None or key == name or key.startswith(f"{name}.")]
    if not metrics:
        if name is not None:
            bases = [*shown.metrics, *(key.partition(".")[0] for key in shown.metrics), *shown.arrays]
            raise UnknownNameError(f"plot: there is no metric and no array {name!r}{did_you_mean(name, bases)}")
        return _array(shown, next(iter(shown.arrays)), axes)
    return _metrics(shown, metrics, axes)


def _metrics(shown: Any, names: Sequence[str], axes: Axes | None) -> Axes:
    """Draw the metrics of the commonest unit and range, a row each, with their intervals and controls."""
    measured = [name for name in names if not _BESIDES & set(name.split("."))] or list(names)
    ((scale, _),) = Counter(_scale(shown, name) for name in measured).most_common(1)
    rows = [name for name in measured if _scale(shown, name) == scale]
    cut, info = rows[:_METRICS], shown.describe(rows[0])
    with drawn(axes, size=(5, 0.9 + 0.24 * len(cut))) as axes:
        places = range(len(cut))
        known: Mapping[str, float] = shown.metrics
        for end, marker in (("low", "|"), ("high", "|")):
            axes.plot(*_of(known, cut, end), marker, color="#0072B2", markersize=6)
        for row, name in enumerate(cut):
            if f"{name}.low" in known and f"{name}.high" in known:
                axes.plot([known[f"{name}.low"], known[f"{name}.high"]], [row, row], color="#0072B2", linewidth=1)
        for control, (label, marker, colour) in _CONTROLS.items():
            x, y = _of(known, cut, control)
            if x:
                axes.plot(x, y, marker, color=colour, markersize=5, markerfacecolor="none", label=label)
        axes.plot([known[name] for name in cut], places, "o", color="#0072B2", markersize=5, label="value")
        axes.set_yticks(places, [shortened(name, 40) for name in cut])
        axes.set_ylim(len(cut) - 0.5, -0.5)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
        if info is not None and info.low is not None and info.high is not None:
            margin = 0.03 * (info.high - info.low)
            axes.set_xlim(info.low - margin, info.high + margin)
        axes.set_xlabel(shortened(info.unit, 60) if info is not None and info.unit else "value")
        left = len(measured) - len(rows)
        hidden = f" of {len(rows)}" if len(rows) > len(cut) else ""
        others = f"; {left} with another unit or range" if left else ""
        axes.set_title(f"{len(cut)}{hidden} {'metric' if len(cut) == 1 else 'metrics'}{others}", loc="left")
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def _of(known: Mapping[str, float], names: Sequence[str], part: str) -> tuple[list[float], list[int]]:
    """Return the values of ``name.part`` and the rows that have one."""
    rows = [row for row, name in enumerate(names) if f"{name}.{part}" in known]
    return [known[f"{names[row]}.{part}"] for row in rows], rows


def _scale(shown: Any, name: str) -> tuple[object, ...]:
    info = shown.describe(name)
    return ("", None, None) if info is None else (info.unit, info.low, info.high)


def _array(shown: Any, name: str, axes: Axes | None) -> Axes:
    array = shown.arrays[name]
    if array.values.dtype.kind == "U":
        raise InputError(f"plot: array {name!r} holds text; it is result[{name!r}].values")
    if 0 in array.shape:
        raise InputError(f"plot: array {name!r} is empty")
    values = np.asarray(array.values, float)
    if values.ndim > 2 and array.dims[-2].startswith("row") and array.dims[-1].startswith("col"):
        return _images(name, array.dims, values, axes)
    if values.ndim not in (1, 2):
        raise InputError(
            f"plot: array {name!r} has {values.ndim} axes ({', '.join(array.dims)}), and one or two are drawn; "
            f"choose a part of result[{name!r}].values"
        )
    return (_curve if values.ndim == 1 else _map)(name, array.dims, values, shown.coords, axes)


def _curve(name: str, dims: Sequence[str], values: NDArray[Any], coords: Mapping[str, Any], axes: Axes | None) -> Axes:
    labels = coords.get(dims[0])
    with drawn(axes, size=(4.8, 3)) as axes:
        if labels is not None and labels.dtype.kind == "U":
            axes.bar(range(len(values)), values, color="#0072B2")
            label_ticks(axes.xaxis, labels.tolist())
            axes.tick_params(axis="x", labelrotation=90 if len(labels) > 6 else 0)
        else:
            places = np.arange(len(values)) if labels is None else labels
            few = len(values) <= _LINE
            axes.plot(places, values, "-o" if few else ".", markersize=3 if few else 1.5)
        axes.set(xlabel=shortened(dims[0], 40), ylabel=shortened(name, 40))
    return axes


def _map(name: str, dims: Sequence[str], values: NDArray[Any], coords: Mapping[str, Any], axes: Axes | None) -> Axes:
    steps = [max(1, -(-size // _SIDE)) for size in values.shape]
    with drawn(axes, size=(4.8, 3.8)) as axes:
        rows, cols = values.shape
        signed = np.nanmin(values) < 0 < np.nanmax(values)
        largest = float(np.nanmax(np.abs(values))) if signed else 0.0
        colours: dict[str, Any] = {"cmap": "PuOr", "vmin": -largest, "vmax": largest} if signed else {"cmap": "viridis"}
        image = axes.imshow(
            values[:: steps[0], :: steps[1]], extent=(-0.5, cols - 0.5, rows - 0.5, -0.5), aspect="auto", **colours
        )
        axes.figure.colorbar(image, ax=axes, label=shortened(name, 40))
        for axis, dim in ((axes.yaxis, dims[0]), (axes.xaxis, dims[1])):
            if dim in coords:
                label_ticks(axis, coords[dim].tolist())
            axis.set_label_text(shortened(dim, 40))
        if dims[1] in coords:
            axes.tick_params(axis="x", labelrotation=90)
    return axes


def _images(name: str, dims: Sequence[str], values: NDArray[Any], axes: Axes | None) -> Axes:
    channels = values.shape[-3] if dims[-3].startswith("channel") else 1
    images = values.reshape(-1, channels, *values.shape[-2:])
    total, images = len(images), images[:_IMAGES]
    cols = min(6, len(images))
    rows = -(-len(images) // cols)
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    if channels == 3:
        images, low, high = (images - low) / ((high - low) or 1), 0.0, 1.0
    with drawn(axes, size=(0.85 * cols + 1.2, 0.85 * rows + 0.5)) as axes:
        for number, image in enumerate(images):
            show_image(axes, image, place=divmod(number, cols), vmin=low, vmax=high)
        frame_grid(axes, rows, cols)
        axes.set_title(f"{shortened(name, 40)}: {len(images)} of {total:,} images", loc="left")
    return axes


def results(shown: Any, metric: str | None = None, x: str | None = None, axes: Axes | None = None) -> Axes:
    """Draw `Results`; see its method ``plot``."""
    name = _metric(shown, metric)
    entries = [entry for entry in shown.entries if name in entry.metrics]
    x = _across(shown, entries) if x is None else x
    known = ("dataset", "network", "probe", *shown.columns)
    if x not in known:
        raise UnknownNameError(f"plot: x={x!r} is no column{did_you_mean(x, known)}")
    curves: dict[str, dict[Any, list[float]]] = {}
    columns = [name for name in known if name != x and len({repr(_value(entry, name)) for entry in entries}) > 1]
    origins: dict[str, str] = {}
    for entry in entries:
        label = _label(shown, columns, entry)
        origins.setdefault(label, entry.record.get("network_origin", ""))
        curves.setdefault(label, {}).setdefault(_value(entry, x), []).append(entry.metrics[name])
    with drawn(axes, size=(5.4, 3.2)) as axes:
        info = _info(shown, entries, name)
        _draw_curves(axes, dict(list(curves.items())[:_CURVES]), _colours(origins), info)
        unit = f" ({shortened(info.unit, 40)})" if info is not None and info.unit else ""
        axes.set(xlabel=shortened(x, 40), ylabel=f"{shortened(name, 40)}{unit}")
        seeds = max(len(values) for curve in curves.values() for values in curve.values())
        spread = f"mean over {seeds} seeds, 95 % interval" if seeds > 1 else "one seed"
        more = f"; {_CURVES} of {len(curves)} are shown" if len(curves) > _CURVES else ""
        axes.set_title(f"{shortened(shown.name, 40)}: {spread}{more}".removeprefix(": "), loc="left")
        if len(curves) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def _colours(origins: Mapping[str, str]) -> dict[str, str]:
    """Return a colour for each curve: that of constructed and of trained networks for the first curve of each."""
    own = {"constructed": CONSTRUCTED, "trained": TRAINED}
    colours: dict[str, str] = {}
    for label, origin in origins.items():
        if own.get(origin) not in (None, *colours.values()):
            colours[label] = own[origin]
    others = [colour for colour in PALETTE if colour not in colours.values()]
    rest = [label for label in origins if label not in colours]
    return colours | {label: others[number % len(others)] for number, label in enumerate(rest)}


def _draw_curves(axes: Axes, curves: Mapping[str, Mapping[Any, list[float]]], colours: Mapping[str, str], info: Any) -> None:
    """Draw each curve; cells without a value along x, whose table does not sweep it, as a dashed line."""
    places = list(dict.fromkeys(place for curve in curves.values() for place in curve if place is not None))
    is_number = numeric(places)
    places = sorted(places) if is_number else places
    for number, (label, curve) in enumerate(curves.items()):
        own = [place for place in places if place in curve]
        colour = colours[label]
        if own:
            shift = 0.5 * ((number + 0.5) / len(curves) - 0.5)
            at = own if is_number else [places.index(place) + shift for place in own]
            middle, below, above = np.array([_interval(curve[place], info) for place in own]).T
            line: dict[str, Any] = {"linewidth": 1.2} if is_number else {"linestyle": "none"}
            axes.errorbar(
                at, middle, [below, above], marker="o", color=colour, markersize=4, capsize=2, label=shortened(label, 40), **line
            )
        if None in curve:
            middle, below, above = _interval(curve[None], info)
            axes.axhline(middle, linestyle="--", color=colour, linewidth=1.2, label="" if own else shortened(label, 40))
            axes.axhspan(middle - below, middle + above, color=colour, alpha=0.12, linewidth=0)
    if not is_number:
        label_ticks(axes.xaxis, places)
        axes.tick_params(axis="x", labelrotation=90 if len(places) > 5 else 0)
        axes.set_xlim(-0.6, len(places) - 0.4)


def _metric(shown: Any, metric: str | None) -> str:
    known: list[str] = list(dict.fromkeys(name for entry in shown.entries for name in entry.metrics))
    if not known:
        raise InputError(f"plot: {shown!r} has no metric")
    if metric is None:
        return known[0]
    if metric not in known:
        raise UnknownNameError(f"plot: no result has a metric {metric!r}{did_you_mean(metric, known)}")
    return metric


def _across(shown: Any, entries: Sequence[Any]) -> str:
    """Return the column along which results are drawn: the swept setting with most numbers, else the networks."""
    numbers = {name: {entry.swept.get(name) for entry in entries} - {None} for name in shown.columns}
    swept: dict[str, set[Any]] = {name: values for name, values in numbers.items() if len(values) > 1 and numeric(values)}
    return max(swept, key=lambda name: len(swept[name])) if swept else "network"


def _value(entry: Any, column: str) -> Any:
    value = entry.swept[column] if column in entry.swept else getattr(entry, column)
    return value if isinstance(value, int | float | str | None) else str(value)


def _label(shown: Any, columns: Sequence[str], entry: Any) -> str:
    """Return the name of a curve: the values of the columns in which cells differ besides x and the seed."""
    values = {column: value for column in columns if (value := _value(entry, column)) is not None}
    parts = [f"{column}={value}" if column in shown.columns else str(value) for column, value in values.items()]
    return ", ".join(parts) or ("not swept" if columns else "")


def _interval(values: Sequence[float], info: Any) -> tuple[float, float, float]:
    """Return the mean, and how far the 95 % interval over the seeds goes below and above it, within the metric's range."""
    if len(values) < 2:
        return values[0], 0.0, 0.0
    low, high = (None, None) if info is None else (info.low, info.high)
    estimated = over_seeds(values, low=low, high=high)
    return estimated.value, estimated.value - estimated.low, estimated.high - estimated.value


def _info(shown: Any, entries: Sequence[Any], name: str) -> Any:
    try:
        return shown.load(entries[0]).describe(name)
    except LookupError:  # its file is gone: the metric is drawn without its unit
        return None
