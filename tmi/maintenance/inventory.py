"""What lies in the folder of a store, found without opening a file and without following a link.

Only what a store itself makes is counted: plain files of the right name in the right folder. Everything else is named and left
alone, and nothing outside of the folder is ever reached.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tmi.errors import StoreError
from tmi.stages import Stage
from tmi.store import files
from tmi.store import leases as claims
from tmi.store.files import Stamp
from tmi.store.index import NAME as INDEX
from tmi.store.store import FOLDERS, Store

TABLE = "results.csv"
"""The table that an exported store has beside its files."""

_KEY = re.compile(r"[0-9a-f]{64}")
_OTHERS = ("failures", "leases", "damaged")
_INDEX = (INDEX, f"{INDEX}-journal", f"{INDEX}-wal", f"{INDEX}-shm")


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a store.

    Attributes
    ----------
    kind : Stage or {"failure", "damaged"}
    key : str
    path : Path
    size : int
        In bytes.
    mtime_ns : int
        When it was written, in ns since 1970.
    """

    kind: Stage | Literal["failure", "damaged"]
    key: str
    path: Path
    size: int
    mtime_ns: int

    @property
    def noun(self) -> str:
        """What it is, for messages."""
        return self.kind.product if isinstance(self.kind, Stage) else self.kind

    @property
    def stamp(self) -> Stamp:
        """What tells it from another file of its name."""
        return self.size, self.mtime_ns

    @property
    def written(self) -> float:
        """When it was written, in seconds since 1970."""
        return self.mtime_ns / 1e9


@dataclass(frozen=True, slots=True)
class Strange:
    """Something that is no file of a store, or that cannot be looked into, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Running:
    """A piece of work that a run is at.

    Attributes
    ----------
    key : str
        Of the data set, network or result that is being made.
    claim : Lease
    seen : float
        Its latest sign of life, in seconds since 1970.
    """

    key: str
    claim: claims.Lease
    seen: float


@dataclass
class Inventory:
    """All that lies in a store.

    Attributes
    ----------
    files : list of Found
        Results, data sets and networks.
    failures, damaged : list of Found
    temporary : list of Path
        Left behind by processes that are gone.
    running : list of Running
    stale : list of Path
        Leases of processes that are gone.
    strange : list of Strange
        Links, and what is not of the store: harmless, and never touched.
    unreadable : list of Strange
        Folders that cannot be looked into.
    index_size : int
        In bytes.
    """

    files: list[Found] = field(default_factory=list)
    failures: list[Found] = field(default_factory=list)
    damaged: list[Found] = field(default_factory=list)
    temporary: list[Path] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    strange: list[Strange] = field(default_factory=list)
    unreadable: list[Strange] = field(default_factory=list)
    index_size: int = 0

    def of(self, kind: Stage | str) -> list[Found]:
        """The files of a kind."""
        return [found for found in self.files if found.kind == kind]


def take(store: Store) -> Inventory:
    """Look at everything in the folder of a store.

    Raises
    ------
    StoreError
        If there is no store.
    """
    folder = store.folder
    if not folder.is_dir():
        raise StoreError(f"store {shown_folder(store)}: there is no such folder")
    made = Inventory()
    known = 0
    for entry in _entries(folder, made):
        path = Path(entry.path)
        if entry.name in (*FOLDERS.values(), *_OTHERS):
            known += 1
            if _is_folder(entry, made, of_ours=True):
                _look_into(path, made)
        elif entry.name in _INDEX and entry.is_file(follow_symlinks=False):
            known += 1
            with suppress(FileNotFoundError):  # a journal comes and goes
                made.index_size += entry.stat(follow_symlinks=False).st_size
        elif not _is_temporary(entry, made) and not (entry.name == TABLE and entry.is_file(follow_symlinks=False)):
            made.strange.append(_strange(entry))
    if not known and (made.strange or made.temporary):
        raise StoreError(f"store {shown_folder(store)}: is no store, for it has none of {', '.join(FOLDERS.values())}")
    return made


def shown_folder(store: Store) -> str:
    """Return the folder of a store for a message."""
    from tmi.runtime.formatting import shown

    return shown(store.folder)


def _look_into(path: Path, made: Inventory) -> None:
    if path.name == "leases":
        _look_at_claims(path, made)
    elif path.name == "damaged":
        for entry in _entries(path, made):
            if entry.is_file(follow_symlinks=False):
                _add(made.damaged, entry, "damaged", "")
            else:
                made.strange.append(_strange(entry))
    elif path.name == "failures":
        _look_at_shards(path, made, made.failures, "failure", ".json")
    else:
        kind = next(kind for kind, name in FOLDERS.items() if name == path.name)
        _look_at_shards(path, made, made.files, kind, ".h5")


def _look_at_shards(folder: Path, made: Inventory, to: list[Found], kind: Stage | Literal["failure"], ending: str) -> None:
    for shard in _entries(folder, made):
        if not (len(shard.name) == 2 and set(shard.name) <= set("0123456789abcdef")):
            if not _is_temporary(shard, made):
                made.strange.append(_strange(shard))
        elif _is_folder(shard, made):
            for entry in _entries(Path(shard.path), made):
                key = entry.name.removesuffix(ending)
                ours = entry.name.endswith(ending) and _KEY.fullmatch(key) and key[:2] == shard.name
                if ours and entry.is_file(follow_symlinks=False):
                    _add(to, entry, kind, key)
                elif not _is_temporary(entry, made):
                    made.strange.append(_strange(entry))


def _look_at_claims(folder: Path, made: Inventory) -> None:
    for entry in _entries(folder, made):
        if not _KEY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            if not _is_temporary(entry, made):
                made.strange.append(_strange(entry))
            continue
        path = Path(entry.path)
        claim = claims.read(path)
        seen = files.stamp(path)
        if seen is None:
            continue  # given back just now
        if claim is not None and claims.is_alive(path, claim):
            made.running.append(Running(entry.name, claim, seen[1] / 1e9))
        elif claim is not None or time.time() - seen[1] / 1e9 > claims.STALE:  # a new one may be about to be written
            made.stale.append(path)


def _entries(folder: Path, made: Inventory) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        made.unreadable.append(Strange(folder, f"cannot be looked into ({error.strerror or error})"))


def _add(to: list[Found], entry: os.DirEntry[str], kind: Stage | Literal["failure", "damaged"], key: str) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # a run that goes on meanwhile may put another in its place
        return
    to.append(Found(kind, key, Path(entry.path), status.st_size, status.st_mtime_ns))


def _is_folder(entry: os.DirEntry[str], made: Inventory, *, of_ours: bool = False) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    made.strange.append(_strange(entry, "a link is not followed" if of_ours and entry.is_symlink() else ""))
    return False


def _is_temporary(entry: os.DirEntry[str], made: Inventory) -> bool:
    """Whether it is a file that is being written; one whose writer is gone is remembered."""
    if not files._TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
        return False
    if files._left_behind(Path(entry.path)):
        made.temporary.append(Path(entry.path))
    return True


def _strange(entry: os.DirEntry[str], more: str = "") -> Strange:
    if entry.is_symlink():
        what = "is a symbolic link, and a store has none"
    elif entry.is_dir(follow_symlinks=False):
        what = "is a folder that is not of the store"
    elif entry.is_file(follow_symlinks=False):
        what = "is a file that is not of the store"
    else:
        what = "is no plain file"
    return Strange(Path(entry.path), f"{what}; {more}" if more else what)
