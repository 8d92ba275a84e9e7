"""Computes results again from their records, into a temporary store, and compares the two files of each key."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tmi.engines.executor import Executor
from tmi.errors import StoreError
from tmi.runtime.progress import track
from tmi.runtime.threads import limited
from tmi.stages import Stage
from tmi.store.files import stamp as stamp_of
from tmi.store.store import Store
from tmi.suites.plan import Planned
from tmi.suites.suite import Cell, Choice

from .compare import Likeness, compare
from .inventory import StoreFile
from .read import read_file, read_records

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

_COMPARED_HEADERS: dict[Stage, tuple[str, ...]] = {
    Stage.DATASET: ("paste",),
    Stage.NETWORK: ("origin", "layers"),
    Stage.PROBE: (),
}


@dataclass(frozen=True)
class Candidate:
    """A result that can be computed again.

    Attributes
    ----------
    file : StoreFile
    record : mapping
        Its provenance.
    choices : sequence of Choice
        Its data set, network and probe.
    """

    file: StoreFile
    record: Mapping[str, Any]
    choices: Sequence[Choice]

    @property
    def seconds(self) -> float:
        """How long data set, network and probe took together when they were computed."""
        recorded = self.record.get("seconds")
        values = recorded.values() if isinstance(recorded, Mapping) else ()
        return sum(value for value in values if isinstance(value, int | float) and value > 0)


@dataclass(frozen=True)
class Comparison:
    """A file, and how it differs from the file that was computed again.

    Attributes
    ----------
    file : StoreFile
    likeness : {"equal", "close", "different", "failed"}
        "failed" if it could not be computed again.
    text : str
        What differs, or why it failed.
    """

    file: StoreFile
    likeness: Likeness | Literal["failed"]
    text: str = ""


def choose(candidates: Sequence[Candidate], count: int, seed: int, seconds: float) -> tuple[list[Candidate], int]:
    """Draw results to compute again.

    Parameters
    ----------
    candidates : sequence of Candidate
    count : int
        How many.
    seed : int
    seconds : float
        How long all of them together may have taken when they were computed.

    Returns
    -------
    chosen : list of Candidate
    passed_over : int
        How many were drawn and left out because they would take too long.
    """
    drawn = sorted(candidates, key=lambda candidate: candidate.file.key)
    random.Random(seed).shuffle(drawn)
    chosen: list[Candidate] = []
    passed_over = 0
    for candidate in drawn:
        if len(chosen) == count:
            break
        if candidate.seconds <= seconds:
            chosen.append(candidate)
            seconds -= candidate.seconds
        else:
            passed_over += 1
    return chosen, passed_over


def recompute(store: Store, registry: Registry, chosen: Sequence[Candidate]) -> list[Comparison]:
    """Compute results again as a run does, and compare them, their data sets and their networks with the stored files.

    Parameters
    ----------
    store : Store
    registry : Registry
        The plug-ins that compute them; no other code is run.
    chosen : sequence of Candidate

    Returns
    -------
    list of Comparison
        In order; a data set or network that several results share is computed once.
    """
    if not chosen:
        return []
    comparisons: dict[tuple[str, str], Comparison] = {}
    with tempfile.TemporaryDirectory(prefix="tmi-verify-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown when the result was computed
        temporary = Store(folder)
        leases = temporary.leases("verify")
        executor = Executor(temporary, leases)
        try:
            for candidate in track(chosen, "computing again", len(chosen)):
                for comparison in _recompute(store, temporary, executor, registry, candidate):
                    comparisons.setdefault((comparison.file.kind, comparison.file.key), comparison)
        finally:
            leases.close()
    return list(comparisons.values())


def _recompute(
    store: Store, temporary: Store, executor: Executor, registry: Registry, candidate: Candidate
) -> Iterator[Comparison]:
    keys = {**candidate.record["keys"], Stage.PROBE: candidate.file.key}
    dataset, network, probe = candidate.choices
    cell = Cell(dataset, network, probe, candidate.record["seed"])
    folder = candidate.record.get("folder")
    planned = Planned(cell, registry if folder is None else registry.at(Path(folder)), *(keys[stage] for stage in Stage))
    files = {stage: file for stage in Stage if (file := _file(store, stage, keys[stage])) is not None}
    records = {file.kind: record for file, record in read_records(store, files.values())}
    for stage in Stage:
        with limited(_threads(records.get(stage) or candidate.record)):
            result = executor.work(planned, stage)
        computed = _file(temporary, stage, keys[stage])
        if stage in files and computed is not None:
            yield _compare(files[stage], computed)
        elif stage in files:
            why = result.message or "; ".join(result.remarks) or "it cannot be kept any more"
            yield Comparison(files[stage], "failed", why)


def _compare(stored: StoreFile, computed: StoreFile) -> Comparison:
    try:
        before, now = read_file(stored), read_file(computed)
    except (StoreError, OSError) as error:
        return Comparison(stored, "failed", str(error))
    for name in _COMPARED_HEADERS[Stage(stored.kind)]:
        if before.header.get(name) != now.header.get(name):
            return Comparison(stored, "different", f"{name}: another one than is stored")
    return Comparison(stored, *compare(before.arrays, now.arrays))


def _file(store: Store, stage: Stage, key: str) -> StoreFile | None:
    path = store.path(key, stage)
    stamp = stamp_of(path)
    return None if stamp is None or path.is_symlink() else StoreFile(stage, key, path, *stamp)


def _threads(record: Mapping[str, Any]) -> int | None:
    """Return the number of threads of the first computation: another number sums in another order."""
    threads = record.get("threads")
    return threads if type(threads) is int and 1 <= threads <= 1024 else None
