"""Measure how far images may change before the answer does: writes tables of docs/probes.md, and draws the figure.

``python docs/make_radii.py`` takes a few minutes on two cores; results are kept in the store (the variable ``TMI_STORE``, or the
folder ``tmi-store``), the trained networks too, which other programs share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blocks import corrected, digits, over_seeds, save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_probes.circuits.responsible_neurons import ABLATIONS
from tmi_probes.figures.robustness import radii

PAGE = Path(__file__).with_name("probes.md")
IMAGES = 40
SUITE = {
    "name": "radii",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion"}},
    "networks": {"theorem1": {"use": "theorem1"}, "cnn": {"use": "cnn"}},
    "probes": {
        "attack": {"use": "attack", "images": IMAGES},
        "ablated": {"use": "responsible-neurons", "images": IMAGES},
    },
}
NETWORKS = {"theorem1": "Theorem 1", "cnn": "trained, 12 filters"}
LAYERS = {"theorem1": "hidden", "cnn": "conv"}
NORMS = {"l1": "L1", "linf": "L∞"}
COLUMNS = {
    f"{what}, {name}": f"{metric}.{norm}"
    for norm, name in NORMS.items()
    for what, metric in (("proven", "radius_lower"), ("found", "radius_upper"))
}
SIZES = {"keep the logit": "sufficient_logit", "keep the prediction": "sufficient", "change it when ablated": "critical"}


def main() -> None:
    """Compute what is missing, write the blocks and draw the figure, of the first seed."""
    results = tmi.run(SUITE, workers=2)
    write_block(PAGE, "radii", "\n".join([*radius_table(results), "", sentence(results)]))
    write_block(PAGE, "ablations", "\n".join(ablation_table(results)))
    first = {NETWORKS[entry.network]: results.load(entry) for entry in results.select(probe="attack", seed=0)}
    with figure_style():
        save("radii", radii(first, dict(zip(NETWORKS.values(), ("constructed", "trained"), strict=True))))


def radius_table(results: tmi.Results) -> Iterator[str]:
    """Return both bounds of the radius of both networks, in both norms."""
    yield f"| network | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for network, name in NETWORKS.items():
        entries = results.select(network=network, probe="attack")
        yield f"| {name} | {' | '.join(over_seeds(entries.values(metric), digits, low=0.0) for metric in COLUMNS.values())} |"


def ablation_table(results: tmi.Results) -> Iterator[str]:
    """Return how many neurons suffice and how many are critical, by what ablated neurons are set to."""
    yield f"| network | neurons set to | {' | '.join(SIZES)} |"
    yield "|---" * (len(SIZES) + 2) + "|"
    for network, name in NETWORKS.items():
        entries = results.select(network=network, probe="ablated")
        for kind in ABLATIONS:
            cells = (over_seeds(entries.values(f"{size}.{LAYERS[network]}.{kind}"), digits, low=0.0) for size in SIZES.values())
            yield f"| {name} | {kind} | {' | '.join(cells)} |"


def sentence(results: tmi.Results) -> str:
    """Return, by norm, which network a smaller change misleads; in words only where the corrected interval shows it."""
    differences = {}
    for norm, name in NORMS.items():
        first, second = (
            {
                entry.seed: entry.metrics[f"radius_upper.{norm}"]
                for entry in results.select(network=network, probe="attack")
                if f"radius_upper.{norm}" in entry.metrics
            }
            for network in NETWORKS
        )
        differences[name] = statistics.difference(first, second)
    sentences = []
    for name, difference in corrected(differences).items():
        which = list(NETWORKS.values())[int(difference.value > 0)]
        text = f"a smaller change misleads {which}" if difference.shown else "no difference is shown"
        sentences.append(f"In {name} {text} (difference of the medians found {difference}).")
    return " ".join(sentences)


if __name__ == "__main__":
    main()
