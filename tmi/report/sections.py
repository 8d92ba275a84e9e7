"""The sections of every report: failures, cells that are not applicable, all metrics with their spread, and provenance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from tmi.runtime.formatting import format_count

from .aggregate import Group, groups
from .html import Section, bullets, folded, paragraph, table

if TYPE_CHECKING:
    from tmi.probing.result import MetricInfo
    from tmi.runs.results import Entry, Results


def summary(results: Results) -> Section:
    """Summarise in a sentence what was run, for suites without a report of their own."""
    seeds = len({entry.seed for entry in results})
    networks = sorted({entry.network for entry in results})
    datasets = sorted({entry.dataset for entry in results})
    return Section(
        "",
        paragraph(
            f"{len(results)} results: {format_count(len(networks), 'network')} ({', '.join(networks)}) on "
            f"{format_count(len(datasets), 'data set')} ({', '.join(datasets)}), {format_count(seeds, 'seed')}; "
            f"{len(results.failed)} failed, {len(results.not_applicable)} not applicable, {len(results.missing)} missing."
        ),
    )


def sections(results: Results) -> list[Section]:
    """Return failures and cells that are not applicable (if any), all metrics, and provenance."""
    failures = [_failures(results)] if results.failed or results.missing else []
    inapplicable = [_not_applicable(results)] if results.not_applicable else []
    return [*failures, *inapplicable, _metrics(results), _provenance(results)]


def _failures(results: Results) -> Section:
    rows = [(str(entry), entry.status, entry.message) for entry in (*results.failed, *results.missing)]
    return Section("Cells without a result", table(("cell", "status", "why"), rows))


def _not_applicable(results: Results) -> Section:
    """A row a probe and network: why the one says nothing about the other, and for how many cells."""
    counts = Counter((entry.probe, entry.network, entry.message) for entry in results.not_applicable)
    rows = [(probe, network, reason, cells) for (probe, network, reason), cells in counts.items()]
    text = paragraph("These probes measure nothing on these networks; that is no failure.")
    return Section("Not applicable", text + table(("probe", "network", "why", "cells"), rows))


def _metrics(results: Results) -> Section:
    """One table a data set and probe: a row a metric, a column a network."""
    parts = [paragraph("Mean over the seeds, ± standard deviation (n − 1), and the range from least to greatest.")]
    ordered = sorted(groups(results), key=lambda g: (g.dataset, _swept(g, results, "dataset"), g.probe))
    for (dataset, probe), same in groupby(ordered, key=lambda g: (f"{g.dataset}{_swept(g, results, 'dataset')}", g.probe)):
        members = list(same)
        networks = list(dict.fromkeys(_network(g, results) for g in members))
        cells = {(g.metric, _network(g, results)): _spread(g) for g in members}
        info = _info(results, members[0].probe)
        rows = [
            (metric, _better(info.get(metric.partition(".")[0])), *(cells.get((metric, n)) for n in networks))
            for metric in dict.fromkeys(g.metric for g in members)
        ]
        meaning = [f"{name}: {about.text.rstrip('.')}.{_range(about)}" for name, about in info.items()]
        parts.append(
            folded(f"{dataset}: {probe}", table(("metric", "better", *networks), rows) + (bullets(meaning) if meaning else ""))
        )
    return Section("All metrics", "".join(parts))


def _provenance(results: Results) -> Section:
    recorded = [entry for entry in results if entry.record]
    seconds = sum(_seconds(recorded).values())
    lines = [f"Suite {results.name}: {len(results)} cells; computing them took {seconds:,.0f} s."]
    for what in ("versions", "data", "threads", "network_threads", "device", "tmi"):
        values = sorted({json.dumps(entry.record.get(what), sort_keys=True) for entry in recorded})
        lines += [f"{what}: {value}" for value in values if value not in ("null", "{}")]
    notes = sorted({f"{entry.network} on {entry.dataset}, {entry.probe}: {note}" for entry in results for note in entry.notes})
    warned = sorted({f"{entry.probe}: {text}" for entry in recorded for text in entry.record.get("warnings", ())})
    body = bullets(lines)
    if notes:
        body += folded(f"Remarks of the probes ({len(notes)})", bullets(notes))
    if warned:
        body += folded(f"Warnings ({len(warned)})", bullets(warned))
    return Section("Where the numbers came from", body)


def _seconds(recorded: Iterable[Entry]) -> dict[str, float]:
    """Return the seconds of each data set, network and result by key; cells share the first two."""
    seconds_of: dict[str, float] = {}
    for entry in recorded:
        keys = {**entry.record.get("keys", {}), "probe": entry.key}
        for what, seconds in entry.record.get("seconds", {}).items():
            seconds_of[keys.get(what) or f"{what} of {entry}"] = seconds
    return seconds_of


def _info(results: Results, probe: str) -> dict[str, MetricInfo]:
    """Return what the metrics of a probe mean, from the first result on each network."""
    info: dict[str, MetricInfo] = {}
    seen = set()
    for entry in results:
        if entry.probe == probe and entry.status == "ok" and entry.network not in seen:
            seen.add(entry.network)
            info |= results.load(entry).info
    return info


def _swept(group: Group, results: Results, kind: str) -> str:
    shown = [f"{c}={group.swept[c]}" for c, k in results.columns.items() if k == kind and group.swept[c] is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _network(group: Group, results: Results) -> str:
    return f"{group.network}{_swept(group, results, 'network')}{_swept(group, results, 'probe')}"


def _spread(group: Group) -> str:
    if group.std is None:
        return f"{group.mean:.4g}"
    return f"{group.mean:.4g} ± {group.std:.2g} [{group.low:.4g}, {group.high:.4g}]"


def _better(info: MetricInfo | None) -> str:
    return {"higher": "↑ higher", "lower": "↓ lower"}.get((info.better if info else None) or "", "")


def _range(info: MetricInfo) -> str:
    if info.low is None and info.high is None:
        return ""
    low = "−∞" if info.low is None else f"{info.low:g}"
    high = "∞" if info.high is None else f"{info.high:g}"
    return f" Range {low} to {high}{' ' + info.unit if info.unit else ''}."
