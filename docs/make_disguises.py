"""Measure what changes in other neurons of the same function: writes the tables of docs/disguises.md and draws its figure.

``python docs/make_disguises.py`` takes about ten minutes on two cores.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

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
    "accuracy": {},
    "background-robustness": {"tiles": 2, "backgrounds": 20},
    "translation-robustness": {"tiles": 2, "places": "all"},
    "local-linear-form": {"images": 10, "tiles": 1, "backgrounds": 2, "places": 2},
    "logit-decomposition": {"images": 12, "forms": 3, "tiles": 2, "backgrounds": 4, "places": 4},
    "linear-regions": {"images": 10, "paths": 2},
    "decodability": {"folds": 2, "images": 60},
    "unit-recovery": {},
    "selectivity": {},
    "activation-sparsity": {},
    "superposition": {},
    "equivariance": {},
    "responsible-neurons": {"images": 20},
    "weight-sparsity": {},
    "prunability": {"images": 60},
}


def networks() -> Iterator[tuple[str, int, tmi.Dataset, tmi.Network]]:
    """Yield each network of each seed, with its data."""
    for seed in SEEDS:
        data = tmi.generate("squares", seed=seed, samples=200, test_samples=60)
        for name, (builder, settings) in NETWORKS.items():
            yield name, seed, data, tmi.build(builder, data, seed=seed, **settings)


def attributions() -> dict[str, list[tmi.ProbeResult]]:
    """Return the results of probe ``disguises`` by network, one a seed."""
    results = defaultdict(list)
    for name, seed, data, network in networks():
        results[name].append(tmi.probe("disguises", network, data, seed=seed))
        print("attributions", name, seed, flush=True)
    return results


def measures() -> dict[str, dict[str, float]]:
    """Return the largest change of each measure by disguise, over all networks, seeds, layers and controls."""
    change: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, seed, data, network in networks():
        plain, _ = disguise(network, [], seed=seed)
        variants = {kind: disguise(network, [kind], seed=seed)[0] for kind in DISGUISES}
        for probe, settings in PROBES.items():
            before = tmi.probe(probe, plain, data, seed=seed, **settings).metrics
            for kind, variant in variants.items():
                after = tmi.probe(probe, variant, data, seed=seed, **settings).metrics
                for metric in before.keys() & after.keys():
                    far = abs(after[metric] - before[metric]) / max(1.0, abs(before[metric]))
                    row = change[f"{probe}: `{metric.partition('.')[0]}`"]
                    row[kind] = max(row[kind], far)
        print("measures", name, seed, flush=True)
    return change


def cell(value: float) -> str:
    """Return a change as it stands in a table."""
    if np.isnan(value):
        return "–"
    return {"exact": "0", "approximate": f"≈ ({value:.0e})", "changed": f"**{value:.2g}**"}[kind_of(value)]


def table(what: str, rows: dict[str, list[float]]) -> str:
    """Return a table in Markdown with a column for each disguise."""
    lines = [f"| {what} | {' | '.join(DISGUISES)} |", "|---" * (len(DISGUISES) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(map(cell, values))} |" for name, values in rows.items())])


def write(tables: dict[str, str]) -> None:
    """Write tables into the page, between their marks."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in tables.items():
        page = re.sub(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page, flags=re.S)  # noqa: B023
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    """Measure, draw and write."""
    import matplotlib.pyplot as plt

    warnings.filterwarnings("ignore")
    results = attributions()
    with figure_style():
        figure = invariance(results)
        figure.savefig(Path(__file__).parent / "figures" / "disguises.png", dpi=130, metadata={"Software": None})
        plt.close(figure)
    methods = next(iter(results.values()))[0].coords["method"]
    random = next(iter(results.values()))[0].arrays["random"].values
    change = np.fmax.reduce([largest(some) for some in results.values()])
    names = [f"`{method}`{' †' if drawn else ''}" for method, drawn in zip(methods, random, strict=True)]
    write({"methods": table("method", dict(zip(names, change.tolist(), strict=True)))})
    rows = {name: [row[kind] for kind in DISGUISES] for name, row in sorted(measures().items())}
    write({"measures": table("measure", rows)})


if __name__ == "__main__":
    main()
