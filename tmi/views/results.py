"""HTML of the results of probes and of suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import fsum, sqrt
from typing import Any

import numpy as np

from tmi.runtime.formatting import format_count

from .html import ROWS, card, clip, line, table
from .tasks import size_of

_NOTES = 5
_NO_BREAK = "\N{NO-BREAK SPACE}"


def probe_result(shown: Any) -> str:
    """HTML of a `ProbeResult`: metrics with their meaning, arrays, notes."""
    if not shown.applicable:
        return card("Probe result", "not applicable", *(line(note) for note in shown.notes[:_NOTES]))
    rows = ((name, value, *_meaning(shown.describe(name))) for name, value in shown.metrics.items())
    metrics = table(("metric", "value", "better", "range", "meaning"), rows, len(shown.metrics))
    listed = (
        (name, ", ".join(array.dims), size_of(array.shape), array.values.dtype.name) for name, array in shown.arrays.items()
    )
    arrays = table(("array", "axes", "size", "type"), listed, len(shown.arrays))
    counts = f"{len(shown.metrics):,} metrics, {len(shown.arrays):,} arrays"
    return card("Probe result", counts, metrics, arrays, *(line(note) for note in shown.notes[:_NOTES]))


def array_text(dims: Iterable[str], values: Any) -> str:
    """Return a labelled array in one line: its axes, type and first values."""
    sizes = ", ".join(f"{name}: {size}" for name, size in zip(dims, values.shape, strict=True))
    if not values.size:
        return f"LabelledArray(({sizes}) {values.dtype.name}, empty)"
    first = [clip(repr(value), 30) if isinstance(value, str) else f"{value:.5g}" for value in values.flat[:3].tolist()]
    return f"LabelledArray(({sizes}) {values.dtype.name}: {', '.join(first)}{', …' if values.size > 3 else ''})"


def results(shown: Any) -> str:
    """HTML of `Results`: how many cells have which status, and the first metric of each over the seeds."""
    counts = Counter(entry.status for entry in shown.entries)
    status = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    about = f"{format_count(len(shown), 'cell')}{': ' if status else ''}{status}"
    swept = [*shown.columns]
    rows, total = _means(shown)
    head = ("data set", "network", *swept, "probe", "metric", "mean ± standard deviation", "seeds")
    means = table(head, rows, total)
    reasons = Counter((entry.status, entry.message) for entry in shown.entries if entry.message)
    why = table(
        ("cells", "status", "why"), ((count, *reason) for reason, count in reasons.most_common(_NOTES)), len(reasons), _NOTES
    )
    parts = line(shown.description) if shown.description else "", means, why
    return card(f"Results of {clip(shown.name) or 'a suite'}", about, *parts)


def mean_and_spread(values: list[float]) -> tuple[float, float | None]:
    """Return the mean, and the standard deviation (n − 1) where there are two values or more."""
    mean = fsum(values) / len(values)
    return mean, sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None


def _means(shown: Any) -> tuple[list[tuple[object, ...]], int]:
    """Return the rows of the first groups of cells that differ in their seed alone, and the number of groups."""
    groups: dict[tuple[object, ...], list[Any]] = {}
    for entry in shown.entries:
        if entry.metrics:
            head = (entry.dataset, entry.network, *(repr(value) for value in entry.swept.values()), entry.probe)
            groups.setdefault(head, []).append(entry)
    return list(_rows(shown, list(groups.values())[:ROWS])), len(groups)


def _rows(shown: Any, groups: list[list[Any]]) -> Iterator[tuple[object, ...]]:
    for entries in groups:
        first = entries[0]
        metric = next(iter(first.metrics))
        values = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
        mean, spread = mean_and_spread(values)
        text = f"{mean:.4g}" if spread is None else f"{mean:.4g} ± {spread:.2g}"
        others = len(first.metrics) - 1
        named = f"{clip(metric, 60)}{f' (and {others:,} more)' if others else ''}"
        yield (
            first.dataset,
            first.network,
            *(first.swept.get(name) for name in shown.columns),
            first.probe,
            named,
            text,
            len(values),
        )


def _meaning(info: Any) -> tuple[str, str, str]:
    if info is None:
        return "", "", ""
    better = {"higher": f"↑{_NO_BREAK}higher", "lower": f"↓{_NO_BREAK}lower"}.get(info.better or "", "")
    low = "" if info.low is None else f"from {info.low:g}"
    high = "" if info.high is None else f"to {info.high:g}"
    ends = " ".join(filter(None, (low, high))).replace(" ", _NO_BREAK)
    return better, " ".join(filter(None, (ends, clip(info.unit, 40)))), clip(info.text, 170)


def entry_text(shown: Any) -> str:
    """Return an `Entry` in one line: its cell, its status and its first metrics, or why it has none."""
    metrics = [f"{name}={value:.6g}" for name, value in list(shown.metrics.items())[:3]]
    more = f", … {len(shown.metrics) - 3} more" if len(shown.metrics) > 3 else ""
    what = ", ".join(metrics) + more if metrics else clip(shown.message)
    return f"Entry({shown.cell}: {shown.status}{f'; {what}' if what else ''})"


def numeric(values: Iterable[Any]) -> bool:
    """Whether all values are numbers, and not truth values."""
    return all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values)
