"""Files that are whole or absent: sealed, written under a temporary name, renamed, and set aside when damaged.

The seal is a SHA-256 of all bytes before it. It follows the data, where HDF5 does not read, and is checked before HDF5 opens the
data: some flipped bytes make HDF5 hang.
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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tmi.errors import DamagedFileError
from tmi.runtime.paths import shown

_SEAL = b"tmi-sha256:"
_TEMPORARY = re.compile(r"\.[0-9a-z-]+\.(?P<host>.*)\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{8}\.tmp")
_LARGEST_JSON = 16_000_000
_SHARED = stat.S_ISGID | stat.S_IRWXG
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file of another machine counts as left over

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds; a file that replaces another has another stamp."""


def stamp(path: Path | str) -> Stamp | None:
    """Return the stamp of a file, or None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; see `share`.

    Raises
    ------
    OSError
    """
    if not folder.is_dir():
        if not folder.parent.exists():
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        share(folder)


def share(path: Path) -> None:
    """Give the group the permissions of the owner on a new file or folder, if the folder around it is shared by a group.

    A folder is shared if its group may write to it and new files get its group (``chmod g+ws``). Elsewhere the umask alone
    decides.
    """
    if path.parent.stat().st_mode & _SHARED == _SHARED:
        mode = path.stat().st_mode
        of_owner = stat.S_ISGID | stat.S_IRWXG if stat.S_ISDIR(mode) else stat.S_IRGRP | stat.S_IWGRP
        with suppress(OSError):  # the file of another user
            path.chmod(stat.S_IMODE(mode | of_owner))


def write_sealed(path: Path, data: bytes, *, sync: bool = True) -> Stamp:
    """Write data with its seal; the file is then there whole or, after an error, not at all.

    Parameters
    ----------
    path : Path
        Its folder is made if it is missing.
    data : bytes
    sync : bool
        Whether it must survive a power cut, not only the end of the process.

    Returns
    -------
    Stamp

    Raises
    ------
    OSError
        No permission, or no space; an older file stays.
    """
    temporary = path.with_name(temporary_name(path.stem))
    try:
        make_folder(path.parent)
        with temporary.open("xb") as file:
            share(temporary)
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
    end = len(data) - len(_SEAL) - hashlib.sha256().digest_size
    if end < 0 or data[end : end + len(_SEAL)] != _SEAL:
        raise DamagedFileError("it is cut short, or not a file of a store")
    if hashlib.sha256(memoryview(data)[:end]).digest() != data[end + len(_SEAL) :]:
        raise DamagedFileError("its bytes are not those that were written")
    return data[:end]


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object: a lease or a failure.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is no such object.
    """
    try:
        value = json.loads(_read_plain(path, _LARGEST_JSON))
    except (DamagedFileError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON object; the file is then there whole or not at all.

    Raises
    ------
    OSError
    """
    temporary = path.with_name(temporary_name(path.stem))
    try:
        make_folder(path.parent)
        temporary.write_text(json.dumps(value), encoding="utf-8")
        share(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read_plain(path: Path, limit: int | None = None) -> bytes:
    """Read a plain file: a link may lead anywhere, and a pipe may never end."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "no plain file")
        raise DamagedFileError(f"it is {kind}, and a store has none in this place")
    if limit is not None and status.st_size > limit:
        raise DamagedFileError(f"it is {status.st_size} bytes large")
    return path.read_bytes()


def set_aside(path: Path, folder: Path) -> str:
    """Move a damaged file to a folder, and return where it is now in one clause."""
    aside = folder / f"{path.name}.{time.time_ns()}"
    try:
        if folder.is_symlink():
            raise OSError(errno.ELOOP, f"{folder.name} is a symbolic link")
        make_folder(folder)
        path.replace(aside)
    except OSError as error:
        return f"could not be set aside ({error.strerror})"
    return f"set aside as {shown(aside)}"


def temporary_name(name: str) -> str:
    """Return a name for a file that is being written; it names the process, so that `sweep` knows when the file is left over."""
    return f".{name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"


def sweep(folders: Iterable[Path]) -> int:
    """Remove the temporary files of processes that have ended from these folders; return how many there were.

    Parameters
    ----------
    folders : iterable of Path
        Neither their subfolders nor links are followed.
    """
    swept = 0
    for folder in folders:
        try:
            paths = [] if folder.is_symlink() else list(folder.iterdir())
        except OSError:
            continue
        for path in paths:
            if _left_behind(path):
                with suppress(OSError):
                    path.unlink()
                    swept += 1
    return swept


def is_running(pid: int) -> bool:
    """Whether a process of this machine is running; one that was killed and not yet waited for by its parent is not."""
    if pid < 1:  # these would be groups of processes
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process ended but its parent did not ask how; Linux alone can tell without more libraries."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]  # the name before it, in brackets, may hold anything


def _left_behind(path: Path) -> bool:
    writer = _TEMPORARY.fullmatch(path.name)
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if writer is None or not stat.S_ISREG(status.st_mode):
        return False  # not a file of ours
    if writer["host"] == socket.gethostname():
        return not is_running(int(writer["pid"]))
    return time.time() - status.st_mtime > _ABANDONED
