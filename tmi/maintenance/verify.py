"""Checks every file of a store, its index, and a sample of its numbers; and repairs what can be repaired."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError, StoreError
from tmi.runtime.formatting import format_count, format_size, printable
from tmi.runtime.progress import track
from tmi.stages import Stage
from tmi.store import files
from tmi.store.index import IndexRow
from tmi.store.store import FOLDERS, Store

from .compare import CLOSE
from .delete import delete
from .inventory import Inventory, StoreFile, Strange, format_files, take_inventory
from .read import read_file
from .recompute import Candidate, Comparison, choose, recompute
from .staleness import Staleness, reasons

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

_PROBLEMS = {"different": "differs from what is computed again", "failed": "cannot be computed again"}


@dataclass
class Verification:
    """The result of checking a store.

    Attributes
    ----------
    checked : Counter of Stage
        Files by kind.
    size : int
        Bytes that were read.
    damaged : list of (StoreFile, str)
        Files that are not what was written, and why.
    unreadable : list of Strange
        Files and folders that cannot be read.
    newer : list of Strange
        Files that a newer tmi wrote.
    strange : list of Strange
        Links, and what is not the store's; harmless.
    left_behind : int
        Temporary files and leases of processes that have ended.
    unknown, gone : int
        Files without a row in the index, and rows without a file; both only cost time.
    wrong_rows : list of StoreFile
        Files whose row in the index says something else.
    index_trouble : str
    recomputed : list of Comparison
    not_comparable : list of str
        Results whose key is another one now, counted by the reason.
    passed_over : int
        Results that would have taken too long to compute again.
    repairs : list of str
        What was repaired.
    """

    checked: Counter[Stage] = field(default_factory=Counter)
    size: int = 0
    damaged: list[tuple[StoreFile, str]] = field(default_factory=list)
    unreadable: list[Strange] = field(default_factory=list)
    newer: list[Strange] = field(default_factory=list)
    strange: list[Strange] = field(default_factory=list)
    left_behind: int = 0
    unknown: int = 0
    gone: int = 0
    wrong_rows: list[StoreFile] = field(default_factory=list)
    index_trouble: str = ""
    recomputed: list[Comparison] = field(default_factory=list)
    not_comparable: list[str] = field(default_factory=list)
    passed_over: int = 0
    repairs: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged, unreadable or different."""
        return not self.problems()

    def problems(self) -> list[str]:
        """What is wrong, one line each."""
        return [
            *(f"{printable(file.path)}: is damaged ({printable(why)})" for file, why in self.damaged),
            *(f"{printable(path.path)}: {printable(path.why)}" for path in self.unreadable),
            *(f"index: says something else than {printable(file.path)}" for file in self.wrong_rows),
            *([f"index: {printable(self.index_trouble)}"] if self.index_trouble else []),
            *(
                f"{comparison.file.noun} {comparison.file.key}: {_PROBLEMS[comparison.likeness]} ({printable(comparison.text)})"
                for comparison in self.recomputed
                if comparison.likeness in _PROBLEMS
            ),
        ]

    def lines(self) -> list[str]:
        """What was checked, and what is harmless, for people."""
        counts = ", ".join(format_files(self.checked[kind], kind) for kind in FOLDERS)
        lines = [f"checked {counts}, {format_size(self.size)}: {len(self.damaged)} damaged"]
        index = [f"{format_count(self.unknown, 'file')} not in it"] * bool(self.unknown)
        index += [f"{format_count(self.gone, 'row')} of files that are gone or changed"] * bool(self.gone)
        lines.append(f"index: {'; '.join(index) or 'in step with the files'}")
        count = Counter(comparison.likeness for comparison in self.recomputed)
        lines.append(
            f"computed again {len(self.recomputed)}: {count['equal']} equal bit for bit, {count['close']} agree to {CLOSE:g} "
            f"(relative), {count['different']} differ, {count['failed']} failed"
        )
        close = [comparison for comparison in self.recomputed if comparison.likeness == "close"]
        lines += [f"close: {comparison.file.noun} {comparison.file.key}: {comparison.text}" for comparison in close]
        lines += [f"not comparable: {line}" for line in self.not_comparable]
        if self.passed_over:
            lines.append(
                f"{format_files(self.passed_over, Stage.PROBE)} would take too long to compute again; --seconds allows more"
            )
        if self.left_behind:
            lines.append(f"left behind by processes that are gone: {self.left_behind}")
        lines += [f"{printable(path.path)}: {path.why}" for path in self.newer]
        return lines + self.repairs


def verify(
    store: Store,
    *,
    registry: Registry | None = None,
    sample: int = 3,
    seed: int = 0,
    seconds: float = 60.0,
    repair: bool = False,
) -> Verification:
    """Check a store: every byte of every file, the index, and a sample of the numbers.

    Parameters
    ----------
    store : Store
    registry : Registry, optional
        The plug-ins that compute results again; by default all that are installed. No code that a file names is run.
    sample : int
        How many results are computed again, each with its data set and network, which are compared too where they are stored.
    seed : int
        Of the sample.
    seconds : float
        How long the results of the sample together may have taken when they were computed.
    repair : bool
        Whether to set aside damaged files, and results, data sets and networks that came out different; to remove what killed
        processes left; and to rebuild the index if it is not in step.

    Returns
    -------
    Verification

    Raises
    ------
    StoreError
        If there is no store.
    """
    if registry is None:
        from tmi.plugins.registry import installed

        registry = installed()
    inventory = take_inventory(store)
    report = Verification(strange=inventory.strange, unreadable=list(inventory.unreadable))
    report.left_behind = len(inventory.temporary) + len(inventory.stale)
    rows, results = _check_files(inventory, report)
    _check_index(store, inventory, report, rows)
    staleness = Staleness(registry)
    statuses = [(file, record, staleness.status(Stage.PROBE, file.key, record)) for file, record in results]
    report.not_comparable = reasons((file, status) for file, _, status in statuses if status.state != "current")
    candidates = [Candidate(file, record, status.choices) for file, record, status in statuses if status.state == "current"]
    chosen, report.passed_over = choose(candidates, sample, seed, seconds)
    report.recomputed = recompute(store, registry, chosen)
    if repair:
        _repair(store, report, rows)
    return report


Rows = dict[Stage, dict[str, IndexRow]]
"""What the index should say, by kind and key."""


def _check_files(inventory: Inventory, report: Verification) -> tuple[Rows, list[tuple[StoreFile, dict[str, Any]]]]:
    """Read all files; return what the index should say of them, and the records of the results."""
    rows: Rows = {kind: {} for kind in Stage}
    results = []
    for file in track(inventory.files, "reading", len(inventory.files)):
        try:
            content = read_file(file)
        except FileNotFoundError:
            continue  # it was removed since it was listed
        except DamagedFileError as error:
            if files.stamp(file.path) == file.stamp:  # else a run has put another in its place
                report.damaged.append((file, str(error)))
            continue
        except StoreError as error:
            report.newer.append(Strange(file.path, str(error).removeprefix(f"{file.path}: ")))
            continue
        except (OSError, MemoryError) as error:
            why = f"cannot be read ({getattr(error, 'strerror', None) or 'too large'})"
            report.unreadable.append(Strange(file.path, why))
            continue
        kind = Stage(file.kind)
        report.checked[kind] += 1
        report.size += file.size
        rows[kind][file.key] = content.row
        if kind == Stage.PROBE:
            results.append((file, content.record))
    return rows, results


def _check_index(store: Store, inventory: Inventory, report: Verification, rows: Rows) -> None:
    known = 0
    for kind, expected in rows.items():
        listed = inventory.of_kind(kind)
        indexed = store.index.read(kind, {key: file.stamp for key, file in listed.items()}) if listed else {}
        report.index_trouble = report.index_trouble or store.index.trouble
        known += len(indexed)
        report.unknown += len(expected.keys() - indexed.keys())
        for key, row in indexed.items():
            # A record without a time of its own gets the time of reading.
            if key in expected and replace(row, finished="") != replace(expected[key], finished=""):
                report.wrong_rows.append(listed[key])
    report.gone = max(0, store.index.count() - known)
    report.index_trouble = report.index_trouble or store.index.trouble


def _repair(store: Store, report: Verification, rows: Rows) -> None:
    different = [comparison.file for comparison in report.recomputed if comparison.likeness == "different"]
    aside = [file for file, _ in report.damaged] + different
    damaged = store.folder / "damaged"
    if aside and damaged.is_symlink():
        report.repairs.append(f"{printable(damaged)}: is a symbolic link, so nothing is set aside")
        aside = []
    for file in aside:
        if files.stamp(file.path) != file.stamp:
            continue  # a run has put another in its place
        report.repairs.append(f"{printable(file.path.name)}: {printable(files.set_aside(file.path, damaged))}")
        store.index.remove(Stage(file.kind), [file.key])
        rows[Stage(file.kind)].pop(file.key, None)
    inventory = take_inventory(store)  # again, for a run may have taken over a stale lease since
    removed = 0
    for path in (*inventory.temporary, *inventory.stale):
        try:
            removed += delete(store.folder, path)
        except OSError as error:
            report.repairs.append(f"{printable(path)}: cannot be removed ({error.strerror or error})")
    if removed:
        report.repairs.append(f"removed {format_count(removed, 'file')} left behind")
    wrong = report.gone or report.wrong_rows or report.index_trouble
    if wrong or report.unknown:
        if wrong:
            store.index.clear()
        store.index.add(row for by_key in rows.values() for row in by_key.values())
        trouble = store.index.trouble
        report.repairs.append(
            f"index: could not be rebuilt: {printable(trouble)}" if trouble else "index: rebuilt from the files"
        )
