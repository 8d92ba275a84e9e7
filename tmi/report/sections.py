"""The sections of every report: failures, cells that are not applicable, all metrics, how to reproduce them, and provenance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmi.runtime.formatting import format_count, format_duration

from .aggregate import Group, groups
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
    """For each probe what its metrics mean, and a table for each data set."""
    parts = [paragraph("Mean over the seeds, ± standard deviation (n − 1), and the range from least to greatest.")]
    by_probe: dict[str, dict[str, list[Group]]] = {}
    for group in groups(results):
        by_probe.setdefault(group.probe, {}).setdefault(_dataset(group, results), []).append(group)
    for probe, by_dataset in by_probe.items():
        info = results.meanings(probe)
        said = [(name, f"{about.text.rstrip('.')}.{_range(about)}") for name, about in info.items()]
        body = definitions(said) if said else ""
        for dataset, members in by_dataset.items():
            body += table(*_table(members, results, info), f"{probe} on {dataset}")
        parts.append(folded(f"{probe}: {', '.join(by_dataset)}", body))
    return Section("All metrics", "".join(parts))


def _table(members: Sequence[Group], results: Results, info: Mapping[str, MetricInfo]) -> tuple[list[str], list[list[Any]]]:
    """Return the table of one probe on one data set.

    Rows are metrics by the probe's swept settings, columns are networks. With many networks, counting each of their settings, a
    row is a metric of one network.
    """
    by_kind = {
        kind: [name for name, of in results.columns.items() if of == kind and any(g.swept[name] is not None for g in members)]
        for kind in ("network", "probe")
    }
    rank = {metric: place for place, metric in enumerate(dict.fromkeys(group.metric for group in members))}
    members = sorted(members, key=lambda group: rank[group.metric])
    networks = list(dict.fromkeys(group.network + _settings(group, by_kind["network"]) for group in members))
    if len(networks) > MOST_COLUMNS:
        settings = by_kind["network"] + by_kind["probe"]
        rows = [
            [*_metric(group, info), group.network, *(_written(group.swept[name]) for name in settings), *_numbers(group)]
            for group in members
        ]
        return ["metric", "better", "network", *settings, "mean", "± std", "least", "greatest", "seeds"], rows
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    first: dict[tuple[str, ...], Group] = {}
    for group in members:
        key = (group.metric, *(repr(group.swept[name]) for name in by_kind["probe"]))
        first.setdefault(key, group)
        cells.setdefault(key, {})[group.network + _settings(group, by_kind["network"])] = _spread(group)
    rows = [
        [*_metric(group, info), *(_written(group.swept[name]) for name in by_kind["probe"]), *map(cells[key].get, networks)]
        for key, group in first.items()
    ]
    return ["metric", "better", *by_kind["probe"], *networks], rows


def _numbers(group: Group) -> list[float | None]:
    return [group.mean, group.std, group.low, group.high, len(group.values)]


def _metric(group: Group, info: Mapping[str, MetricInfo]) -> list[str]:
    return [group.metric, _better(info.get(group.metric.partition(".")[0]))]


def _provenance(results: Results) -> Section:
    recorded = [entry for entry in results if entry.record]
    seconds = sum(_seconds(recorded).values())
    lines = [f"{format_count(len(results), 'cell')}; computing them took {format_duration(seconds)} in all."]
    for what in ("threads", "network_threads", "device", "platform"):
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
    sources = {(entry.dataset, str(_written(entry.record["data"]))) for entry in recorded if entry.record.get("data")}
    if sources:
        body += folded(f"What the data sets were made from ({len(sources)})", table(("data set", "made from"), sorted(sources)))
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


def _dataset(group: Group, results: Results) -> str:
    return group.dataset + _settings(group, [name for name, kind in results.columns.items() if kind == "dataset"])


def _settings(group: Group, names: Iterable[str]) -> str:
    shown = [f"{name}={_written(group.swept[name])}" for name in names if group.swept[name] is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _written(value: Any) -> Any:
    """Return a setting as a cell of a table: numbers and text as they are, the rest as JSON writes it."""
    if isinstance(value, str | int | float | None) and not isinstance(value, bool):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _spread(group: Group) -> str:
    if group.std is None:
        return f"{group.mean:.4g}"
    return f"{group.mean:.4g} ± {group.std:.2g} [{group.low:.4g}, {group.high:.4g}]"


def _better(info: MetricInfo | None) -> str:
    return {"higher": "↑\xa0higher", "lower": "↓\xa0lower"}.get((info.better if info else None) or "", "")


def _range(info: MetricInfo) -> str:
    if info.low is None and info.high is None:
        return f" Unit: {info.unit}." if info.unit else ""
    low = "−∞" if info.low is None else f"{info.low:g}"
    high = "∞" if info.high is None else f"{info.high:g}"
    return f" Range {low} to {high}{' ' + info.unit if info.unit else ''}."
