"""A small file system of its own that gets full, or read-only, in the middle of a run: one clear line, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import toys
from .rows import Part, Row, scratch

_LIMIT = 120.0
_UNSHARED = "TMI_ENDURANCE_UNSHARED"


def _mount(*arguments: object) -> str:
    """Call ``mount``; return what went wrong."""
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system in memory.

    Raises
    ------
    PermissionError
        Where that is not allowed.
    """
    folder.mkdir()
    why = _mount("-t", "tmpfs", "-o", f"size={size}", "tmi", folder)
    if why:
        raise PermissionError(why)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, timeout=60)


def _remount(folder: Path, option: str) -> str:
    """Change an option; a file that is being written may keep it from becoming read-only for a moment."""
    until = time.monotonic() + 30
    while (why := _mount("-o", f"remount,{option}", folder)) and time.monotonic() < until:
        time.sleep(0.01)
    return why


def _lost(store: Path, before: dict[str, tuple[int, str]]) -> list[str]:
    now = toys.files_of(store)
    return [f"{name[:20]} is gone or changed" for name, seen in before.items() if now.get(name) != seen]


def _clear(done: subprocess.CompletedProcess[str], *words: str) -> list[str]:
    """Return what is wrong with how a run ended: exit code 2 and one line that says why."""
    said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    problems = [f"exit code {done.returncode}"] if done.returncode != 2 else []
    if "Traceback" in done.stderr:
        problems.append("a traceback")
    is_clear = len(said) == 1 and any(word in said[0] for word in words)
    if not is_clear or not ("results are kept" in said[0] or "cannot be written to" in said[0]):
        problems.append(f"it says {said or done.stderr[-200:]}")
    return problems


def full(quick: bool, part: Part, workers: int) -> None:
    how = "tmi run" if workers == 1 else f"tmi run --workers {workers}"
    with (
        scratch() as folder,
        part.step(f"disk full in the middle of {how}: exit 2, a clear line, nothing lost, continues") as said,
    ):
        suite = toys.suite(folder, scales=40, net="ms = 20", probe="values = 5000")  # 40 kB a result, random: 1.8 MB in all
        keys = [p.key for p in toys.plan_of(suite)]
        _alone(suite, folder / "truth")
        stopped = 0
        message = ""
        # The smallest have no room for the data set; others stop at the network, or a result.
        sizes = ((16, 32, 48) if not quick else ()) + ((64, 700) if workers == 1 else (700,))
        for number, kilobytes in enumerate(sizes):
            with small_disk(folder / f"disk{number}", f"{kilobytes}k") as disk:
                store = disk / "store"
                begin = ("run", suite, "--store", store, "--threads", 1, "--workers", workers)
                done = toys.command(*begin, timeout=_LIMIT)
                said += [f"{kilobytes} kB: {problem}" for problem in _clear(done, "No space left")]
                message = done.stderr.strip().splitlines()[-1].replace(str(folder), "…")
                before = toys.files_of(store)
                there = sum(name.startswith("results") for name in before)
                stopped += 1
                if kilobytes > 500 and there < 5:
                    said.append(f"{kilobytes} kB: only {there} results are there")
                again = toys.command(*begin, timeout=_LIMIT)  # still no space
                said += [f"{kilobytes} kB, again: {problem}" for problem in _clear(again, "No space left")]
                said += _lost(store, before)
                said += [f"{kilobytes} kB, with space: {problem}" for problem in _goes_on(disk, "size=64m", begin)]
                said += _lost(store, before) + toys.differences(store, folder / "truth", keys)
                said += [f"{path.name[:20]} is left" for path in store.glob("**/.*.tmp")]
        said.append(f"={stopped} disks of {', '.join(map(str, sizes))} kB; then all {len(keys)} are right; “{message[:170]}”")


def read_only(part: Part) -> None:
    with scratch() as folder, part.step("read-only in the middle of tmi run: likewise") as said:
        suite = toys.suite(folder, scales=40, probe="ms = 100\nvalues = 300")
        keys = [p.key for p in toys.plan_of(suite)]
        _alone(suite, folder / "truth")
        with small_disk(folder / "disk", "64m") as disk:
            store = disk / "store"
            begin = ("run", suite, "--store", store, "--threads", 1)
            process = toys.start(*begin)
            try:
                until = time.monotonic() + _LIMIT
                while len(toys.files_of(store)) < 6 and process.poll() is None and time.monotonic() < until:
                    time.sleep(0.01)
                why = _remount(disk, "ro")
                if why:
                    raise OSError(why)
                before = toys.files_of(store)
                out, err = process.communicate(timeout=_LIMIT)
            finally:
                process.kill()
            said += _clear(subprocess.CompletedProcess(process.args, process.returncode, out, err), "Read-only")
            message = (err.strip().splitlines() or [""])[-1].replace(str(folder), "…")
            shown = toys.command("results", suite, "--store", store, timeout=_LIMIT)
            if shown.returncode or "total" not in shown.stdout:
                said.append(f"tmi results on a read-only folder: {shown.returncode} {shown.stderr[-200:]}")
            again = toys.command(*begin, timeout=_LIMIT)
            said += [f"again: {problem}" for problem in _clear(again, "Read-only")]
            said += _lost(store, before)
            said += [f"writable again: {problem}" for problem in _goes_on(disk, "rw", begin)]
            said += _lost(store, before) + toys.differences(store, folder / "truth", keys)
            there = sum(name.startswith("results") for name in before)
            said.append(f"={there} results were there and stay, then all {len(keys)} are right; “{message[:170]}”")


def _goes_on(disk: Path, options: str, begin: tuple[Any, ...]) -> list[str]:
    """Mount the disk so that it can be written to, and run once more; return what is wrong."""
    why = _remount(disk, options)
    if why:
        raise OSError(why)
    done = toys.command(*begin, timeout=_LIMIT)
    return [f"exit code {done.returncode} {done.stderr[-200:]}"] if done.returncode else []


def _alone(suite: Path, truth: Path) -> None:
    import tmi

    tmi.run(suite, truth, threads=1)


def rows(quick: bool) -> list[Row]:
    """Fill a disk, and make it read-only."""
    import torch

    torch.set_num_threads(1)
    part = Part("full_disk")
    with scratch() as folder:
        try:
            with small_disk(folder / "disk", "64k"):
                pass
        except PermissionError as error:
            why = str(error)
        else:
            full(quick, part, workers=1)
            if not quick:
                full(quick, part, workers=2)
            read_only(part)
            return part.rows
    # Without permission to mount: in a name space of one's own, where there are such.
    if _UNSHARED not in os.environ:
        inner = [sys.executable, "-m", "tests.endurance", "--alone", part.name, *(["--quick"] if quick else [])]
        try:
            done = subprocess.run(
                ["unshare", "-rm", *inner],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {_UNSHARED: "1"},
            )
        except OSError as error:
            why += f"; {error}"
        else:
            import json

            if done.returncode == 0:
                return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
            why += f"; unshare: {done.stderr.strip()[-200:]}"
    part.add("disk full and read-only in the middle of a run", f"not tried: no file system can be mounted here ({why})", None)
    return part.rows
