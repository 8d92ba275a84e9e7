"""Files that are whole or not there: sealed, written beside their place, put in place by one rename, set aside when damaged.

Behind the data, where HDF5 does not look, stands a SHA-256 of every byte before it, so that a flipped byte or a cut file is
noticed before HDF5 sees it: some flipped bytes make HDF5 hang.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import stat
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tmi.errors import DamagedFileError

_SEAL = b"tmi-sha256:"
_TEMPORARY = re.compile(r"\.[0-9a-z-]+\.(?P<host>.*)\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{8}\.tmp")
_LARGEST_JSON = 16_000_000
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file of another machine counts as left behind

Stamp = tuple[int, int]
"""Size in bytes and time of last change in nanoseconds: another file of the same name has another one."""


def stamp(path: Path | str) -> Stamp | None:
    """Return the stamp of a file, or None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def write_sealed(path: Path, data: bytes, *, sync: bool = True) -> Stamp:
    """Write data with its seal, so that the file is there whole or not at all.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing.
    data : bytes
    sync : bool
        Whether it must outlive a power cut, and not only the process.

    Returns
    -------
    Stamp

    Raises
    ------
    OSError
        No permission, or no space. What was there before stays.
    """
    temporary = path.with_name(temporary_name(path.stem))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.write(_SEAL + hashlib.sha256(data).digest())
            file.flush()
            if sync:
                os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return status.st_size, status.st_mtime_ns


def read_sealed(path: Path) -> bytes:
    """Read what `write_sealed` wrote.

    Raises
    ------
    DamagedFileError
        If the bytes are not those that were written.
    OSError
    """
    data = _read_plain(path)
    mark = len(data) - len(_SEAL) - hashlib.sha256().digest_size
    if mark < 0 or data[mark : mark + len(_SEAL)] != _SEAL:
        raise DamagedFileError("it is cut short, or not a file of a store")
    if hashlib.sha256(memoryview(data)[:mark]).digest() != data[mark + len(_SEAL) :]:
        raise DamagedFileError("its bytes are not those that were written")
    return data[:mark]


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object: a claim or a failure.

    Raises
    ------
    OSError, ValueError
        Whatever is the matter with it.
    """
    try:
        found = json.loads(_read_plain(path, _LARGEST_JSON))
    except (DamagedFileError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict):
        raise ValueError("is not an object")
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON object, whole or not at all.

    Raises
    ------
    OSError
    """
    temporary = path.with_name(temporary_name(path.stem))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read_plain(path: Path, limit: int | None = None) -> bytes:
    """Read a file that is one: not a link, which may lead anywhere, and not a pipe, which may never end."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        what = (
            "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
        )
        raise DamagedFileError(f"it is {what}, and a store has none in this place")
    if limit is not None and status.st_size > limit:
        raise DamagedFileError(f"it is {status.st_size} bytes large")
    return path.read_bytes()


def set_aside(path: Path, folder: Path) -> str:
    """Move a damaged file out of the way, and say where it went."""
    aside = folder / f"{path.name}.{time.time_ns()}"
    try:
        if folder.is_symlink():
            raise OSError(errno.ELOOP, f"{folder.name} is a symbolic link")
        folder.mkdir(exist_ok=True)
        path.replace(aside)
    except OSError as error:
        return f"could not be set aside ({error.strerror})"
    return f"set aside as {aside}"


def temporary_name(name: str) -> str:
    """Return a name for a file that is being written: it says by whom, so that it can be swept up after them."""
    return f".{name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"


def sweep(folder: Path) -> int:
    """Remove the temporary files of processes that are gone; return how many there were."""
    swept = 0
    for path in folder.glob("**/.*.tmp"):
        if _left_behind(path):
            with suppress(OSError):
                path.unlink()
                swept += 1
    return swept


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs."""
    if pid < 1:  # to the system these are groups of processes
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _left_behind(path: Path) -> bool:
    made = _TEMPORARY.fullmatch(path.name)
    if made is None or not path.is_file():
        return False  # not a file of ours
    if made["host"] == socket.gethostname():
        return not is_running(int(made["pid"]))
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return False
