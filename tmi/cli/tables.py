"""The tables of ``tmi results``: a row for each swept value, data set or metric, a column for each network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError, TmiError, UnknownNameError, did_you_mean
from tmi.report.aggregate import Group, groups
from tmi.runs.comparison import is_control
from tmi.runtime.formatting import format_count

if TYPE_CHECKING:
    from tmi.probing.result import MetricInfo
    from tmi.runs.results import Entry, Results

Cell = Group | str
"""The values of a metric over the seeds, or why there are none: ``"failed"``, ``"n/a"``, ``"missing"`` or ``"–"``."""

_WORDS = {"failed": "failed", "missing": "missing", "not applicable": "n/a", "ok": "–"}
_ROW_NAMES = ("dataset", "metric")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    keys : tuple
        The values of the key columns; None where a setting is not swept.
    metric : str
    cells : dict of str to Cell
        By network; a network without such cells in the suite has none.
    """

    keys: tuple[Any, ...]
    metric: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """One probe's values of a metric, or of several where nothing is swept.

    Attributes
    ----------
    probe : str
    dataset : str or None
        None where the rows are of several data sets.
    metric : str or None
        None where each row is a metric.
    better : {"higher", "lower", None}
        Of the metric.
    keys : tuple of str
        The names of the key columns.
    networks : tuple of str
    rows : tuple of Row
    """

    probe: str
    dataset: str | None
    metric: str | None
    better: str | None
    keys: tuple[str, ...]
    networks: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def counts(self) -> list[int]:
        """How many seeds each value is the mean of."""
        return [len(cell.values) for row in self.rows for cell in row.cells.values() if isinstance(cell, Group)]

    @property
    def title(self) -> str:
        """Probe, metric and data set, which direction is better, and the number of seeds."""
        name = f"{self.probe}: {self.metric}" if self.metric else self.probe
        parts = [f"{name} on {self.dataset}" if self.dataset else name]
        parts += [f"{self.better} is better"] if self.better else []
        least, most = min(self.counts, default=0), max(self.counts, default=0)
        parts += [format_count(most, "seed") if least == most else f"{least} to {most} seeds"] if most else []
        return ", ".join(parts)


def infos(results: Results) -> dict[str, dict[str, MetricInfo]]:
    """Return what the metrics of each probe mean, from as few opened results as have all of them."""
    described: dict[str, dict[str, MetricInfo]] = {}
    seen: set[tuple[str, str]] = set()
    for entry in results:
        names = {(entry.probe, name.partition(".")[0]) for name in entry.metrics}
        if not names <= seen:
            seen |= names
            with suppress(TmiError):  # its file is gone or damaged: then the metrics have no direction
                described.setdefault(entry.probe, {}).update(results.load(entry).info)
    return described


def main_metrics(results: Results, info: Mapping[str, Mapping[str, MetricInfo]]) -> dict[str, list[str]]:
    """Return the main metric of each probe.

    It is ``NAME.mean``, where a probe so sums up its metrics ``NAME.…``; else the first metric that has a direction and is no
    control. A name that has a part for the layer stands for as few layers as are needed to have each network in a table.
    """
    entries: dict[str, list[Entry]] = {}
    for entry in results:
        if entry.metrics:
            entries.setdefault(entry.probe, []).append(entry)
    return {probe: _main(same, info.get(probe, {})) for probe, same in entries.items()}


def _main(entries: Sequence[Entry], info: Mapping[str, MetricInfo]) -> list[str]:
    names = [name for entry in entries for name in entry.metrics if not is_control(name)]
    directed = [name for name in names if (about := info.get(name.partition(".")[0])) and about.better]
    means = [name for name in directed if name.count(".") == 1 and name.endswith(".mean")]
    first = next(iter(means + directed + names), next(iter(entries[0].metrics)))
    if means or "." not in first:
        return [first]
    base = first.partition(".")[0]
    firsts = [[name for name in entry.metrics if name.partition(".")[0] == base and not is_control(name)] for entry in entries]
    candidates = list(dict.fromkeys(names[0] for names in firsts if names))
    chosen: list[str] = []
    left = {entry.network for entry, names in zip(entries, firsts, strict=True) if names}
    while left:  # the one that most results of the other networks have; of several the first
        having = Counter(name for entry in entries if entry.network in left for name in entry.metrics)
        chosen.append(max(candidates, key=lambda name: having[name]))
        left -= {entry.network for entry in entries if chosen[-1] in entry.metrics}
    return chosen


def all_metrics(results: Results, patterns: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the metrics of each probe that fit a pattern, by default all.

    Parameters
    ----------
    results : Results
    patterns : iterable of str
        A name, a pattern such as ``"mcc.*"``, or the part of a name before its first dot, which stands for all such metrics but
        controls and ends of intervals.

    Raises
    ------
    UnknownNameError
        If a pattern fits no metric.
    """
    found: dict[str, dict[str, None]] = {}
    for entry in results:
        found.setdefault(entry.probe, {}).update(dict.fromkeys(entry.metrics))
    wanted = list(patterns)
    known = {name for names in found.values() for name in names}
    for pattern in wanted:
        if known and not any(_fits(name, pattern, known) for name in known):
            raise UnknownNameError(f"metric {pattern!r} is unknown{did_you_mean(pattern, known)}")
    chosen = {
        probe: [name for name in names if not wanted or any(_fits(name, pattern, known) for pattern in wanted)]
        for probe, names in found.items()
    }
    return {probe: names for probe, names in chosen.items() if names}


def _fits(name: str, pattern: str, known: Iterable[str]) -> bool:
    if name == pattern or fnmatchcase(name, pattern):
        return True
    return pattern not in known and name.partition(".")[0] == pattern and not is_control(name)


def tables(
    results: Results, chosen: Mapping[str, Sequence[str]], info: Mapping[str, Mapping[str, MetricInfo]] | None = None
) -> list[Table]:
    """Return the tables of the chosen metrics of each probe, in the order of the suite.

    Where a setting is swept, or one metric is chosen, there is a table for each metric, with a row for each data set and
    combination of swept values. Otherwise there is a table for each data set, with a row for each metric.
    """
    made = []
    for probe, metrics in chosen.items():
        meant = (info or {}).get(probe, {})
        entries = [entry for entry in results if entry.probe == probe]
        swept = [column for column in results.columns if len({repr(entry.swept.get(column)) for entry in entries}) > 1]
        datasets = list(dict.fromkeys(entry.dataset for entry in entries))
        if swept or len(metrics) == 1:
            keys = (["dataset"] if len(datasets) > 1 else []) + swept
            parts = [(entries, [metric], keys, datasets[0] if len(datasets) == 1 else None) for metric in metrics]
        else:
            parts = [([e for e in entries if e.dataset == name], list(metrics), ["metric"], name) for name in datasets]
        made += [_table(probe, meant, *part) for part in parts]
    return made


def _table(
    probe: str,
    info: Mapping[str, MetricInfo],
    entries: list[Entry],
    metrics: Sequence[str],
    keys: Sequence[str],
    dataset: str | None,
) -> Table:
    networks = tuple(dict.fromkeys(entry.network for entry in entries))
    values = {(_key(each, keys, each.metric), each.network): each for each in groups(entries, metrics)}
    places: dict[tuple[str, ...], dict[str, list[Entry]]] = {}
    labels: dict[tuple[str, ...], Row] = {}
    for metric in metrics:
        for entry in entries:
            key = _key(entry, keys, metric)
            places.setdefault(key, {}).setdefault(entry.network, []).append(entry)
            labels.setdefault(key, Row(tuple(_value(entry, name, metric) for name in keys), metric, {}))
    rows = [
        replace(row, cells={name: values.get((key, name)) or _why_not(there) for name, there in places[key].items()})
        for key, row in labels.items()
    ]
    # A network that has the metric nowhere, as where it has no such layer, has no column; then some rows are empty.
    having = {name for row in rows for name, cell in row.cells.items() if cell != _WORDS["ok"]}
    if having:
        networks = tuple(name for name in networks if name in having)
        rows = [replace(row, cells={name: cell for name, cell in row.cells.items() if name in having}) for row in rows]
        rows = [row for row in rows if row.cells]
    only = metrics[0] if len(metrics) == 1 else None
    about = info.get(only.partition(".")[0]) if only and not is_control(only) else None  # of chance nothing is better
    return Table(probe, dataset, only, about.better if about else None, tuple(keys), networks, tuple(rows))


def _value(entry: Entry | Group, name: str, metric: str) -> Any:
    return {"dataset": entry.dataset, "metric": metric}[name] if name in _ROW_NAMES else entry.swept.get(name)


def _key(entry: Entry | Group, keys: Sequence[str], metric: str) -> tuple[str, ...]:
    return tuple(repr(_value(entry, name, metric)) for name in keys)


def _why_not(entries: Iterable[Entry]) -> str:
    statuses = {entry.status for entry in entries}
    return next(word for status, word in _WORDS.items() if status in statuses)


def ordered(table: Table, column: str) -> Table:
    """Return a table with its rows sorted.

    Parameters
    ----------
    table : Table
    column : str
        A network: the best value comes first, or the largest where no direction is better. Or a key column: ascending. A leading
        ``-`` turns the order round. Rows without a value come last.

    Raises
    ------
    InputError
        If the table has no such column.
    """
    reverse, name = column.startswith("-"), column.removeprefix("-")
    value: Callable[[Row], Any]
    if name in table.networks:
        reverse ^= table.better != "lower"

        def value(row: Row) -> Any:
            cell = row.cells.get(name)
            return cell.mean if isinstance(cell, Group) else None
    elif name in table.keys:
        position = table.keys.index(name)

        def value(row: Row) -> Any:
            return row.keys[position]
    else:
        raise InputError(f"--sort {name}: {table.title}: there is no such column{did_you_mean(name, columns(table))}")
    with_value = [row for row in table.rows if value(row) is not None]
    numeric = all(isinstance(value(row), int | float) for row in with_value)
    with_value.sort(key=lambda row: value(row) if numeric else str(value(row)), reverse=reverse)
    return replace(table, rows=(*with_value, *(row for row in table.rows if value(row) is None)))


def columns(table: Table) -> tuple[str, ...]:
    """Return the names by which a table can be sorted."""
    return (*table.keys, *table.networks)
