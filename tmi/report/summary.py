"""The first section of a report that no plug-in writes: what was run, and in what the networks are shown to differ, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tmi.errors import InputError
from tmi.runs.comparison import compare
from tmi.runtime.formatting import format_count

from .choice import main_metrics
from .html import Section, bullets, paragraph

if TYPE_CHECKING:
    from tmi.runs.results import Results

FEWEST_SEEDS = 5
"""With fewer seeds nothing is said of a difference in words."""

MOST_SENTENCES = 12


def summary(results: Results) -> Section:
    """Say what was run, and which networks are shown to differ in the first metric of each probe.

    Differences are paired by seed, and corrected for the number of all that are compared (`Results.compare`).
    """
    networks, datasets = (sorted({getattr(entry, kind) for entry in results}) for kind in ("network", "dataset"))
    seeds = len({entry.seed for entry in results})
    body = paragraph(
        f"{format_count(len(results), 'result')}: {format_count(len(networks), 'network')} ({', '.join(networks)}) on "
        f"{format_count(len(datasets), 'data set')} ({', '.join(datasets)}), {format_count(seeds, 'seed')}; "
        f"{len(results.failed)} failed, {len(results.not_applicable)} not applicable, {len(results.missing)} missing."
    )
    if len(networks) > 1 and seeds < FEWEST_SEEDS:
        body += paragraph(f"{format_count(seeds, 'seed')}: too few to compare networks in words, which takes {FEWEST_SEEDS}.")
    elif len(networks) > 1:
        body += _differences(results)
    return Section("", body)


def _differences(results: Results) -> str:
    """Write the differences that are shown, a line each; networks with swept settings are drawn instead."""
    of_networks = [name for name, kind in results.columns.items() if kind == "network"]
    plain = [entry for entry in results if all(entry.swept.get(name) is None for name in of_networks)]
    probes = dict.fromkeys(entry.probe for entry in plain)
    first = {(probe, metric) for probe in probes for metric in main_metrics(e for e in plain if e.probe == probe)[:1]}
    names = {entry.network for entry in plain}
    rows = [row for row in results.rows() if row["network"] in names and (row["probe"], row["metric"]) in first]
    try:
        frame = compare(rows, results.columns, "network", None, None)
    except InputError:  # nothing in common
        return ""
    pairs: list[dict[Any, Any]] = frame[frame.seeds >= FEWEST_SEEDS].to_dict("records")
    if not pairs:
        return paragraph(
            f"No two networks have {FEWEST_SEEDS} seeds of the same metric in common: too few to compare them in words."
        )
    shared = [name for name in ("dataset", "probe", *results.columns, "metric") if name in frame]
    shown = [pair for pair in pairs if pair["direction"] != "not shown to differ"]
    lines = [f"{_where(pair, shared)}: {_difference(pair)}." for pair in shown]
    body = paragraph(
        f"In the first metric of each probe {len(shown)} of {format_count(len(pairs), 'difference')} between networks "
        f"{'is' if len(shown) == 1 else 'are'} shown: the 95 % interval over the seeds, corrected by Holm's method for all "
        "comparisons, excludes 0."
    ) + bullets(lines[:MOST_SENTENCES])
    if len(lines) > MOST_SENTENCES:
        body += paragraph(f"{len(lines) - MOST_SENTENCES} more lines are left out; see All metrics.")
    return body


def _where(pair: dict[Any, Any], shared: list[str]) -> str:
    known = {name: pair[name] for name in shared[2:-1] if pair[name] is not None and pair[name] == pair[name]}  # pandas: NaN
    settings = ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in known.items())
    return f"{pair['dataset']}, {pair['probe']}{f' ({settings})' if settings else ''}, {pair['metric']}"


def _difference(pair: dict[Any, Any]) -> str:
    sizes = f"{pair['difference']:.3g} [{pair['low']:.3g}, {pair['high']:.3g}], {pair['seeds']} seeds".replace("-", "−")
    return f"{pair['first']} {pair['direction']} than {pair['second']} ({sizes})"
