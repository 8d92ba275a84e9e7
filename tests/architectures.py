"""Every probe and attribution method on the architectures of `tmi_networks.architectures`: it runs, or says why not.

``python -m tests.architectures`` prints both tables; ``--write`` writes them into docs/architectures.md. ``--train`` trains each
architecture with its default settings on the default data of section 6.2, with five seeds, which takes ten minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tmi

from .network_forms import SETTINGS, colour, result_of

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
MARK = "<!-- Written by python -m tests.architectures --write -->"

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [12, 8], "epochs": 20, "lr": 0.002},
    "vgg": {"channels": [4, 6], "convolutions": 1, "epochs": 5, "optimizer": "adam"},
    "resnet": {"channels": [4, 6], "epochs": 6, "optimizer": "adam"},
    "vit": {"patch": 6, "width": 8, "heads": 2, "epochs": 25, "lr": 0.01},
}
"""Settings with which each learns the colour tiles in half a second."""

Rows = dict[str, dict[str, str]]


def networks(data: tmi.Dataset) -> dict[str, tmi.Network]:
    """Return a small trained network of each architecture."""
    return {name: tmi.build(name, data, seed=0, batch_size=25, **settings) for name, settings in SMALL.items()}


def probe_rows(nets: dict[str, tmi.Network], data: tmi.Dataset, names: Iterable[str] | None = None) -> Rows:
    """Return for each probe and architecture why it does not run; an empty text if it does."""
    rows: Rows = {}
    for name in names or tmi.names("probe"):
        settings = {"method": "saliency", "images": 3} if name == "attribution-bench" else SETTINGS.get(name, {})
        rows[name] = {kind: result_of(net, data, name, settings).refusal for kind, net in nets.items()}
    return rows


def method_rows(nets: dict[str, tmi.Network], data: tmi.Dataset, names: Iterable[str] | None = None) -> Rows:
    """Return the same for each attribution method."""
    rows: Rows = {}
    for name in names or tmi.names("method"):
        settings = {"method": name, "images": 2, "measures": ["mass"]}
        rows[name] = {kind: result_of(net, data, "attribution-bench", settings).refusal for kind, net in nets.items()}
    return rows


def as_markdown(rows: Rows, what: str) -> str:
    """Return a table, in which a number stands for a reason, and the reasons."""
    reasons: list[str] = []

    def cell(refusal: str) -> str:
        if not refusal:
            return "runs"
        text = "; ".join(dict.fromkeys(part.removeprefix("refused: ") for part in refusal.split("; ")))
        if text not in reasons:
            reasons.append(text)
        return f"no ({reasons.index(text) + 1})"

    lines = [f"| {what} | " + " | ".join(SMALL) + " |", "|---" * (len(SMALL) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(cell(cells[name]) for name in SMALL) + " |" for row, cells in rows.items()]
    return "\n".join([*lines, "", "Why not:", "", *(f"{number}. {text}" for number, text in enumerate(reasons, 1))])


def page_part() -> str:
    """Return both tables."""
    data = colour()
    nets = networks(data)
    return as_markdown(probe_rows(nets, data), "probe") + "\n\n" + as_markdown(method_rows(nets, data), "attribution method")


def train(seeds: int = 5) -> None:
    """Print the test accuracy and the seconds of one core of each architecture with its default settings."""
    torch.set_num_threads(1)
    data = tmi.generate("fashion", seed=0)
    for name in SMALL:
        accuracies, seconds = [], []
        for seed in range(seeds):
            start = time.process_time()
            network = tmi.build(name, data, seed=seed)
            seconds.append(time.process_time() - start)
            accuracies.append(tmi.probe("accuracy", network, data).metrics["accuracy"])
        weights = sum(p.numel() for p in network.module.parameters())
        print(f"{name}: {weights} weights, accuracy {min(accuracies):.3f} to {max(accuracies):.3f}, {np.median(seconds):.0f} s")


def main(arguments: list[str]) -> int:
    """Print the tables, or write them into the page; return 1 if something raised an error that is not tmi's."""
    if "--train" in arguments:
        train()
        return 0
    text = page_part()
    if "--write" in arguments:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{MARK}\n")
        after = rest.partition(MARK)[2]
        PAGE.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}{after}", encoding="utf-8")
    else:
        print(text)
    return int("RAW" in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
