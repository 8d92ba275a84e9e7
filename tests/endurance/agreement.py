"""Other batch sizes, threads and workers give the same numbers to 1e-5, or another key; what is restored gives the very same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tmi.probing.result import ProbeResult

from . import toys
from .rows import Part, Row, scratch

_CLOSE = 1e-5

SUITE = """
seeds = {seeds}
[datasets.squares]
use = "squares"
[networks.constructed]
use = "theorem1"
[networks.literal]
use = "theorem1"
realisation = "literal"
[networks.trained]
use = "cnn"
sweep.filters = {filters}
kernel = 2
hidden = 0
epochs = 20
lr = 0.05
batch_size = 10
[probes.accuracy]
use = "accuracy"
[probes.sparsity]
use = "activation-sparsity"
[probes.selectivity]
use = "selectivity"
[probes.background]
use = "background-robustness"
[probes.attribution]
use = "attribution"
methods = ["saliency", "input-x-gradient"]
images = 8
"""


def distance(one: ProbeResult, other: ProbeResult) -> float:
    """The largest difference of two numbers, relative where they are above 1; infinite where names or shapes differ."""
    if list(one.metrics) != list(other.metrics) or list(one.arrays) != list(other.arrays):
        return np.inf
    pairs = [(np.array(list(one.metrics.values())), np.array(list(other.metrics.values())))]
    pairs += [(array.values, other.arrays[name].values) for name, array in one.arrays.items()]
    worst = 0.0
    for a, b in pairs:
        if a.shape != b.shape or a.dtype != b.dtype:
            return np.inf
        if a.dtype.kind not in "fc":
            worst = max(worst, 0.0 if (a == b).all() else np.inf)
        elif a.size:
            if (np.isnan(a) != np.isnan(b)).any():
                return np.inf
            with np.errstate(invalid="ignore"):
                off = np.where(a == b, 0.0, np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b))))
            worst = max(worst, float(np.nanmax(off, initial=0.0)))
    return worst


def farthest(store: Path, truth: Path, keys: list[str]) -> tuple[float, int]:
    """The largest difference between two stores, and how many results are equal bit for bit."""
    wanted, found = toys.results_of(truth, keys), toys.results_of(store, keys)
    if not wanted or wanted.keys() != found.keys() or len(wanted) != len(keys):
        return np.inf, 0
    return max(distance(result, found[key]) for key, result in wanted.items()), sum(
        toys.same(result, found[key]) for key, result in wanted.items()
    )


def rows(quick: bool) -> list[Row]:
    """Compare runs of one suite of real data sets, networks and probes."""
    import torch

    import tmi

    part = Part("agreement")
    with scratch() as folder:
        suite = folder / "suite.toml"
        suite.write_text(SUITE.format(seeds=[0] if quick else [0, 1, 2], filters=[4] if quick else [1, 4, 16]), encoding="utf-8")
        keys = [planned.key or "" for planned in toys.plan_of(suite)]
        truth = folder / "truth"
        with part.step("one thread, one worker: every cell is done") as said:
            results = tmi.run(suite, truth, threads=1)
            said += [f"{entry}: {entry.message}" for entry in results if entry.status != "ok"]
            said.append(f"={len(results)} cells")
        for threads, workers in ((2, 1), (1, 2), *(((2, 2),) if not quick else ())):
            asked = f"{threads} thread{'s' * (threads > 1)}, {workers} worker{'s' * (workers > 1)}: agree to {_CLOSE:g}"
            asked += ", and bit for bit" if threads == 1 else ""
            with part.step(asked) as said:
                store = folder / f"store{threads}{workers}"
                tmi.run(suite, store, workers=workers, threads=threads)
                far, equal = farthest(store, truth, keys)
                if not far <= _CLOSE or (threads == 1 and equal < len(keys)):
                    said.append(f"differ by {far:g}, {equal} of {len(keys)} equal")
                said.append(f"={equal} of {len(keys)} equal bit for bit, the others by at most {far:.1e}")
        with part.step("restored data sets and networks give equal results, bit for bit") as said:
            store = folder / "restored"
            shutil.copytree(truth, store)
            shutil.rmtree(store / "results")
            before = toys.files_of(store)
            tmi.run(suite, store, threads=1)
            said += toys.differences(store, truth, keys)
            now = toys.files_of(store)
            said += [f"{name[:20]} was made again" for name, seen in before.items() if now.get(name) != seen]
            said.append(f"={len(keys)} results equal, {len(before)} data sets and networks taken from the store")
        with part.step(f"other batch sizes in the forward pass: agree to {_CLOSE:g}") as said:
            torch.set_num_threads(1)
            worst, count = 0.0, 0
            data = tmi.generate("squares", seed=0)
            for network in (
                tmi.build("theorem1", data),
                tmi.build("theorem1", data, realisation="literal"),
                tmi.build("cnn", data, kernel=2, hidden=0),
            ):
                whole = network.logits(data.test.images)
                for batch_size in (1, 3, 64, 1000):
                    worst = max(worst, float((network.logits(data.test.images, batch_size) - whole).abs().max()))
                    count += 1
            if not worst <= _CLOSE:
                said.append(f"differ by {worst:g}")
            said.append(f"={count} pairs, at most {worst:.1e} apart")
        with part.step("another batch size in training: another key") as said:
            other = folder / "other.toml"
            other.write_text(suite.read_text(encoding="utf-8").replace("batch_size = 10", "batch_size = 11"), encoding="utf-8")
            pairs = list(zip(toys.plan_of(suite), toys.plan_of(other), strict=True))
            for one, two in pairs:
                trained = one.cell.network.label == "trained"
                if (one.key == two.key) == trained:
                    said.append(f"{one.cell}: the key is {'the same' if trained else 'another'}")
            said.append(
                f"={sum(one.key != two.key for one, two in pairs)} of {len(pairs)} keys differ: those of the trained networks"
            )
    return part.rows
