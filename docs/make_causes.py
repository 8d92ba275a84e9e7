"""Measure what carries the answer: writes the tables of docs/probes.md about causes, and draws their figures.

``python docs/make_causes.py`` takes some minutes on two cores; results are kept in the store (the variable ``TMI_STORE``, or the
folder ``tmi-store``), the trained networks too, which other programs share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blocks import by_direction, digits, interval, over_seeds, save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.causes import patching, paths

PAGE = Path(__file__).with_name("probes.md")
FEW = 4
"""Pairs where the rest of the network is run once for each of some 6,000 units."""
CONSTRUCTED: dict[str, Any] = {
    "theorem1": {"use": "theorem1"},
    "theorem2": {"use": "theorem2", "realisation": "fused"},
    "superposed": {"use": "superposed"},
}
PATCHING: dict[str, Any] = {"use": "activation-patching", "images": 100}
ABLATION: dict[str, Any] = {"use": "ablation", "images": 100}
SIZES: dict[str, Any] = {
    "name": "causes",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion"}},
    "networks": {
        **CONSTRUCTED,
        "cnn": {"use": "cnn"},
        "hidden": {"use": "cnn", "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50},
    },
    "probes": {
        "patching": PATCHING,
        "patching-mixed": PATCHING | {"layer": "mixed"},
        "patching-conv": PATCHING | {"layer": "conv", "images": FEW},
    },
    "only": [
        {"network": ["theorem1", "theorem2", "cnn"], "probe": "patching"},
        {"network": "superposed", "probe": "patching-mixed"},
        {"network": "hidden", "probe": "patching-conv"},
    ],
}
"""Patching of a swapped tile, five seeds, each network with its layer; by default that is the last before the logits."""
RATES: dict[str, Any] = SIZES | {
    "name": "causes-rates",
    "seeds": [0],
    "networks": CONSTRUCTED,
    "probes": {
        f"{name}{mixed}": settings | ({"layer": "mixed"} if mixed else {})
        for name, settings in (("patching", PATCHING), ("moved", PATCHING | {"change": "place"}), ("ablation", ABLATION))
        for mixed in ("", "-mixed")
    },
    "only": [
        {"network": "theorem*", "probe": ["patching", "moved", "ablation"]},
        {"network": "superposed", "probe": "*-mixed"},
    ],
}
"""What is scored against the known circuit, one seed."""
DRAWN: dict[str, Any] = SIZES | {
    "name": "causes-drawn",
    "seeds": [0],
    "networks": {network: SIZES["networks"][network] for network in ("theorem1", "superposed", "hidden")},
    "probes": {
        f"{name}{layer and '-'}{layer}": settings | ({"layer": layer} if layer else {})
        for name, settings in (("patching", PATCHING | {"images": FEW}), ("ablation", ABLATION | {"images": 8}))
        for layer in ("", "mixed", "conv")
    },
    "only": [
        {"network": "theorem1", "probe": ["patching", "ablation"]},
        {"network": "superposed", "probe": "*-mixed"},
        {"network": "hidden", "probe": "*-conv"},
    ],
}
"""What the figures show: the same pairs and images of all networks, one seed."""

ROWS = {
    "Theorem 1, `hidden`": ("theorem1", "patching", "hidden"),
    "Theorem 2, `hidden`": ("theorem2", "patching", "hidden"),
    "superposed, `mixed`": ("superposed", "patching-mixed", "mixed"),
    "trained, `conv`": ("cnn", "patching", "conv"),
    "trained with 64 hidden neurons, `conv`": ("hidden", "patching-conv", "conv"),
}
"""The rows of the table of sizes: network, probe and layer."""
COLUMNS = {
    "units that differ": "differ.noising.unit",
    "units with 90 % of the effects": "sites_90.noising.unit",
    "share of the largest": "top_share.noising.unit",
    "places with 90 %": "sites_90.noising.place",
    "interaction of units": "interaction.noising.unit",
    "error of attribution patching": "estimate_error.noising.unit",
}
SCORES = ("tpr", "fpr", "auc")

Sizes = dict[str, dict[str, dict[int, float]]]
"""By row and column, the value of each seed."""


def sizes(results: tmi.Results) -> Sizes:
    """Return the values of each row and column by seed; trained networks have a further row, before training."""
    found: Sizes = {}
    for name, (network, probe, layer) in ROWS.items():
        entries = results.select(network=network, probe=probe)
        for row, control in ((name, ""), (f"untrained: {name}", ".untrained")):
            values = {
                column: {e.seed: e.metrics[metric] for e in entries if (metric := f"{begin}.{layer}{control}") in e.metrics}
                for column, begin in COLUMNS.items()
            }
            if any(values.values()):
                found[row] = values
    return found


def size_table(found: Sizes) -> Iterator[str]:
    """Return the table of how many sites carry the effects."""
    yield f"| {' | '.join(['network, layer', *COLUMNS])} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name, values in found.items():
        yield f"| {' | '.join([name, *(over_seeds(values[column], digits, low=0.0) for column in COLUMNS)])} |"


def differences(found: Sizes) -> dict[str, dict[str, statistics.Estimate]]:
    """Return how each trained network differs from Theorem 1 and from itself before training, column by column.

    Differences are paired by seed, and corrected by Holm's method for all of them together.
    """
    first = next(iter(ROWS))
    compared = {}
    for name, values in found.items():
        for other, called in ((f"untrained: {name}", "before training"), (first, "Theorem 1")):
            if f"untrained: {name}" not in found:
                continue
            for column in COLUMNS:
                pair = values[column], found[other][column]
                if len(pair[0].keys() & pair[1].keys()) > 1:
                    compared[name, called, column] = statistics.difference(*pair)
    by_pair: dict[str, dict[str, statistics.Estimate]] = {}
    shown = statistics.corrected([*compared.values()])
    for (name, called, column), difference in zip(compared, shown, strict=True):
        by_pair.setdefault(f"{name}, less {called}", {})[column] = difference
    return by_pair


def difference_table(by_pair: dict[str, dict[str, statistics.Estimate]]) -> Iterator[str]:
    """Return the table of differences, and each row in words by rule."""
    yield f"| difference | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for pair, columns in by_pair.items():
        cells = (interval(columns[column], signed) if column in columns else "–" for column in COLUMNS)
        yield f"| {pair} | {' | '.join(cells)} |"
    yield ""
    yield from (f"- {pair}: {by_direction(columns)}." for pair, columns in by_pair.items())


def signed(value: float) -> str:
    """Write a number as `digits` does, with its sign."""
    return f"{'+' if value > 0 else ''}{digits(value)}"


def rates(results: tmi.Results) -> Iterator[str]:
    """Return the table of rates against the known circuit, by network and kind of site."""
    kinds = [f"{what}, tile {change}" for what in ("patching", "its estimate") for change in ("swapped", "moved")] + ["ablation"]
    yield f"| {' | '.join(['network, layer', 'by', *kinds])} |"
    yield "|---" * (len(kinds) + 2) + "|"
    for name, (network, probe, layer) in ROWS.items():
        if network not in CONSTRUCTED:
            continue
        mixed = probe.removeprefix("patching")
        swapped, moved, ablated = (
            next(iter(results.select(network=network, probe=f"{what}{mixed}"))).metrics
            for what in ("patching", "moved", "ablation")
        )
        # Where the logits are linear in the layer the estimate is the effect.
        estimate = "" if f"interaction.noising.unit.{layer}" not in swapped else "estimate_"
        for by in ("unit", "place", "direction"):
            if f"tpr.noising.{by}.{layer}" in swapped:
                where = f"noising.{by}.{layer}"
                read = [(of, f"{begin}{{}}.{where}") for begin in ("", estimate) for of in (swapped, moved)]
                read.append((ablated, f"{{}}.{by}.{layer}"))
                cells = [" / ".join(_rate(of.get(metric.format(score))) for score in SCORES) for of, metric in read]
                yield f"| {' | '.join([name, by, *cells])} |"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def main() -> None:
    """Compute what is missing, write the tables and draw the figures, of the first seed."""
    results, scored, drawn = (tmi.run(suite, workers=2) for suite in (SIZES, RATES, DRAWN))
    found = sizes(results)
    write_block(PAGE, "causes: sizes", "\n".join(size_table(found)))
    write_block(PAGE, "causes: differences", "\n".join(difference_table(differences(found))))
    write_block(PAGE, "causes: rates", "\n".join(rates(scored)))
    draw(drawn)


def draw(results: tmi.Results) -> None:
    """Draw the figures."""
    called = {"theorem1": "Theorem 1, hidden", "superposed": "superposed, mixed", "hidden": "trained with 64, conv"}
    found = {(entry.network, entry.probe.partition("-")[0]): results.load(entry) for entry in results}
    patched, ablated = ({name: found[network, probe] for network, name in called.items()} for probe in ("patching", "ablation"))
    task = tmi.generate("fashion", seed=0, samples=1, test_samples=1).task
    with figure_style():
        save("causes-patching", patching(patched, task))
        save("causes-paths", paths(ablated))


if __name__ == "__main__":
    main()
