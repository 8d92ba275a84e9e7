"""Measure how far images may change before the answer does: writes tables of docs/probes.md, and draws the figure.

``python docs/make_radii.py`` takes a few minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from blocks import save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.circuits.responsible_neurons import ABLATIONS
from tmi_probes.figures.robustness import radii

PAGE = Path(__file__).with_name("probes.md")
SEEDS = range(5)
IMAGES = 40
NETWORKS = {"Theorem 1": "theorem1", "trained, 12 filters": "cnn"}
COLUMNS = {
    f"{what}, {name}": f"{metric}.{norm}"
    for norm, name in (("l1", "L1"), ("linf", "L∞"))
    for what, metric in (("proven", "radius_lower"), ("found", "radius_upper"))
}
SIZES = {"keep the logit": "sufficient_logit", "keep the prediction": "sufficient", "change it when ablated": "critical"}


def main() -> None:
    """Measure, write the blocks and draw the figure."""
    found: dict[str, list[tmi.ProbeResult]] = {name: [] for name in NETWORKS}
    ablated: dict[str, list[tmi.ProbeResult]] = {name: [] for name in NETWORKS}
    for seed in SEEDS:
        data = tmi.generate("fashion", seed=seed)
        for name, builder in NETWORKS.items():
            settings = {"seed": seed} if builder == "cnn" else {"realisation": "fused"}
            network = tmi.build(builder, data, **settings)
            found[name].append(tmi.probe("attack", network, data, seed=seed, images=IMAGES))
            ablated[name].append(tmi.probe("responsible-neurons", network, data, seed=seed, images=IMAGES))
    lines = [f"| network | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, results in found.items():
        lines.append(f"| {name} | {' | '.join(_cell([r.metrics.get(m) for r in results]) for m in COLUMNS.values())} |")
    write_block(PAGE, "radii", "\n".join([*lines, "", _sentence(found)]))
    lines = [f"| network | neurons set to | {' | '.join(SIZES)} |", "|---" * (len(SIZES) + 2) + "|"]
    for name, results in ablated.items():
        layer = "hidden" if NETWORKS[name] == "theorem1" else "conv"
        for kind in ABLATIONS:
            cells = (_cell([r.metrics.get(f"{size}.{layer}.{kind}") for r in results]) for size in SIZES.values())
            lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    write_block(PAGE, "ablations", "\n".join(lines))
    origins = {name: "constructed" if builder == "theorem1" else "trained" for name, builder in NETWORKS.items()}
    with figure_style():
        save("radii", radii({name: results[0] for name, results in found.items()}, origins))


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if np.ptp(known) <= 1e-6 * max(known):
        return f"{known[0]:.3g}"
    estimate = statistics.over_seeds(known)
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _sentence(found: dict[str, list[tmi.ProbeResult]]) -> str:
    """Return, by norm, which network a smaller change misleads; in words only where the corrected interval shows it."""
    names = {"l1": "L1", "linf": "L∞"}
    differences = []
    for norm in names:
        first, second = (dict(zip(SEEDS, [r.metrics[f"radius_upper.{norm}"] for r in of], strict=True)) for of in found.values())
        differences.append(statistics.difference(first, second))
    sentences = []
    for name, difference in zip(names.values(), statistics.corrected(differences), strict=True):
        which = list(NETWORKS)[int(difference.value > 0)]
        text = f"a smaller change misleads {which}" if difference.shown else "no difference is shown"
        sentences.append(f"In {name} {text} (difference of the medians found {difference}).")
    return " ".join(sentences)


if __name__ == "__main__":
    main()
