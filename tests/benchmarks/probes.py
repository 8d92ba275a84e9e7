"""Seconds and peak memory of every probe on 1,000 images of section 6.2 with the 12-filter network, each in a process of its own.

``python -m tests.benchmarks.probes`` prints a table with limits; ``--only`` takes names. It measures and asserts nothing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import click

IMAGES = 1000
SECONDS, LONG, GIGABYTES = 60, 180, 2.0
SLOW = ("dictionary", "linear-regions", "local-linear-form")
"""Probes that may take three minutes."""
FEW = ("attribution",)
"""Probes that look at a few images by default, and here too."""


def measure(name: str, threads: int) -> dict[str, float]:
    """Run one probe in a process of its own; return seconds, peak bytes before and after it, and its number of metrics."""
    command = [sys.executable, "-m", "tests.benchmarks.probes", f"--one={name}", f"--threads={threads}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def run_one(name: str, threads: int) -> None:
    """Print time and memory of one probe, as JSON."""
    import torch

    import tmi
    from tmi.params import parameters
    from tmi.plugins.registry import installed

    torch.set_num_threads(threads)
    data = tmi.generate("fashion", seed=0, test_samples=IMAGES)
    network = tmi.build("cnn", data, seed=0, filters=12)
    settings = {}
    if name not in FEW and "images" in parameters(installed().find("probe", name).function):
        settings["images"] = IMAGES
    before = peak()
    start = time.perf_counter()
    result = tmi.probe(name, network, data, seed=0, **settings)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak(), "metrics": len(result.metrics)}))


def peak() -> int:
    """Peak bytes of this process so far; the kernel counts KiB on Linux and bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@click.command()
@click.option(
    "--only", multiple=True, help="Names of probes; by default all but squares-heuristics, which is about another data set."
)
@click.option("--threads", default=2)
@click.option("--one", hidden=True)
def main(only: tuple[str, ...], threads: int, one: str | None) -> None:
    """Print a table of each probe's time and memory."""
    if one:
        run_one(one, threads)
        return
    import tmi

    names = only or tuple(name for name in tmi.names("probe") if name != "squares-heuristics")
    print(f"{'probe':<24}{'seconds':>9}{'limit':>7}{'peak GB':>9}{'limit':>7}{'metrics':>9}  (with data and training)")
    for name in names:
        cost = measure(name, threads)
        limit = LONG if name in SLOW else SECONDS
        late = "  over the limit" if cost["seconds"] > limit or cost["peak"] > GIGABYTES * 1e9 else ""
        row = f"{name:<24}{cost['seconds']:>9.1f}{limit:>7}{cost['peak'] / 1e9:>9.2f}{GIGABYTES:>7.1f}{int(cost['metrics']):>9}"
        print(row + late, flush=True)


if __name__ == "__main__":
    main()
