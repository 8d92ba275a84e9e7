"""Removes what is old, what no run can ask for any more, and what takes too much space."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tmi.errors import InputError
from tmi.runtime.formatting import counted, shown, size_text
from tmi.stages import Stage
from tmi.store.store import FOLDERS, Store

from .delete import remove
from .inventory import Found, Inventory, take
from .staleness import Judge, Verdict, reasons, records

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

CHEAPEST = tuple(Stage)
"""In this order files make room: results answer a run without the other two, and a data set is made sooner than a network."""


@dataclass
class Pruned:
    """What a pruning removed, or would remove.

    Attributes
    ----------
    removed : list of Found
    notes : list of str
        What is left alone, and why; what could not be removed.
    size : int
        Bytes of results, data sets and networks that stay.
    dry_run : bool
    """

    removed: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size: int = 0
    dry_run: bool = False

    def summary(self) -> str:
        """Say how much of each kind in one line."""
        verb = "would remove" if self.dry_run else "removed"
        parts = []
        for kind in (*FOLDERS, "failure"):
            of_kind = [found for found in self.removed if found.kind == kind]
            if of_kind:
                parts.append(f"{counted(len(of_kind), kind)} ({size_text(sum(found.size for found in of_kind))})")
        return f"{verb} {', '.join(parts) or 'nothing'}; {size_text(self.size)} of results, data sets and networks stay"


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
    """Remove files of a store; what is removed is computed again when a run asks for it.

    Parameters
    ----------
    store : Store
    older : float, optional
        Seconds: only what was written longer ago, failures included.
    unreachable : bool
        Only what no run can ask for any more with the plug-ins and versions of now: its code or a library changed, or nothing of
        its name is registered. Where this cannot be told, as for a plug-in file that is not loaded, files are left alone and
        `notes` says so. A data set or network that a run can ask for stays, whether or not a result came from it.
    max_size : int, optional
        Bytes: whatever the other criteria leave, data sets, then networks, then results are removed, the oldest first, until all
        of them together take no more.
    kinds : collection of {"result", "dataset", "network"}
        Only these; by default all.
    registry : Registry, optional
        For ``unreachable``. By default all installed plug-ins.
    dry_run : bool
        Whether only to say what would go.

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
    What a run is at just now is never removed, and links are never followed. A run that goes on meanwhile is not disturbed: it
    holds in memory what it works with, and computes again what is gone.
    """
    if older is None and not unreachable and max_size is None:
        raise InputError("prune: give at least one of older, unreachable and max_size")
    kinds = [Stage(kind) for kind in kinds]
    there = take(store)
    done = Pruned(dry_run=dry_run)
    done.notes += [f"{shown(one.path)}: {one.why}" for one in there.unreadable]
    held = {one.key for one in there.running}
    mine = [found for found in there.files if found.kind in (kinds or FOLDERS) and found.key not in held]
    going: list[Found] = []
    if older is not None or unreachable:
        before = time.time() - (older or 0.0)
        going = mine if older is None else [found for found in mine if found.written < before]
        if unreachable:
            going = _unreachable(store, going, registry, done)
        elif not kinds or Stage.PROBE in kinds:
            going += [found for found in there.failures if found.written < before and found.key not in held]
    if max_size is not None:
        if there.damaged:
            size = size_text(sum(found.size for found in there.damaged))
            done.notes.append(
                f"{shown(store.folder / 'damaged')}: {size} set aside as damaged do not count; delete them if you like"
            )
        going += _largest(there, mine, going, max_size, done)
    done.removed = going if dry_run else _remove(store, going, done)
    gone = {found.path for found in done.removed}
    done.size = sum(found.size for found in there.files if found.path not in gone)
    return done


def _unreachable(store: Store, found: list[Found], registry: Registry | None, done: Pruned) -> list[Found]:
    if registry is None:
        from tmi.plugins.registry import installed

        registry = installed()
    judge = Judge(registry)
    going: list[Found] = []
    unclear: list[tuple[Found, Verdict]] = []
    for one, record in records(store, found):
        if record is None:
            unclear.append((one, Verdict("unclear", "cannot be read; tmi store verify says why")))
            continue
        verdict = judge.verdict(one.kind, one.key, record)
        if verdict.state == "unclear":
            unclear.append((one, verdict))
        elif verdict.state != "current":
            going.append(one)
    done.notes += [f"left alone: {line}" for line in reasons(unclear)]
    return going


def _largest(there: Inventory, mine: list[Found], going: Iterable[Found], limit: int, done: Pruned) -> list[Found]:
    """Choose what else has to go, so that no more than ``limit`` bytes stay."""
    chosen = {found.path for found in going}
    size = sum(found.size for found in there.files if found.path not in chosen)
    more: list[Found] = []
    for found in sorted(mine, key=lambda found: (CHEAPEST.index(found.kind), found.mtime_ns, found.key)):
        if size <= limit:
            break
        if found.path not in chosen:
            more.append(found)
            size -= found.size
    if size > limit:
        done.notes.append(f"{size_text(size)} stay, more than {size_text(limit)}: the rest is of other kinds, or being computed")
    return more


def _remove(store: Store, going: Iterable[Found], done: Pruned) -> list[Found]:
    removed = []
    for found in going:
        try:
            if remove(store, found):
                removed.append(found)
        except OSError as error:
            done.notes.append(f"{shown(found.path)}: cannot be removed ({error.strerror or error})")
    for kind in FOLDERS:
        keys = [found.key for found in removed if found.kind == kind]
        if keys:
            store.index.remove(kind, keys)
            if store.index.trouble:
                done.notes.append(f"index: {shown(store.index.trouble)}")
    return removed
