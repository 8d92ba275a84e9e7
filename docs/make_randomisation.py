"""Measure which attribution methods depend on the weights: writes the table of docs/probes.md and docs/attribution.md.

It also draws the figure of docs/probes.md. ``python docs/make_randomisation.py`` takes some minutes on two cores; results are
kept in the store (the variable ``TMI_STORE``, or the folder ``tmi-store``).
"""

from __future__ import annotations

from pathlib import Path

from blocks import save, write_block
from make_attribution import markdown

import tmi
from tmi.runtime.plotting import figure_style
from tmi_attribution import tables
from tmi_attribution.figures_randomisation import similarity_by_layer
from tmi_attribution.learnt import learnt_runs

PAGES = ("probes.md", "attribution.md")
METHODS = ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "lrp", "guided-backprop", "deconvolution"]
METHODS += ["grad-cam", "guided-grad-cam", "sobel", "oracle"]
SUITE = {
    "name": "randomisation",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion", "tiles_per_class": 1}},
    "networks": {"cnn": {"use": "cnn", "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}},
    "probes": {
        "accuracy": {"use": "accuracy", "images": 200},
        "randomisation": {"use": "randomisation", "images": 20, "sweep": {"method": METHODS}},
    },
}


def main() -> None:
    """Write the table into both pages and draw the figure."""
    results, _ = learnt_runs(tmi.run(SUITE))
    table = "\n".join(markdown(*tables.randomisation(results)))
    for page in PAGES:
        write_block(Path(__file__).with_name(page), "randomisation: methods", table)
    entries = [entry for entry in results if entry.probe == "randomisation" and entry.status == "ok"]
    loaded = {method: [results.load(entry) for entry in entries if entry.swept["method"] == method] for method in METHODS}
    with figure_style():
        save("randomisation", similarity_by_layer(loaded))


if __name__ == "__main__":
    main()
