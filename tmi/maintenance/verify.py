"""Checks every file of a store, its index, and a sample of its numbers; and mends what can be mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError
from tmi.runtime.formatting import counted, shown, size_text
from tmi.runtime.progress import track
from tmi.stages import Stage
from tmi.store import files
from tmi.store.index import IndexRow
from tmi.store.store import FOLDERS, Store

from .compare import CLOSE
from .delete import unlink
from .inventory import Found, Inventory, Strange, take
from .read import Content, NewerError, read_file
from .recompute import Candidate, Compared, choose, compute
from .staleness import Judge, Verdict, reasons

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry
    from tmi.tasks.task import TemplateTask

_ORDER = tuple(Stage)  # a network is put together with the task of its data set


@dataclass
class Verified:
    """What a check of a store found.

    Attributes
    ----------
    checked : Counter of str
        Files by kind.
    size : int
        Bytes that were read.
    damaged : list of (Found, str)
        Files that are not what was written, and why.
    unreadable : list of Strange
        Files and folders that cannot be read.
    newer : list of Strange
        Files that a newer tmi wrote.
    strange : list of Strange
        Links, and what is not of a store; harmless.
    left_behind : int
        Temporary files and claims of processes that are gone.
    unknown, gone : int
        Files that the index does not know, and its rows without a file; both only cost time.
    wrong_rows : list of Found
        Files of which the index says something else.
    index_trouble : str
    recomputed : list of Compared
    not_comparable : list of str
        Results whose key is not the one of now, counted by the reason.
    passed_over : int
        Results that would have taken too long to compute again.
    done : list of str
        What was mended.
    """

    checked: Counter[str] = field(default_factory=Counter)
    size: int = 0
    damaged: list[tuple[Found, str]] = field(default_factory=list)
    unreadable: list[Strange] = field(default_factory=list)
    newer: list[Strange] = field(default_factory=list)
    strange: list[Strange] = field(default_factory=list)
    left_behind: int = 0
    unknown: int = 0
    gone: int = 0
    wrong_rows: list[Found] = field(default_factory=list)
    index_trouble: str = ""
    recomputed: list[Compared] = field(default_factory=list)
    not_comparable: list[str] = field(default_factory=list)
    passed_over: int = 0
    done: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged, unreadable or different."""
        bad = any(compared.likeness in ("different", "failed") for compared in self.recomputed)
        return not (self.damaged or self.unreadable or self.wrong_rows or self.index_trouble or bad)

    def problems(self) -> list[str]:
        """What is wrong, one line each."""
        made = [f"{shown(found.path)}: is damaged ({shown(why)})" for found, why in self.damaged]
        made += [f"{shown(one.path)}: {shown(one.why)}" for one in self.unreadable]
        made += [f"index: says something else than {shown(found.path)}" for found in self.wrong_rows]
        made += [f"index: {shown(self.index_trouble)}"] * bool(self.index_trouble)
        words = {"different": "differs from what is computed again", "failed": "cannot be computed again"}
        made += [
            f"{one.found.noun} {one.found.key}: {words[one.likeness]} ({shown(one.text)})"
            for one in self.recomputed
            if one.likeness in words
        ]
        return made

    def lines(self) -> list[str]:
        """What was checked, and what is harmless, for people."""
        parts = [counted(self.checked[kind], kind.product) for kind in FOLDERS]
        made = [f"checked {', '.join(parts)}, {size_text(self.size)}: {len(self.damaged)} damaged"]
        index = [f"{counted(self.unknown, 'file')} not in it"] * bool(self.unknown)
        index += [f"{counted(self.gone, 'row')} of files that are gone or changed"] * bool(self.gone)
        made.append(f"index: {'; '.join(index) or 'in step with the files'}")
        counts = Counter(compared.likeness for compared in self.recomputed)
        made.append(
            f"computed again {len(self.recomputed)}: {counts['equal']} equal bit for bit, {counts['close']} agree to {CLOSE:g} "
            f"(relative), {counts['different']} differ, {counts['failed']} failed"
        )
        made += [f"close: {one.found.noun} {one.found.key}: {one.text}" for one in self.recomputed if one.likeness == "close"]
        made += [f"not comparable: {line}" for line in self.not_comparable]
        if self.passed_over:
            made.append(f"{counted(self.passed_over, 'result')} would take too long to compute again; --seconds allows more")
        if self.left_behind:
            made.append(f"left behind by processes that are gone: {self.left_behind}")
        made += [f"{shown(one.path)}: {one.why}" for one in self.newer]
        return made + self.done


@dataclass
class _Seen:
    """What a pass over the files gathers for later."""

    rows: dict[str, dict[str, IndexRow]] = field(default_factory=lambda: {kind: {} for kind in FOLDERS})
    candidates: list[Candidate] = field(default_factory=list)
    others: list[tuple[Found, Verdict]] = field(default_factory=list)


def verify(
    store: Store,
    *,
    registry: Registry | None = None,
    sample: int = 3,
    seed: int = 0,
    seconds: float = 60.0,
    repair: bool = False,
) -> Verified:
    """Check a store: every byte of every file, the index, and a sample of the numbers.

    Parameters
    ----------
    store : Store
    registry : Registry, optional
        The plug-ins by which results are computed again; by default all that are installed. No code that a file names is run.
    sample : int
        How many results are computed again, each with its data set and network; these are compared as well where they are stored.
    seed : int
        Of the sample.
    seconds : float
        What the sample may take, by what it took when it was made.
    repair : bool
        Whether to set damaged files aside, and results, data sets and networks that came out different; to remove what killed
        processes left; and to make the index anew if it is not in step.

    Returns
    -------
    Verified

    Raises
    ------
    StoreError
        If there is no store.
    """
    if registry is None:
        from tmi.plugins.registry import installed

        registry = installed()
    there = take(store)
    made = Verified(strange=there.strange, unreadable=list(there.unreadable))
    made.left_behind = len(there.temporary) + len(there.stale)
    seen = _Seen()
    _check_files(there, made, seen, Judge(registry))
    _check_index(store, there, made, seen)
    made.not_comparable = reasons(seen.others)
    chosen, made.passed_over = choose(seen.candidates, sample, seed, seconds)
    made.recomputed = compute(store, registry, chosen)
    if repair:
        _repair(store, made, seen)
    return made


def _check_files(there: Inventory, made: Verified, seen: _Seen, judge: Judge) -> None:
    tasks: dict[str, TemplateTask] = {}
    ordered = [found for kind in _ORDER for found in there.of(kind)]
    for found in track(ordered, "reading", len(ordered)):
        try:
            content = read_file(found, tasks)
        except FileNotFoundError:
            continue  # pruned meanwhile, or being replaced
        except NewerError as error:
            made.newer.append(Strange(found.path, str(error)))
            continue
        except DamagedFileError as error:
            if files.stamp(found.path) == found.stamp:  # else a run put another in its place meanwhile
                made.damaged.append((found, str(error)))
            continue
        except (OSError, MemoryError) as error:
            made.unreadable.append(Strange(found.path, f"cannot be read ({getattr(error, 'strerror', None) or 'too large'})"))
            continue
        made.checked[found.kind] += 1
        made.size += found.size
        seen.rows[found.kind][found.key] = content.row
        if content.task is not None:
            tasks[found.key] = content.task
        if found.kind == Stage.PROBE:
            _judge(found, content, seen, judge)


def _judge(found: Found, content: Content, seen: _Seen, judge: Judge) -> None:
    verdict = judge.verdict(found.kind, found.key, content.record)
    if verdict.state == "current":
        seen.candidates.append(Candidate(found, content.record, verdict.choices))
    else:
        seen.others.append((found, verdict))


def _check_index(store: Store, there: Inventory, made: Verified, seen: _Seen) -> None:
    known = 0
    for kind, rows in seen.rows.items():
        of_kind = {found.key: found for found in there.of(kind)}
        held = store.index.read(kind, {key: found.stamp for key, found in of_kind.items()}) if of_kind else {}
        made.index_trouble = made.index_trouble or store.index.trouble
        known += len(held)
        made.unknown += len(rows.keys() - held.keys())
        made.wrong_rows += [of_kind[key] for key, row in held.items() if key in rows and _plain(row) != _plain(rows[key])]
    totals = store.index.totals()
    made.index_trouble = made.index_trouble or store.index.trouble
    made.gone = max(0, sum(total.count for total in totals.values()) - known)


def _plain(row: IndexRow) -> tuple[Any, ...]:
    return row.kind, row.key, row.name, row.params, row.seconds, row.content


def _repair(store: Store, made: Verified, seen: _Seen) -> None:
    aside = [found for found, _ in made.damaged]
    aside += [compared.found for compared in made.recomputed if compared.likeness == "different"]
    damaged = store.folder / "damaged"
    if aside and damaged.is_symlink():
        made.done.append(f"{shown(damaged)}: is a symbolic link, so nothing is set aside")
        aside = []
    for found in aside:
        if files.stamp(found.path) != found.stamp:
            continue  # a run put another in its place meanwhile
        made.done.append(f"{shown(found.path.name)}: {shown(files.set_aside(found.path, damaged))}")
        store.index.remove(Stage(found.kind), [found.key])
        seen.rows[found.kind].pop(found.key, None)
    there = take(store)  # anew, for a run may have taken over a claim since
    removed = 0
    for path in (*there.temporary, *there.stale):
        try:
            removed += unlink(store.folder, path)
        except OSError as error:
            made.done.append(f"{shown(path)}: cannot be removed ({error.strerror or error})")
    if removed:
        made.done.append(f"removed {counted(removed, 'file')} left behind")
    if made.unknown or made.gone or made.wrong_rows or made.index_trouble:
        if made.gone or made.wrong_rows or made.index_trouble:
            store.index.clear()
        store.index.add(row for rows in seen.rows.values() for row in rows.values())
        trouble = store.index.trouble
        made.done.append(f"index: could not be made anew: {shown(trouble)}" if trouble else "index: made anew from the files")
