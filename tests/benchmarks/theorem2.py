"""The time and memory of the literal network of Theorem 2: ``python -m tests.benchmarks.theorem2``.

It measures and never asserts a time.

Each row is a process of its own, on the task of section 6.2, so that its peak is the memory of the whole process from its start.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tmi


def measure(tiles_per_class: int, images: int, memory: float) -> dict[str, float]:
    """Build the network, take the logits of test images, and compare them with φ."""
    data = tmi.generate("fashion", seed=0, tiles_per_class=tiles_per_class, samples=1, test_samples=images, source="sample")
    x = data.test.images
    start = time.perf_counter()
    network = tmi.build("theorem2", data, memory=memory)
    built = time.perf_counter()
    logits = network.logits(x)
    seconds = time.perf_counter() - built
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB; before tmi.match compiles
    return {
        "groups": len({layer.split(".")[1] for layer in network.layers if layer.startswith("groups")}) or 1,
        "at once": network.module.images_at_once,
        "build": built - start,
        "seconds": seconds,
        "peak": peak,
        "error": float((logits - data.task.phi(x)).abs().max()),
        "wrong": int((logits.argmax(1) != data.test.labels).sum()),
    }


@click.command()
@click.option(
    "--images", default=1000, show_default=True, help="For one tile a class and room enough; the slower rows get a tenth."
)
@click.option("--one", hidden=True, nargs=3, type=float)
def main(images: int, one: tuple[float, float, float] | None) -> None:
    """Print time, peak memory and error for one and ten tiles a class."""
    if one:
        print(json.dumps(measure(int(one[0]), int(one[1]), one[2])))
        return
    rows = [(1, images, 1.0), (1, images // 10, 0.02), (10, images // 10, 1.0), (10, images // 10, 0.2)]
    table = Table(title="theorem2, literal, float32: 28×28 tiles of Fashion-MNIST in images of 40×40, ε = 5")
    for column in ("tiles a class", "images", "memory, GB", "groups", "images at once", "build, s", "ms an image", "all, s"):
        table.add_column(column, justify="right")
    for column in ("peak of the process, GB", "largest error", "wrong labels"):
        table.add_column(column, justify="right")
    for row in track(rows, "measuring", console=Console(stderr=True), transient=True):
        command = [sys.executable, "-m", "tests.benchmarks.theorem2", "--one", *map(str, row)]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        numbers = [f"{row[0]}", f"{row[1]:,}", f"{row[2]:g}", f"{seen['groups']}", f"{seen['at once']}", f"{seen['build']:.2f}"]
        numbers += [f"{seen['seconds'] / row[1] * 1e3:.0f}", f"{seen['seconds']:.1f}", f"{seen['peak']:.2f}"]
        table.add_row(*numbers, f"{seen['error']:.1e}", f"{seen['wrong']}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
