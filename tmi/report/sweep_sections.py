"""The sweeps of any suite, drawn: the metrics of each probe against one swept setting, or two, with intervals over the seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tmi.runtime.plotting import figure_style

from .aggregate import Group, groups
from .choice import main_metrics
from .html import Section, bullets, figure, paragraph

if TYPE_CHECKING:
    from tmi.runs.results import Entry, Results

    from .sweep_figures import Sweep

MOST_METRICS = 4
"""Metrics of one probe that are drawn."""


def sweeps(results: Results, *, without: Collection[str] = ()) -> list[Section]:
    """Draw the metrics of each probe against the swept settings.

    Parameters
    ----------
    results : Results
        Of any suite.
    without : collection of str
        Labels of probes that are left out.

    Returns
    -------
    list of Section
        One, or none where no setting takes several values. Networks with one such setting are lines, or points where its values
        are not numbers; a network with two is a map; of networks with more a sentence says that they are not drawn. Drawn are
        the first `MOST_METRICS` metrics of a probe that the setting changes, one of each measure before a second one; how many
        are not is said.
    """
    tables: dict[tuple[str, str], list[Group]] = {}
    for group in groups(results):
        if group.probe not in without:
            tables.setdefault((group.probe, group.dataset), []).append(group)
    found: list[tuple[str, Sweep, list[Entry]]] = []
    undrawn: list[str] = []
    for (probe, dataset), members in tables.items():
        networks = dict.fromkeys(group.network for group in members)
        swept = {network: _varying(members, network, results.columns) for network in networks}
        undrawn += [f"{probe} on {dataset}, {network}: {', '.join(s)}" for network, s in swept.items() if len(s) > 2]
        if any(0 < len(names) < 3 for names in swept.values()):
            entries = [entry for entry in results if (entry.probe, entry.dataset) == (probe, dataset) and entry.metrics]
            found += [(f"Probe {probe} on {dataset}", sweep, entries) for sweep in _sweeps(results, members, swept, entries)]
    if not found and not undrawn:
        return []
    parts = []
    if found:  # matplotlib is imported only where something is drawn
        with figure_style():
            parts = [_figure(*one) for one in found]
    text = paragraph(
        "The metrics of each probe against the settings that the suite sweeps. Means over the seeds; bands and bars are 95 % "
        "intervals of Student's t over the seeds."
    )
    if undrawn:
        text += paragraph("Not drawn, for more than two settings take several values:") + bullets(undrawn)
    return [Section("Sweeps", text + "".join(parts))]


def _sweeps(
    results: Results, members: Sequence[Group], swept: Mapping[str, list[str]], entries: Sequence[Entry]
) -> Iterable[Sweep]:
    """Yield what there is to draw of one probe on one data set: networks with one setting together, each with two by itself."""
    from .sweep_figures import Sweep

    info = results.meanings(members[0].probe)
    fixed = [group for group in members if not swept[group.network]]
    for setting in dict.fromkeys(names[0] for names in swept.values() if len(names) == 1):
        own = [group for group in members if swept[group.network] == [setting]]
        beside = fixed if results.columns[setting] == "network" else []
        yield Sweep((setting,), own, beside, *_chosen(own, entries), info)
    for network, names in swept.items():
        if len(names) == 2:
            own = [group for group in members if group.network == network]
            yield Sweep(tuple(names), own, [], *_chosen(own, entries), info)


def _figure(title: str, sweep: Sweep, entries: Sequence[Entry]) -> str:
    from .sweep_figures import along, maps

    networks = list(dict.fromkeys(group.network for group in sweep.groups))
    shown = _listed(sweep.metrics)
    if len(sweep.settings) == 1:
        drawn, narrow = along(sweep), along(sweep, columns=1)
        alt = f"{title}: {shown} against {sweep.settings[0]}"
        what = "A line, or a column of points, for each network"
    else:
        drawn, narrow = maps(sweep), maps(sweep, columns=1)
        alt = f"{title}, network {networks[0]}: {shown} by {' and '.join(sweep.settings)}"
        what = "Each field is a pair of values, yellow where the metric is greatest and blue where it is least"
    counts = sorted({len(group.values) for group in sweep.groups if group.metric in sweep.metrics})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    parts = [f"{alt}; {'one seed, so that there is no interval' if seeds == '1' else f'{seeds} seeds'}. {what}."]
    if sweep.fixed:
        parts.append(f"Dashed: networks without this setting ({_listed(dict.fromkeys(group.network for group in sweep.fixed))}).")
    if sweep.left_out:
        parts.append(f"Other metrics of the probe ({sweep.left_out}) are in the table under All metrics.")
    return figure(drawn, alt, " ".join(parts), narrow=narrow)


def _varying(members: Iterable[Group], network: str, columns: Iterable[str]) -> list[str]:
    """Return the swept settings that take several values on a network."""
    own = [group.swept for group in members if group.network == network]
    return [name for name in columns if len({repr(swept[name]) for swept in own if swept[name] is not None}) > 1]


def _chosen(own: Sequence[Group], entries: Iterable[Entry]) -> tuple[list[str], int]:
    """Return the metrics that are drawn, and how many others there are: those that the setting does not change are not drawn."""
    networks = {group.network for group in own}
    ranked = main_metrics(entry for entry in entries if entry.network in networks)
    along: dict[tuple[str, str], set[tuple[float, ...]]] = {}
    for group in own:
        along.setdefault((group.metric, group.network), set()).add(group.values)
    varying = {metric for (metric, _), values in along.items() if len(values) > 1}
    drawn = ([metric for metric in ranked if metric in varying] or ranked)[:MOST_METRICS]
    return drawn, len({metric for metric, _ in along}) - len(drawn)


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
