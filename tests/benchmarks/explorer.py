"""The explorer while its tile is dragged, on section 6.2 with one tile a class: ``python -m tests.benchmarks.explorer``.

It prints the milliseconds that each network takes for an image in Chromium, frames a second while the mouse drags the tile over
all networks at once, gradients included, and the size of the page. Everything, Chromium too, runs on one core. It measures and
never asserts a time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from tests.browser import chromium
from tmi.plugins.registry import installed
from tmi.report.explorer import write
from tmi.report.explorer.sources import from_names

NETWORKS = ("theorem1", "theorem2(realisation='fused')", "superposed", "cnn", "mlp", "vgg(epochs=1)")
EXPLORER = "document.querySelector('.tmi-explorer').explorer"
COUNT = "(x => {const draw = x.draw.bind(x); x.drawn = 0; x.draw = () => {x.drawn++; draw()}; x.since = performance.now()})"
SAY = "(x => [1000 * x.drawn / (performance.now() - x.since), x.frameTime, x.cards.map(card => card.spent)])"


@click.command()
@click.argument("networks", nargs=-1)
@click.option("--data", default="fashion", help="The data set, with settings in brackets.")
@click.option("--moves", default=300, help="Movements of the mouse.")
def main(networks: tuple[str, ...], data: str, moves: int) -> None:
    """Measure the default networks, once the three kinds of section 6.2 together and then each alone, or NETWORKS together."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pages = [networks] if networks else [("theorem1", "superposed", "cnn"), *((name,) for name in NETWORKS)]
    print(f"{'networks':<42}{'ms an image':>28}{'ms a frame':>12}{'frames/s':>10}{'page, MB':>10}")
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        for names in pages:
            file = Path(folder) / "page.html"
            write([from_names(installed(), names, data)], file, title="benchmark")
            page.open(file)
            page.evaluate("new Promise(done => setTimeout(done, 1000))")
            x, y, side = page.evaluate(
                "(b => [b.x, b.y, b.width])(document.querySelector('canvas.scene').getBoundingClientRect())"
            )
            way = [
                (x + side * (0.35 + 0.3 * (i * 7 % 30) / 30), y + side * (0.35 + 0.3 * (i * 11 % 30) / 30)) for i in range(moves)
            ]
            page.evaluate(f"{COUNT}({EXPLORER})")
            page.drag((x + side / 2, y + side / 2), *way)
            rate, frame, each = page.evaluate(f"{SAY}({EXPLORER})")
            spent = ", ".join(f"{one:.1f}" for one in each)
            print(f"{', '.join(names):<42}{spent:>28}{frame:>12.1f}{rate:>10.0f}{file.stat().st_size / 1e6:>10.2f}", flush=True)
            assert not page.problems, page.problems


if __name__ == "__main__":
    main()
