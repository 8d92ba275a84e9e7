"""Measure what changes in other neurons of the same function: writes the tables of docs/disguises.md and draws its figure.

``python docs/make_disguises.py`` takes about ten minutes on two cores; ``python docs/make_disguises.py measures``, or
``attributions``, makes one half of it.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from blocks import save, write_block

import tmi
from tmi.runtime.plotting import figure_style
from tmi_attribution.disguises import kind_of
from tmi_attribution.figures_disguises import invariance, largest
from tmi_networks.disguised import DISGUISES, disguise

PAGE = Path(__file__).with_name("disguises.md")
SEEDS = range(5)
NETWORKS = {
    "Theorem 1": ("theorem1", {"realisation": "literal"}),
    "Theorem 2": ("theorem2", {}),
    "trained": ("cnn", {"kernel": 2, "filters": 4, "epochs": 40, "batch_size": 10, "lr": 0.05}),
}
PROBES = {
    "accuracy": ({}, ["accuracy", "margin_mean"]),
    "background-robustness": ({"tiles": 2, "backgrounds": 20}, ["logit_variance"]),
    "translation-robustness": ({"tiles": 2, "places": "all"}, ["logit_variance"]),
    "local-linear-form": ({"images": 10, "tiles": 1, "backgrounds": 2, "places": 2}, ["reconstruction_error", "support_share"]),
    "logit-decomposition": (
        {"images": 12, "forms": 3, "tiles": 2, "backgrounds": 4, "places": 4},
        ["total", "variance_sees_tile", "participation"],
    ),
    "linear-regions": ({"images": 10, "paths": 2}, ["path_regions", "path_patterns", "sample_layer_share"]),
    "decodability": ({"folds": 2, "images": 60}, ["decodability"]),
    "unit-recovery": ({}, ["mcc", "f1"]),
    "selectivity": (
        {},
        ["monosemantic", "class_selectivity", "auc", "mutual_information", "tile_purity", "monosemanticity_score"],
    ),
    "activation-sparsity": ({}, ["active_share", "dead_share", "hoyer"]),
    "superposition": ({}, ["feature_dimensionality", "weight_dimensionality", "known_dimensionality"]),
    "equivariance": ({}, ["defect_mean"]),
    "responsible-neurons": ({"images": 20}, ["sufficient", "critical"]),
    "weight-sparsity": ({}, ["zero_share"]),
    "prunability": ({"images": 60}, ["weights_needed", "modularity"]),
}
"""The settings of each probe, and the metrics in the table."""


def networks(seeds: Iterable[int]) -> Iterator[tuple[str, int, tmi.Dataset, tmi.Network]]:
    """Yield each network of each seed, with its data."""
    for seed in seeds:
        data = tmi.generate("squares", seed=seed, samples=200, test_samples=60)
        for name, (builder, settings) in NETWORKS.items():
            yield name, seed, data, tmi.build(builder, data, seed=seed, **settings)


def attributions(seeds: Iterable[int] = SEEDS) -> dict[str, list[tmi.ProbeResult]]:
    """Return the results of probe ``disguises`` by network, one a seed."""
    results = defaultdict(list)
    for name, seed, data, network in networks(seeds):
        results[name].append(tmi.probe("disguises", network, data, seed=seed))
        print("attributions", name, seed, flush=True)
    return results


def measures(seeds: Iterable[int] = SEEDS) -> dict[str, dict[str, float]]:
    """Return the largest change of each measure by disguise, over all networks, seeds and layers."""
    change: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(DISGUISES, np.nan))
    for name, seed, data, network in networks(seeds):
        plain, _ = disguise(network, [], seed=seed)
        variants = {kind: disguise(network, [kind], seed=seed)[0] for kind in DISGUISES}
        for probe, (settings, shown) in PROBES.items():
            before = tmi.probe(probe, plain, data, seed=seed, **settings).metrics
            for kind, variant in variants.items():
                after = tmi.probe(probe, variant, data, seed=seed, **settings).metrics
                for metric in (name for name in before if name in after and is_shown(name, shown)):
                    far = abs(after[metric] - before[metric]) / max(1.0, abs(before[metric]))
                    row = change[f"{probe}: `{metric.partition('.')[0]}`"]
                    row[kind] = float(np.fmax(row[kind], far))
        print("measures", name, seed, flush=True)
    return change


def is_shown(metric: str, shown: list[str]) -> bool:
    """Return whether a metric is one of those that are shown, and no control."""
    base, *parts = metric.split(".")
    return base in shown and not {"chance", "untrained", "oracle"} & set(parts)


def is_changed(value: float) -> bool:
    """Return whether a change is more than approximately none; NaN, where a measure has no value, is none."""
    return not np.isnan(value) and kind_of(value) == "changed"


def cell(value: float) -> str:
    """Return a change as it stands in a table."""
    if np.isnan(value):
        return "–"
    large = f"{value:.0f}" if value > 99 else f"{value:.2g}"
    return {"exact": "0", "approximate": f"≈ ({value:.0e})", "changed": f"**{large}**"}[kind_of(value)]


def table(what: str, rows: dict[str, list[float]]) -> str:
    """Return a table in Markdown with a column for each disguise."""
    lines = [f"| {what} | {' | '.join(DISGUISES)} |", "|---" * (len(DISGUISES) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(map(cell, values))} |" for name, values in rows.items())])


SEEN = {
    "permutation": "The order of neurons",
    "rescaling": "The scale of neurons",
    "split": "Parts of neurons",
    "cancelling": "Neurons that cancel",
    "basis": "A basis",
}
"""What a measure sees that changes under a disguise."""


def seen(rows: dict[str, list[float]]) -> str:
    """Return which measures change under no disguise, and under each of them, as list items; of long lists the rest is named."""
    changed = {
        kind: [name for name, values in rows.items() if is_changed(values[column])] for column, kind in enumerate(DISGUISES)
    }
    never = [name for name in rows if not any(name in names for names in changed.values())]
    lines = [f"- **Under no disguise** {', '.join(never) or 'none'} change."]
    for kind, names in changed.items():
        others = [name for name in rows if name not in names]
        listed = f"all but {', '.join(others)}" if 0 < len(others) < len(names) else ", ".join(names)
        lines.append(f"- **{SEEN[kind]}** (`{kind}`): {len(names)} of {len(rows)} change{f': {listed}' if listed else ''}.")
    return "\n".join(lines)


def answer(methods: list[str], levels: list[str], change: np.ndarray) -> str:
    """Return which methods of the pixels are invariant, and how many of layers and neurons, as sentences."""
    kinds = dict(zip(methods, [kind_of(float(np.nanmax(row))) for row in change], strict=True))
    pixels = [name for name, level in zip(methods, levels, strict=True) if level == "input"]

    def named(kind: str) -> str:
        found = [f"`{name}`" for name in pixels if kinds[name] == kind]
        return f"{len(found)} ({', '.join(found)})" if found else "none"

    others = [name for name in methods if name not in pixels]
    changed = sum(kinds[name] == "changed" for name in others)
    return (
        f"Of {len(pixels)} methods that attribute a logit to pixels, {named('exact')} are exactly invariant under every "
        f"disguise, on every network and seed; {named('approximate')} approximately; {named('changed')} change. Of {len(others)} "
        f"methods that attribute to or from the neurons of a layer, {changed} change under some disguise."
    )


def write_attributions() -> None:
    """Draw the figure, and write the answer and the table of methods."""
    results = attributions()
    with figure_style():
        figure = invariance(results)
        save("disguises", figure, 130)
    methods = next(iter(results.values()))[0].coords["method"]
    random = next(iter(results.values()))[0].arrays["random"].values
    change = np.fmax.reduce([largest(some) for some in results.values()])
    names = [f"`{method}`{' †' if drawn else ''}" for method, drawn in zip(methods, random, strict=True)]
    levels = next(iter(results.values()))[0].arrays["level"].values
    write_block(PAGE, "table: answer", answer(methods.tolist(), levels.tolist(), change))
    write_block(PAGE, "table: methods", table("method", dict(zip(names, change.tolist(), strict=True))))


def write_measures() -> None:
    """Write the table of measures, and in words what changes them."""
    rows = {name: [row[kind] for kind in DISGUISES] for name, row in measures().items()}
    write_block(PAGE, "table: measures", table("measure", rows))
    write_block(PAGE, "table: seen", seen(rows))


HALVES = {"attributions": write_attributions, "measures": write_measures}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for half in sys.argv[1:] or HALVES:
        HALVES[half]()
