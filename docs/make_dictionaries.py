"""Dictionaries and superposition of the trained network of section 6.2: writes two parts of docs/probes.md and two figures.

``python docs/make_dictionaries.py`` takes some minutes on two cores; results are kept in the store (the variable ``TMI_STORE``,
or the folder ``tmi-store``). Networks, data and settings of the fits are those of suite ``monosemanticity``, so that what that
suite has computed is taken from the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blocks import by_direction, corrected, interval, over_seeds, save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.directions import sparsity_frontier
from tmi_probes.figures.layers import CODES, dictionaries

PAGE = Path(__file__).with_name("probes.md")
FIT = {
    "use": "dictionary",
    "images": 300,
    "train_images": 600,
    "atoms": 64,
    "steps": 600,
    "active": [4, 1],
    "penalties": [0.1, 0.3],
}
SUITE = {
    "name": "dictionaries",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion", "tiles_per_class": 1}},
    "networks": {"trained": {"use": "cnn", "filters": 12, "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}},
    "probes": {
        "hidden": FIT,
        "conv": FIT | {"layer": "conv"},
        "means": FIT | {"layer": "conv", "maps": "mean"},
        "superposition": {"use": "superposition", "images": 300},
    },
}
LAYERS = {"hidden": "hidden", "conv": "conv, places", "means": "conv, means of the maps"}
FEATURES = {"tile": "tile", "tile-place": "tile at a place"}
LEARNT = ("top-k", "l1", "gated", "jump-relu", "dictionary-learning", "nmf")
TRIVIAL = ("k-means", "ica", "pca", "random", "projections")


def values(results: tmi.Results, probe: str, metric: str) -> dict[int, float]:
    """Return a metric by seed."""
    return {entry.seed: entry.metrics[metric] for entry in results.select(probe=probe) if metric in entry.metrics}


def cases(results: tmi.Results) -> dict[tuple[str, str], str]:
    """Return the layers and kinds of feature that have scores, and what they are called."""
    return {
        (probe, kind): f"{layer}: {feature}"
        for probe, layer in LAYERS.items()
        for kind, feature in FEATURES.items()
        if len(values(results, probe, f"mcc.{kind}.units")) > 1
    }


def rows(results: tmi.Results) -> Iterator[str]:
    """Return the table: MCC of every code, mean over the seeds with its interval, and the controls of the units."""
    found = cases(results)
    yield f"| codes | {' | '.join(found.values())} |"
    yield "|---" * (len(found) + 1) + "|"
    names = {name: CODES[name] for name in ("units", *LEARNT, *TRIVIAL, "supervised")}
    names |= {"units.chance.high": "units, shuffled: 97.5 %", "units.untrained": "units before training"}
    for name, about in names.items():
        cells = [over_seeds(values(results, probe, f"mcc.{kind}.{name}"), low=0, high=1) for probe, kind in found]
        yield f"| {about} | {' | '.join(cells)} |"


def sentences(results: tmi.Results) -> Iterator[str]:
    """Say by rule what codes find beside units, trivial codes, shuffled features and the network before training.

    Each question has differences that are paired by seed, and corrected for all of its comparisons (Holm). The best trivial code
    is the one of the greatest mean, which is chosen from the same seeds: that makes it harder to be above it, not easier.
    """
    found = cases(results)
    of = {
        (case, name): values(results, case[0], f"mcc.{case[1]}.{name}")
        for case in found
        for code in ("units", *LEARNT, *TRIVIAL)
        for control in ("", ".chance", ".untrained")
        if (name := f"{code}{control}")
    }
    best = {case: max(TRIVIAL, key=lambda code: _mean(of[case, code])) for case in found}
    codes = ("units", *LEARNT)
    questions = {
        "Learnt dictionaries beside the units": (LEARNT, "units"),
        "Learnt dictionaries beside the best trivial code": (LEARNT, "trivial"),
        "Codes beside shuffled features": ((*codes, *TRIVIAL), "{}.chance"),
        "Codes after training beside before": (codes, "{}.untrained"),
    }
    for question, (asked, other) in questions.items():
        pairs = {
            (case, code): (of[case, code], of[case, best[case] if other == "trivial" else other.format(code)])
            for case in found
            for code in asked
        }
        differences = {
            named: statistics.difference(first, second)
            for named, (first, second) in pairs.items()
            if len(first.keys() & second.keys()) > 1
        }
        if len(differences) < len(pairs):
            raise ValueError(f"{question}: {pairs.keys() - differences.keys()} have no values of several seeds")
        shown = corrected(differences)
        for case, called in found.items():
            told = {CODES[code]: estimate for (where, code), estimate in shown.items() if where == case}
            beside = f" ({CODES[best[case]]})" if other == "trivial" else ""
            yield f"- {question}{beside}, {called}: {by_direction(told)}."


def _mean(by_seed: dict[int, float]) -> float:
    return sum(by_seed.values()) / len(by_seed) if by_seed else -1.0


def superposed(results: tmi.Results) -> str:
    """Return D_i of tiles by layer beside untrained and shuffled, with differences paired by seed and corrected, and in words."""
    layers = ("conv", "hidden", "logits")
    of = {
        (layer, control): values(results, "superposition", f"feature_dimensionality.tile.{layer}{control}")
        for layer in layers
        for control in ("", ".untrained", ".chance")
    }
    others = {".untrained": "before training", ".chance": "shuffled images"}
    shown = corrected(
        {(layer, control): statistics.difference(of[layer, ""], of[layer, control]) for control in others for layer in layers}
    )
    lines = ["| layer | trained | before training | shuffled | trained less before | trained less shuffled |", "|---" * 6 + "|"]
    for layer in layers:
        cells = [over_seeds(of[layer, control], low=0, high=1) for control in ("", *others)]
        cells += [interval(shown[layer, control]) for control in others]
        lines.append(f"| {layer} | {' | '.join(cells)} |")
    lines.append("")
    for control, called in others.items():
        lines.append(f"- Trained beside {called}: {by_direction({layer: shown[layer, control] for layer in layers})}.")
    return "\n".join(lines)


def main() -> None:
    """Compute what is missing, write the part of the page, and draw its figures."""
    results = tmi.run(SUITE, workers=2)
    write_block(PAGE, "dictionaries", "\n".join([*rows(results), "", *sentences(results)]))
    write_block(PAGE, "superposition: untrained", superposed(results))
    first = {LAYERS[entry.probe]: results.load(entry) for entry in results.select(seed=0) if entry.probe in LAYERS}
    with figure_style():
        save("dictionaries", dictionaries(first, dict.fromkeys(first, "trained")))
        save("dictionary-frontier", sparsity_frontier(first, "mcc.tile"))


if __name__ == "__main__":
    main()
