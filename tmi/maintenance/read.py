"""Reads a file of a store, and checks that it is what its name and folder say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError, StoreError, TmiError
from tmi.stages import Stage
from tmi.store.format import read_parts
from tmi.store.index import IndexRow
from tmi.store.results import Stored, row_of, row_of_other, whole
from tmi.store.store import Store

from .inventory import StoreFile

if TYPE_CHECKING:
    from tmi.probing.result import LabelledArray


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Attributes
    ----------
    header : dict
    arrays : dict of str to LabelledArray
    row : IndexRow
        What the index should say of the file.
    """

    header: dict[str, Any]
    arrays: dict[str, LabelledArray]
    row: IndexRow

    @property
    def record(self) -> dict[str, Any]:
        """The provenance."""
        record: dict[str, Any] = self.header["record"]
        return record


def read_file(file: StoreFile) -> Content:
    """Read a result, data set or network whole, and check its seal, layout, key and kind.

    Parameters
    ----------
    file : StoreFile

    Raises
    ------
    DamagedFileError
        With the reason.
    StoreError
        If a newer tmi wrote it.
    OSError
        If it cannot be read.
    """
    from tmi.store import datasets, networks

    kind = Stage(file.kind)
    parts = read_parts(file.path, file.key, kind)
    header, arrays = parts.header, parts.arrays
    try:
        if kind == Stage.PROBE:
            result = whole(parts)
            row = row_of(Stored(file.key, dict(result.metrics), header["record"], tuple(result.notes)), file.stamp)
        else:
            if kind == Stage.DATASET:
                datasets.unpack(header, arrays)
            else:
                networks.weights_of(header, arrays)
                networks.trained_of(header, arrays)
            row = row_of_other(kind, file.key, file.stamp, header["record"])
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # a file with a valid seal that another program wrote may hold anything
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DamagedFileError(f"it is no {file.noun} ({text})") from error
    return Content(header, arrays, row)


def read_records(store: Store, files: Iterable[StoreFile]) -> Iterator[tuple[StoreFile, Mapping[str, Any] | None]]:
    """Yield the provenance of each file, from the index if it has the file, else from the file; None if it cannot be read."""
    listed = list(files)
    for kind in dict.fromkeys(Stage(file.kind) for file in listed):
        of_kind = [file for file in listed if file.kind == kind]
        rows = store.index.read(kind, {file.key: file.stamp for file in of_kind})
        for file in of_kind:
            row = rows.get(file.key)
            try:
                record = read_file(file).record if row is None else json.loads(row.content)["record"]
            except (TmiError, OSError, ValueError, KeyError, TypeError, MemoryError):
                record = None
            yield file, record
