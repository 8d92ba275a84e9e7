"""The sections of every report: failures, cells that are not applicable, all metrics, how to reproduce them, and provenance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tmi.runtime.formatting import format_count, format_duration

from .aggregate import Group, groups
from .choice import meanings
from .html import Section, bullets, definitions, folded, paragraph, table
from .reproduce import reproduce

if TYPE_CHECKING:
    from tmi.probing.result import MetricInfo
    from tmi.runs.results import Entry, Results

MOST_COLUMNS = 8
"""Networks with their settings beside each other in a table; of more, the settings stand in the rows."""


def sections(results: Results) -> list[Section]:
    """Return failures and cells that are not applicable (if any), all metrics, how to reproduce them, and provenance."""
    failures = [_failures(results)] if results.failed or results.missing else []
    inapplicable = [_not_applicable(results)] if results.not_applicable else []
    return [*failures, *inapplicable, _metrics(results), reproduce(results), _provenance(results)]


def _failures(results: Results) -> Section:
    rows = [(str(entry), entry.status, entry.message) for entry in (*results.failed, *results.missing)]
    text = paragraph("These cells have no numbers; nothing on this page is about them.")
    return Section("Cells without a result", text + table(("cell", "status", "why"), rows))


def _not_applicable(results: Results) -> Section:
    """A row a probe and network: why the one says nothing about the other, and for how many cells."""
    counts = Counter((entry.probe, entry.network, entry.message) for entry in results.not_applicable)
    rows = [(probe, network, reason, cells) for (probe, network, reason), cells in counts.items()]
    text = paragraph("These probes measure nothing on these networks; that is no failure.")
    return Section("Not applicable", text + table(("probe", "network", "why", "cells"), rows))


def _metrics(results: Results) -> Section:
    """One table a data set and probe: a row a metric, a column a network."""
    parts = [paragraph("Mean over the seeds, ± standard deviation (n − 1), and the range from least to greatest.")]
    ordered = sorted(groups(results), key=lambda group: (_dataset(group, results), group.probe))
    for (dataset, probe), same in groupby(ordered, key=lambda group: (_dataset(group, results), group.probe)):
        info = meanings(results, probe)
        head, rows = _table(list(same), results, info)
        said = [(name, f"{about.text.rstrip('.')}.{_range(about)}") for name, about in info.items()]
        parts.append(folded(f"{dataset}: {probe}", (definitions(said) if said else "") + table(head, rows)))
    return Section("All metrics", "".join(parts))


def _table(members: Sequence[Group], results: Results, info: Mapping[str, MetricInfo]) -> tuple[list[str], list[list[Any]]]:
    """Return the table of one probe on one data set: rows are metrics by the probe's swept settings, columns are networks."""
    settings = [name for name, kind in results.columns.items() if kind == "probe" and _varies(members, name)]
    of_networks = [name for name, kind in results.columns.items() if kind == "network" and _varies(members, name)]
    if len({(g.network, *(repr(g.swept[name]) for name in of_networks)) for g in members}) > MOST_COLUMNS:
        settings, of_networks = of_networks + settings, []
    columns: dict[str, None] = {}
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    values: dict[tuple[str, ...], list[Any]] = {}
    for group in members:
        column = group.network + _settings(group, of_networks)
        columns[column] = None
        key = (group.metric, *(repr(group.swept[name]) for name in settings))
        values[key] = [_written(group.swept[name]) for name in settings]
        rows.setdefault(key, {})[column] = _spread(group)
    rank = {metric: place for place, metric in enumerate(dict.fromkeys(group.metric for group in members))}
    ordered = sorted(rows, key=lambda key: rank[key[0]])
    body = [
        [key[0], _better(info.get(key[0].partition(".")[0])), *values[key], *(rows[key].get(column) for column in columns)]
        for key in ordered
    ]
    return ["metric", "better", *settings, *columns], body


def _provenance(results: Results) -> Section:
    recorded = [entry for entry in results if entry.record]
    seconds = sum(_seconds(recorded).values())
    lines = [f"{format_count(len(results), 'cell')}; computing them took {format_duration(seconds)} in all."]
    for what in ("data", "threads", "network_threads", "device", "platform"):
        found = sorted({str(_written(entry.record[what])) for entry in recorded if entry.record.get(what)})
        lines += [f"{what.replace('_', ' ')}: {value}" for value in found]
    times = sorted(entry.record["finished"] for entry in recorded if "finished" in entry.record)
    lines += [f"computed from {times[0]} to {times[-1]}"] if times else []
    body = bullets(lines)
    settings = _settings_used(recorded)
    if settings:
        body += folded(
            f"Data sets, networks and probes with their settings ({len(settings)})",
            table(("kind", "label", "registered as", "settings", "from"), settings),
        )
    notes = Counter(f"{entry.network} on {entry.dataset}, {entry.probe}: {note}" for entry in results for note in entry.notes)
    warned = Counter(f"{entry.probe}: {text}" for entry in recorded for text in entry.record.get("warnings", ()))
    for title, said in (("Remarks of the probes", notes), ("Warnings", warned)):
        if said:
            body += folded(f"{title} ({len(said)})", table(("remark", "cells"), sorted(said.items())))
    return Section("Where the numbers came from", body)


def _settings_used(recorded: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Return a row for each data set, network and probe as it was called: with its values of swept settings."""
    rows: dict[tuple[str, ...], None] = {}
    for entry in recorded:
        for kind in ("dataset", "network", "probe"):
            made = entry.record.get(kind)
            if made:
                settings = ", ".join(f"{name} = {_written(value)}" for name, value in made["params"].items())
                rows[kind, getattr(entry, kind), made["name"], settings, f"{made['plugin']} ({made['origin']})"] = None
    return sorted(rows, key=lambda row: (("dataset", "network", "probe").index(row[0]), *row[1:]))


def _seconds(recorded: Iterable[Entry]) -> dict[str, float]:
    """Return the seconds of each data set, network and result by key; cells share the first two."""
    seconds_of: dict[str, float] = {}
    for entry in recorded:
        keys = {**entry.record.get("keys", {}), "probe": entry.key}
        for what, seconds in entry.record.get("seconds", {}).items():
            seconds_of[keys.get(what) or f"{what} of {entry}"] = seconds
    return seconds_of


def _varies(members: Iterable[Group], name: str) -> bool:
    return any(group.swept[name] is not None for group in members)


def _dataset(group: Group, results: Results) -> str:
    return group.dataset + _settings(group, [name for name, kind in results.columns.items() if kind == "dataset"])


def _settings(group: Group, names: Iterable[str]) -> str:
    shown = [f"{name}={_written(group.swept[name])}" for name in names if group.swept[name] is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _written(value: Any) -> Any:
    """Return a setting as a cell of a table: numbers and text as they are, the rest as JSON writes it."""
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False, default=str)


def _spread(group: Group) -> str:
    if group.std is None:
        return f"{group.mean:.4g}"
    return f"{group.mean:.4g} ± {group.std:.2g} [{group.low:.4g}, {group.high:.4g}]"


def _better(info: MetricInfo | None) -> str:
    return {"higher": "↑ higher", "lower": "↓ lower"}.get((info.better if info else None) or "", "")


def _range(info: MetricInfo) -> str:
    if info.low is None and info.high is None:
        return f" In {info.unit}." if info.unit else ""
    low = "−∞" if info.low is None else f"{info.low:g}"
    high = "∞" if info.high is None else f"{info.high:g}"
    return f" Range {low} to {high}{' ' + info.unit if info.unit else ''}."
