"""Every attribution method by every measure on 200 images of section 6.2, one CNN: seconds for each method, and peak memory.

``python -m tests.benchmarks.bench`` runs it as a suite, in a temporary store, and prints a table.
"""

from __future__ import annotations

import tempfile
import threading
import time

import click
import psutil

LIMIT = "10 minutes, 4 GB on 2 cores"


def suite(images: int) -> dict[str, object]:
    """The suite: one data set, one network, all methods that attribute to pixels."""
    from tmi.plugins.registry import installed, names
    from tmi.probing.attribution import method_info

    methods = [name for name in names("method") if _of_pixels(method_info(installed().find("method", name).function))]
    return {
        "name": "bench",
        "datasets": {"fashion": {"use": "fashion", "tiles_per_class": 1}},
        "networks": {"cnn": {"use": "cnn"}},
        "probes": {"bench": {"use": "attribution-bench", "images": images, "again": images, "sweep": {"method": methods}}},
    }


def _of_pixels(info: object) -> bool:
    return getattr(info, "level", "") == "input" and "constructed" not in getattr(info, "needs", ())


class Watch:
    """Peak memory of this process and those that it starts, in bytes, shared pages counted once for each process."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.2):
            held = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    held += process.memory_full_info().uss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, held)


@click.command()
@click.option("--images", default=200, show_default=True)
@click.option("--workers", default=2, show_default=True)
def main(images: int, workers: int) -> None:
    """Run it and print the table."""
    import tmi

    with tempfile.TemporaryDirectory() as store, Watch() as watch:
        begun = time.perf_counter()
        runs = tmi.run(suite(images), store=store, workers=workers)
        whole = time.perf_counter() - begun
    print(f"\n{'method':28} {'seconds':>8} {'evaluations/image':>21} {'skill':>7}")
    for entry in sorted(runs, key=lambda e: -(e.record or {}).get("seconds", {}).get("probe", 0)):
        took = (entry.record or {}).get("seconds", {}).get("probe", float("nan"))
        skill, asked = entry.metrics.get("skill.mean"), entry.metrics.get("evaluations")
        shown = "refused" if entry.metrics.get("refused") else "–" if skill is None else f"{skill:.2f}"
        print(f"{entry.swept['method']:28} {took:8.1f} {'–' if asked is None else f'{asked:.0f}':>21} {shown:>7}")
    took_all = f"{whole:.0f} s, {watch.peak / 1e9:.2f} GB with {workers} workers (limit: {LIMIT})"
    print(f"\n{len(runs)} methods, {images} images: {took_all}")


if __name__ == "__main__":
    main()
