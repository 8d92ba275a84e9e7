"""The index: what the files of a store hold, in one SQLite database, so that they need not be opened.

It only saves time. Every row carries the size and time of its file and a SHA-256 over all its fields; a row that does not fit is
left out, and the file is read instead. A database that is damaged, foreign, locked or not writable costs nothing but that, and it
can be deleted at any time. Nothing is forced to the disk: what a power failure damages is noticed, and made anew.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

NAME = "index.sqlite"
"""The file, in the folder of the store."""

LAYOUT = 1
"""Version of the table; a database of a newer one is left alone."""

_APPLICATION = 0x746D6931  # "tmi1", in the header of every database of ours
_PAGE = 4096  # bytes
_WAIT = 2.0  # seconds that another process may hold the lock
_REST = 30.0  # seconds without trying to write after it held the lock for longer: waiting at every cell would stall a run
_LONGEST = 1 << 24  # bytes of a row; a damaged length must not reserve more
_CHUNK = 5000  # rows of one reading transaction, between which others may write
_FEW = 4  # reading everything costs less than asking for more than one key in so many

_TABLE = """CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    name TEXT NOT NULL,
    params TEXT NOT NULL,
    seconds REAL NOT NULL,
    finished TEXT NOT NULL,
    content TEXT NOT NULL,
    seal BLOB NOT NULL,
    UNIQUE (kind, key)
)"""
_SCHEMA = [(b"table", b"entry", _TABLE.encode()), (b"index", b"sqlite_autoindex_entry_1", None)]
_SELECT = "SELECT kind, key, size, mtime_ns, name, params, seconds, finished, content, seal, id FROM entry"
_INSERT = """INSERT OR REPLACE INTO entry (kind, key, size, mtime_ns, name, params, seconds, finished, content, seal)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_DELETE = "DELETE FROM entry WHERE kind = ? AND key = ?"

# SQLite's codes for what lies not in the file: permission, locks, memory, an interrupted or failing disk, no space.
_CIRCUMSTANCES = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 22}
_BUSY = {5, 6}
_SHORT_READ = 522  # a failing disk by its number, but what a truncated file gives

# A journal that ends so names another file, which SQLite deletes when it rolls back. Ours, of one database, never do.
_FURTHER = bytes.fromhex("d9d505f920a163d7")

# One operation of this process at a time: closing a file lets go of all locks that the process holds on it.
_one_at_a_time = threading.Lock()

Raw = tuple[bytes, bytes, int, int, bytes, bytes, float, bytes, bytes, bytes, int]
"""A row as SQLite gives it: text as bytes, for damaged text is no UTF-8."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What the index knows of one file.

    Attributes
    ----------
    kind : {"dataset", "network", "probe"}
    key : str
        64 hexadecimal digits.
    size : int
        Bytes of the file.
    mtime_ns : int
        Its time of modification, in ns.
    name : str
        The registered name of what made it: a data set generator, a network builder or a probe.
    params : str
        Its settings, as canonical JSON.
    seconds : float
        What making it took.
    finished : str
        When it was made, in ISO 8601.
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
class Total:
    """All files of one kind.

    Attributes
    ----------
    count : int
    size : int
        Their bytes together.
    seconds : float
        What making them took.
    oldest, newest : str
        When the first and the last was made, in ISO 8601.
    """

    count: int
    size: int
    seconds: float
    oldest: str
    newest: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What making things with the same settings took.

    Attributes
    ----------
    kind, name, params : str
        As in a `IndexRow`.
    seconds, size : float
        Means over the files: seconds, and bytes.
    count : int
        Of how many files.
    """

    kind: str
    name: str
    params: str
    seconds: float
    size: float
    count: int


class _Unusable(Exception):
    """Why the database is not used; ``remake``: whether a new one may take its place."""

    def __init__(self, why: str, *, remake: bool = True, ours: bool = False) -> None:
        super().__init__(why)
        self.remake = remake
        self.ours = ours


class Index:
    """The database of a store. No method raises for what is wrong with it; ``trouble`` says it.

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
        self._damaged: tuple[int, int] | None = None  # the file in which damage was met: the next to write makes it anew
        self._rest_until = 0.0

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r})"

    def read(self, kind: str, stamps: Mapping[str, tuple[int, int]]) -> dict[str, IndexRow]:
        """Return the rows of these files.

        Parameters
        ----------
        kind : str
        stamps : mapping of str to (int, int)
            Size and time of modification (ns) of each file, by key.

        Returns
        -------
        dict of str to IndexRow
            By key. A file that the index does not know, or that has another size or time, is left out.
        """
        found: dict[str, IndexRow] = {}
        with self._quietly(), _alone(), closing(self._open()) as database:
            last = database.execute("SELECT max(id) FROM entry").fetchone()[0] or 0
            raws = self._ask(database, kind, stamps) if len(stamps) * _FEW < last else self._all(database)
            wanted = kind.encode()
            for raw in raws:
                if raw[0] == wanted:
                    key = raw[1].decode()
                    if stamps.get(key) == (raw[2], raw[3]):
                        found[key] = _row(raw)
        return found

    def totals(self) -> dict[str, Total]:
        """Return how much there is of each kind."""
        sums: dict[bytes, list[Any]] = {}
        with self._quietly(), _alone(), closing(self._open()) as database:
            for raw in self._all(database):
                of = sums.setdefault(raw[0], [0, 0, 0.0, raw[7], raw[7]])
                of[0] += 1
                of[1] += raw[2]
                of[2] += raw[6]
                of[3:] = min(of[3], raw[7]), max(of[4], raw[7])
        return {
            kind.decode(): Total(count, size, seconds, oldest.decode(), newest.decode())
            for kind, (count, size, seconds, oldest, newest) in sums.items()
        }

    def costs(self) -> list[Cost]:
        """Return what making each thing took, by kind, name and settings."""
        sums: dict[tuple[bytes, bytes, bytes], list[Any]] = {}
        with self._quietly(), _alone(), closing(self._open()) as database:
            for raw in self._all(database):
                of = sums.setdefault((raw[0], raw[4], raw[5]), [0.0, 0, 0])
                of[0] += raw[6]
                of[1] += raw[2]
                of[2] += 1
        return [
            Cost(kind.decode(), name.decode(), params.decode(), seconds / count, size / count, count)
            for (kind, name, params), (seconds, size, count) in sums.items()
        ]

    def add(self, rows: Iterable[IndexRow]) -> None:
        """Add rows, each in the place of an older one of its kind and key."""
        sealed = [values for row in rows if (values := _sealed(row)) is not None]
        if sealed:
            self._write(lambda database: database.executemany(_INSERT, sealed))

    def remove(self, kind: str, keys: Iterable[str]) -> None:
        """Remove the rows of these keys."""
        gone = [(kind, key) for key in keys]
        if gone and self._identity() is not None:
            self._write(lambda database: database.executemany(_DELETE, gone))

    def clear(self) -> None:
        """Begin anew with an empty database, whatever there was."""
        with self._quietly(), _alone():
            self._remake(self._identity(), keep=False)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Turn what is wrong into `trouble`."""
        self.trouble = ""
        try:
            import sqlite3

            # UnicodeError: SQLite's message may quote what is damaged.
            failures: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeError, OSError, MemoryError, _Unusable)
        except ImportError:  # a Python that was built without it
            failures = (ImportError,)
        try:
            yield
        except FileNotFoundError:
            pass  # nothing was added yet
        except failures as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _BUSY:
                self._rest_until = time.monotonic() + _REST
            if _says_damage(error):
                self._damaged = self._identity()
            self.trouble = f"{self.path}: {' '.join(str(error).split()) or type(error).__name__}"

    def _identity(self) -> tuple[int, int] | None:
        """Tell the file that is there from another that takes its place."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _inspect(self) -> None:
        """Look at what is there without SQLite, which would follow links, wait at a pipe and make files beside a foreign one.

        Raises
        ------
        _Unusable
            For what is no database of ours.
        FileNotFoundError
        """
        if not stat.S_ISREG(self.path.lstat().st_mode):
            raise _Unusable("is no plain file")
        with self.path.open("rb") as file:
            header = file.read(100)
        if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[68:72]) != _APPLICATION:
            raise _Unusable("is not the index of a store")
        version = int.from_bytes(header[60:64])
        if version > LAYOUT:
            raise _Unusable(f"is of a newer tmi (layout {version}, this one reads {LAYOUT}); it can be deleted", remake=False)
        if version < LAYOUT or header[18:20] != b"\1\1":  # write-ahead logs do not work on network file systems
            raise _Unusable("is of another layout", ours=True)
        journal = self._beside()[0]
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(journal.lstat().st_mode):
                raise _Unusable(f"has something beside it that is no journal ({journal.name})", ours=True)
            with journal.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - 8, 8))  # every journal begins so
                if file.read(8) == _FURTHER:
                    raise _Unusable(f"has a foreign journal beside it ({journal.name})", ours=True)

    def _beside(self) -> list[Path]:
        return [self.path.with_name(NAME + ending) for ending in ("-journal", "-wal", "-shm")]

    def _clear_beside(self) -> None:
        for path in self._beside():
            path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        self._inspect()
        # mode=rw, also for reading: what a killed writer left half done is rolled back.
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        database = sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None)
        try:
            database.text_factory = bytes
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
            for setting in ("cell_size_check = ON", "trusted_schema = OFF", "synchronous = OFF", "cache_size = -16000"):
                database.execute(f"PRAGMA {setting}")
            if database.execute("SELECT type, name, sql FROM sqlite_master").fetchall() != _SCHEMA:
                raise _Unusable("holds another table than the index of a store", ours=True)
        except BaseException:
            database.close()
            raise
        return database

    def _all(self, database: sqlite3.Connection) -> Iterator[Raw]:
        """Yield all rows whose check holds, in short transactions."""
        most = self.path.stat().st_size // 64 + 1  # a key alone has so many bytes: damaged pages may lead in circles
        last, seen, damaged = -(2**63), 0, 0
        known: set[bytes] = set()
        while True:
            before = seen
            # Not fetchall: what stands before a damaged page is kept.
            for raw in database.execute(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT {_CHUNK}", (last,)):
                seen += 1
                if raw[-1] <= last or seen > most:
                    raise _Unusable("is damaged (its rows are out of order)", ours=True)
                last = raw[-1]
                if _holds(raw) and (name := raw[0] + raw[1]) not in known:  # a page may be in two places
                    known.add(name)
                    yield raw
                else:
                    damaged += 1
            if seen == before:
                break
        if damaged:
            raise _Unusable(f"is damaged ({damaged} rows)", ours=True)

    def _ask(self, database: sqlite3.Connection, kind: str, keys: Iterable[str]) -> Iterator[Raw]:
        """Yield the rows of these keys whose check holds."""
        damaged = 0
        for key in keys:
            raw = database.execute(f"{_SELECT} WHERE kind = ? AND key = ?", (kind, key)).fetchone()
            if raw is not None and _holds(raw):
                yield raw
            elif raw is not None:
                damaged += 1
        if damaged:
            raise _Unusable(f"is damaged ({damaged} rows)", ours=True)

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Do the work in one transaction, in a new database if what is there is missing or damaged."""
        if time.monotonic() < self._rest_until:
            return
        with self._quietly(), _alone():
            for _ in range(3):
                there = self._identity()
                try:
                    if there is None:
                        raise _Unusable("is missing")
                    if there == self._damaged:
                        raise _Unusable("is damaged", ours=True)
                    with closing(self._open()) as database:
                        database.execute("BEGIN IMMEDIATE")
                        # Was another file put in its place meanwhile, our journal would be taken for the new one's.
                        if self._identity() == there:
                            work(database)
                            database.execute("COMMIT")
                            return
                except FileNotFoundError:
                    continue
                except Exception as error:
                    if not _says_damage(error):
                        raise
                    self._remake(there, keep=there is not None)
            raise _Unusable("is replaced again and again", remake=False)

    def _remake(self, old: tuple[int, int] | None, *, keep: bool) -> None:
        """Put a new database in the place of the old one, with those of its rows that hold."""
        import sqlite3

        rows: list[IndexRow] = []
        ours = False
        try:
            self._inspect()
            ours = True
            if keep:
                with closing(self._open()) as database:
                    rows.extend(map(_row, self._all(database)))
        except _Unusable as error:
            ours = ours or error.ours
        except FileNotFoundError:
            pass
        except (sqlite3.Error, UnicodeError) as error:
            if not _says_damage(error):
                raise
        temporary = self.path.with_name(f".index.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with closing(sqlite3.connect(temporary, isolation_level=None)) as fresh:
                for setting in (
                    f"page_size = {_PAGE}",
                    "journal_mode = OFF",
                    "synchronous = OFF",
                    f"application_id = {_APPLICATION}",
                    f"user_version = {LAYOUT}",
                ):
                    fresh.execute(f"PRAGMA {setting}")
                fresh.execute("BEGIN")
                fresh.execute(_TABLE)
                fresh.executemany(_INSERT, [values for row in rows if (values := _sealed(row)) is not None])
                fresh.execute("COMMIT")
            if old is None:
                self._put_first(temporary)
            else:
                with self._others_kept_out():
                    if self._identity() == old:
                        self._put(temporary, ours=ours)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _put_first(self, temporary: Path) -> None:
        if not self.path.exists():
            self._clear_beside()  # the journal of a deleted database would be taken for the new one's
        try:
            os.link(temporary, self.path)  # unlike a renaming, takes nothing away from another process that was quicker
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            temporary.replace(self.path)

    def _put(self, temporary: Path, *, ours: bool) -> None:
        if not ours:  # somebody may miss it
            aside = self.path.parent / "damaged" / f"{NAME}.{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            self.path.replace(aside)
        self._clear_beside()
        temporary.replace(self.path)
        self._damaged = None

    @contextmanager
    def _others_kept_out(self) -> Iterator[None]:
        """Hold the old database's lock, if it can be locked at all, so that no writer loses what it is writing."""
        import sqlite3

        database = None
        try:
            self._inspect()
            database = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT, isolation_level=None)
            database.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, UnicodeError, _Unusable, FileNotFoundError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                if database is not None:
                    database.close()
                raise
        try:
            yield
        finally:
            if database is not None:
                database.close()


@contextmanager
def _alone() -> Iterator[None]:
    if not _one_at_a_time.acquire(timeout=_WAIT):
        raise _Unusable("is in use by another thread", remake=False)
    try:
        yield
    finally:
        _one_at_a_time.release()


def _says_damage(error: Exception) -> bool:
    """Whether a new database helps."""
    if isinstance(error, _Unusable):
        return error.remake
    if isinstance(error, UnicodeError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code == _SHORT_READ or code & 0xFF not in _CIRCUMSTANCES)


def _seal(values: tuple[Any, ...]) -> bytes:
    # repr tells every two tuples apart, and the content, which is long, comes last.
    return sha256(repr(values[:8]).encode() + values[8]).digest()


def _holds(raw: Raw) -> bool:
    return isinstance(raw[8], bytes) and _seal(raw) == raw[9]


def _sealed(row: IndexRow) -> tuple[Any, ...] | None:
    """Return the values of a row and their check; None for what SQLite does not take."""
    size, mtime_ns, seconds = int(row.size), int(row.mtime_ns), float(row.seconds) + 0.0  # SQLite has no -0.0
    texts = (row.kind, row.key, row.name, row.params, row.finished, row.content)
    try:
        kind, key, name, params, finished, content = (text.encode() for text in texts)
    except UnicodeEncodeError:
        return None
    fits = max(abs(size), abs(mtime_ns)) < 2**63 and seconds == seconds and sum(map(len, texts)) < _LONGEST // 8
    if not fits:
        return None
    seal = _seal((kind, key, size, mtime_ns, name, params, seconds, finished, content))
    return row.kind, row.key, size, mtime_ns, row.name, row.params, seconds, row.finished, row.content, seal


def _row(raw: Raw) -> IndexRow:
    kind, key, size, mtime_ns, name, params, seconds, finished, content = raw[:9]
    return IndexRow(
        kind.decode(), key.decode(), size, mtime_ns, name.decode(), params.decode(), seconds, finished.decode(), content.decode()
    )
