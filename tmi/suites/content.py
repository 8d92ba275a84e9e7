"""The content of the files and folders that settings of type `Path` name, as a digest that is part of a key."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from tmi.errors import MissingPathError
from tmi.hashing import digest

_RECENT = 2_000_000_000
"""Nanoseconds. A file that changed less than this ago may change once more without another time stamp."""

_WORTH_KEEPING = 32 << 20, 500
"""Bytes or files from which on a digest is also kept for other processes."""


class _Entry(NamedTuple):
    """A file or folder: its name below the path, its kind, and what shows that it has changed."""

    name: str
    kind: str
    stamp: tuple[int, ...]
    time: int

    @property
    def named(self) -> tuple[str, str]:
        """Name and kind in a form that JSON can hold, whatever bytes they are."""
        return os.fsencode(self.name).decode("latin-1"), os.fsencode(self.kind).decode("latin-1")


def content_of(path: Path) -> str:
    """Return a digest of the content of a file or a folder; neither its path nor its times are part of it.

    Parameters
    ----------
    path : Path
        A file: its bytes. A folder: the names of all files and folders in it at any depth, and the bytes of the files. For a
        link its target counts.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MissingPathError
        If it is missing or cannot be read, or is neither a file nor a folder.

    Notes
    -----
    The digest is kept with the size, the times and the inode of every file, in the process and, where there is much to read, in
    the user's cache folder. It is computed again if one of these has changed, or changed in the last two seconds.
    """
    try:
        for _ in range(3):
            entries = list(_entries(path))
            stamp = _stamp(entries)
            is_recent = max(entry.time for entry in entries) > time.time_ns() - _RECENT
            result = None if is_recent else _Kept.find(path, stamp)
            if result is not None:
                return result
            result = digest([[*entry.named, _digest_of(path / entry.name) if entry.kind == "file" else ""] for entry in entries])
            if stamp == _stamp(_entries(path)):
                if not is_recent:
                    _Kept.add(path, stamp, result, entries)
                return result
    except FileNotFoundError as error:
        raise MissingPathError(f"there is no file or folder {error.filename}") from None
    except OSError as error:
        raise MissingPathError(f"{error.filename or path} cannot be read ({error.strerror or error})") from None
    raise MissingPathError(f"{path} changes while it is read")


def _entries(path: Path) -> Iterator[_Entry]:
    """Yield a file, or a folder and everything in it, in the order of the names."""
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        yield _entry("", "file", status)
    elif stat.S_ISDIR(status.st_mode):
        yield from _in_folder(path, "", (status,))
    else:
        raise MissingPathError(f"{path} is neither a file nor a folder")


def _in_folder(folder: Path, prefix: str, above: tuple[os.stat_result, ...]) -> Iterator[_Entry]:
    yield _entry(prefix, "folder", above[-1])
    with os.scandir(folder) as found:
        items = sorted(found, key=lambda item: os.fsencode(item.name))
    for item in items:
        name = prefix + item.name
        try:
            status = item.stat()
        except FileNotFoundError:  # a link to nothing
            yield _entry(name, f"link to {Path(item.path).readlink()}", item.stat(follow_symlinks=False))
            continue
        if stat.S_ISREG(status.st_mode):
            yield _entry(name, "file", status)
        elif not stat.S_ISDIR(status.st_mode):  # a pipe or a socket, which has no content to read
            yield _entry(name, "special", status)
        elif any(os.path.samestat(status, one) for one in above):
            yield _entry(name, "link to a folder above", status)
        else:
            yield from _in_folder(Path(item.path), f"{name}/", (*above, status))


def _entry(name: str, kind: str, status: os.stat_result) -> _Entry:
    stamp = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    # The size of a folder depends on the file system.
    return _Entry(name, kind, stamp if kind == "file" else stamp[1:], max(status.st_mtime_ns, status.st_ctime_ns))


def _stamp(entries: Iterable[_Entry]) -> str:
    return digest([[*entry.named, *entry.stamp] for entry in entries])


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class _Kept:
    """Digests of earlier calls by path, with the stamp that they hold for."""

    _in_process: ClassVar[dict[str, tuple[str, str]]] = {}

    @classmethod
    def find(cls, path: Path, stamp: str) -> str | None:
        """Return the digest that was kept for a path, if its files have not changed since."""
        kept = cls._in_process.get(str(path))
        if kept is None:
            with contextlib.suppress(OSError, ValueError):
                known, content = json.loads(cls._file(path).read_text())
                kept = cls._in_process[str(path)] = str(known), str(content)
        return kept[1] if kept is not None and kept[0] == stamp else None

    @classmethod
    def add(cls, path: Path, stamp: str, content: str, entries: list[_Entry]) -> None:
        """Keep a digest, also for other processes if computing it takes long."""
        cls._in_process[str(path)] = stamp, content
        size = sum(entry.stamp[0] for entry in entries if entry.kind == "file")
        if size >= _WORTH_KEEPING[0] or len(entries) >= _WORTH_KEEPING[1]:
            file = cls._file(path)
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                temporary = file.with_suffix(f".{os.getpid()}")
                temporary.write_text(json.dumps([stamp, content]))
                temporary.replace(file)

    @staticmethod
    def _file(path: Path) -> Path:
        return _cache_folder() / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"


@functools.cache
def _cache_folder() -> Path:
    """Return the folder of what this user's processes keep for each other."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path(os.path.expanduser("~/.cache"))) / "tmi" / "contents"  # noqa: PTH111
