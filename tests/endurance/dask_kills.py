"""Two Dask workers, one killed every few seconds; and cells that end their worker, fill its memory or never return."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import toys
from .rows import Part, Row, scratch


def worker_processes() -> list[Any]:
    """Return the worker processes of this one."""
    import psutil

    workers = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "tmi.engines.local_worker" in process.cmdline():
                workers.append(process)
    return workers


class Killer(threading.Thread):
    """Kills one worker every two to four seconds, from the first cell on, until it is told to stop."""

    def __init__(self, log: Path, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.killed = 0
        self._log = log
        self._rng = rng
        self._stop_now = threading.Event()

    def run(self) -> None:
        while not self._log.exists() and not self._stop_now.wait(0.05):
            pass
        while not self._stop_now.wait(self._rng.uniform(2.0, 4.0)):
            processes = worker_processes()
            if processes:
                with suppress(ProcessLookupError):
                    os.kill(self._rng.choice(processes).pid, signal.SIGKILL)
                    self.killed += 1

    def stop(self) -> None:
        self._stop_now.set()
        self.join()


@contextmanager
def killing(log: Path, rng: random.Random) -> Iterator[Killer]:
    killer = Killer(log, rng)
    killer.start()
    try:
        yield killer
    finally:
        killer.stop()


def killed_often(quick: bool, part: Part) -> None:
    import tmi

    with scratch() as folder, part.step("2 workers, one killed every 2–4 s: all cells done, equal to a serial run") as notes:
        size = {"seeds": 1, "scales": 30} if quick else {"seeds": 2, "scales": 60}
        suite = toys.suite(folder, **size, variants=2, widths=2, net="ms = 50\nsteps = 60", probe="ms = 80\nvalues = 300")
        plan = toys.plan_of(suite)
        tmi.run(suite, folder / "serial", threads=1)
        log = folder / "log.txt"
        os.environ["TMI_TOY_LOG"] = str(log)
        begun = time.perf_counter()
        with killing(log, random.Random()) as killer:
            # A cell whose worker is killed in each of four attempts is given up, as it should be.
            results = tmi.run(suite, folder / "store", workers=2, threads=1, attempts=4)
        del os.environ["TMI_TOY_LOG"]
        took = time.perf_counter() - begun
        notes += [f"{entry}: {entry.message}" for entry in results if entry.status != "ok"]
        notes += toys.differences(folder / "store", folder / "serial", [p.key for p in plan])
        if killer.killed < 2:
            notes.append(f"only {killer.killed} workers were killed")
        if worker_processes():
            notes.append("workers are left over")
        again = sum(number - 1 for number in toys.calls(log).values())
        notes.append(
            f"={killer.killed} workers killed in {took:.0f} s, {len(plan)} cells done, all equal bit for bit; {again} begun again"
        )


def that_end_their_worker(part: Part) -> None:
    """Cells that kill their process, or take more memory than they may: tried twice, then a row."""
    import tmi

    for probe, asked, settings in (
        ("deadly", "a cell that kills its worker is begun twice, then a failed row; the others finish", {}),
        ("greedy", "a cell that takes more memory than a worker may, likewise", {"memory": "1 GB"}),
        ("stuck", "a cell that never comes back from C, with timeout=10, becomes a failed row", {"timeout": 10.0}),
    ):
        with scratch() as folder, part.step(asked) as notes:
            suite = toys.suite(folder, scales=6, probe="ms = 50", more=f'[probes.bad]\nuse = "{probe}"')
            log = folder / "log.txt"
            os.environ["TMI_TOY_LOG"] = str(log)
            results = tmi.run(suite, folder / "store", workers=2, threads=1, **settings)  # type: ignore[arg-type]
            del os.environ["TMI_TOY_LOG"]
            bad = [entry for entry in results if entry.probe == "bad"]
            notes += [f"{entry}: {entry.message}" for entry in results if entry.probe != "bad" and entry.status != "ok"]
            begun = sum(number for words, number in toys.calls(log).items() if words.startswith(probe))
            if bad[0].status != "failed" or not bad[0].message:
                notes.append(f"its row is {bad[0].status}: {bad[0].message!r}")
            if begun != (1 if probe == "stuck" else 2):
                notes.append(f"it was begun {begun} times")
            if probe == "stuck" and "limit of 10 s" not in bad[0].message:
                notes.append(f"its message: {bad[0].message}")
            notes.append(f"=begun {begun} times, {len(results) - 1} others done; “{bad[0].message}”")


def rows(quick: bool) -> list[Row]:
    """Kill workers, and let cells end them."""
    import torch

    torch.set_num_threads(1)
    part = Part("dask_kills")
    killed_often(quick, part)
    that_end_their_worker(part)
    return part.rows
