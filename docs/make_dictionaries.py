"""Dictionaries and superposition of the trained network of section 6.2: writes two parts of docs/probes.md and two figures.

``python docs/make_dictionaries.py`` takes about half an hour on two cores; results are kept in the store (the variable
``TMI_STORE``, or the folder ``tmi-store``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blocks import save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.directions import sparsity_frontier
from tmi_probes.figures.layers import CODES, dictionaries

PAGE = Path(__file__).with_name("probes.md")
FIT = {"use": "dictionary", "images": 500, "train_images": 1000, "steps": 800, "active": [4, 1], "penalties": [0.1, 0.3]}
SUITE = {
    "name": "dictionaries",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion", "sweep": {"tiles_per_class": [1, 3]}}},
    "networks": {"trained": {"use": "cnn", "filters": 12, "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}},
    "probes": {
        "hidden": {**FIT, "layer": "hidden"},
        "conv": {**FIT, "layer": "conv"},
        "means": {**FIT, "layer": "conv", "maps": "mean"},
        "superposition": {"use": "superposition", "images": 300, "features": ["tile"]},
    },
}
LAYERS = {"hidden": "hidden", "conv": "conv, places", "means": "conv, means of the maps"}
FEATURES = {"tile": "tile", "tile-place": "tile at a place"}
LEARNT = ("top-k", "l1", "gated", "jump-relu", "dictionary-learning", "nmf")
TRIVIAL = ("k-means", "ica", "pca", "random", "projections")


def values(results: tmi.Results, probe: str, tiles: int, metric: str) -> dict[int, float]:
    """Return a metric by seed."""
    chosen = [e for e in results.select(probe=probe) if e.swept["tiles_per_class"] == tiles and metric in e.metrics]
    return {entry.seed: entry.metrics[metric] for entry in chosen}


def rows(results: tmi.Results) -> Iterable[str]:
    """Return the table: MCC of every code, mean over the seeds with its interval."""
    names = ["units", *LEARNT, *TRIVIAL, "supervised"]
    cases = [(probe, tiles, kind) for probe in LAYERS for tiles in (1, 3) for kind in FEATURES]
    cases = [case for case in cases if values(results, case[0], case[1], f"mcc.{case[2]}.units")]
    yield "| codes | " + " | ".join(f"{LAYERS[p]}, k = {t}: {FEATURES[kind]}" for p, t, kind in cases) + " |"
    yield "|---" * (len(cases) + 1) + "|"
    for name in names:
        cells = [_cell(values(results, p, t, f"mcc.{kind}.{name}")) for p, t, kind in cases]
        yield f"| {CODES[name]} | {' | '.join(cells)} |"
    for control, about in (("chance.high", "units, shuffled: 97.5 %"), ("untrained", "units before training")):
        cells = [_cell(values(results, p, t, f"mcc.{kind}.units.{control}")) for p, t, kind in cases]
        yield f"| {about} | {' | '.join(cells)} |"


def _cell(by_seed: dict[int, float]) -> str:
    if len(by_seed) < 2:
        return "–"
    found = statistics.over_seeds(by_seed, low=0, high=1)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def sentences(results: tmi.Results) -> Iterable[str]:
    """Say by rule where learnt dictionaries find more than the units, and more than the best trivial code.

    More means that the interval of the paired difference over the seeds, corrected for all comparisons of the list (Holm), is
    above 0.
    """
    compared: list[tuple[str, str, str, statistics.Estimate]] = []
    for probe, layer in LAYERS.items():
        for tiles in (1, 3):
            for kind, feature in FEATURES.items():
                by_name = {n: values(results, probe, tiles, f"mcc.{kind}.{n}") for n in ("units", *LEARNT, *TRIVIAL)}
                if len(by_name["units"]) < 2:
                    continue
                mean = {n: sum(v.values()) / len(v) for n, v in by_name.items() if v}
                best = max((n for n in TRIVIAL if n in mean), key=mean.__getitem__)
                for learnt in (n for n in LEARNT if n in mean):
                    for other in ("units", best):
                        found = statistics.difference(by_name[learnt], by_name[other])
                        compared.append((f"{layer}, k = {tiles}, {feature}", learnt, other, found))
    corrected = statistics.corrected([found for *_, found in compared])
    for where in dict.fromkeys(case for case, *_ in compared):
        more: dict[str, list[str]] = {"units": [], "trivial": []}
        best = next(o for case, _, o, _ in compared if case == where and o != "units")
        for (case, learnt, other, _), found in zip(compared, corrected, strict=True):
            if case == where and found.shown and found.value > 0:
                more["units" if other == "units" else "trivial"].append(CODES[learnt])
        than_units, than_best = (", ".join(more[key]) or "none" for key in ("units", "trivial"))
        yield f"- **{where}**: more than the units: {than_units}; more than {CODES[best]}, the best trivial code: {than_best}."


def superposed(results: tmi.Results) -> str:
    """Return D_i of tiles by layer, before and after training, with the difference paired by seed and corrected (Holm)."""
    layers = ("conv", "hidden", "logits")
    of = {
        (layer, control): values(results, "superposition", 1, f"feature_dimensionality.tile.{layer}{control}")
        for layer in layers
        for control in ("", ".untrained", ".chance")
    }
    changes = statistics.corrected([statistics.difference(of[layer, ""], of[layer, ".untrained"]) for layer in layers])
    lines = ["| layer | trained | before training | shuffled | trained less before | trained is |", "|---|---|---|---|---|---|"]
    for layer, change in zip(layers, changes, strict=True):
        cells = [_cell(of[layer, control]) for control in ("", ".untrained", ".chance")]
        interval = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
        lines.append(f"| {layer} | {' | '.join(cells)} | {interval} | {change.direction} |")
    return "\n".join(lines)


def main() -> None:
    """Compute what is missing, write the part of the page, and draw its figures."""
    results = tmi.run(SUITE, workers=2)
    write_block(PAGE, "dictionaries", "\n".join([*rows(results), "", *sentences(results)]))
    write_block(PAGE, "superposition: untrained", superposed(results))
    first = {
        LAYERS[probe]: results.load(entry)
        for probe in LAYERS
        for entry in results.select(probe=probe, seed=0)
        if entry.swept["tiles_per_class"] == 1
    }
    with figure_style():
        save("dictionaries", dictionaries(first, dict.fromkeys(first, "trained")))
        save("dictionary-frontier", sparsity_frontier(first, "mcc.tile"))


if __name__ == "__main__":
    main()
