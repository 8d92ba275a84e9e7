"""Measure single neurons of section 6.2 on both samples and by both thresholds: writes tables of docs/probes.md and a figure.

``python docs/make_neurons.py`` takes some minutes on two cores; results are kept in the store (the variable ``TMI_STORE``, or the
folder ``tmi-store``), the trained networks too, which other programs share.
"""

from __future__ import annotations

from pathlib import Path

from blocks import by_direction, corrected, interval, over_seeds, save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.neurons import firing_curves

PAGE = Path(__file__).with_name("probes.md")
SAMPLES = {"test": ("first 300", 300), "design-300": ("300 by design", 300), "design-1000": ("1,000 by design", 1000)}
SUITE = {
    "name": "neurons",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion"}},
    "networks": {
        "theorem1": {"use": "theorem1"},
        "cnn": {"use": "cnn"},
        "hidden": {"use": "cnn", "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50},
    },
    "probes": {
        "selectivity": {"use": "selectivity", "images": 1000},
        **{
            f"recovery-{name}": {
                "use": "unit-recovery",
                "sample": name.partition("-")[0],
                "images": images,
                "features": ["tile-place"],
                "neurons": 5000,
            }
            for name, (_, images) in SAMPLES.items()
        },
    },
}
LAYERS = {("theorem1", "hidden"): "Theorem 1, hidden", ("cnn", "conv"): "section 6.2's network, conv"}
LAYERS |= {("hidden", "conv"): "the network with 64 neurons, conv", ("hidden", "hidden"): "the network with 64 neurons, hidden"}
"""The layers that are shown, and what they are called."""


def recovery_table(results: tmi.Results) -> str:
    """Return how well units are tiles at places, on each sample, beside chance and the network before training."""
    lines = ["| layer | images | F1 | shuffled | before training | MCC | shuffled | before training |", "|---" * 8 + "|"]
    for (network, layer), called in LAYERS.items():
        for name, (images, _) in SAMPLES.items():
            entries = results.select(network=network, probe=f"recovery-{name}")
            cells = [
                over_seeds(entries.values(f"{measure}.tile-place.{layer}{control}"), low=0, high=1)
                for measure in ("f1", "mcc")
                for control in ("", ".chance", ".untrained")
            ]
            lines.append(f"| {called} | {images} | {' | '.join(cells)} |")
    return "\n".join(lines)


def learnt(results: tmi.Results) -> str:
    """Return what training changed on 1,000 images by design: differences paired by seed, corrected, and in words by rule."""
    entries = results.select(probe="recovery-design-1000")
    changes = {}
    for (network, layer), called in LAYERS.items():
        for measure, name in (("f1", "F1"), ("mcc", "MCC")):
            metric = f"{measure}.tile-place.{layer}"
            trained, before = (
                {e.seed: e.metrics[which] for e in entries if e.network == network and which in e.metrics}
                for which in (metric, f"{metric}.untrained")
            )
            if len(trained.keys() & before.keys()) > 1:
                changes[f"{name} of {called}"] = statistics.difference(trained, before)
    shown = corrected(changes)
    lines = ["| measure and layer | trained less before training | trained is |", "|---|---|---|"]
    lines += [f"| {what} | {interval(change)} | {change.direction} |" for what, change in shown.items()]
    return "\n".join([*lines, "", f"After training, beside before: {by_direction(shown)}."])


def firing_table(results: tmi.Results) -> str:
    """Return for how many classes a neuron fires by three thresholds, beside chance and the network before training."""
    head = "| layer | on any image: classes | shuffled | half of a class: classes | shuffled | before training "
    lines = [head + "| beside the best class: classes | shuffled | before training |", "|---" * 9 + "|"]
    for (network, layer), called in LAYERS.items():
        entries = results.select(network=network, probe="selectivity")
        loaded = [results.load(entry) for entry in entries]
        cells = [
            over_seeds((float(result.arrays[f"{name}.{layer}"].values[0, 0]) for result in loaded), low=0, high=10)
            for name in ("firing_curve", "firing_curve_chance")
        ]
        cells += [
            over_seeds(entries.values(f"{measure}.{layer}{control}"), low=0, high=10)
            for measure in ("classes_per_neuron", "classes_relative")
            for control in ("", ".chance", ".untrained")
        ]
        lines.append(f"| {called} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the tables and draw the figure, of the first seed."""
    results = tmi.run(SUITE, workers=2)
    write_block(PAGE, "neurons: recovery", recovery_table(results))
    write_block(PAGE, "neurons: learnt", learnt(results))
    write_block(PAGE, "neurons: firing", firing_table(results))
    names = {"theorem1": "Theorem 1", "hidden": "trained"}
    chosen = {entry.network: entry for entry in results.select(probe="selectivity", seed=0) if entry.network in names}
    shown = {called: results.load(chosen[network]) for network, called in names.items()}
    with figure_style():
        save("firing-curves", firing_curves(shown, {"Theorem 1": "constructed", "trained": "trained"}))


if __name__ == "__main__":
    main()
