"""Eight processes, one store, the same suite at once: they share the work, and every result is right."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path

from . import toys
from .rows import Part, Row, scratch

_LIMIT = 600.0


def at_once(count: int, suite: Path, store: Path, folder: Path) -> list[str]:
    """Run the suite in so many forked processes that begin together; return what went wrong in them."""
    import tmi

    gate = folder / "gate"
    children = []
    for number in range(count):
        child = os.fork()
        if not child:
            code = 1
            try:
                while not gate.exists():
                    time.sleep(0.001)
                results = tmi.run(suite, store, threads=1)
                assert all(entry.status == "ok" for entry in results), results.failed[:1]
                code = 0
            except BaseException:
                (folder / f"error{number}.txt").write_text(traceback.format_exc())
            finally:
                os._exit(code)
        children.append(child)
    gate.touch()
    wrong = []
    until = time.monotonic() + _LIMIT
    for number, child in enumerate(children):
        done, status = 0, 0
        while not done and time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not done:
            os.kill(child, 9)
            os.waitpid(child, 0)
            wrong.append(f"process {number} hangs")
        elif status:
            said = folder / f"error{number}.txt"
            text = said.read_text().splitlines()[-1] if said.exists() else ""
            wrong.append(f"process {number}: {os.waitstatus_to_exitcode(status)} {text}")
    gate.unlink()
    return wrong


def by_command(count: int, suite: Path, store: Path, log: Path) -> list[str]:
    """Run ``tmi run`` so many times at once; return what went wrong."""
    processes = [toys.start("run", suite, "--store", store, "--threads", 1, TMI_TOY_LOG=log) for _ in range(count)]
    wrong = []
    for number, process in enumerate(processes):
        try:
            _, err = process.communicate(timeout=_LIMIT)
        except Exception as error:
            process.kill()
            process.communicate()
            wrong.append(f"tmi run {number}: {type(error).__name__}")
            continue
        trouble = [line for line in err.splitlines() if "error" in line.lower() or "warning" in line.lower()]
        if process.returncode or trouble:
            wrong.append(f"tmi run {number}: {process.returncode} {trouble[:1]}")
    return wrong


def rows(quick: bool) -> list[Row]:
    """Run eight at once, a few times."""
    import torch

    import tmi

    torch.set_num_threads(1)  # before anything is computed: threads do not survive a fork
    part = Part("together")
    rounds, scales = (1, 5) if quick else (5, 20)
    with scratch() as folder:
        suite = toys.suite(folder, seeds=2, variants=2, widths=2, scales=scales, net="ms = 50", probe="ms = 10\nvalues = 300")
        plan = toys.plan_of(suite)
        truth = folder / "truth"
        tmi.run(suite, truth, threads=1)
        once = len(plan) + len({p.network_key for p in plan}) + len({p.dataset_key for p in plan})
        wrong: list[str] = []
        differ: list[str] = []
        conflicts: list[str] = []
        twice = pieces = 0
        for round_ in range(rounds + 1):
            store, log = folder / f"store{round_}", folder / f"log{round_}.txt"
            os.environ["TMI_TOY_LOG"] = str(log)
            wrong += at_once(8, suite, store, folder) if round_ < rounds else by_command(8, suite, store, log)
            del os.environ["TMI_TOY_LOG"]
            noted = toys.calls(log)
            pieces += once
            twice += sum(number - 1 for number in noted.values())
            differ += toys.differences(store, truth, [p.key for p in plan])
            if len(noted) != once:
                differ.append(f"{len(noted)} of {once} pieces of work were done")
            if (store / "damaged").exists():
                conflicts.append("something was set aside")
            conflicts += [f"{path.name[:20]} is left" for path in store.glob("**/.*.tmp")]
            conflicts += [f"claim {path.name[:20]} is left" for path in (store / "leases").iterdir()]
        what = f"{rounds} times forked, once as tmi run; {len(plan)} cells"
        part.none_of("8 processes, one store, the same suite at once: 0 errors", wrong, f"0 errors ({what})")
        part.none_of(
            "every result right", differ, f"{len(plan) * (rounds + 1):,} results equal to those of a lone run, bit for bit"
        )
        part.none_of("none written twice in conflict", conflicts, "nothing set aside, nothing left over")
        part.add("work is shared, not done twice", f"{twice} of {pieces:,} pieces of work done twice", twice == 0)
    return part.rows
