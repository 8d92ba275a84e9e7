"""Section 7: logits decomposed, neurons that are responsible, sparsity, continuous shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmi.report import Section, figure, paragraph
from tmi_probes.figures import decomposition, sparsity, spectrum

from ..claims.claim import at_one_tile
from ..comparison import network_origin
from .common import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tmi
    from tmi.runs.results import Entry

    Tickets = dict[str, dict[str, dict[float, list[tmi.ProbeResult]]]]


def decomposed(results: tmi.Results) -> Section | None:
    """Draw where the units lie that make the logits, and what their variance is made of."""
    first = _first_of_each(results, "logit-decomposition")
    if not first:
        return None
    loaded, origins = {name: results.load(entry) for name, entry in first.items()}, _origins(first)
    body = paragraph(
        "A logit is the bias plus a term for each unit of the layer before it, activation times weight: exactly. The paper asks "
        "for this decomposition, and for the reason why logits are robust to other backgrounds. Units that see the background "
        "alone have terms that cancel in part: their sum has a tenth of the standard deviation that it would have if they varied "
        "as one, and about three times that of independent terms. Over places the variance comes from the units that see the "
        "tile, which are others at each place."
    )
    seeds = _seeds(first)
    mapped = {name: result for name, result in loaded.items() if "maps" in result.arrays}
    if mapped:
        body += figure(
            decomposition.contributions(mapped, origins),
            "Terms of the units that make the label's margin, summed at each place, on three images",
            f"Terms of the units at each place, of the label's logit less the strongest other; {seeds}, k = 1.",
        )
    if any("inside" in result.metrics for result in loaded.values()):
        body += figure(
            decomposition.shares(loaded),
            "Share of the margin from units inside the tile, on its border and outside",
            "Which share of the label's margin comes from units that see the tile alone, its border, or the background alone.",
        )
    split = {name: result for name, result in loaded.items() if name == "trained" and "variance.places" in result.metrics}
    if split:
        body += figure(
            decomposition.variance_split(split),
            "Variance of a logit over backgrounds and over places, split by what units see",
            "The variance of a logit of the trained network, split into the units that see the tile, those that do not, and "
            "their covariance.",
        )
    found = _first_of_each(results, "feature-neurons")
    if found:
        sets = {name: results.load(entry) for name, entry in found.items()}
        body += paragraph(
            "Which neurons are responsible for a feature? For each tile a small set of units that keeps its images right while "
            "all others are set to their mean. In the constructed network these are the neurons of the tile and no others."
        ) + figure(
            decomposition.feature_overlap(sets),
            "Overlap of the sets of neurons of two features, constructed and trained",
            f"Jaccard index of the sets of two features, {_seeds(found)}, k = 1: above 0 where features share neurons.",
        )
    return Section("Section 7: logits decomposed into units", body)


def sparse(results: tmi.Results) -> Section | None:
    """Draw where weights are 0, and what pruning with rewinding costs."""
    body = ""
    panels = {}
    seeds: dict[str, Entry] = {}
    for network, layer, heading in (
        ("theorem1-layers", "logits", "Theorem 1,\noutput layer"),
        ("theorem1-layers", "hidden", "Theorem 1,\nhidden layer"),
        ("theorem2-layers", "level2", "Theorem 2,\nlevel 2"),
        ("theorem2-layers", "level4", "Theorem 2,\nlevel 4"),
        ("trained", "logits", "trained,\noutput layer"),
    ):
        entry = next((e for e in at_one_tile(results, network, "weight-sparsity") if e.metrics), None)
        if entry is not None and f"density.{layer}" in results.load(entry).arrays:
            panels[heading] = results.load(entry), layer
            seeds.setdefault(network, entry)
    if panels:
        body += figure(
            sparsity.zero_patterns(panels),
            "Where the weights of layers are not 0, Theorem 1, Theorem 2 and trained",
            f"Weights that are not 0, outputs down and inputs across; {_seeds(seeds)}, k = 1. The darker a cell, the more of its "
            "weights are not 0.",
        )
    tickets = _tickets(results)
    if tickets:
        body += paragraph(
            "Can a trained network be made sparse? The smallest weights are removed, the others get back their initial values, "
            "or new random ones, and are trained again."
        ) + figure(
            sparsity.tickets(*tickets),
            "Accuracy of pruned and rewound networks by the share of weights kept",
            "Magnitude pruning in one step, a mark a seed. Where the initial values matter, rewinding is above random values.",
        )
    return Section("Section 7: sparsity", body) if body else None


def continuous(results: tmi.Results) -> Section | None:
    """Draw how many templates a continuous spectrum needs, and how far networks cover it."""
    first = _first_of_each(results, "spectrum")
    if not first:
        return None
    by_network = {NETWORKS[n]: [e for e in at_one_tile(results, n, "spectrum") if e.metrics] for n in NETWORKS}
    covering = [e for e in results.select(dataset="spectrum", network="theorem1", probe="spectrum-rotation") if e.metrics]
    if covering:
        by_network["constructed, templates for every rotation"] = covering
    curves = {name: [results.load(entry) for entry in entries] for name, entries in by_network.items() if entries}
    origins = {name: network_origin(entries[0]) for name, entries in by_network.items() if entries}
    body = paragraph(
        "Section 7 asks for features that are a continuous spectrum of shapes. Here a tile is rotated, scaled, sheared or "
        "changed in its grey level by up to some extent. How many templates contain the whole spectrum? About its L1 length over "
        "2ε. And how far does a network cover it that knows one tile?"
    )
    body += figure(
        spectrum.templates_needed(results.load(next(iter(first.values())))),
        "Number of templates that contain a spectrum against its extent",
        f"Templates needed for a tile, mean over the tiles, {_seeds(first)}; dotted: the L1 length over 2ε.",
    )
    body += figure(
        spectrum.accuracy_on_members(curves, origins),
        "Accuracy on members of a spectrum against its extent",
        "Accuracy on members of the spectrum, mean over seeds, shaded from least to greatest.",
    )
    return Section("Section 7: continuous shapes", body)


def _first_of_each(results: tmi.Results, probe: str) -> dict[str, Entry]:
    """Return for each of the two networks the first entry of a probe that has a result."""
    found = {name: next((e for e in at_one_tile(results, n, probe) if e.metrics), None) for n, name in NETWORKS.items()}
    return {name: entry for name, entry in found.items() if entry is not None}


def _seeds(entries: Mapping[str, Entry]) -> str:
    """Write the seeds of entries: one number where all have the same."""
    seeds = {entry.seed for entry in entries.values()}
    return f"seed {seeds.pop()}" if len(seeds) == 1 else ", ".join(f"{name} seed {e.seed}" for name, e in entries.items())


def _origins(entries: dict[str, Entry]) -> dict[str, str]:
    return {name: network_origin(entry) for name, entry in entries.items()}


def _tickets(results: tmi.Results) -> tuple[Tickets, dict[str, list[tmi.ProbeResult]]] | None:
    """Return the results of pruned networks by reset and share kept, and those of the networks with all weights."""
    tickets: Tickets = {}
    wholes: dict[str, list[tmi.ProbeResult]] = {}
    for dataset, heading, network, swept in (
        ("squares", "squares, 16 filters", "trained-squares", {"filters": 16, "batch_size": 10}),
        ("tickets", "section 6.2, k = 1", "trained", {}),
    ):
        by_reset: dict[str, dict[float, list[tmi.ProbeResult]]] = {}
        for entry in results.select(dataset=dataset, network="ticket", probe="accuracy"):
            if entry.metrics:
                by_share = by_reset.setdefault(str(entry.swept["reset"]), {})
                by_share.setdefault(float(entry.swept["kept"]), []).append(results.load(entry))
        runs = [e for e in results.select(dataset=dataset, network=network, probe="accuracy") if e.metrics]
        whole = [results.load(entry) for entry in runs if entry.swept.items() >= swept.items()]
        if by_reset and whole:
            tickets[heading], wholes[heading] = by_reset, whole
    return (tickets, wholes) if tickets else None
