"""Paired differences between the networks of a suite, or another of its columns, over the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tmi import statistics
from tmi.errors import InputError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

CONTROLS = ("chance", "untrained", "oracle", "low", "high")
"""Parts of the names of metrics that are controls or ends of intervals: no differences of their own."""

ROUNDING = 1e-6
"""Metrics that differ by less than this share of their size are equal: many are computed in float32."""

LABELS = ("dataset", "network", "probe")

Shared = tuple[tuple[str, Any], ...]


def compare(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    column: str,
    reference: str | None,
    metrics: Sequence[str] | str | None,
) -> pd.DataFrame:
    """Return paired differences over the seeds.

    Parameters
    ----------
    rows : iterable of mapping
        As `Results.rows` returns them.
    columns : mapping of str to str
        The swept settings, and whose they are.
    column, reference, metrics
        See `Results.compare`, which says what is returned and raised.
    """
    known = (*LABELS, *columns)
    if column not in known:
        raise UnknownNameError(f"compare: column {column!r} is unknown{did_you_mean(column, known)}")
    # A network with swept settings is compared as one network for each of their values.
    own = [column, *(name for name, owner in columns.items() if column in LABELS and owner == column)]
    others = [name for name in known if name not in own]
    measured = [row for row in rows if row["value"] is not None]
    values: dict[Shared, dict[str, dict[int, float]]] = {}
    for row in measured:
        if _is_chosen(row["metric"], metrics):
            shared = (*((name, row[name]) for name in others), ("metric", row["metric"]))
            values.setdefault(shared, {}).setdefault(_named(row, own), {})[row["seed"]] = row["value"]
    if metrics is not None and not values:
        wanted = metrics if isinstance(metrics, str) else ", ".join(metrics)
        present = list(dict.fromkeys(row["metric"] for row in measured))
        raise UnknownNameError(f"compare: no result has a metric {wanted!r}{did_you_mean(wanted, present)}")
    names = list(dict.fromkeys(name for by_name in values.values() for name in by_name))
    if reference is not None and reference not in names:
        raise UnknownNameError(f"compare: {column} {reference!r} has no result to compare{did_you_mean(reference, names)}")
    pairs, estimates, most = [], [], 0
    for shared, by_name in values.items():
        for first, second in _pairs(list(by_name), reference):
            common = by_name[first].keys() & by_name[second].keys()
            most = max(most, len(common))
            if len(common) > 1:
                pairs.append(dict(shared) | {"first": first, "second": second})
                estimates.append(statistics.difference(by_name[first], by_name[second], rounding=ROUNDING))
    if not pairs and most:
        raise InputError("compare: an interval needs at least two seeds, and these results have one; give the suite more seeds")
    if not pairs:
        raise InputError(f"compare: no two values of {column} have a metric in common on the same data set, probe and seed")
    return _table(pairs, estimates)


def _table(rows: list[dict[str, Any]], estimates: list[statistics.Estimate]) -> pd.DataFrame:
    import pandas as pd

    found = [
        {
            "difference": after.value,
            "low": after.low,
            "high": after.high,
            "p": before.p,
            "p_corrected": after.p,
            "seeds": after.units,
            "direction": after.direction,
        }
        for before, after in zip(estimates, statistics.corrected(estimates), strict=True)
    ]
    return pd.DataFrame([row | more for row, more in zip(rows, found, strict=True)])


def _named(row: Mapping[str, Any], own: Sequence[str]) -> str:
    """Return the name of what is compared, as ``trained[filters=4]``."""
    settings = ",".join(f"{name}={row[name]}" for name in own[1:] if row[name] is not None)
    return f"{row[own[0]]}[{settings}]" if settings else str(row[own[0]])


def is_control(metric: str) -> bool:
    """Return whether a metric is a control, or the end of an interval, of another one."""
    return not set(CONTROLS).isdisjoint(metric.split("."))


def _is_chosen(metric: str, patterns: Sequence[str] | str | None) -> bool:
    if patterns is None:
        return not is_control(metric)
    return any(fnmatchcase(metric, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def _pairs(names: list[str], reference: str | None) -> list[tuple[str, str]]:
    if reference is None:
        return list(combinations(names, 2))
    return [(name, reference) for name in names if name != reference] if reference in names else []
