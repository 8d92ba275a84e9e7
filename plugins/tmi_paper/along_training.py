"""Measures along training, by epochs and by seed, for suites ``dynamics`` and ``warm-start``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .claims.claim import estimated
from .unit_measures import Measure, change

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tmi.runs.results import Entry
    from tmi.statistics import Estimate

Curve = dict[int, dict[int, float]]
"""A measure by epochs, rising, and by seed. Epochs without a value are left out."""


def curve_of(entries: Iterable[Entry], measure: Measure, layer: str) -> Curve:
    """Return a measure of a layer by epochs and seed, from the entries of one network; those of other probes are passed over."""
    found: Curve = {}
    for entry in entries:
        value = measure.value(entry, layer) if entry.probe == measure.probe else None
        if value is not None:
            found.setdefault(entry.swept["epochs"], {})[entry.seed] = value
    return dict(sorted(found.items()))


def mean(values: dict[int, float]) -> float:
    """Return the mean over the seeds."""
    return float(np.mean(list(values.values())))


def first_to_last(curve: Curve) -> tuple[float, float, Estimate] | None:
    """Return the means after the first and the last number of epochs, and the change paired by seed; None where there is none."""
    if len(curve) < 2:
        return None
    first, *_, last = curve.values()
    moved = change(first, last)
    return None if moved is None else (mean(first), mean(last), moved)


def draw_curve(axis: Axes, curve: Curve, *, is_share: bool, **style: Any) -> None:
    """Draw the mean over the seeds, and its 95 % interval as a band where there are several; shares are cut off at 0 and 1."""
    if not curve:
        return
    if min(map(len, curve.values())) > 1:
        limits = {"low": 0.0, "high": 1.0} if is_share else {}
        low, high = np.array([(found.low, found.high) for values in curve.values() if (found := estimated(values, **limits))]).T
        axis.fill_between(list(curve), low, high, color=style["color"], alpha=0.17, linewidth=0)
    axis.plot(list(curve), [mean(values) for values in curve.values()], linewidth=1.2, **style)


def scale_epochs(axis: Axes, last: int) -> None:
    """Scale the epochs so that 0 has a place and the first epochs have most of the width."""
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100) if tick <= last]
    axis.set_xscale("symlog", linthresh=1, linscale=0.5)
    axis.set_xlim(-0.1, last * 1.1)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
