"""Measures of attributions: ``python -m tests.benchmarks.attribution PART …``. It prints tables and asserts nothing.

``quantus``: times beside those of Quantus. ``fidelity``: a map, its negation, its absolute value and noise by each measure of
fidelity. ``bench``: the time of the whole bench, by parts. By default the first two.

Quantus: uniform random maps on images of 40×40 of section 6.2; the same maps, masks and network (`cnn` with its defaults) for
both, in one run. Least time of several calls, or the time of a single long one. The last column is the greatest difference of a
score.

Pixels are flipped one by one, which is Quantus's default, and 80 in a step. Both evaluate the same images, no two of which are
equal, so the network's own time bounds the ratio.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tmi
from tests.benchmarks.bench_parts import METHODS, seconds
from tests.benchmarks.fidelity import CANNOT, OTHERS, cases_of, rows
from tmi_attribution.measures.curves import flipping_curve
from tmi_attribution.measures.localisation import auc, mass, pointing_game, precision, top_k
from tmi_attribution.truth import Truth

SIDE, SHARE = 40, 0.05
LONG = 5.0  # seconds: one call is enough


class Comparison(NamedTuple):
    """One measure: Quantus's class and settings, and our function."""

    theirs: str
    settings: dict[str, Any]
    ours: Callable[[Any, Truth], Any]


def flipping(features: int) -> Comparison:
    """All pixels are set to black, ``features`` of them in a step."""
    steps = SIDE**2 // features
    return Comparison(
        "PixelFlipping",
        {"features_in_step": features, "perturb_baseline": 0.0},
        lambda maps, truth: flipping_curve(maps, truth, steps=steps)[:, 1:],  # Quantus leaves out the unchanged image
    )


ROWS = [
    Comparison("PointingGame", {}, pointing_game),
    Comparison("RelevanceRankAccuracy", {}, precision),
    Comparison("RelevanceMassAccuracy", {}, mass),
    Comparison("AUC", {}, auc),
    Comparison("TopKIntersection", {"k": round(SHARE * SIDE**2)}, lambda maps, truth: top_k(maps, truth, share=SHARE)),
    flipping(1),
    flipping(80),
]


def network() -> torch.nn.Module:
    """The network of section 6.2 after one epoch."""
    data = tmi.generate("fashion", tiles_per_class=1, samples=1, test_samples=1)
    return tmi.build("cnn", data, seed=0, epochs=1).module.eval().requires_grad_(False)


def truth_about(images: int, module: torch.nn.Module) -> Truth:
    data = tmi.generate("fashion", tiles_per_class=1, samples=1, test_samples=images)
    scenes = data.test
    return Truth(module, scenes, scenes.images, torch.zeros_like(scenes.images), scenes.labels, scenes.masks.numpy())


def quantus(row: Comparison, maps: Any, truth: Truth) -> Callable[[], Any]:
    import quantus as peer

    metric = getattr(peer, row.theirs)(disable_warnings=True, display_progressbar=False, **row.settings)
    given = {
        "x_batch": truth.images.numpy(),
        "y_batch": truth.targets.numpy(),
        "a_batch": maps[:, None],
        "s_batch": truth.masks[:, None],
    }
    return lambda: np.array(metric(model=truth.module, channel_first=True, softmax=False, **given), float)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the least seconds of several calls, and their result."""
    times: list[float] = []
    while not times or (len(times) <= repeats and sum(times) < LONG) or (sum(times) < 0.3 and len(times) < 10 * repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def _text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items() if name != "perturb_baseline")


def against_quantus(console: Console, quick: bool, repeats: int, threads: int) -> None:
    """Print milliseconds for tmi and for Quantus, and the greatest difference of their scores."""
    module = network()
    table = Table(title=f"Measures of attributions on images of {SIDE}×{SIDE}, torch threads: {threads}")
    for column in ("measure", "settings", "images", "tmi ms", "Quantus ms", "Quantus / tmi", "greatest difference"):
        table.add_column(column, justify="left" if column in ("measure", "settings") else "right")
    for images in (64,) if quick else (64, 1000):
        truth = truth_about(images, module)
        maps = np.random.default_rng(0).random((images, SIDE, SIDE))
        for row in track(ROWS, f"{images} images", console=Console(stderr=True), transient=True):
            ours, mine = timed(partial(row.ours, maps, truth), repeats)
            theirs, other = timed(quantus(row, maps, truth), repeats)
            cells = (f"{ours * 1e3:,.2f}", f"{theirs * 1e3:,.1f}", f"{theirs / ours:,.1f}", f"{np.abs(mine - other).max():.1e}")
            table.add_row(row.theirs, _text(row.settings), f"{images:,}", *cells)
    console.print(table)


def told_apart(console: Console, quick: bool) -> None:
    """Print what each measure of fidelity says of a map, its negation, its absolute value and noise."""
    seeds = range(1 if quick else 5)
    for name, cases in cases_of(seeds).items():
        table = Table(title=f"Integrated gradients, its negation, its absolute value and noise: {name}, seeds: {len(seeds)}")
        for column in ("measure", "baseline", "undefined", "map", *OTHERS):
            table.add_column(column, justify="left" if column in ("measure", "baseline") else "right")
        for row in rows(cases, 20 if quick else 60):
            others = (f"{row.means[other]:.3f} {row.verdicts[other]}" for other in OTHERS)
            table.add_row(row.measure, row.baseline, str(row.undefined), f"{row.means['map']:.3f}", *others)
        console.print(table)
    for measure, why in CANNOT.items():
        console.print(f"{measure} cannot tell: {why}.")


def whole_bench(console: Console, images: int) -> None:
    """Print the processor's seconds of the whole bench, by parts."""
    data = tmi.generate("fashion", tiles_per_class=1, samples=2000, test_samples=max(300, images))
    trained = tmi.build("cnn", data, seed=0, epochs=2)
    console.print(f"The bench, {len(METHODS)} methods, {images} images, seconds of the processor:")
    for name, spent in seconds(trained, data, images):
        console.print(f"{spent:8,.1f}  {name}")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(["quantus", "fidelity", "bench"]))
@click.option("--quick", is_flag=True, help="64 images only; for fidelity 20 images and one seed.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of torch, for all.")
@click.option("--images", default=200, show_default=True, help="Of the whole bench.")
def main(parts: tuple[str, ...], quick: bool, repeats: int, threads: int, images: int) -> None:
    """Print the tables of the named parts."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    console = Console(width=max(120, Console().width))
    chosen = parts or ("quantus", "fidelity")
    if "quantus" in chosen:
        against_quantus(console, quick, repeats, threads)
    if "fidelity" in chosen:
        told_apart(console, quick)
    if "bench" in chosen:
        whole_bench(console, images)


if __name__ == "__main__":
    main()
