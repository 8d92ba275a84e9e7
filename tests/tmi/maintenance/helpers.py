"""Reads and changes the files of a store, as users, disks, killed runs and other programs do."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py

from tmi import Store
from tmi.maintenance.inventory import StoreFile
from tmi.stages import Stage
from tmi.store import files, leases

DAY = 86400.0


def paths(store: Store, kind: str) -> list[Path]:
    return [store.path(key, kind) for key in store.keys(kind)]


def store_file(store: Store, kind: str, key: str) -> StoreFile:
    path = store.path(key, kind)
    return StoreFile(Stage(kind), key, path, *files.stamp(path))


def metrics_of(store: Store) -> dict[str, dict[str, float]]:
    return {path.stem: store.read(path.stem).metrics for path in paths(store, "probe")}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip(path: Path, at: int = -100) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def reseal(path: Path, data: bytes) -> None:
    files.write_sealed(path, data)


def edit(path: Path, change: Callable[[dict[str, Any]], object], arrays: Callable[[h5py.File], object] = lambda _: None) -> None:
    """Change a file's header and arrays, and seal it again: a file that another program wrote, not a damaged one."""
    file = io.BytesIO(files.read_sealed(path))
    with h5py.File(file, "r+") as opened:
        header = json.loads(opened["header"].asstr()[()])
        change(header)
        arrays(opened)
        del opened["header"]
        opened["header"] = json.dumps(header)
    reseal(path, file.getvalue())


def age(path: Path, days: float) -> None:
    """Make a file look as if it was written some days ago."""
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def lease(store: Store, key: str) -> AbstractContextManager[None]:
    """Work on a key, as a run does."""
    return store.leases("a run").hold(key)


def leave_behind(store: Store) -> None:
    """Leave a temporary file and a lease of a process that has ended, as a killed run does."""
    ended = 2**22 + 1  # above the kernel's limit
    folder = paths(store, "probe")[0].parent
    (folder / f".{'b' * 64}.{socket.gethostname()}.{ended}.0123abcd.tmp").write_bytes(b"half")
    (store.folder / leases.FOLDER).mkdir(exist_ok=True)
    left = {"run": "r", "host": socket.gethostname(), "pid": ended, "ended": []}
    (store.folder / leases.FOLDER / ("c" * 64)).write_text(json.dumps(left))
