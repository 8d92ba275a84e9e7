"""Measure which attribution methods depend on the weights: writes the table of docs/probes.md and draws its figure.

``python docs/make_randomisation.py`` takes some minutes on two cores; results are kept in the store (the variable ``TMI_STORE``,
or the folder ``tmi-store``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from blocks import save, write_block

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_attribution.figures_randomisation import similarity_by_layer

PAGE = Path(__file__).with_name("probes.md")
METHODS = ["saliency", "input-x-gradient", "deeplift", "lrp", "guided-backprop", "deconvolution", "grad-cam", "guided-grad-cam"]
METHODS += ["sobel", "oracle"]
SUITE = {
    "name": "randomisation",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"fashion": {"use": "fashion", "tiles_per_class": 1}},
    "networks": {"cnn": {"use": "cnn", "hidden": 64, "epochs": 10, "lr": 0.1, "batch_size": 50}},
    "probes": {"randomisation": {"use": "randomisation", "images": 20, "sweep": {"method": METHODS}}},
}


def table(results: Mapping[str, Sequence[tmi.ProbeResult]]) -> str:
    """Return the dependence of each method on the weights: means over the seeds, with intervals corrected by Holm's method."""
    scores = {kind: [_over_seeds(some, kind) for some in results.values()] for kind in ("dependence", "signed_dependence")}
    of_others = [
        statistics.difference(*([result.metrics[name] for result in some] for name in ("dependence", "dependence.chance")))
        for some in results.values()
    ]
    against = dict(zip(results, statistics.corrected(of_others), strict=True))
    lines = [
        "| method | dependence of \\|a\\| | maps of other images | dependence is | dependence of a, signed |",
        "|---|---|---|---|---|",
    ]
    for method, plain, signed in zip(results, *scores.values(), strict=True):
        chance = _over_seeds(results[method], "dependence.chance").value
        word = against[method].direction.replace("shown to differ", "shown to differ from theirs")
        lines.append(f"| `{method}` | {_text(plain)} | {chance:.2f} | {word} | {_text(signed)} |")
    return "\n".join(lines)


def _over_seeds(results: Sequence[tmi.ProbeResult], metric: str) -> statistics.Estimate:
    return statistics.over_seeds([result.metrics[metric] for result in results], low=0, high=2)


def _text(estimate: statistics.Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def main() -> None:
    """Write the table and draw the figure."""
    results = tmi.run(SUITE)
    loaded = {method: [results.load(e) for e in results if e.swept["method"] == method] for method in METHODS}
    loaded = {method: [each for each in some if each.applicable] for method, some in loaded.items()}
    write_block(PAGE, "randomisation: methods", table(loaded))
    with figure_style():
        save("randomisation", similarity_by_layer(loaded))


if __name__ == "__main__":
    main()
