"""Section 6.1: every run on the squares, and the weights that are printed and that are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, folded, paragraph, table

from .. import figures
from ..claims.squares import STATEMENTS, is_dead
from ..comparison import network_origin

if TYPE_CHECKING:
    import tmi
    from tmi.runs.results import Entry

FIXED = {"theorem1": "Theorem 1", "theorem2": "Theorem 2", "printed": "printed"}
"""The networks that are not trained, by their label in the suite."""


def squares(results: tmi.Results) -> Section | None:
    """Draw every run on the squares, name the dead ones, and compare the statements with printed and learnt weights."""
    runs: dict[str, list[Entry]] = {}
    for entry in results.select(dataset="squares", probe="accuracy"):
        if "accuracy" in entry.metrics and entry.network in (*FIXED, "trained-squares"):
            runs.setdefault(run_name(entry), []).append(entry)
    if not runs:
        return None
    ordered = {name: runs[name] for name in sorted(runs, key=lambda name: _order(runs[name][0]))}
    accuracies = {name: [entry.metrics["accuracy"] for entry in entries] for name, entries in ordered.items()}
    dead = {name: [is_dead(results, entry) for entry in entries] for name, entries in ordered.items()}
    origins = {name: network_origin(entries[0]) for name, entries in ordered.items()}
    chance = float(np.mean(results.select(dataset="squares", probe="accuracy").values("chance")))
    named = [
        f"{name}, seed {entry.seed}: test accuracy {entry.metrics['accuracy']:.3f}"
        for name, entries in ordered.items()
        for entry, gone in zip(entries, dead[name], strict=True)
        if gone
    ]
    several = sum(sum(gone) for name, gone in dead.items() if _filters(ordered[name][0]) > 1)
    text = "No run is dead: in each some filter responds to the images."
    if named:
        text = (
            "A filter that is 0 on an image gets no gradient from it, so that training cannot recover one that is 0 on all. With "
            "one filter the whole network is then dead; "
            + (f"with several this happened in {several} runs. " if several else "with several filters no run is dead. ")
            + "Dead runs stand apart in the table: its means are over the others."
        )
    return Section(
        "Section 6.1: every run on the squares",
        paragraph(text)
        + figure(
            figures.runs(accuracies, dead, chance, origins),
            "Test accuracy on the squares by network, one mark a run",
            "Test accuracy of every run, a mark a seed; 1,000 test images. A black cross is a dead run: its filters respond to "
            "fewer than one test image in a hundred.",
        )
        + table(
            ("network", "runs", "dead", "mean of the others", "standard deviation", "least", "greatest", "above 0.99"),
            [_row(name, accuracies[name], dead[name]) for name in ordered],
        )
        + (folded(f"The {len(named)} dead runs", bullets(named)) if named else "")
        + _statements(results)
        + _weights(results),
    )


def run_name(entry: Entry) -> str:
    """Return a network's name in the report, such as "4 filters, batch 10"."""
    filters, batch_size = entry.swept.get("filters"), entry.swept.get("batch_size")
    if filters is None:
        return FIXED.get(entry.network, entry.network)
    return f"{filters} filter{'s' if filters > 1 else ''}" + ("" if batch_size is None else f", batch {batch_size}")


def _order(entry: Entry) -> tuple[int, int, int]:
    fixed = list(FIXED).index(entry.network) if entry.network in FIXED else len(FIXED)
    return fixed, _filters(entry), entry.swept.get("batch_size") or 0


def _filters(entry: Entry) -> int:
    return entry.swept.get("filters") or 0


def _row(name: str, values: Sequence[float], dead: Sequence[bool]) -> tuple[object, ...]:
    live = [value for value, gone in zip(values, dead, strict=True) if not gone]
    if not live:
        return name, len(values), sum(dead), None, None, None, None, None
    std = float(np.std(live, ddof=1)) if len(live) > 1 else None
    return name, len(values), sum(dead), float(np.mean(live)), std, min(live), max(live), sum(v > 0.99 for v in live)


def _statements(results: tmi.Results) -> str:
    """A table of how often the statements hold with the printed weights and in the live runs with one filter."""
    entries = [entry for entry in results.select(dataset="squares", probe="squares-heuristics") if entry.metrics]
    columns: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.network != "printed" and (_filters(entry) != 1 or is_dead(results, entry)):
            continue
        columns.setdefault(run_name(entry), []).append(entry)
    if not columns:
        return ""
    columns = {name: columns[name] for name in sorted(columns, key=lambda name: _order(columns[name][0]))}
    rows = [(text, *(_share(columns[name], metric) for name in columns)) for metric, text in STATEMENTS.items()]
    text = (
        "How often the statements of section 6.1 hold: the share of the cases that a statement speaks of, and in brackets its "
        "base rate, the share of all cases. The mean is over test sets or over seeds, without dead runs. A trained filter that "
        "responds to low values is compared with the mirrored statement."
    )
    return paragraph(text) + table(("statement", *(f"{name} ({len(entries)})" for name, entries in columns.items())), rows)


def _share(entries: list[Entry], metric: str) -> str:
    shares = [entry.metrics[metric] for entry in entries if metric in entry.metrics]
    bases = [entry.metrics[f"{metric}.chance"] for entry in entries if metric in entry.metrics]
    return f"{np.mean(shares):.3f} ({np.mean(bases):.2f})" if shares else "no case"


def _weights(results: tmi.Results) -> str:
    """The printed weights, and those of the runs with one filter that agree with the four statements most and least."""
    four = list(STATEMENTS)[:4]
    entries = [entry for entry in results.select(dataset="squares", probe="squares-heuristics") if entry.metrics]
    learnt = [entry for entry in entries if entry.network != "printed" and _filters(entry) == 1 and not is_dead(results, entry)]
    columns = {}
    for entry in entries:
        if entry.network == "printed":
            columns["printed"] = results.load(entry)
            break
    if learnt:
        # A statement without a case counts as not holding.
        agree = [sum(entry.metrics.get(name, 0.0) for name in four) for entry in learnt]
        for index in dict.fromkeys((int(np.argmax(agree)), int(np.argmin(agree)))):
            entry = learnt[index]
            columns[f"seed {entry.seed}, batch {entry.swept.get('batch_size')}"] = results.load(entry)
    if not columns:
        return ""
    return figure(
        figures.learned_weights(columns),
        "Printed and learnt kernels and linear weights of networks with one filter, with their numbers",
        "The 2×2 kernel, and for each logit the weights of the nine places: those that the paper prints, and those of the runs "
        "that agree with its statements most and least.",
    )
