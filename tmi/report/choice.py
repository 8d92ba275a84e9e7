"""Which metrics of a probe a report draws and compares, the first of each measure without controls, and what metrics mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmi.probing.result import MetricInfo
    from tmi.runs.results import Entry, Results


def main_metrics(entries: Iterable[Entry]) -> list[str]:
    """Return the metrics of a probe, those that matter most first.

    Parameters
    ----------
    entries : iterable of Entry
        Of one probe.

    Returns
    -------
    list of str
        In the order in which the probe gives them, but the first metric of each measure, the part of the name before the dot,
        comes before the second ones. Controls and ends of intervals are left out.
    """
    from tmi.runs.comparison import CONTROLS

    names = dict.fromkeys(metric for entry in entries for metric in entry.metrics if not set(CONTROLS) & set(metric.split(".")))
    place: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for name in names:
        measure = name.partition(".")[0]
        place[name] = seen[measure]
        seen[measure] += 1
    return sorted(names, key=lambda name: place[name])


def meanings(results: Results, probe: str) -> dict[str, MetricInfo]:
    """Return what the metrics of a probe mean, by the first part of their names, from the first result on each network."""
    info: dict[str, MetricInfo] = {}
    seen = set()
    for entry in results:
        if entry.probe == probe and entry.status == "ok" and entry.network not in seen:
            seen.add(entry.network)
            info |= results.load(entry).info
    return info
