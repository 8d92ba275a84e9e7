"""How long the match takes compared with other tools: ``python -m tests.benchmarks.matching``.

It measures and never asserts a time.

First section 6.2: 10 or 100 tiles of 28×28 from Fashion-MNIST in images of 40×40, µs an image, all ways in one run. Then how the
cost grows with the tiles, the side of the images and their number, with the peak memory of a process that does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import manhattan_distances

import tmi
from tests.benchmarks.growth import measure
from tests.benchmarks.plain_numba import compiled
from tmi.tasks.matching import cpu

EPSILONS = (1.0, 5.0, 20.0)
SIDE = 28


Work = Callable[[torch.Tensor], object]


class Way(NamedTuple):
    """A way to compute the distances: its name, what of a window counts, how many images it gets, and how to prepare it."""

    name: str
    counts: str
    images: int
    prepare: Callable[[tmi.Dataset], Work]
    every_epsilon: bool = True  # False: it computes all distances, whatever ε is


def windows(images: torch.Tensor) -> torch.Tensor:
    """Every window as a row: (N · rows · cols, side²)."""
    return torch.nn.functional.unfold(images, SIDE).transpose(1, 2).reshape(-1, SIDE * SIDE)


def flat(data: tmi.Dataset) -> torch.Tensor:
    return torch.from_numpy(np.stack([tile.values.ravel() for tile in data.task.tiles]).astype(np.float32))


def matcher(backend: str, *, every_pixel: bool = False) -> Callable[[tmi.Dataset], Work]:
    def prepare(data: tmi.Dataset) -> Work:
        tiles = list(data.task.tiles)
        if every_pixel:
            tiles = [tmi.FeatureTile(tile.values, tile.epsilon, np.ones_like(tile.support)) for tile in tiles]
        return lambda images: tmi.match(images, tiles, backend=backend)

    return prepare


def plain_numba(data: tmi.Dataset) -> Work:
    """`tmi.match` without the code in LLVM's vector types; that its result is the same is checked first."""
    match, plain = matcher("cpu")(data), compiled()

    def work(images: torch.Tensor) -> object:
        with mock.patch.object(cpu, "_match", plain):
            return match(images)

    images = data.train.images[:100]
    with_lanes, without = (vars(run(images)) for run in (match, work))  # type: ignore[arg-type]
    assert all(torch.equal(with_lanes[name], without[name]) for name in with_lanes)
    return work


def torch_cdist(data: tmi.Dataset) -> Work:
    templates = flat(data)
    return lambda images: torch.cdist(windows(images), templates, p=1)


def scipy_cityblock(data: tmi.Dataset) -> Work:
    templates = flat(data).numpy()
    return lambda images: cdist(windows(images).numpy(), templates, "cityblock")


def sklearn_manhattan(data: tmi.Dataset) -> Work:
    templates = flat(data).numpy()
    return lambda images: manhattan_distances(windows(images).numpy(), templates)


def network(name: str, **settings: object) -> Callable[[tmi.Dataset], Work]:
    def prepare(data: tmi.Dataset) -> Work:
        module = tmi.build(name, data, **settings).module

        def forward(images: torch.Tensor) -> object:
            with torch.no_grad():
                return module(images)

        return forward

    return prepare


def opencv(data: tmi.Dataset) -> Work:
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    templates = flat(data).reshape(-1, SIDE, SIDE).numpy()
    return lambda images: [cv2.matchTemplate(image, t, cv2.TM_SQDIFF) for image in images[:, 0].numpy() for t in templates]


def ways(images: int) -> list[Way]:
    return [
        Way("tmi.match", "support", images, matcher("auto")),
        Way("tmi.match", "all", images, matcher("auto", every_pixel=True)),
        Way("tmi.match, plain numba", "support", images, plain_numba),
        Way("theorem1, fused, dense output", "support", min(images, 256), network("theorem1")),
        Way("tmi.match, torch", "support", 32, matcher("torch")),
        Way("tmi.match, reference", "support", 1, matcher("reference"), False),
        Way("torch.cdist(p=1)", "all", 16, torch_cdist, False),
        Way("SciPy cityblock", "all", 8, scipy_cityblock, False),
        Way("scikit-learn manhattan", "all", 8, sklearn_manhattan, False),
        Way("theorem1, literal", "support", 8, network("theorem1", realisation="literal"), False),
        Way("theorem2, literal", "support", 2, network("theorem2"), False),
        Way("OpenCV SQDIFF: another function", "all", 32, opencv, False),
    ]


def seconds_per_image(work: Work, images: torch.Tensor, repeats: int) -> float:
    """Least time of several runs: what disturbs a measurement only adds to it."""
    work(images[:1])  # compile, and touch the memory
    times: list[float] = []
    # A run of a few milliseconds is easily disturbed as a whole: the fast ways get more of them.
    while len(times) < repeats or (sum(times) < 0.3 and len(times) < 20 * repeats):
        start = time.perf_counter()
        work(images)
        times.append(time.perf_counter() - start)
    return min(times) / len(images)


def section_6_2(images: int, repeats: int, console: Console) -> None:
    """Print µs an image, for k = 1 and 10 tiles a class and each ε."""
    measured: dict[tuple[Way, int, float], float | str] = {}
    chosen = ways(images)
    for k in (1, 10):
        sets = [tmi.generate("fashion", tiles_per_class=k, samples=images, test_samples=1, epsilon=e) for e in EPSILONS]
        for way in track(chosen, f"k = {k}", console=Console(stderr=True), transient=True):
            for data, epsilon in zip(sets, EPSILONS, strict=True):
                if not way.every_epsilon and epsilon != 5.0:
                    continue
                try:
                    work = way.prepare(data)
                    taken: float | str = seconds_per_image(work, data.train.images[: way.images], repeats)
                except ImportError:
                    taken = "not installed"
                except tmi.TmiError as error:
                    taken = "too large" if "memory" in str(error) else "none"
                measured[way, k, epsilon] = taken
    table = Table(title=f"Section 6.2, images of 40×40, tiles of 28×28, {torch.get_num_threads()} threads: µs an image")
    for column in ("way", "what counts", "images", *(f"k={k}, ε={e:g}" for k in (1, 10) for e in EPSILONS), "times tmi.match"):
        table.add_column(column, justify="left" if column in ("way", "what counts") else "right")
    fastest = measured[chosen[0], 10, 5.0]
    for way in chosen:
        cells = []
        for k in (1, 10):
            for epsilon in EPSILONS:
                taken = measured.get((way, k, epsilon), "same")  # one that computes all distances does not look at ε
                cells.append(taken if isinstance(taken, str) else f"{taken * 1e6:,.1f}")
        here = measured[way, 10, 5.0]
        ratio = "" if isinstance(here, str) or isinstance(fastest, str) else f"{here / fastest:,.1f}"
        table.add_row(way.name, way.counts, f"{min(way.images, images):,}", *cells, ratio)
    console.print(table)


def growth(quick: bool, console: Console) -> None:
    """Print how time and peak memory grow, each row measured in a process of its own."""
    images = 256 if quick else 1024
    rows = [("nothing: images are made, none is matched", 100, 40, images, "nothing")]
    rows += [("tiles", tiles, 40, images, "match") for tiles in (10, 100, 1000, 10_000)]
    rows += [("side", 100, side, max(64, images * 1600 // side**2), "match") for side in (40, 64, 112, 224)]
    rows += [("images", 100, 40, count, "match") for count in (1, 10, 100, 1000, 10_000, 10_000 if quick else 100_000)]
    rows += [("theorem1, streamed", 100, 40, 2_000 if quick else 100_000, "theorem1")]
    table = Table(title=f"How the cost grows: ε = 5, tiles of 28×28, batches of 256, {torch.get_num_threads()} threads")
    for column in ("what grows", "tiles", "side", "images", "µs an image", "ns a window and tile", "peak MB"):
        table.add_column(column, justify="left" if column == "what grows" else "right")
    for name, tiles, side, count, way in track(rows, "growing", console=Console(stderr=True), transient=True):
        seconds, peak = measure(tiles, side, count, way, 256)
        pairs = count * tiles * (side - SIDE + 1) ** 2
        costs = ("", "") if way == "nothing" else (f"{seconds / count * 1e6:,.1f}", f"{seconds / pairs * 1e9:.3f}")
        table.add_row(name, f"{tiles:,}", str(side), f"{count:,}", *costs, f"{peak / 1e6:,.0f}")
    console.print(table)


@click.command()
@click.option("--images", default=1024, show_default=True, help="Images for the match; the slow ones get fewer.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--quick", is_flag=True, help="Fewer images and one repeat.")
@click.option("--part", type=click.Choice(["all", "peers", "growth"]), default="all", show_default=True)
def main(images: int, repeats: int, quick: bool, part: str) -> None:
    """Print µs an image for tmi and for other tools, and how tmi's cost grows."""
    if quick:
        images, repeats = min(images, 256), 1
    console = Console(width=max(150, Console().width))
    if part != "growth":
        section_6_2(images, repeats, console)
    if part != "peers":
        growth(quick, console)


if __name__ == "__main__":
    main()
