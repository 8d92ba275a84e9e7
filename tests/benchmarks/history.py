"""How fast tmi was, commit by commit: ``python -m tests.benchmarks.history``.

It measures seven things that users wait for, prints them beside the last rows of docs/benchmarks.csv, and with ``--keep`` appends
a row. Machines differ, so a row also has the time of a fixed NumPy program, measured in the same run; compare ratios to it.
"""

from __future__ import annotations

import csv
import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import tmi

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "benchmarks.csv"
LAST = 5
"""So many earlier rows are printed."""

SUITE: dict[str, Any] = {
    "name": "history",
    "seeds": list(range(20)),
    "datasets": {"squares": {"use": "squares", "samples": 10, "test_samples": 10}},
    "networks": {"theorem1": {"use": "theorem1"}},
    "probes": {"accuracy": {"use": "accuracy"}},
}


def fixed_program() -> float:
    """Return the milliseconds of a program that is no part of tmi."""
    matrix = np.random.default_rng(0).normal(size=(600, 600))

    def work() -> None:
        for _ in range(5):
            np.linalg.svd(matrix[:200, :200])
            matrix @ matrix

    return 1000 * best(work)


def best(work: Callable[[], object], repeat: int = 5) -> float:
    """Return the least seconds of several calls: what disturbs a measurement makes it longer."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def process(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)


def measure(folder: Path) -> dict[str, float]:
    """Return each measurement by its column."""
    data = tmi.generate("fashion", seed=0, source="sample", samples=1000, test_samples=1000)
    tiles, images = list(data.task.tiles), data.test.images
    network = tmi.build("cnn", data, seed=0, epochs=1)
    tmi.match(images[:10], tiles)  # compiles
    tmi.run(SUITE, folder / "store")
    settings = {"method": "integrated-gradients", "images": 20, "measures": ["mass", "auc", "deletion"]}
    return {
        "import tmi (ms)": 1000 * (best(process("-c", "import tmi")) - best(process("-c", "pass"))),
        "tmi --help (ms)": 1000 * best(process("-m", "tmi.cli", "--help")),
        "match (µs an image)": 1e6 * best(lambda: tmi.match(images, tiles)) / len(images),
        "render (µs an image)": 1e6 * best(lambda: data.test.with_backgrounds(0.5).images.sum()) / len(images),
        "an epoch of section 6.2's network (ms)": 1000 * best(lambda: tmi.build("cnn", data, seed=0, epochs=1), 3),
        "integrated gradients, 20 images (ms)": 1000 * best(lambda: tmi.probe("attribution-bench", network, data, **settings), 3),
        "20 cells from the store (ms)": 1000 * best(lambda: tmi.run(SUITE, folder / "store")),
    }


def rows() -> list[dict[str, str]]:
    """Return the rows of the file."""
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@click.command(help=__doc__)
@click.option("--keep", is_flag=True, help="Append the row to docs/benchmarks.csv.")
def main(keep: bool) -> None:
    torch.set_num_threads(1)
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    row = {"date": datetime.date.today().isoformat(), "commit": described.stdout.strip(), "fixed program (ms)": fixed_program()}
    with tempfile.TemporaryDirectory() as folder:
        row |= measure(Path(folder))
    written = {name: value if isinstance(value, str) else f"{value:.3g}" for name, value in row.items()}
    kept = [*rows(), written]
    table = Table(title="On one core, the least of several times")
    shown = kept[-LAST - 1 :]
    table.add_column("")
    for earlier in shown:
        table.add_column(f"{earlier['date']}\n{earlier['commit']}", justify="right")
    for name in list(written)[2:]:
        table.add_row(name, *(earlier.get(name, "") for earlier in shown))
    Console().print(table)
    if keep:
        with FILE.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, list(written), restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)


if __name__ == "__main__":
    main()
