"""Removes files that are old, that no run can ask for any more, or that take too much space."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tmi.errors import InputError
from tmi.runtime.formatting import format_size, printable
from tmi.stages import Stage
from tmi.store.store import FOLDERS, Store

from .delete import delete
from .inventory import Inventory, Kind, StoreFile, format_files, take_inventory
from .read import read_records
from .staleness import Staleness, Status, reasons

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

CHEAPEST_FIRST = tuple(Stage)
"""The order in which files make room: a run that finds its results needs no data sets and networks, and a data set is computed
sooner than a network."""


@dataclass
class Pruned:
    """What was removed, or would be.

    Attributes
    ----------
    removed : list of StoreFile
    notes : list of str
        What is left alone, and why; what could not be removed.
    size : int
        Bytes of results, data sets and networks that stay.
    dry_run : bool
    """

    removed: list[StoreFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size: int = 0
    dry_run: bool = False

    def summary(self) -> str:
        """Write how much of each kind was removed, in one line."""
        parts = []
        kinds: tuple[Kind, ...] = (*FOLDERS, "failure")
        for kind in kinds:
            sizes = [file.size for file in self.removed if file.kind == kind]
            if sizes:
                parts.append(f"{format_files(len(sizes), kind)} ({format_size(sum(sizes))})")
        verb = "would remove" if self.dry_run else "removed"
        return f"{verb} {', '.join(parts) or 'nothing'}; {format_size(self.size)} of results, data sets and networks stay"


def prune(
    store: Store,
    *,
    older: float | None = None,
    unreachable: bool = False,
    max_size: int | None = None,
    kinds: Collection[str] = (),
    registry: Registry | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove files of a store; a run that asks for one later computes it again.

    Parameters
    ----------
    store : Store
    older : float, optional
        Seconds: only what was written longer ago, failures included.
    unreachable : bool
        Only what certainly no run can ask for any more. This is certain if every plug-in that a file came from, those of its
        methods and measures included, is loaded here without a fault, and gives another key with its code and the versions of
        now, or no longer registers a name. Files that came from a plug-in file that is not given, from a distribution that is
        not installed or from a broken plug-in are left alone, and so are those whose record, written by an older tmi, does not
        say where its methods and measures come from; `notes` names the reasons. A data set or network that a run can ask for
        stays, whether or not a result came from it.
    max_size : int, optional
        Bytes: after the other criteria, data sets, then networks, then results are removed, the oldest first, until all of
        them together take no more.
    kinds : collection of {"result", "dataset", "network"}
        Only these; by default all.
    registry : Registry, optional
        For ``unreachable``. By default all installed plug-ins.
    dry_run : bool
        Whether to remove nothing, and only return what would go.

    Returns
    -------
    Pruned

    Raises
    ------
    InputError
        Without any criterion.
    StoreError
        If there is no store.

    Notes
    -----
    What is being computed now is never removed, and links are never followed. A run at the same time is not disturbed: it holds
    what it works with in memory, and computes again what is gone.
    """
    if older is None and not unreachable and max_size is None:
        raise InputError("prune: give at least one of older, unreachable and max_size")
    chosen = [Stage(kind) for kind in kinds] or list(FOLDERS)
    inventory = take_inventory(store)
    pruned = Pruned(dry_run=dry_run)
    pruned.notes += [f"{printable(path.path)}: {path.why}" for path in inventory.unreadable]
    running = {lease.key for lease in inventory.running}
    eligible = [file for file in inventory.files if file.kind in chosen and file.key not in running]
    going: list[StoreFile] = []
    if older is not None or unreachable:
        before = time.time() - (older or 0.0)
        going = eligible if older is None else [file for file in eligible if file.written < before]
        if unreachable:
            going = _unreachable(store, going, registry, pruned)
        elif Stage.PROBE in chosen:
            going += [file for file in inventory.failures if file.written < before and file.key not in running]
    if max_size is not None:
        if inventory.damaged:
            size = format_size(sum(file.size for file in inventory.damaged))
            folder = printable(store.folder / "damaged")
            pruned.notes.append(f"{folder}: {size} set aside as damaged do not count; delete them if you like")
        going = going + _beyond(inventory, eligible, going, max_size, pruned)
    pruned.removed = going if dry_run else _remove(store, going, pruned)
    gone = {file.path for file in pruned.removed}
    pruned.size = sum(file.size for file in inventory.files if file.path not in gone)
    return pruned


def _unreachable(store: Store, files: list[StoreFile], registry: Registry | None, pruned: Pruned) -> list[StoreFile]:
    if registry is None:
        from tmi.plugins.registry import installed

        registry = installed()
    staleness = Staleness(registry)
    going: list[StoreFile] = []
    unclear: list[tuple[StoreFile, Status]] = []
    for file, record in read_records(store, files):
        if record is None:
            status = Status("unclear", "cannot be read; tmi store verify says why")
        else:
            status = staleness.status(file.kind, file.key, record)
        if status.state == "unclear":
            unclear.append((file, status))
        elif status.state == "unreachable":
            going.append(file)
    pruned.notes += [f"left alone: {line}" for line in reasons(unclear)]
    return going


def _beyond(
    inventory: Inventory, eligible: list[StoreFile], going: Iterable[StoreFile], limit: int, pruned: Pruned
) -> list[StoreFile]:
    """Choose the files that have to go besides those that do, so that no more than ``limit`` bytes stay."""
    removed = {file.path for file in going}
    size = sum(file.size for file in inventory.files if file.path not in removed)
    more: list[StoreFile] = []
    for file in sorted(eligible, key=lambda file: (CHEAPEST_FIRST.index(Stage(file.kind)), file.mtime_ns, file.key)):
        if size <= limit:
            break
        if file.path not in removed:
            more.append(file)
            size -= file.size
    if size > limit:
        staying, allowed = format_size(size), format_size(limit)
        pruned.notes.append(f"{staying} stay, more than {allowed}: the rest is of other kinds, or being computed")
    return more


def _remove(store: Store, going: Iterable[StoreFile], pruned: Pruned) -> list[StoreFile]:
    removed = []
    for file in going:
        try:
            if delete(store.folder, file.path, file.stamp):
                removed.append(file)
        except OSError as error:
            pruned.notes.append(f"{printable(file.path)}: cannot be removed ({error.strerror or error})")
    for kind in FOLDERS:
        keys = [file.key for file in removed if file.kind == kind]
        if keys:
            store.index.remove(kind, keys)
            if store.index.trouble:
                pruned.notes.append(f"index: {printable(store.index.trouble)}")
    return removed
