"""The index of a store: what its files hold, in one SQLite database, so that a warm run need not open them.

It can be made from the files at any time, so it is neither trusted over them nor repaired. A row counts only if its own SHA-256
holds and if the file still has the size and the time that the row names. A damaged database is deleted, another program's file is
moved to the folder ``damaged``; a new database fills up as files are read. No method raises: `Index.trouble` says what was wrong.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from . import files

if TYPE_CHECKING:
    import sqlite3

NAME = "index.sqlite"
"""The file, in the folder of the store."""

LAYOUT = 1
"""Version of the table; the database of a newer one is left alone."""

_APPLICATION = 0x746D6931  # "tmi1", in the header of every database of ours
_PAGE = 4096  # bytes
_WAIT = 2.0  # seconds to wait for another process that holds the lock
_REST = 30.0  # seconds without writing after a lock was held for longer: a run must not wait at every cell
_LONGEST = 1 << 24  # bytes of a row; a damaged length must not reserve more

_TABLE = "CREATE TABLE entry (kind TEXT, key TEXT, row BLOB, seal BLOB, UNIQUE (kind, key))"
_SCHEMA = [(b"table", b"entry", _TABLE.encode()), (b"index", b"sqlite_autoindex_entry_1", None)]
_SELECT = "SELECT row, seal FROM entry"
_INSERT = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM entry WHERE kind = ? AND key = ?"

# SQLite's codes for what is no fault of the file: permission, locks, memory, interruption, a failing disk, no space.
_CIRCUMSTANCES = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 22}
_BUSY = {5, 6}
_SHORT_READ = 522  # counted as a failing disk, but a file that was cut short gives it too

# Closing any descriptor of a file releases all locks that the process holds on it.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What the index holds of one file.

    Attributes
    ----------
    kind : {"dataset", "network", "probe"}
    key : str
        64 hexadecimal digits.
    size : int
        Of the file, in bytes.
    mtime_ns : int
        When the file was modified, in ns.
    name : str
        The registered name of its data set generator, network builder or probe.
    params : str
        The settings of that function, as canonical JSON.
    seconds : float
        What computing it took.
    finished : str
        When it was computed, in ISO 8601.
    content : str
        Canonical JSON; of a result its metrics, record and notes.
    """

    kind: str
    key: str
    size: int
    mtime_ns: int
    name: str
    params: str
    seconds: float
    finished: str
    content: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What one function took with one set of settings.

    Attributes
    ----------
    kind, name, params : str
        As in `IndexRow`.
    seconds, size : float
        Means over the files: seconds, and bytes.
    count : int
        Number of files.
    """

    kind: str
    name: str
    params: str
    seconds: float
    size: float
    count: int


class _Header(NamedTuple):
    is_empty: bool
    is_ours: bool
    version: int
    is_plain: bool  # without a write-ahead log, which does not work on network file systems


class _NotUsedError(Exception):
    """The database is left as it is: it is of a newer tmi, or what is there is no plain file."""


class _DamagedError(Exception):
    """It is not as this tmi wrote it, or another program's."""


class Index:
    """The database of a store. No method raises for what is wrong with it.

    Parameters
    ----------
    folder : str or Path
        The folder of the store. The database is made when something is first added.

    Attributes
    ----------
    path : Path
    trouble : str
        What was wrong in the latest operation, in one line; empty if nothing was.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / NAME
        self.trouble = ""
        self._removed = False  # whether this process or another removed the database during the latest operation
        self._rest_until = 0.0

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r})"

    def read(self, kind: str, stamps: Mapping[str, files.Stamp]) -> dict[str, IndexRow]:
        """Return the rows of these files.

        Parameters
        ----------
        kind : str
        stamps : mapping of str to (int, int)
            Size and time of modification (ns) of each file, by key.

        Returns
        -------
        dict of str to IndexRow
            By key. A file that the index does not hold, or holds with another size or time, is left out.
        """
        rows: dict[str, IndexRow] = {}
        with self._guarded(), closing(self._open()) as database:
            for key, stamp in stamps.items():
                for values in database.execute(f"{_SELECT} WHERE kind = ? AND key = ?", (kind, key)):
                    row = _row(*values)
                    if (row.kind, row.key, row.size, row.mtime_ns) == (kind, key, *stamp):
                        rows[key] = row
        return rows

    def count(self) -> int:
        """Return how many files it holds, whether or not they are still there."""
        with self._guarded(), closing(self._open()) as database:
            return int(database.execute("SELECT count(*) FROM entry").fetchone()[0])
        return 0

    def costs(self) -> list[Cost]:
        """Return the mean costs of each function with each set of settings."""
        sums: dict[tuple[str, str, str], tuple[float, int, int]] = {}
        with self._guarded(), closing(self._open()) as database:
            limit = self.path.stat().st_size // 64  # a key alone has so many bytes: damaged pages may lead in circles
            for values in database.execute(f"{_SELECT} LIMIT {limit}"):
                row = _row(*values)
                group = row.kind, row.name, row.params
                seconds, size, count = sums.get(group, (0.0, 0, 0))
                sums[group] = seconds + row.seconds, size + row.size, count + 1
        return [Cost(*group, seconds / count, size / count, count) for group, (seconds, size, count) in sums.items()]

    def add(self, rows: Iterable[IndexRow]) -> None:
        """Add rows; each replaces an older one of its kind and key."""
        self._write(_INSERT, [values for row in rows if (values := _values(row)) is not None])

    def remove(self, kind: str, keys: Iterable[str]) -> None:
        """Remove the rows of these keys."""
        if self._identity() is not None:
            self._write(_DELETE, [(kind, key) for key in keys])

    def clear(self) -> None:
        """Delete the database; a file of another program in its place is moved to the folder ``damaged``."""
        with self._guarded():
            self._remove()

    def _write(self, statement: str, values: list[tuple[object, ...]]) -> None:
        """Execute a statement for each tuple of values, in one transaction; again if the database was damaged."""
        if not values or time.monotonic() < self._rest_until:
            return
        for _ in range(3):
            with self._guarded(writes=True):
                with suppress(FileExistsError):  # SQLite's own mode would shut the rest of the group out
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                    files.share(self.path)
                before = self._identity()
                with closing(self._open(create=True)) as database:
                    database.execute("BEGIN IMMEDIATE")
                    if self._identity() != before:  # SQLite would take our journal for that of the new file
                        self._removed = True
                        raise _NotUsedError("was replaced by another process")
                    database.executemany(statement, values)
                    database.execute("COMMIT")
            if not self._removed:
                return

    def _open(self, *, create: bool = False) -> sqlite3.Connection:
        """Open the database, after making its table where there is none and ``create`` is true.

        Raises
        ------
        FileNotFoundError
            If nothing was added yet.
        _NotUsedError, _DamagedError, sqlite3.Error, OSError
        """
        for path in (self.path, self.path.with_name(NAME + "-journal")):
            with suppress(FileNotFoundError):  # SQLite would follow a link, and wait for a pipe
                if not stat.S_ISREG(path.lstat().st_mode):
                    raise _NotUsedError(f"is not used: {path.name} is no plain file")
        header = self._header()
        if header.is_ours and header.version > LAYOUT:
            raise _NotUsedError(f"is of a newer tmi (layout {header.version}, this one reads {LAYOUT}); it can be deleted")
        if not header.is_empty and not (header.is_ours and header.version == LAYOUT and header.is_plain):
            raise _DamagedError("is not the index of a store")
        if header.is_empty and not create:
            raise FileNotFoundError
        database = self._connect()
        try:
            for setting in ("cell_size_check = ON", "trusted_schema = OFF", "synchronous = OFF", "cache_size = -16000"):
                database.execute(f"PRAGMA {setting}")
            if header.is_empty:
                _make_table(database)
            if database.execute("SELECT type, name, sql FROM sqlite_master").fetchall() != _SCHEMA:
                raise _DamagedError("is not the index of a store")
        except BaseException:
            database.close()
            raise
        return database

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        # mode=rw, also for reading: SQLite then undoes what a killed writer left half done.
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        database = sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None)
        database.text_factory = bytes  # damaged text is not UTF-8
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        return database

    def _header(self) -> _Header:
        with self.path.open("rb") as file:
            data = file.read(100)
        is_ours = data[:16] == b"SQLite format 3\0" and int.from_bytes(data[68:72]) == _APPLICATION
        return _Header(not data, is_ours, int.from_bytes(data[60:64]), data[18:20] == b"\1\1")

    def _identity(self) -> tuple[int, int] | None:
        """Return what distinguishes this file from one that replaces it."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _remove(self) -> None:
        """Remove what is there, under its lock if it can be locked: another process may be writing to it."""
        import sqlite3

        there = self._identity()
        header = self._header() if stat.S_ISREG(self.path.lstat().st_mode) else None
        if header is None or not (header.is_ours or header.is_empty):
            files.set_aside(self.path, self.path.parent / "damaged")
        elif header.is_plain:
            with closing(self._connect()) as database:
                try:
                    database.execute("BEGIN IMMEDIATE")
                except (sqlite3.Error, UnicodeError) as error:
                    if _code(error) & 0xFF in _BUSY:
                        raise
                if self._identity() == there:
                    self.path.unlink()  # SQLite itself removes a journal that is left beside an empty database
        else:
            self.path.unlink()
        self._removed = True

    @contextmanager
    def _guarded(self, *, writes: bool = False) -> Iterator[None]:
        """Turn errors into `trouble`, and remove a damaged database."""
        self.trouble, self._removed = "", False
        try:
            try:
                with _one_at_a_time:
                    yield
            except _failures() as error:
                if writes or not isinstance(error, FileNotFoundError):  # else nothing was added yet
                    self.trouble = f"{self.path}: {' '.join(str(error).split()) or type(error).__name__}"
                if _code(error) & 0xFF in _BUSY:
                    self._rest_until = time.monotonic() + _REST
                if _is_damage(error):
                    with _one_at_a_time:
                        self._remove()
        except _failures() as error:
            self.trouble += f"; it cannot be removed ({error})"


def _failures() -> tuple[type[Exception], ...]:
    try:
        import sqlite3
    except ImportError:  # a Python that was built without it
        return (ImportError,)
    # UnicodeError: SQLite's message may quote what is damaged.
    return (sqlite3.Error, UnicodeError, OSError, MemoryError, _NotUsedError, _DamagedError)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _is_damage(error: Exception) -> bool:
    code = _code(error)
    return isinstance(error, _DamagedError | UnicodeError) or code == _SHORT_READ or code & 0xFF not in {0, *_CIRCUMSTANCES}


def _make_table(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA page_count").fetchone()[0]:
        return
    database.execute(f"PRAGMA page_size = {_PAGE}")
    database.execute("BEGIN IMMEDIATE")
    if not database.execute("SELECT 1 FROM sqlite_master").fetchall():  # another process may have been quicker
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {LAYOUT}")
        database.execute(_TABLE)
    database.execute("COMMIT")


def _values(row: IndexRow) -> tuple[object, ...] | None:
    """Return what the table holds of a row; None where MessagePack or SQLite does not hold it."""
    try:
        data = msgspec.msgpack.encode(row)
        fits = len(data) < _LONGEST // 2 and msgspec.msgpack.decode(data, type=IndexRow) == row
    except (UnicodeError, OverflowError, msgspec.MsgspecError):
        return None
    return (row.kind, row.key, data, sha256(data).digest()) if fits else None


def _row(data: object, seal: object) -> IndexRow:
    if not isinstance(data, bytes) or sha256(data).digest() != seal:
        raise _DamagedError("is damaged (a row is not as it was written)")
    return msgspec.msgpack.decode(data, type=IndexRow)
