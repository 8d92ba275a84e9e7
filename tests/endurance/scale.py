"""Ten thousand cells answered from the store, a hundred thousand planned without torch, and what a cold cell costs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tmi.store.index import _APPLICATION, LAYOUT, NAME

from . import toys
from .rows import Part, Row, scratch

_LIMIT = 900.0
_BLANK = "0" * 64

ANSWER = """
import json, sys, time
begun = time.perf_counter()
from tmi.suites.plan import make_plan
from tmi.runs.runner import load_results
from tmi.store.store import Store
from tmi.suites.reader import load_suite
imported = time.perf_counter()
suite = load_suite(sys.argv[1])
plan = make_plan(suite)
planned = time.perf_counter()
store = Store(sys.argv[2])
found = store.read_all(p.key for p in plan)
answered = time.perf_counter()
again = len(Store(sys.argv[2]).read_all(p.key for p in plan))
twice = time.perf_counter()
results = load_results(suite, store)
print(json.dumps({
    "cells": len(plan),
    "found": len(found),
    "again": again,
    "ok": sum(entry.status == "ok" for entry in results),
    "right": all(stored.notes == (key,) for key, stored in found.items()),
    "torch": "torch" in sys.modules,
    "seconds": [imported - begun, planned - imported, answered - planned, twice - answered],
}))
"""


def fill(suite: Path, home: Path) -> int:
    """Write a result for every cell of the suite; only keys differ, one of which is in the notes. Return how many there are."""
    import tmi
    from tmi.store import files
    from tmi.store.results import result_bytes
    from tmi.store.store import Store

    plan = toys.plan_of(suite)
    store = Store(home)
    store.prepare()
    choices = {kind: {"name": f"toy-{kind}", "params": {"scale": 1.0}} for kind in ("dataset", "network", "probe")}
    record: dict[str, Any] = {**choices, "seconds": {"dataset": 0.1, "network": 0.1, "probe": 0.01}, "seed": 0, "warnings": []}
    record |= {"finished": "2026-01-01T00:00:00+00:00", "versions": {"torch": "2.4"}, "threads": 1, "device": "cpu"}
    logits = np.random.default_rng(0).random((8, 2))
    result = tmi.ProbeResult({"total": 1.5, "mean": 0.5}, {"logits": (("image", "class"), logits)}, notes=_BLANK)
    blank = result_bytes(_BLANK, result, record)
    for planned in plan:
        assert planned.key is not None
        files.write_sealed(store.path(planned.key), blank.replace(_BLANK.encode(), planned.key.encode()), sync=False)
    return len(plan)


def of_a_newer_version(index: Path) -> None:
    """Write an index of a newer version, which this one neither reads nor replaces."""
    with closing(sqlite3.connect(index, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {LAYOUT + 1}")


def timed(*arguments: object) -> tuple[float, subprocess.CompletedProcess[str]]:
    begun = time.perf_counter()
    done = toys.command(*arguments, timeout=_LIMIT)
    return time.perf_counter() - begun, done


def warm(count: int, suite: Path, home: Path, part: Part) -> None:
    """Time the two commands with the index, when it has to be made, and when none can be made."""
    took: dict[str, list[float]] = {"run": [], "results": []}
    problems = []
    _, done = timed("run", suite, "--store", home)  # so that the files are in the cache of the operating system
    for state in ("made again", "there", "cannot be"):
        for name in ("run", "results"):
            index = home / NAME
            if state != "there":
                index.unlink(missing_ok=True)
            if state == "cannot be":
                of_a_newer_version(index)
            repeats = [timed(name, suite, "--store", home) for _ in range(3 if state == "there" else 1)]
            took[name].append(min(seconds for seconds, _ in repeats))
            done = repeats[0][1]
            said = f"{count:,} cells, {count:,} from the store, 0 failed" if name == "run" else "total"
            if done.returncode or said not in done.stdout:
                problems.append(f"tmi {name}, index {state}: {done.returncode} {done.stdout[-100:]} {done.stderr[-200:]}")
    part.none_of(
        f"{count:,} cells are answered from the store, with and without an index", problems, "0 computed, 0 failed, each time"
    )
    limits = {"run": 3.0, "results": 1.0}
    for name, limit in limits.items():
        first, there, without = took[name]
        found = f"{there:.2f} s with the index, {first:.2f} s when it is made again, {without:.2f} s without one"
        part.add(f"tmi {name} over {count:,} cells: ≤ {limit:g} s", found + (", slower" if there > limit else ""), None)


def answered(suite: Path, home: Path, part: Part) -> None:
    """Plan and answer a large suite in a process of its own, and look whether torch was imported there."""
    command = [sys.executable, "-c", ANSWER, str(suite), str(home)]
    # python -c has the working folder on its path, as the commands have.
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False, env=toys.environment())
    if done.returncode:
        part.add("a large plan is answered from the store", done.stderr[-300:], False)
        return
    said = json.loads(done.stdout)
    cells, times = said["cells"], said["seconds"]
    right = said["found"] == said["again"] == said["ok"] == cells and said["right"]
    found = (
        f"{said['found']:,} found, {'all right' if right else 'NOT all right'}; planned in {times[1]:.1f} s, "
        f"answered in {times[2]:.1f} s (index made), {times[3]:.1f} s (index there)"
    )
    part.add(f"a plan of {cells:,} cells is expanded, keyed and answered", found, right)
    part.add("without importing torch", "torch was imported" if said["torch"] else "not imported", not said["torch"])


class Clock:
    """A watcher that notes when each cell was done."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.work: list[float] = []

    def start(self, todo: int, cached: int, left: Any) -> None:
        self.times.append(time.perf_counter())

    def done(self, outcome: Any) -> None:
        self.times.append(time.perf_counter())
        self.work.append(outcome.stored.record["seconds"]["probe"])

    def say(self, text: str) -> None:
        pass


def overhead(cells: int, part: Part) -> None:
    """Time cells that sleep for 10 ms, when the imports, the data set, the network and the workers' start are over."""
    import tmi

    for workers in (1, 2):
        with scratch() as folder:
            suite = toys.suite(folder, scales=cells * workers**2 + 10, probe="ms = 10")
            clock = Clock()
            tmi.run(suite, folder / "store", workers=workers, threads=1, watcher=clock)
            steps, work = np.diff(clock.times)[-cells:], np.array(clock.work[-cells:])
            mean = (workers * steps.sum() - work.sum()) / cells * 1e3
            what = f"overhead of a cold cell over its work, {workers} worker{'s' * (workers > 1)}: ≤ 20 ms"
            # Two at a time: only the sum over both is known.
            middle = f", median {statistics.median((steps - work) * 1e3):.1f} ms" if workers == 1 else ""
            cores = len(os.sched_getaffinity(0))
            found = f"mean {mean:.1f} ms{middle} of the last {cells} cells, on {cores} cores"
            part.add(what, found + (", slower" if mean > 20 else ""), None)


def rows(quick: bool) -> list[Row]:
    """Measure with 10,000 and 100,000 cells, or a thousand of each."""
    import torch

    torch.set_num_threads(1)
    part = Part("scale")
    with scratch() as folder:
        size = (
            {"seeds": 10, "variants": 2, "widths": 5, "scales": 10}
            if quick
            else {"seeds": 10, "variants": 10, "widths": 10, "scales": 10}
        )
        suite = toys.suite(folder, **size)
        count = fill(suite, folder / "store")
        warm(count, suite, folder / "store", part)
        if not quick:
            size["scales"] = 100
            suite = toys.suite(folder, **size)
            shutil.rmtree(folder / "store")
            fill(suite, folder / "store")
        (folder / "store" / NAME).unlink(missing_ok=True)
        answered(suite, folder / "store", part)
    overhead(60 if quick else 200, part)
    return part.rows
