"""Draw the screenshots of a report in docs/running.md, in Chromium: ``python docs/make_report.py``.

It runs a small suite that sweeps how long and how wide networks are trained, and opens its page at a desk's and a phone's width.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests.browser

import tmi
from tests.browser import chromium
from tmi.report.page import write

FIGURES = Path(__file__).with_name("figures")

TRAINED = {"use": "cnn", "kernel": 2, "hidden": 0}
SUITE = {
    "name": "how-long",
    "description": "How long one trains, and how many filters there are, beside the network of Theorem 1.",
    "seeds": [0, 1, 2, 3, 4],
    "datasets": {"squares": {"use": "squares", "samples": 200, "test_samples": 100}},
    "networks": {
        "constructed": {"use": "theorem1"},
        "printed": {"use": "printed-squares"},
        "slow": {**TRAINED, "lr": 0.005, "sweep": {"epochs": [1, 5, 20, 100]}},
        "fast": {**TRAINED, "lr": 0.05, "sweep": {"epochs": [1, 5, 20, 100]}},
        "wide": {**TRAINED, "epochs": 20, "sweep": {"filters": [1, 4, 16], "batch_size": [1, 10, 50]}},
    },
    "probes": {"accuracy": {"use": "accuracy"}, "sparsity": {"use": "activation-sparsity"}},
}


def main() -> None:
    """Compute what is missing, write the page, and look at it."""
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        file = write(tmi.run(SUITE), folder)
        page.open(file, width=1280, height=980)
        page.screenshot(FIGURES / "report-light.png")
        page.open(file, width=1280, height=700, dark=True)
        page.evaluate("document.querySelector('#s2 details').open = true")
        page.click("#s2 input[type=search]")
        page.type("accuracy")
        page.evaluate("document.querySelector('#s2').scrollIntoView()")
        page.click("#s2 details table th:nth-child(6) button")
        page.evaluate("document.querySelector('#s2').scrollIntoView()")
        page.screenshot(FIGURES / "report-dark.png")


if __name__ == "__main__":
    main()
