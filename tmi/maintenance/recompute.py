"""Computes results once more from their records, with their data sets and networks, and compares them with the files."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import StoreError
from tmi.networks import train_once as trained
from tmi.runtime.progress import track
from tmi.runtime.threads import limited
from tmi.stages import Stage
from tmi.store import files
from tmi.store.hdf5 import from_bytes, to_bytes
from tmi.store.results import result_bytes
from tmi.store.store import Store
from tmi.suites.suite import Choice

from .compare import Likeness, compare
from .inventory import Found
from .read import read_file

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry
    from tmi.probing.result import LabelledArray

_SAMPLE = 8  # images on which a network is tried, as when it was kept
_HEADERS: dict[str, tuple[str, ...]] = {
    Stage.DATASET: ("paste",),
    Stage.NETWORK: ("origin", "layers", "restored_by", "module"),
    Stage.PROBE: (),
}


@dataclass(frozen=True)
class Candidate:
    """A result that can be computed again.

    Attributes
    ----------
    found : Found
    record : mapping
    choices : tuple of Choice
        Its data set, network and probe.
    """

    found: Found
    record: Mapping[str, Any]
    choices: Sequence[Choice]

    @property
    def seconds(self) -> float:
        """What making all three took."""
        took = self.record.get("seconds")
        values = took.values() if isinstance(took, Mapping) else ()
        return sum(value for value in values if isinstance(value, int | float) and value > 0)


@dataclass(frozen=True)
class Compared:
    """A file, and how what was computed again compares with it.

    Attributes
    ----------
    found : Found
    likeness : {"equal", "close", "different", "failed"}
        "failed" if it could not be computed again.
    text : str
        What differs, or why it failed.
    """

    found: Found
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
        What they may take all together, by what they took when they were made.

    Returns
    -------
    chosen : list of Candidate
    passed_over : int
        How many were drawn that would take too long.
    """
    drawn = sorted(candidates, key=lambda candidate: candidate.found.key)
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


def compute(store: Store, registry: Registry, chosen: Sequence[Candidate]) -> list[Compared]:
    """Compute results again, and compare them, their data sets and their networks with what is stored.

    Parameters
    ----------
    store : Store
    registry : Registry
        Where their plug-ins are found; no other code is run.
    chosen : sequence of Candidate

    Returns
    -------
    list of Compared
        In order; a data set or network that several results share appears once.
    """
    made: dict[tuple[str, str], Compared] = {}
    for candidate in track(chosen, "computing again", len(chosen)):
        with warnings.catch_warnings(), limited(_threads(candidate.record)):
            warnings.simplefilter("ignore")  # they were said when it was made
            for compared in _again(store, registry, candidate):
                made.setdefault((compared.found.kind, compared.found.key), compared)
    return list(made.values())


def _again(store: Store, registry: Registry, candidate: Candidate) -> Iterator[Compared]:
    from tmi.store import datasets, networks

    record, seed = candidate.record, candidate.record["seed"]
    dataset, network, probe = candidate.choices
    doing = candidate.found
    try:
        data = registry.generate(dataset.component.name, seed=seed, **dataset.params)
        found = _stored(store, Stage.DATASET, record)
        if found is not None:
            packed = datasets.pack(data)
            yield Compared(found, "different", "it cannot be kept any more") if packed is None else _compared(found, *packed)
        with trained.recording() as kept:
            built = registry.build(network.component.name, data, seed=seed, **network.params)
        found = _stored(store, Stage.NETWORK, record)
        if found is not None:
            images = (data.test if len(data.test) else data.train).images[:_SAMPLE]
            packed = networks.pack(built, images, task=data.task, trained=kept)
            yield Compared(found, "different", "it cannot be kept any more") if packed is None else _compared(found, *packed)
        result = registry.probe(probe.component.name, built, data, seed=seed, **probe.params)
        header, arrays = from_bytes(result_bytes(doing.key, result, record))
        yield _compared(doing, header, arrays, packed=True)
    except (Exception, SystemExit) as error:
        from tmi.engines.executor import message_of

        yield Compared(doing, "failed", message_of(error))


def _compared(found: Found, header: Mapping[str, Any], arrays: Mapping[str, LabelledArray], *, packed: bool = False) -> Compared:
    try:
        stored = read_file(found)
    except (StoreError, OSError) as error:
        return Compared(found, "failed", str(error))
    if not packed:  # by way of a file, which numbers the axes that have no labels
        header, arrays = from_bytes(to_bytes(Stage(found.kind), header, arrays, compress=False))
    for name in _HEADERS[found.kind]:
        if stored.header.get(name) != header.get(name):
            return Compared(found, "different", f"{name}: another one than is stored")
    return Compared(found, *compare(stored.arrays, arrays))


def _stored(store: Store, kind: Stage, record: Mapping[str, Any]) -> Found | None:
    key = record["keys"][kind]
    path = store.path(key, kind)
    there = files.stamp(path)
    return None if there is None or path.is_symlink() else Found(kind, key, path, *there)


def _threads(record: Mapping[str, Any]) -> int | None:
    """Sums are taken in the order of the first time only with as many threads."""
    threads = record.get("threads")
    return threads if type(threads) is int and 1 <= threads <= 1024 else None
