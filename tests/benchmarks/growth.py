"""One measurement in a process of its own, so that its peak memory is its own: how the match grows with what it is given.

``python -m tests.benchmarks.growth --tiles 100 --side 40 --images 100000 --way theorem1`` prints seconds and peak bytes as JSON.
Images are generated batch by batch as in section 6.2 (uniform random, one tile pasted); only the matching is timed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import numpy as np
import torch

import tmi
from tmi.tasks.matching.matches import match_batches
from tmi_datasets.sources.fashion_mnist import load, locate

TILE = 28
EPSILON = 5.0


def fashion_tiles(count: int) -> list[tmi.FeatureTile]:
    """Fashion-MNIST images; where they are too few also their mirror images, quarter turns and negatives: 16 from each."""
    pixels, _ = load(locate())
    chosen = np.random.default_rng(0).permutation(len(pixels))
    values = pixels[chosen[:count]].reshape(-1, TILE, TILE)
    tiles: list[tmi.FeatureTile] = []
    for kind in range(16):
        negative, mirrored, turns = kind // 8, kind // 4 % 2, kind % 4
        for one in values[: count - len(tiles)]:
            turned = np.rot90(one[:, ::-1] if mirrored else one, turns) / 255
            tiles.append(tmi.FeatureTile(1 - turned if negative else turned, EPSILON))
    return tiles


def scenes(tiles: list[tmi.FeatureTile], side: int, images: int, batch: int) -> Iterator[torch.Tensor]:
    """Uniform random images, each with one tile at a random place."""
    rng = np.random.default_rng(1)
    for start in range(0, images, batch):
        part = rng.random((min(batch, images - start), 1, side, side), np.float32)
        for image in part:
            row, col = rng.integers(0, side - TILE + 1, 2)
            image[0, row : row + TILE, col : col + TILE] = tiles[rng.integers(len(tiles))].values[0]
        yield torch.from_numpy(part)


class Stopwatch:
    """An iterable that notes how long its batches took to make."""

    def __init__(self, batches: Iterator[torch.Tensor]) -> None:
        self.batches, self.seconds = batches, 0.0

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            start = time.perf_counter()
            batch = next(self.batches, None)
            self.seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch


def measure(tiles: int, side: int, images: int, way: str, batch: int) -> tuple[float, int]:
    """Run one measurement in a process of its own; return seconds and peak bytes."""
    options = {"tiles": tiles, "side": side, "images": images, "way": way, "batch": batch, "threads": torch.get_num_threads()}
    command = [sys.executable, "-m", "tests.benchmarks.growth", *(f"--{name}={value}" for name, value in options.items())]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return answer["seconds"], answer["peak"]


@click.command()
@click.option("--tiles", default=100)
@click.option("--side", default=40)
@click.option("--images", default=1000)
@click.option("--batch", default=256)
@click.option("--threads", default=2)
@click.option("--way", type=click.Choice(["nothing", "match", "theorem1"]), default="match")
def main(tiles: int, side: int, images: int, batch: int, threads: int, way: str) -> None:
    """Print {"seconds": …, "peak": …, "found": …} of matching so many images, or of merely making them."""
    torch.set_num_threads(threads)
    templates = fashion_tiles(tiles)
    warm = next(scenes(templates, side, 1, 1))
    batches = Stopwatch(scenes(templates, side, images, batch))
    found = 0
    if way == "theorem1":
        classes = [tmi.TileClass(f"c{i}", templates[i::10]) for i in range(10)]
        network = tmi.build("theorem1", tmi.TemplateTask(classes, (1, side, side))).module
        network(warm)
        start = time.perf_counter()
        for part in batches:
            found += int((network(part) > 0).sum())
    else:
        tmi.match(warm, templates)
        start = time.perf_counter()
        if way == "match":
            found = sum(len(part) for part in match_batches(batches, templates))
        else:
            list(map(len, batches))
    seconds = time.perf_counter() - start - batches.seconds
    # KiB on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak": peak, "found": found}))


if __name__ == "__main__":
    main()
