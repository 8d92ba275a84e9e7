"""One file of a store, read whole and checked to be what its name and folder say; what the index should hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmi.errors import DamagedFileError, StoreError
from tmi.stages import Stage
from tmi.store import files
from tmi.store.format import VERSION, Parts
from tmi.store.hdf5 import from_bytes
from tmi.store.index import IndexRow
from tmi.store.results import Stored, row_of, row_of_other, whole

from .inventory import Found

if TYPE_CHECKING:
    from tmi.probing.result import LabelledArray
    from tmi.tasks.task import TemplateTask


class NewerError(StoreError):
    """A file that a newer tmi wrote: not damaged, but not to be read by this one."""


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes
    ----------
    header : dict
    record : dict
        Provenance.
    arrays : dict of str to LabelledArray
    row : IndexRow
        What the index should have.
    task : TemplateTask or None
        Of a data set.
    """

    header: dict[str, Any]
    record: dict[str, Any]
    arrays: dict[str, LabelledArray]
    row: IndexRow
    task: TemplateTask | None = None


def read_file(found: Found, tasks: Mapping[str, TemplateTask] | None = None) -> Content:
    """Read a file and check it: the seal, the layout, the key, the kind, and that it makes what it should.

    Parameters
    ----------
    found : Found
    tasks : mapping of str to TemplateTask, optional
        By the keys of data sets; a network whose task is not among them is read but not put together.

    Raises
    ------
    DamagedFileError
        Naming what is wrong.
    NewerError
        If a newer tmi wrote it.
    OSError
        If it cannot be read.
    """
    return content_of(found, files.read_sealed(found.path), tasks)


def content_of(found: Found, data: bytes, tasks: Mapping[str, TemplateTask] | None = None) -> Content:
    """Check what `tmi.store.files.read_sealed` gave for a file; see `read_file`."""
    try:
        header, arrays = _opened(data)
        if header["key"] != found.key:
            raise DamagedFileError(f"it holds the {found.noun} of another key")
        record = header["record"]
        if found.kind == Stage.PROBE:
            result = whole(Parts(header, arrays))
            row = row_of(Stored(found.key, dict(result.metrics), record, tuple(result.notes)), found.stamp)
            return Content(header, record, arrays, row)
        task = _task(found, header, arrays, record, tasks or {})
        return Content(header, record, arrays, row_of_other(Stage(found.kind), found.key, found.stamp, record), task)
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # whatever a file of another making leads to
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DamagedFileError(f"it is no {found.noun} ({text})") from error


def _opened(data: bytes) -> tuple[dict[str, Any], dict[str, LabelledArray]]:
    try:
        header, arrays = from_bytes(data)
    except Exception:
        _check_version(from_bytes(data, ())[0])  # the arrays of a newer layout may be anything
        raise
    _check_version(header)
    return header, arrays


def _check_version(header: dict[str, Any]) -> None:
    if header["version"] > VERSION:
        raise NewerError(f"was written by a newer tmi (layout {header['version']}, this one reads {VERSION})")


def _task(
    found: Found,
    header: dict[str, Any],
    arrays: dict[str, LabelledArray],
    record: dict[str, Any],
    tasks: Mapping[str, TemplateTask],
) -> TemplateTask | None:
    """Put a data set or a network together; return a data set's task."""
    from tmi.store import datasets, networks

    if found.kind == "dataset":
        return datasets.unpack(header, arrays).task
    if header["restored_by"] not in ("file", "builder"):
        raise DamagedFileError(f"it is no network (restored by {header['restored_by']!r})")
    task = tasks.get(str(record.get("keys", {}).get("dataset")))
    if task is not None:
        networks.unpack(header, arrays, task)
    networks.weights_of(header, arrays)
    networks.trained_of(header, arrays)
    return None
