"""Which metrics of a probe a report draws and compares: the first of each measure, without controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tmi.runs.comparison import is_control

if TYPE_CHECKING:
    from tmi.runs.results import Entry


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
    names = dict.fromkeys(metric for entry in entries for metric in entry.metrics if not is_control(metric))
    place: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for name in names:
        measure = name.partition(".")[0]
        place[name] = seen[measure]
        seen[measure] += 1
    return sorted(names, key=lambda name: place[name])
