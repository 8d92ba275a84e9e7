"""A part of a store to give away: a store of its own with a table of its numbers, or the table alone.

It is put together under a temporary name beside its place and renamed at the end: a folder of the right name is whole.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError, StoreError
from tmi.hashing import canonical
from tmi.runtime.formatting import counted, shown, size_text
from tmi.runtime.progress import track
from tmi.stages import Stage
from tmi.store import files
from tmi.store.results import Stored
from tmi.store.store import FOLDERS, Store
from tmi.suites.suite import COLUMNS

from .inventory import TABLE, Found, take
from .read import content_of

if TYPE_CHECKING:
    from tmi.runs.results import Results

FORMATS = (".csv", ".json")
"""Endings of a destination that is a table."""

_OTHER_FORMATS = (".parquet", ".feather", ".tsv", ".xlsx", ".h5", ".nc", ".zip")
_OF_STORE = (
    *("dataset", "network", "probe", "dataset_params", "network_params", "probe_params"),
    *("seed", "metric", "value", "key"),
)


@dataclass
class Exported:
    """What was exported.

    Attributes
    ----------
    path : Path
    counts : Counter of str
        Files by kind; empty if it is a table alone.
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
    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    rows: int = 0
    left_out: int = 0
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Say it in one line."""
        parts = [counted(count, kind) for kind in FOLDERS if (count := self.counts[kind])]
        whole = f"{', '.join(parts)} ({size_text(self.size)}), " if parts else ""
        return f"{shown(self.path)}: {whole}{counted(self.rows, 'row')}"


def export(store: Store, dest: str | Path, results: Results | None = None, *, with_data: bool = False) -> Exported:
    """Write results into a new folder that is a store itself, with a table of their metrics, ``results.csv``.

    Parameters
    ----------
    store : Store
    dest : str or Path
        A folder that is empty or not there yet.
    results : Results, optional
        Of a suite; by default everything in the store.
    with_data : bool
        Whether the data sets and networks that they came from go with them, where they are stored.

    Returns
    -------
    Exported
        A damaged file is left out; ``notes`` names it.

    Raises
    ------
    InputError
        For a destination that is in use, or nothing to export.
    StoreError
        If it cannot be written; nothing stays of it.
    """
    dest = Path(dest)
    there = {(str(found.kind), found.key): found for found in take(store).files}
    _check_folder(store, dest)
    done = Exported(dest)
    stored = _wanted(store, [key for kind, key in there if kind == Stage.PROBE], results)
    chosen = [there[Stage.PROBE, key] for key in stored if (Stage.PROBE, key) in there]
    if with_data:
        chosen += _sources(there, stored.values(), done)
    temporary = dest.with_name(files.temporary_name(dest.name))
    try:
        temporary.mkdir()
        copied = Store(temporary)
        copied.prepare()
        for found in track(chosen, "copying", len(chosen)):
            _copy(found, copied, done)
        copied.flush()
        lost = {found.key for found in chosen if found.kind == Stage.PROBE} - set(copied.keys())
        kept = {key: one for key, one in stored.items() if key not in lost}
        columns, rows = _table(kept, results)
        done.rows = len(rows)
        (temporary / TABLE).write_bytes(_bytes(columns, rows, ".csv"))
        temporary.replace(dest)
    except OSError as error:
        raise StoreError(f"export {shown(dest)}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return done


def write_table(store: Store, path: str | Path, results: Results | None = None) -> Exported:
    """Write the metrics of results as a table.

    Parameters
    ----------
    store : Store
    path : str or Path
        Ends in ``.csv`` or ``.json``. A file that is there is replaced.
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
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"export {shown(path)}: tables are written as {' or '.join(FORMATS)}")
    keys = [found.key for found in take(store).of(Stage.PROBE)]
    columns, rows = _table(_wanted(store, keys, results), results)
    temporary = path.with_name(files.temporary_name(path.name))
    try:
        temporary.write_bytes(_bytes(columns, rows, path.suffix.lower()))
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"export {shown(path)}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return Exported(path, rows=len(rows))


def is_table(dest: str | Path) -> bool:
    """Whether a destination is a table by its ending.

    Raises
    ------
    InputError
        For the ending of a format that is not written.
    """
    ending = Path(dest).suffix.lower()
    if ending in _OTHER_FORMATS:
        raise InputError(f"export {shown(dest)}: tables are written as {' or '.join(FORMATS)}")
    return ending in FORMATS


def _check_folder(store: Store, dest: Path) -> None:
    where = f"export {shown(dest)}"
    if dest.is_symlink():
        raise InputError(f"{where}: is a symbolic link; name the folder itself")
    if dest.exists() and not dest.is_dir():
        raise InputError(f"{where}: is there already, and is no folder")
    if dest.exists() and any(dest.iterdir()):
        raise InputError(f"{where}: is not empty; an export needs a folder of its own")
    if not dest.name or not dest.absolute().parent.is_dir():
        raise InputError(f"{where}: there is no folder {shown(dest.absolute().parent)}")
    if dest.resolve().is_relative_to(store.folder.resolve()):
        raise InputError(f"{where}: lies in the store itself")


def _wanted(store: Store, keys: Iterable[str], results: Results | None) -> dict[str, Stored]:
    if results is None:
        stored = store.read_all(keys)
    else:
        stored = {
            entry.key: Stored(entry.key, entry.metrics, entry.record, entry.notes)
            for entry in results
            if entry.status == "ok" and entry.key is not None
        }
    if not stored:
        of = f"of suite {shown(results.name)!r}" if results is not None else "yet"
        raise InputError(f"export: the store {shown(store.folder)} has no result {of}")
    return stored


def _sources(there: Mapping[tuple[str, str], Found], stored: Iterable[Stored], done: Exported) -> list[Found]:
    """Return the data sets and networks that results came from; note how many are not stored."""
    wanted: dict[tuple[str, str], None] = {}
    for one in stored:
        keys = one.record.get("keys")
        for kind in ("dataset", "network"):
            key = keys.get(kind) if isinstance(keys, Mapping) else None
            if isinstance(key, str):
                wanted[kind, key] = None
    missing = Counter(kind for kind, key in wanted if (kind, key) not in there)
    done.notes += [f"{counted(count, kind)} not in the store; a run makes them again" for kind, count in sorted(missing.items())]
    return [there[one] for one in wanted if one in there]


def _copy(found: Found, to: Store, done: Exported) -> None:
    try:
        data = files.read_sealed(found.path)
        row = content_of(found, data).row
    except (StoreError, OSError) as error:
        done.left_out += 1
        done.notes.append(f"{shown(found.path)}: is left out ({shown(getattr(error, 'strerror', None) or error)})")
        return
    stamp = files.write_sealed(to.path(found.key, Stage(found.kind)), data, sync=False)
    to.remember_rows([replace(row, size=stamp[0], mtime_ns=stamp[1])])
    done.counts[found.kind] += 1
    done.size += found.size


def _table(stored: Mapping[str, Stored], results: Results | None) -> tuple[Sequence[str], list[dict[str, Any]]]:
    if results is not None:
        at = COLUMNS.index("metric")
        return (*COLUMNS[:at], *results.columns, *COLUMNS[at:]), results.rows()
    return _OF_STORE, [row for one in stored.values() for row in _rows(one)]


def _rows(one: Stored) -> list[dict[str, Any]]:
    head: dict[str, Any] = {}
    for stage in ("dataset", "network", "probe"):
        made_by = one.record.get(stage)
        if isinstance(made_by, Mapping):
            head |= {stage: str(made_by.get("name", "")), f"{stage}_params": canonical(made_by.get("params", {}))}
    head["seed"] = one.record.get("seed")
    return [{**head, "metric": name, "value": value, "key": one.key} for name, value in one.metrics.items()]


def _bytes(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], ending: str) -> bytes:
    if ending == ".json":
        text = json.dumps([{name: row.get(name) for name in columns} for row in rows], indent=1, ensure_ascii=False) + "\n"
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = file.getvalue()
    return text.encode(errors="backslashreplace")
