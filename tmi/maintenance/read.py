"""Reads a file of a store, and checks that it is what its name and folder say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError, StoreError, TmiError
from tmi.stages import Stage
from tmi.store.format import Parts, read_parts
from tmi.store.index import IndexRow
from tmi.store.results import Stored, row_of, row_of_other, whole
from tmi.store.store import Store

from .inventory import StoreFile

if TYPE_CHECKING:
    from tmi.probing.result import LabelledArray
    from tmi.tasks.task import TemplateTask


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Attributes
    ----------
    header : dict
    arrays : dict of str to LabelledArray
    row : IndexRow
        What the index should say of the file.
    task : TemplateTask or None
        Of a data set.
    """

    header: dict[str, Any]
    arrays: dict[str, LabelledArray]
    row: IndexRow
    task: TemplateTask | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The provenance."""
        record: dict[str, Any] = self.header["record"]
        return record


def read_file(file: StoreFile, tasks: Mapping[str, TemplateTask] | None = None) -> Content:
    """Read a result, data set or network whole: seal, layout, key and kind are checked, and the object is built from it.

    Parameters
    ----------
    file : StoreFile
    tasks : mapping of str to TemplateTask, optional
        By the keys of data sets. Of a network whose task is not among them only the arrays are checked.

    Raises
    ------
    DamagedFileError
        With the reason.
    StoreError
        If a newer tmi wrote it.
    OSError
        If it cannot be read.
    """
    from tmi.store import datasets

    kind = Stage(file.kind)
    parts = read_parts(file.path, file.key, kind)
    header, arrays = parts.header, parts.arrays
    try:
        record, task = header["record"], None
        if kind == Stage.PROBE:
            result = whole(parts)
            row = row_of(Stored(file.key, dict(result.metrics), record, tuple(result.notes)), file.stamp)
            return Content(header, arrays, row)
        if kind == Stage.DATASET:
            task = datasets.unpack(header, arrays).task
        else:
            _check_network(parts, (tasks or {}).get(str(record.get("keys", {}).get(Stage.DATASET))))
        return Content(header, arrays, row_of_other(kind, file.key, file.stamp, record), task)
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # a file with a valid seal that another program wrote may hold anything
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DamagedFileError(f"it is no {file.noun} ({text})") from error


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


def _check_network(parts: Parts, task: TemplateTask | None) -> None:
    from tmi.store import networks

    header, arrays = parts.header, parts.arrays
    if header["restored_by"] not in ("file", "builder"):
        raise DamagedFileError(f"it is no network (restored by {header['restored_by']!r})")
    if task is not None:
        networks.unpack(header, arrays, task)
    networks.weights_of(header, arrays)
    networks.trained_of(header, arrays)
