"""How long the match takes beside other tools: ``python -m tests.benchmarks.matching``. It measures and never asserts a time.

All in one run, on 100 tiles of 28×28 from Fashion-MNIST in images of 40×40 with ε = 5. The other tools know no support, so that
for them every pixel of a window counts; they compute all distances, of which the match needs only those below ε.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import manhattan_distances

import tmi


def windows(images: torch.Tensor, side: int) -> torch.Tensor:
    """Every window as a row: (N · rows · cols, side²)."""
    return torch.nn.functional.unfold(images, side).transpose(1, 2).reshape(-1, side * side)


def seconds_per_image(work: Callable[[torch.Tensor], object], images: torch.Tensor, repeats: int) -> float:
    """Least time of several runs: what disturbs a measurement only adds to it."""
    work(images[:1])  # compile, and touch the memory
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work(images)
        times.append(time.perf_counter() - start)
    return min(times) / len(images)


@click.command()
@click.option("--images", default=1024, show_default=True, help="Images for the match; the slow ones get fewer.")
@click.option("--repeats", default=3, show_default=True)
def main(images: int, repeats: int) -> None:
    """Print µs an image for tmi.match and for tools that compute every distance."""
    data = tmi.generate("fashion", tiles_per_class=10, samples=images, test_samples=1, epsilon=5.0)
    tiles, side = data.task.tiles, data.task.tiles[0].shape[1]
    full = [tmi.FeatureTile(tile.values, tile.epsilon, np.ones_like(tile.support)) for tile in tiles]
    flat = torch.from_numpy(np.stack([tile.values.ravel() for tile in tiles]).astype(np.float32))

    ways: list[tuple[str, str, int, Callable[[torch.Tensor], object]]] = [
        ("tmi.match", "support", images, lambda x: tmi.match(x, tiles)),
        ("tmi.match", "full", images, lambda x: tmi.match(x, full)),
        ("tmi.match, reference", "support", 1, lambda x: tmi.match(x, tiles, backend="reference")),
        ("torch.cdist(p=1)", "full", 16, lambda x: torch.cdist(windows(x, side), flat, p=1)),
        ("SciPy cityblock", "full", 8, lambda x: cdist(windows(x, side).numpy(), flat.numpy(), "cityblock")),
        ("scikit-learn manhattan", "full", 8, lambda x: manhattan_distances(windows(x, side).numpy(), flat.numpy())),
    ]
    table = Table(title=f"{len(tiles)} tiles of {side}×{side}, images of 40×40, ε = 5, {torch.get_num_threads()} threads")
    for column in ("way", "support", "images", "µs an image", "times tmi.match"):
        table.add_column(column, justify="left" if column in ("way", "support") else "right")
    fastest = 0.0
    for name, support, count, work in track(ways, "measuring", console=Console(stderr=True), transient=True):
        taken = seconds_per_image(work, data.train.images[:count], repeats)
        fastest = fastest or taken
        table.add_row(name, support, f"{min(count, images):,}", f"{taken * 1e6:,.0f}", f"{taken / fastest:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
