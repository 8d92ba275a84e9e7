"""What images cost when they are rendered from recipes: ``python -m tests.benchmarks.backgrounds``.

It measures and never asserts. First µs an image for section 6.2's images and for every law of their backgrounds, beside NumPy's
drawing of as many uniform numbers in the same run. Then a million images of section 6.2, generated, matched and scored, in a
process of its own: seconds and peak memory. Then what data sets take in a store, beside their pixels. ``--suite paper`` prints
instead what the data sets of a suite take in a store.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import tmi
from tmi.plugins.registry import installed
from tmi.tasks.backgrounds import draw_recipes

REPEATS = 5
AT_ONCE = 2500


def best(work, images: int) -> float:  # type: ignore[no-untyped-def]
    """Return µs an image of the quickest of some runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds) / images * 1e6


def rendering(images: int) -> Table:
    """Measure the laws, in the order and at random."""
    data = tmi.generate("fashion", samples=images, test_samples=1)
    task = data.task
    table = Table("law", "µs an image", "in random order", title=f"rendering {images:,} backgrounds of 1×40×40")
    rng = np.random.default_rng(0)
    drawn = best(lambda: np.random.default_rng(0).random((images, *task.image_shape), dtype=np.float32), images)
    table.add_row("NumPy: uniform float32", f"{drawn:.1f}", "–")
    order = rng.permutation(images)

    def show(index) -> None:  # type: ignore[no-untyped-def]
        scenes = data.train[index]
        tmi.Scenes(task, scenes.recipes, scenes.tile, scenes.row, scenes.col).images  # noqa: B018  # rendered again each time

    in_order, mixed = (best(lambda index=index: show(index), images) for index in (slice(None), order))
    table.add_row("images with their tiles", f"{in_order:.1f}", f"{mixed:.1f}")
    for law in tmi.names("background"):
        recipes = draw_recipes(np.random.default_rng(0), task, images, installed().reference("background", law))
        mixed = recipes.chosen(order)
        table.add_row(law, f"{best(recipes.render, images):.1f}", f"{best(mixed.render, images):.1f}")
    return table


def million(images: int) -> None:
    """Generate, match and score so many images of section 6.2, and print what it took."""
    start = time.perf_counter()
    data = tmi.generate("fashion", samples=1, test_samples=images)
    generated = time.perf_counter()
    network = tmi.build("theorem1", data)
    tiles_found = 0
    for first in range(0, images, AT_ONCE):
        tiles_found += len(tmi.match(data.test[first : first + AT_ONCE].images, data.task.tiles).image)
    matched = time.perf_counter()
    metrics = tmi.probe("accuracy", network, data).metrics
    scored = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = ", ".join(
        f"{name} {end - begin:.0f} s"
        for name, begin, end in (
            ("generated", start, generated),
            ("matched", generated, matched),
            ("scored", matched, scored),
        )
    )
    print(
        f"{images:,} images: {seconds}; {tiles_found:,} tiles found, accuracy {metrics['accuracy']:g}; peak memory {peak:.2f} GB"
    )


def stored() -> Table:
    """Write data sets into a store, and return what they take."""
    from tmi.stages import Stage
    from tmi.store.datasets import pack
    from tmi.store.hdf5 import to_bytes

    table = Table("data set", "kB in the store", "kB of pixels")
    with tempfile.TemporaryDirectory():
        for name in tmi.names("dataset"):
            try:
                data = tmi.generate(name)
            except tmi.InputError:  # a generator with a setting that must be given
                continue
            pixels = sum(len(scenes) * np.prod(data.task.image_shape) * 4 for scenes in (data.train, data.test))
            table.add_row(name, f"{len(to_bytes(Stage.DATASET, *pack(data))) / 1000:,.0f}", f"{pixels / 1000:,.0f}")
    return table


def of_suite(name: str) -> Table:
    """Write each data set of a suite into a store, and return what its files take."""
    from tmi.engines.provenance import record_of
    from tmi.stages import Stage
    from tmi.store.store import Store
    from tmi.suites.plan import make_plan
    from tmi.suites.reader import load_suite

    sizes: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for planned in {planned.dataset_id: planned for planned in make_plan(load_suite(name))}.values():
            choice, key = planned.cell.dataset, planned.dataset_key or ""
            data = planned.registry.generate(choice.component, seed=planned.cell.seed, **choice.params)
            store.write_dataset(key, data, record_of(planned, Stage.DATASET, 0.0, data=data))
            sizes.setdefault(choice.label, []).append(store.path(key, Stage.DATASET).stat().st_size)
    total = sum(map(sum, sizes.values())) / 1e6
    table = Table("data set", "how many", "kB in the store", title=f"data sets of suite {name}: {total:.2f} MB")
    for label, parts in sizes.items():
        table.add_row(label, str(len(parts)), f"{sum(parts) / 1000:,.0f}")
    return table


@click.command()
@click.option("--suite", help="Only what the data sets of a suite take.")
@click.option("--quick", is_flag=True, help="Fewer images.")
@click.option("--million", "images", type=int, help="Only so many images of section 6.2, in this process.")
def main(suite: str | None, quick: bool, images: int | None) -> None:
    """Print the tables."""
    console = Console(width=100)
    if images:
        million(images)
        return
    if suite:
        console.print(of_suite(suite))
        return
    console.print(rendering(1000 if quick else 10_000))
    command = [sys.executable, "-m", "tests.benchmarks.backgrounds", "--million", str(20_000 if quick else 1_000_000)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    console.print(stored())


if __name__ == "__main__":
    main()
