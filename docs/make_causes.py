"""Measure what carries the answer: writes the tables of docs/probes.md about causes, and draws their figures.

``python docs/make_causes.py`` takes about ten minutes on two cores, most of them for the training of ten networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from blocks import save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.causes import patching, paths

PAGE = Path(__file__).with_name("probes.md")
SEEDS = range(5)
PAIRS = 100
FEW = 4
"""Pairs where the rest of the network is run once for each of some 6,000 units."""
HIDDEN: dict[str, Any] = {"hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}
TRAINED: dict[str, tuple[dict[str, Any], int]] = {
    "trained, `conv`": ({}, PAIRS),
    "trained with 64 hidden neurons, `conv`": (HIDDEN, FEW),
}
CONSTRUCTED = {
    "Theorem 1, `hidden`": ("theorem1", {}, "hidden"),
    "Theorem 2, `hidden`": ("theorem2", {"realisation": "fused"}, "hidden"),
    "superposed, `mixed`": ("superposed", {}, "mixed"),
}
COLUMNS = {
    "units that differ": "differ.noising.unit",
    "units with 90 % of the effects": "sites_90.noising.unit",
    "share of the largest": "top_share.noising.unit",
    "places with 90 %": "sites_90.noising.place",
    "interaction of units": "interaction.noising.unit",
    "error of attribution patching": "estimate_error.noising.unit",
}
RATES = ("tpr", "fpr", "auc")


def build(builder: str, data: tmi.Dataset, seed: int, settings: dict[str, Any]) -> tmi.Network:
    """Build a network; one that draws nothing takes no seed."""
    seeded = {} if builder.startswith("theorem") else {"seed": seed}
    return tmi.build(builder, data, **seeded, **settings)


def sizes(rows: dict[str, list[dict[str, float]]]) -> str:
    """Return the table of how many sites carry the effects; each row has the metrics of every seed."""
    lines = [f"| {' | '.join(['network, layer', *COLUMNS])} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, metrics in rows.items():
        cells = [over_seeds([found.get(column) for found in metrics]) for column in COLUMNS.values()]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def over_seeds(values: Iterable[float | None]) -> str:
    """Write the mean over seeds with its 95 % interval, or the one value of all; a dash where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if np.ptp(known) < 1e-9:
        return number(known[0])
    found = statistics.over_seeds(known, low=0.0)
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def number(value: float) -> str:
    """Write a number with three digits, a large one as a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rates(rows: list[tuple[str, str, dict[str, list[float | None]]]]) -> str:
    """Return the table of rates; a row has network, sites and the rates of each kind of intervention."""
    kinds = list(rows[0][2])
    lines = [f"| {' | '.join(['network, layer', 'by', *kinds])} |", "|---" * (len(kinds) + 2) + "|"]
    for network, by, found in rows:
        cells = (" / ".join("–" if value is None else f"{value:.3g}" for value in found[kind]) for kind in kinds)
        lines.append(f"| {' | '.join([network, by, *cells])} |")
    return "\n".join(lines)


def rows_of_rates(data: tmi.Dataset) -> list[tuple[str, str, dict[str, list[float | None]]]]:
    """Score patching, its estimate and ablation on the networks whose circuit is known."""
    rows = []
    for name, (builder, settings, layer) in CONSTRUCTED.items():
        network = build(builder, data, 0, settings)
        tile, place = (
            tmi.probe("activation-patching", network, data, seed=0, layer=layer, images=PAIRS, change=change, keep=0).metrics
            for change in ("tile", "place")
        )
        ablated = tmi.probe("ablation", network, data, seed=0, layer=layer, images=PAIRS).metrics
        linear = f"interaction.noising.unit.{layer}" not in tile
        for by in ("unit", "place", "direction"):
            if f"tpr.noising.{by}.{layer}" not in tile:
                continue
            prefix = "" if linear else "estimate_"  # where the logits are linear the estimate is the effect
            found = {
                "patching, tile swapped": [tile.get(f"{rate}.noising.{by}.{layer}") for rate in RATES],
                "patching, tile moved": [place.get(f"{rate}.noising.{by}.{layer}") for rate in RATES],
                "its estimate, tile swapped": [tile.get(f"{prefix}{rate}.noising.{by}.{layer}") for rate in RATES],
                "its estimate, tile moved": [place.get(f"{prefix}{rate}.noising.{by}.{layer}") for rate in RATES],
                "ablation": [ablated.get(f"{rate}.{by}.{layer}") for rate in RATES],
            }
            rows.append((name, by, found))
    return rows


def main() -> None:
    """Measure, write and draw."""
    warnings.simplefilter("ignore")
    kept: dict[str, tmi.Network] = {}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*CONSTRUCTED, *TRAINED)}
    rows |= {f"untrained: {name}": [] for name in TRAINED}
    for seed in SEEDS:
        data = tmi.generate("fashion", seed=seed, source="sample")
        for name, (builder, settings, layer) in CONSTRUCTED.items():
            result = tmi.probe("activation-patching", build(builder, data, seed, settings), data, seed=seed, layer=layer, keep=0)
            rows[name].append(without_layer(result.metrics))
        for name, (settings, pairs) in TRAINED.items():
            network = build("cnn", data, seed, settings)
            result = tmi.probe("activation-patching", network, data, seed=seed, layer="conv", images=pairs)
            found = without_layer(result.metrics)
            rows[name].append(found)
            rows[f"untrained: {name}"].append(
                {key.removesuffix(".untrained"): value for key, value in found.items() if key.endswith(".untrained")}
            )
            if seed == 0:
                kept[name] = network
    write_block(PAGE, "causes: sizes", sizes(rows))
    data = tmi.generate("fashion", seed=0, samples=1, source="sample")
    write_block(PAGE, "causes: rates", rates(rows_of_rates(data)))
    draw(kept["trained with 64 hidden neurons, `conv`"], tmi.generate("fashion", seed=0, source="sample"))


def without_layer(metrics: Any) -> dict[str, float]:
    """Return metrics by their names without the layer, a control's name last."""
    layers = ("hidden", "mixed", "conv")
    return {".".join(part for part in name.split(".") if part not in layers): value for name, value in metrics.items()}


def draw(trained: tmi.Network, data: tmi.Dataset) -> None:
    """Draw the figures of seed 0."""
    networks = {
        "Theorem 1, hidden": (tmi.build("theorem1", data), "hidden"),
        "superposed, mixed": (tmi.build("superposed", data, seed=0), "mixed"),
        "trained with 64, conv": (trained, "conv"),
    }
    patched, ablated = (
        {name: tmi.probe(probe, network, data, seed=0, layer=layer, images=8) for name, (network, layer) in networks.items()}
        for probe in ("activation-patching", "ablation")
    )
    with figure_style():
        save("causes-patching", patching(patched, data.task))
        save("causes-paths", paths(ablated))


if __name__ == "__main__":
    main()
