"""The files in the folder of a store, listed without opening one and without following a link.

Only plain files with the right name in the right folder count as the store's. Everything else is reported and never touched, and
nothing outside the folder is reached.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tmi.errors import StoreError
from tmi.runtime.formatting import format_count, printable
from tmi.stages import Stage
from tmi.store import files, leases
from tmi.store.files import Stamp
from tmi.store.format import is_key
from tmi.store.index import NAME as INDEX
from tmi.store.store import FOLDERS, Store

TABLE = "results.csv"
"""The table that an exported store holds beside its files."""

Kind = Stage | Literal["failure", "damaged"]

_SHARDED = r"([0-9a-f]{2})/(?P<key>\1[0-9a-f]{62})"
_FILES: dict[Kind, re.Pattern[str]] = {
    **{stage: re.compile(rf"{folder}/{_SHARDED}\.h5") for stage, folder in FOLDERS.items()},
    "failure": re.compile(rf"failures/{_SHARDED}\.json"),
    "damaged": re.compile(r"damaged/(?P<key>)[^/]*"),
}
_TOP_FOLDERS = (*FOLDERS.values(), "failures", "damaged", leases.FOLDER)
_FOLDERS = re.compile(rf"({'|'.join(FOLDERS.values())}|failures)(/[0-9a-f]{{2}})?|damaged|{leases.FOLDER}")
_INDEX = (INDEX, f"{INDEX}-journal", f"{INDEX}-wal", f"{INDEX}-shm")
_ACCEPTED = (TABLE, ".gitignore")
_NOUNS: dict[Kind, str] = {Stage.DATASET: "data set", Stage.PROBE: "result"}


@dataclass(frozen=True, slots=True)
class StoreFile:
    """One file of a store.

    Attributes
    ----------
    kind : Stage or {"failure", "damaged"}
    key : str
        Empty for a damaged file that was set aside.
    path : Path
    size : int
        In bytes.
    mtime_ns : int
        When it was written, in ns since 1970.
    """

    kind: Kind
    key: str
    path: Path
    size: int
    mtime_ns: int

    @property
    def noun(self) -> str:
        """The kind as messages and the command's options name it, such as ``"dataset"`` or ``"result"``."""
        return self.kind.product if isinstance(self.kind, Stage) else self.kind

    @property
    def stamp(self) -> Stamp:
        """Size and time, which differ if another file took its place."""
        return self.size, self.mtime_ns

    @property
    def written(self) -> float:
        """When it was written, in seconds since 1970."""
        return self.mtime_ns / 1e9


@dataclass(frozen=True, slots=True)
class Strange:
    """Something that is not a file of a store, or that cannot be read, and the reason."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Running:
    """A lease that a process holds now.

    Attributes
    ----------
    key : str
        Of the data set, network or result that is being computed.
    lease : Lease
    seen : float
        When the process last renewed it, in seconds since 1970.
    """

    key: str
    lease: leases.Lease
    seen: float


@dataclass
class Inventory:
    """The contents of a store's folder.

    Attributes
    ----------
    files : list of StoreFile
        Results, data sets and networks.
    failures, damaged : list of StoreFile
    temporary : list of Path
        Temporary files of processes that have ended.
    running : list of Running
    stale : list of Path
        Leases of processes that have ended.
    strange : list of Strange
        Links, and files and folders that are not the store's: harmless, and never touched.
    unreadable : list of Strange
        Folders that cannot be listed.
    index_size, other_size : int
        Of the index, and of a table and a ``.gitignore`` that belong to the store, in bytes.
    """

    files: list[StoreFile] = field(default_factory=list)
    failures: list[StoreFile] = field(default_factory=list)
    damaged: list[StoreFile] = field(default_factory=list)
    temporary: list[Path] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    strange: list[Strange] = field(default_factory=list)
    unreadable: list[Strange] = field(default_factory=list)
    index_size: int = 0
    other_size: int = 0

    def of_kind(self, kind: Stage) -> dict[str, StoreFile]:
        """The data sets, networks or results, by their keys."""
        return {file.key: file for file in self.files if file.kind == kind}


def take_inventory(store: Store) -> Inventory:
    """List the contents of a store's folder.

    Raises
    ------
    StoreError
        If the folder does not exist, or is not a store.
    """
    if not store.folder.is_dir():
        raise StoreError(f"store {printable(store.folder)}: there is no such folder")
    inventory = Inventory()
    _scan(store.folder, "", inventory)
    if inventory.strange or inventory.temporary:
        names = {path.name for path in store.folder.iterdir()}
        if names.isdisjoint((*_TOP_FOLDERS, *_INDEX)):
            folders = ", ".join(FOLDERS.values())
            raise StoreError(f"store {printable(store.folder)}: is no store, for it has none of {folders}")
    return inventory


def format_files(count: int, kind: Kind) -> str:
    """Write ``"1 data set"``, ``"2 results"``."""
    return format_count(count, _NOUNS.get(kind, kind))


def _scan(folder: Path, prefix: str, inventory: Inventory) -> None:
    """Add what a folder holds; ``prefix`` is its path in the store, with a slash at the end."""
    for entry in _entries(folder, inventory):
        name, path = prefix + entry.name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False) and _FOLDERS.fullmatch(name):
            _scan(path, f"{name}/", inventory)
        elif not entry.is_file(follow_symlinks=False):
            inventory.strange.append(_strange(entry))
        else:
            with suppress(FileNotFoundError):  # a run may replace or remove it at any time
                _add_file(entry, name, inventory)


def _add_file(entry: os.DirEntry[str], name: str, inventory: Inventory) -> None:
    path = Path(entry.path)
    for kind, pattern in _FILES.items():
        if match := pattern.fullmatch(name):
            status = entry.stat(follow_symlinks=False)
            file = StoreFile(kind, match["key"], path, status.st_size, status.st_mtime_ns)
            {"failure": inventory.failures, "damaged": inventory.damaged}.get(kind, inventory.files).append(file)
            return
    if name.startswith(f"{leases.FOLDER}/") and leases._NAME.fullmatch(entry.name):
        _add_lease(path, entry.stat(follow_symlinks=False).st_mtime, inventory)
    elif name in _INDEX:
        inventory.index_size += entry.stat(follow_symlinks=False).st_size
    elif files._TEMPORARY.fullmatch(entry.name):
        if files._left_behind(path):
            inventory.temporary.append(path)
    elif name in _ACCEPTED:
        inventory.other_size += entry.stat(follow_symlinks=False).st_size
    else:
        inventory.strange.append(_strange(entry))


def _add_lease(path: Path, seen: float, inventory: Inventory) -> None:
    lease = leases.read(path)
    if lease is not None and leases.is_alive(path, lease):
        if is_key(path.name):  # else it is the lease of a whole run
            inventory.running.append(Running(path.name, lease, seen))
    elif lease is not None or time.time() - seen > leases.STALE:  # a young file without content is still being written
        inventory.stale.append(path)


def _entries(folder: Path, inventory: Inventory) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name; nothing if it was removed since."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        inventory.unreadable.append(Strange(folder, f"cannot be looked into ({error.strerror or error})"))
        return []


def _strange(entry: os.DirEntry[str]) -> Strange:
    if entry.is_symlink():
        why = "is a symbolic link, and a store has none"
    elif entry.is_dir(follow_symlinks=False):
        why = "is a folder that is not of the store"
    elif entry.is_file(follow_symlinks=False):
        why = "is a file that is not of the store"
    else:
        why = "is no plain file"
    return Strange(Path(entry.path), why)
