"""What the store costs at scale: ``python -m tests.benchmarks.store``. It measures and never asserts a time.

A store of so many results is written through `tmi.Store`, each a real file, and then read in several ways, each in a process of
its own, so that its peak memory is its own. The files were just written: all reading is from the page cache.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tmi.hashing import digest
from tmi.store import files
from tmi.store.store import Store


class Way(NamedTuple):
    """A way to ask a store: what it does, and how many results it found."""

    name: str
    text: str
    work: Callable[[Store], int]
    indexed: bool = True  # False: the index is taken away first


def nothing(store: Store) -> int:
    return 0


def names(store: Store) -> int:
    return len(list(store.keys()))


def stamps(store: Store) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {path.stem: stamp for path in map(store.path, store.keys()) if (stamp := files.stamp(path)) is not None}


def read_all(store: Store) -> int:
    return len(store.read_all(store.keys()))


def read_index(store: Store) -> int:
    return len(store.index.read("probe", stamps(store)))


def read_hundred(store: Store) -> int:
    return len(store.read_all(key for _, key in zip(range(100), store.keys(), strict=False)))


def read_files(store: Store) -> int:
    return sum(stored is not None for stored in map(store.read, store.keys()))


def costs(store: Store) -> int:
    return sum(cost.count for cost in store.index.costs())


def count(store: Store) -> int:
    return store.index.count()


WAYS = [
    Way("nothing", "nothing: the store is opened", nothing),
    Way("names", "names only: the folder is listed", names),
    Way("read_all", "all metrics and records, with the index", read_all),
    Way("read_index", "  of this: times and sizes of the files, rows of the index", read_index),
    Way("read_hundred", "100 of them, with the index", read_hundred),
    Way("costs", "recorded costs, from the index", costs),
    Way("count", "number of files, from the index", count),
    Way("read_files", "all metrics and records, every file opened", read_files),
    Way("rebuild", "the same, and the index made again", read_all, indexed=False),
]


def fill(store: Store, count: int, console: Console) -> tuple[float, float]:
    """Write results as a small suite makes them; return the seconds for that, and those for the index alone."""
    import numpy as np

    from tmi.probing.result import ProbeResult

    store.prepare()
    spent = 0.0
    for i in track(range(count), f"writing {count:,} results", console=console, transient=True):
        component = {"params": {"quantile": i % 7 / 7, "layers": ["hidden"]}, "plugin": "tmi_probes", "origin": "tmi-interp 0.1"}
        record = {
            "tmi": "0.1",
            "versions": dict.fromkeys(("python", "torch", "numpy", "numba", "scipy", "scikit-learn", "captum"), "1.2.3"),
            "seed": i,
            "dataset": {"name": "fashion", **component},
            "network": {"name": "theorem1", **component},
            "probe": {"name": f"probe-{i % 20}", **component},
            "keys": {"dataset": digest(["dataset", i]), "network": digest(["network", i])},
            "data": {"source": "full"},
            "device": "cpu",
            "threads": 2,
            "seconds": {"dataset": 0.0, "network": 0.0, "probe": 0.25},
            "finished": "2025-01-01T00:00:00+00:00",
            "warnings": [],
        }
        metrics = {f"metric-{k}.hidden": i / (k + 1) for k in range(5)}
        result = ProbeResult(metrics, {"profile": ("unit", np.arange(50.0) * i)}, notes=("a remark",))
        start = time.perf_counter()
        store.write(digest(i), result, record)
        spent += time.perf_counter() - start
    start = time.perf_counter()
    store.flush()
    spent += time.perf_counter() - start
    rows = list(store.index.read("probe", stamps(store)).values())
    store.index.clear()
    start = time.perf_counter()
    store.index.add(rows)
    return spent, time.perf_counter() - start


def ask(folder: Path, way: Way, repeats: int) -> dict[str, float]:
    """Measure one way in a process of its own."""
    if not way.indexed:
        Store(folder).index.clear()
        repeats = 1  # after it, the index is there
    command = [sys.executable, "-m", "tests.benchmarks.store", "--one", way.name, "--folder", folder, "--repeats", repeats]
    out = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True).stdout
    answer: dict[str, float] = json.loads(out)
    return answer


def one(folder: Path, way: Way, repeats: int) -> dict[str, float]:
    """Do it: least seconds of several times, and the peak memory of this process."""
    times = []
    for _ in range(repeats):
        store = Store(folder)
        start = time.perf_counter()
        found = way.work(store)
        times.append(time.perf_counter() - start)
    return {"seconds": min(times), "found": found, "peak": peak()}


def peak() -> int:
    """Most bytes that this process had at once."""
    status = Path("/proc/self/status")  # Linux's ru_maxrss begins at what the parent had
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reading(count: int, repeats: int, folder: Path, console: Console) -> None:
    """Print how long it takes to ask a store of so many results, and to write it."""
    progress = Console(stderr=True)
    store = Store(folder)
    written, added = fill(store, count, progress)
    size = sum(path.stat().st_size for path in (folder / "results").glob("??/*.h5"))
    table = Table(
        title=f"A store of {count:,} results: {size / 1e6:,.0f} MB, its index {store.index.path.stat().st_size / 1e6:,.0f} MB"
    )
    for column in ("what", "results", "seconds", "µs each", "peak of the process, MB"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for text, seconds in (("written, file and index", written), ("  of this: the index, all at once", added)):
        table.add_row(text, f"{count:,}", f"{seconds:,.2f}", f"{seconds / count * 1e6:,.1f}", "")
    for way in track(WAYS, "reading", console=progress, transient=True):
        seen = ask(folder, way, repeats)
        found, seconds = int(seen["found"]), seen["seconds"]
        each = f"{seconds / found * 1e6:,.1f}" if found else ""
        table.add_row(way.text, f"{found:,}", f"{seconds:,.3f}", each, f"{seen['peak'] / 1e6:,.0f}")
    console.print(table)


@contextmanager
def scratch(folder: str | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made) / "store"


@click.command()
@click.option("--quick", is_flag=True, help="10,000 results and one repeat; without it also 100,000.")
@click.option("--results", "counts", type=int, multiple=True, help="So many results instead; repeatable.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--folder", type=click.Path(), help="Where to make the stores [default: the folder for temporary files].")
@click.option("--one", "way", hidden=True)
def main(quick: bool, counts: tuple[int, ...], repeats: int, folder: str | None, way: str | None) -> None:
    """Print what it costs to write and to read a large store."""
    if way:
        print(json.dumps(one(Path(folder or "."), next(w for w in WAYS if w.name == way), repeats)))
        return
    console = Console(width=max(130, Console().width))
    for count in counts or ((10_000,) if quick else (10_000, 100_000)):
        with scratch(folder) as store:
            reading(count, 1 if quick else repeats, store, console)


if __name__ == "__main__":
    main()
