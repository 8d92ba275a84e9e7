"""Measures of attributions beside Quantus: ``python -m tests.benchmarks.attribution``. It measures and never asserts a time.

Uniform random maps on images of 40×40 of section 6.2; the same maps, masks and network (`cnn` with its defaults) for both, in one
run. Least time of several calls; of one where that takes long. The last column is the greatest difference of a score.

Pixels are flipped one by one, which is Quantus's default, and 80 in a step. With 80 both evaluate the same images of which no two
are alike, and the network's own time bounds the ratio. One by one we follow what each pixel changes.
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
from tmi_attribution.measures.curves import flipping_curve
from tmi_attribution.measures.localisation import auc, mass, pointing_game, precision, top_k
from tmi_attribution.truth import Truth

SIDE, SHARE = 40, 0.05
LONG = 5.0  # seconds: one call is enough


class IndexRow(NamedTuple):
    """One measure: Quantus's name for it and settings, and ours."""

    theirs: str
    settings: dict[str, Any]
    ours: Callable[[Any, Truth], Any]


def flipping(features: int) -> IndexRow:
    """All pixels go to black, so many in a step."""
    steps = SIDE**2 // features
    return IndexRow(
        "PixelFlipping",
        {"features_in_step": features, "perturb_baseline": 0.0},
        lambda maps, truth: flipping_curve(maps, truth, steps=steps)[:, 1:],  # Quantus does not look at the whole image
    )


ROWS = [
    IndexRow("PointingGame", {}, pointing_game),
    IndexRow("RelevanceRankAccuracy", {}, precision),
    IndexRow("RelevanceMassAccuracy", {}, mass),
    IndexRow("AUC", {}, auc),
    IndexRow("TopKIntersection", {"k": round(SHARE * SIDE**2)}, lambda maps, truth: top_k(maps, truth, share=SHARE)),
    flipping(1),
    flipping(80),
]


def network() -> torch.nn.Module:
    """The network of section 6.2 with its first weights, as `tmi.build("cnn")` makes it."""
    data = tmi.generate("fashion", tiles_per_class=1, samples=1, test_samples=1)
    return tmi.build("cnn", data, seed=0, epochs=1).module.eval().requires_grad_(False)


def questions(images: int, module: torch.nn.Module) -> Truth:
    data = tmi.generate("fashion", tiles_per_class=1, samples=1, test_samples=images)
    scenes = data.test
    return Truth(module, scenes, scenes.images, torch.zeros_like(scenes.images), scenes.labels, scenes.masks.numpy())


def quantus(row: IndexRow, maps: Any, truth: Truth) -> Callable[[], Any]:
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
    """Return the least seconds of several calls, and what they gave."""
    times: list[float] = []
    while not times or (len(times) <= repeats and sum(times) < LONG) or (sum(times) < 0.3 and len(times) < 10 * repeats):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
    return min(times), found


def _text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items() if name != "perturb_baseline")


@click.command()
@click.option("--quick", is_flag=True, help="64 images alone.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of torch, for both.")
def main(quick: bool, repeats: int, threads: int) -> None:
    """Print ms for tmi and for Quantus, and how far their scores are apart."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    console = Console(width=max(120, Console().width))
    module = network()
    flipping_curve(np.ones((1, SIDE, SIDE)), questions(1, module), steps=SIDE**2)  # compiles
    table = Table(title=f"Measures of attributions on images of {SIDE}×{SIDE}, torch threads: {threads}")
    for column in ("measure", "settings", "images", "tmi ms", "Quantus ms", "Quantus / tmi", "greatest difference"):
        table.add_column(column, justify="left" if column in ("measure", "settings") else "right")
    for images in (64,) if quick else (64, 1000):
        truth = questions(images, module)
        maps = np.random.default_rng(0).random((images, SIDE, SIDE))
        for row in track(ROWS, f"{images} images", console=Console(stderr=True), transient=True):
            ours, mine = timed(partial(row.ours, maps, truth), repeats)
            theirs, other = timed(quantus(row, maps, truth), repeats)
            cells = (f"{ours * 1e3:,.2f}", f"{theirs * 1e3:,.1f}", f"{theirs / ours:,.1f}", f"{np.abs(mine - other).max():.1e}")
            table.add_row(row.theirs, _text(row.settings), f"{images:,}", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
