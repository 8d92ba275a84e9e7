"""Measure what docs/datasets.md says of tetrominoes and of hierarchy: writes its tables and sentences, draws its figure.

``python docs/make_datasets.py`` takes ten minutes on one core; results of tetrominoes are kept in the store (the variable
``TMI_STORE``, or the folder ``tmi-store``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from blocks import by_direction, corrected, over_seeds, save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import CONSTRUCTED, PALETTE, figure_style
from tmi_attribution.learnt import has_learnt
from tmi_datasets.hierarchy import feature_recovery

PAGE = Path(__file__).with_name("datasets.md")
SEEDS = [0, 1, 2, 3, 4]
CONTROLS = {"random": "random", "sobel": "Sobel", "laplace": "Laplace"}
METHODS = ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "guided-backprop"]
SCENARIOS = ["linear", "multiplicative", "rotated", "xor"]
SUITE = {
    "name": "tetrominoes",
    "seeds": SEEDS,
    "datasets": {"tetrominoes": {"use": "tetrominoes", "sweep": {"scenario": SCENARIOS}}},
    "networks": {"mlp": {"use": "mlp"}},
    "probes": {
        "accuracy": {"use": "accuracy"},
        "bench": {
            "use": "attribution-bench",
            "images": 100,
            "measures": ["top-k"],
            "sweep": {"method": [*METHODS, *CONTROLS]},
        },
    },
}
METRIC = "top_k"


def main() -> None:
    """Compute what is missing, write the blocks and draw the figure."""
    with figure_style():
        save("tetrominoes", draw(), 130)
    results = tmi.run(SUITE)
    write_block(PAGE, "tetrominoes", "\n".join([*order_table(results), "", sentence(results)]))
    found = recoveries()
    write_block(PAGE, "hierarchy", "\n".join([*recovery_table(found), "", recovery_sentence(found)]))


def draw() -> Any:
    """Return a figure with images of each scenario and of hierarchy, four of each class, the tile's support marked."""
    import matplotlib.pyplot as plt

    rows = {
        scenario: tmi.generate("tetrominoes", seed=0, scenario=scenario, samples=40, test_samples=1) for scenario in SCENARIOS
    }
    rows["hierarchy"] = tmi.generate("hierarchy", seed=0, samples=60, test_samples=1)
    figure, axes = plt.subplots(len(rows), 8, figsize=(7.2, 4.9), layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for (name, data), row in zip(rows.items(), axes, strict=True):
        row[0].set_ylabel(name)
        for label, colour in enumerate((CONSTRUCTED, PALETTE[1])):
            shown = data.train[(data.train.labels == label).numpy()][:4]
            for i, axis in enumerate(row[4 * label : 4 * label + 4]):
                axis.imshow(shown.images[i, 0], vmin=0, vmax=1)
                limits = axis.axis()
                fine = np.kron(np.pad(shown.masks[i], 1), np.ones((20, 20)))  # so that the outline follows the pixels' edges
                place = (np.arange(len(fine)) + 0.5) / 20 - 1.5
                axis.contour(place, place, fine, levels=[0.5], colors=colour, linewidths=1.4)
                axis.axis(limits)
            row[4 * label].set_title(f"class {data.task.class_names[label]}", loc="left", fontsize=8, pad=2)
    return figure


def by_seed(results: tmi.Results, scenario: str, method: str) -> dict[int, float]:
    """Return the precision of a method in every seed whose run learnt the task."""
    accuracies = results.select(probe="accuracy", scenario=scenario)
    learnt = {entry.seed for entry in accuracies if has_learnt(entry.metrics)}
    entries = results.select(probe="bench", scenario=scenario, method=method)
    return {entry.seed: entry.metrics[METRIC] for entry in entries if entry.seed in learnt and METRIC in entry.metrics}


def order_table(results: tmi.Results) -> Iterator[str]:
    """Return the precision of each method on each scenario."""
    yield f"| method | {' | '.join(SCENARIOS)} |"
    yield "|---" * (len(SCENARIOS) + 1) + "|"
    for method in [*METHODS, *CONTROLS]:
        cells = (over_seeds(by_seed(results, scenario, method), low=0.0, high=1.0) for scenario in SCENARIOS)
        yield f"| {CONTROLS.get(method, f'`{method}`')} | {' | '.join(cells)} |"
    accuracies = (results.select(probe="accuracy", scenario=scenario).values("accuracy") for scenario in SCENARIOS)
    yield f"| accuracy of the network | {' | '.join(over_seeds(values, low=0.0, high=1.0) for values in accuracies)} |"


def sentence(results: tmi.Results) -> str:
    """Say for each scenario which methods are shown to be better on the trained network than each of the controls."""
    runs = {scenario: len(by_seed(results, scenario, "random")) for scenario in SCENARIOS}
    known = [scenario for scenario in SCENARIOS if runs[scenario] > 1]
    differences = {
        (scenario, method, control): statistics.difference(
            by_seed(results, scenario, method), by_seed(results, scenario, control)
        )
        for scenario in known
        for method in METHODS
        for control in CONTROLS
    }
    shown = corrected(differences)
    lines = ["By intervals over the seeds whose run learnt its task, after Holm's correction:", ""]
    for scenario in SCENARIOS:
        better = [m for m in METHODS if scenario in known and all(shown[scenario, m, c].direction == "higher" for c in CONTROLS)]
        worse = [m for m in METHODS if scenario in known and any(shown[scenario, m, c].direction == "lower" for c in CONTROLS)]
        lines.append(
            f"- {scenario}, {runs[scenario]} of {len(SEEDS)} runs: shown to be better than all three controls: "
            f"{', '.join(better) or 'none'}; shown to be worse than one: {', '.join(worse) or 'none'}."
        )
    return "\n".join(lines)


def recoveries() -> dict[str, list[pd.DataFrame]]:
    """Return the recovery of features by Theorem 2 and by a perceptron on the grammars of all seeds."""
    found: dict[str, list[pd.DataFrame]] = {"Theorem 2": [], "perceptron": []}
    for seed in SEEDS:
        data = tmi.generate("hierarchy", seed=seed, margin=0, test_samples=500)
        for name, network in (("Theorem 2", tmi.build("theorem2", data)), ("perceptron", tmi.build("mlp", data, seed=seed))):
            found[name].append(feature_recovery(network, data))
    return found


def recovery_table(found: dict[str, list[pd.DataFrame]]) -> Iterator[str]:
    """Return the area of the best unit for each layer."""
    columns = {
        "level 0, features": ("feature", 0),
        "level 1, features": ("feature", 1),
        "level 1, productions": ("production", 1),
        "classes": ("feature", 2),
        "chance, level 1": ("chance", 1),
    }
    yield f"| network | layer | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 2) + "|"
    for name, tables in found.items():
        for layer in tables[0].index.unique("layer"):
            cells = (
                over_seeds([float(table.loc[(layer, level), column]) for table in tables], low=0.0, high=1.0)
                for column, level in columns.values()
            )
            yield f"| {name} | `{layer}` | {' | '.join(cells)} |"


def recovery_sentence(found: dict[str, list[pd.DataFrame]]) -> str:
    """Say in which layers the best units tell features of level 1 better, or worse, than their productions."""
    differences = {
        f"{name}'s `{layer}`": statistics.difference(
            *(
                {seed: float(table.loc[(layer, 1), column]) for seed, table in zip(SEEDS, tables, strict=True)}
                for column in ("feature", "production")
            )
        )
        for name, tables in found.items()
        for layer in tables[0].index.unique("layer")
    }
    return (
        "The best unit for a feature of level 1 against the best unit for a production of it, by intervals over seeds after "
        f"Holm's correction: {by_direction(corrected(differences))}."
    )


if __name__ == "__main__":
    main()
