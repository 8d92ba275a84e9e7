"""Part of a store to give away: a store of its own with a table of its metrics, or the table alone.

It is written under a temporary name beside its place and renamed at the end: a folder or table of the right name is whole.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tmi.errors import InputError, StoreError
from tmi.hashing import canonical
from tmi.runtime.formatting import format_count, format_size, printable
from tmi.runtime.paths import absolute
from tmi.runtime.progress import track
from tmi.stages import Stage
from tmi.store import files
from tmi.store.results import Stored
from tmi.store.store import FOLDERS, Store
from tmi.suites.suite import COLUMNS

from .inventory import TABLE, Inventory, StoreFile, format_files, take_inventory
from .read import read_file

if TYPE_CHECKING:
    from tmi.runs.results import Results

FORMATS = (".csv", ".json")
"""Endings of a destination that is a table."""

_OTHER_FORMATS = (".parquet", ".feather", ".tsv", ".xlsx", ".h5", ".nc", ".zip")
_STORE_COLUMNS = (*Stage, *(f"{stage}_params" for stage in Stage), "seed", "metric", "value", "key")


@dataclass
class Exported:
    """What was exported.

    Attributes
    ----------
    path : Path
    counts : Counter of Stage
        Files by kind; empty for a table alone.
    size : int
        Their bytes.
    rows : int
        Of the table.
    left_out : int
        Damaged and unreadable files.
    notes : list of str
        What was left out, and why.
    """

    path: Path
    counts: Counter[Stage] = field(default_factory=Counter)
    size: int = 0
    rows: int = 0
    left_out: int = 0
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Write what was exported in one line."""
        parts = [format_files(self.counts[kind], kind) for kind in FOLDERS if self.counts[kind]]
        store = f"{', '.join(parts)} ({format_size(self.size)}), " if parts else ""
        return f"{printable(self.path)}: {store}{format_count(self.rows, 'row')}"


def export(store: Store, dest: str | Path, results: Results | None = None, *, with_data: bool = False) -> Exported:
    """Write results into a new folder that is a store itself, with a table of their metrics, ``results.csv``.

    Parameters
    ----------
    store : Store
    dest : str or Path
        A folder that is empty or does not exist yet.
    results : Results, optional
        Of a suite; by default everything in the store.
    with_data : bool
        Whether to include the data sets and networks that the results came from, where they are stored.

    Returns
    -------
    Exported
        A damaged file is left out; ``notes`` names it.

    Raises
    ------
    InputError
        For a destination that is in use, or nothing to export.
    StoreError
        If it cannot be written; nothing of it stays.
    """
    dest = absolute(dest)
    inventory = take_inventory(store)
    _check_folder(store, dest)
    exported = Exported(dest)
    stored = _stored(store, inventory, results)
    available = inventory.of_kind(Stage.PROBE)
    chosen = [available[key] for key in stored if key in available]
    if with_data:
        chosen += _sources(inventory, stored.values(), exported)
    with _written(dest) as temporary:
        files.make_folder(temporary)
        copy = Store(temporary)
        copy.prepare()
        for file in track(chosen, "copying", len(chosen)):
            _copy(file, copy, exported)
        copy.flush()
        lost = {file.key for file in chosen if file.kind == Stage.PROBE} - set(copy.keys())
        columns, rows = _table({key: result for key, result in stored.items() if key not in lost}, results)
        exported.rows = len(rows)
        (temporary / TABLE).write_bytes(_encoded(columns, rows, ".csv"))
        files.share(temporary / TABLE)
    return exported


def write_table(store: Store, path: str | Path | BinaryIO, results: Results | None = None) -> Exported:
    """Write the metrics of results as a table.

    Parameters
    ----------
    store : Store
    path : str, Path or binary file
        Ends in ``.csv`` or ``.json``. A file that is there is replaced. An open file gets CSV.
    results : Results, optional
        Of a suite: the columns are those of `Results.to_frame`. By default everything in the store: the registered names of data
        set, network and probe, their settings as JSON, seed, metric, value and key.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        For another ending, or nothing to export.
    StoreError
        If it cannot be written.
    """
    if not isinstance(path, str | Path):
        columns, rows = _table(_stored(store, take_inventory(store), results), results)
        path.write(_encoded(columns, rows, ".csv"))
        path.flush()
        return Exported(Path("standard output"), rows=len(rows))
    path = absolute(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"export {printable(path)}: tables are written as {' or '.join(FORMATS)}")
    columns, rows = _table(_stored(store, take_inventory(store), results), results)
    with _written(path) as temporary:
        temporary.write_bytes(_encoded(columns, rows, path.suffix.lower()))
    return Exported(path, rows=len(rows))


def is_table(dest: str | Path) -> bool:
    """Whether a destination is a table, by its ending.

    Raises
    ------
    InputError
        For the ending of a format that is not written.
    """
    dest = absolute(dest)
    ending = dest.suffix.lower()
    if ending in _OTHER_FORMATS:
        raise InputError(f"export {printable(dest)}: tables are written as {' or '.join(FORMATS)}")
    return ending in FORMATS


@contextmanager
def _written(dest: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; put it in place at the end, or remove it after an error."""
    temporary = dest.with_name(files.temporary_name(dest.name))
    try:
        yield temporary
        temporary.replace(dest)
    except OSError as error:
        raise StoreError(f"export {printable(dest)}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _check_folder(store: Store, dest: Path) -> None:
    where = f"export {printable(dest)}"
    if dest.is_symlink():
        raise InputError(f"{where}: is a symbolic link; name the folder itself")
    if dest.exists() and not dest.is_dir():
        raise InputError(f"{where}: is there already, and is no folder")
    if dest.exists() and any(dest.iterdir()):
        raise InputError(f"{where}: is not empty; an export needs a folder of its own")
    if dest == Path.cwd():
        raise InputError(f"{where}: is the working folder; name a new one")
    if not dest.parent.is_dir():
        raise InputError(f"{where}: there is no folder {printable(dest.parent)}")
    if dest.resolve().is_relative_to(store.folder.resolve()):
        raise InputError(f"{where}: lies in the store itself")


def _stored(store: Store, inventory: Inventory, results: Results | None) -> dict[str, Stored]:
    """Return the results to export, by their keys."""
    if results is None:
        stored = store.read_all(inventory.of_kind(Stage.PROBE))
    else:
        stored = {
            entry.key: Stored(entry.key, entry.metrics, entry.record, entry.notes)
            for entry in results
            if entry.status in ("ok", "not applicable") and entry.key is not None
        }
    if not stored:
        which = f"of suite {printable(results.name)!r}" if results is not None else "yet"
        raise InputError(f"export: the store {printable(store.folder)} has no result {which}")
    return stored


def _sources(inventory: Inventory, stored: Iterable[Stored], exported: Exported) -> list[StoreFile]:
    """Return the data sets and networks that results came from; note how many are not in the store."""
    records = [keys for result in stored if isinstance(keys := result.record.get("keys"), Mapping)]
    sources = []
    for kind in (Stage.DATASET, Stage.NETWORK):
        available = inventory.of_kind(kind)
        keys = dict.fromkeys(key for record in records if isinstance(key := record.get(kind), str))
        sources += [available[key] for key in keys if key in available]
        missing = sum(key not in available for key in keys)
        if missing:
            exported.notes.append(f"{format_files(missing, kind)} not in the store; a run computes them again")
    return sources


def _copy(file: StoreFile, to: Store, exported: Exported) -> None:
    """Copy a file and check the copy; one that is damaged is left out."""
    kind = Stage(file.kind)
    path = to.path(file.key, kind)
    try:
        data = files.read_sealed(file.path)
    except (StoreError, OSError) as error:
        _leave_out(file, error, exported)
        return
    size, mtime_ns = files.write_sealed(path, data, sync=False)
    try:
        content = read_file(StoreFile(kind, file.key, path, size, mtime_ns))
    except StoreError as error:
        path.unlink()
        _leave_out(file, error, exported)
        return
    to.remember_rows([content.row])
    exported.counts[kind] += 1
    exported.size += size


def _leave_out(file: StoreFile, error: Exception, exported: Exported) -> None:
    exported.left_out += 1
    exported.notes.append(f"{printable(file.path)}: is left out ({printable(getattr(error, 'strerror', None) or error)})")


def _table(stored: Mapping[str, Stored], results: Results | None) -> tuple[Sequence[str], list[dict[str, Any]]]:
    if results is not None:
        at = COLUMNS.index("metric")
        return (*COLUMNS[:at], *results.columns, *COLUMNS[at:]), results.rows()
    return _STORE_COLUMNS, [row for result in stored.values() for row in _rows(result)]


def _rows(result: Stored) -> Iterator[dict[str, Any]]:
    origin: dict[str, Any] = {}
    for stage in Stage:
        component = result.record.get(stage)
        if isinstance(component, Mapping):
            origin[stage] = str(component.get("name", ""))
            origin[f"{stage}_params"] = canonical(component.get("params", {}))
    for metric, value in result.metrics.items():
        yield {**origin, "seed": result.record.get("seed"), "metric": metric, "value": value, "key": result.key}


def _encoded(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], ending: str) -> bytes:
    if ending == ".json":
        text = json.dumps([{name: row.get(name) for name in columns} for row in rows], indent=1, ensure_ascii=False) + "\n"
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = file.getvalue()
    return text.encode(errors="backslashreplace")
