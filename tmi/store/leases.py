"""Leases: which process works on what, so that several runs on one store share the work instead of doing it twice.

A lease is a small file in the store. It is a hint and not a lock: if two processes work on the same thing after all, both write
the same file whole, and only time is lost. The lease of a process that has ended is taken over. A lease also counts how often the
work was begun without being finished; a cell that ends its worker is recognised by that.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tmi.errors import StoreError
from tmi.runtime.paths import shown

from .files import is_running, make_folder, read_json, share, temporary_name, write_json

FOLDER = "leases"
"""The folder in a store that holds them."""

BEAT = 20.0
"""Seconds between two updates of a lease's time, by which its process shows that it is alive."""

STALE = 120.0
"""Seconds without an update after which a lease may be taken over."""

_NAME = re.compile(r"[0-9a-f]{64}|run-[0-9a-f]{32}")


@dataclass(frozen=True)
class Lease:
    """The process that works on something.

    Attributes
    ----------
    run : str
        The run that it works for.
    host : str
    pid : int
    ended : tuple of int
        Process numbers of the same run that began this work before and ended without finishing it.
    in_group : bool
        Whether the process does it together with other work, so that its end may have another cause and does not count.
    """

    run: str
    host: str
    pid: int
    ended: tuple[int, ...] = ()
    in_group: bool = False


class Busy(Exception):
    """Another process works on it."""


class TooManyAttempts(Exception):
    """It was begun as often as is allowed, and each time its worker process ended without finishing it.

    Attributes
    ----------
    pids : tuple of int
        Of these processes.
    """

    def __init__(self, pids: tuple[int, ...]) -> None:
        super().__init__(pids)
        self.pids = pids


class Leases:
    """The leases of one run.

    Parameters
    ----------
    folder : Path
        Common to all processes that use the store.
    run : str
        A unique name.
    attempts : int
        How often the run may begin the same work.
    """

    def __init__(self, folder: Path, run: str, attempts: int = 2) -> None:
        self.folder, self.run, self.attempts = folder, run, attempts
        self._held: set[Path] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @contextmanager
    def hold(self, key: str | None, *, in_group: bool = False) -> Iterator[None]:
        """Hold the lease of a piece of work inside the block.

        Parameters
        ----------
        key : str or None
            None for work that needs no lease, since no other process can use what it makes.
        in_group : bool
            Whether it is done together with other work; see `Lease`.

        Raises
        ------
        Busy
            If another process that still runs holds it; or for work in a group, if this run has begun it before.
        TooManyAttempts
            If this run has begun the work ``attempts`` times.
        StoreError
            If the folder cannot be written to.
        """
        if key is None:
            yield
            return
        path = self.folder / key
        self._take(path, in_group)
        try:
            yield
        finally:
            self._held.discard(path)
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Stop updating the leases that are held."""
        self._stop.set()

    def _take(self, path: Path, in_group: bool) -> None:
        mine = Lease(self.run, socket.gethostname(), os.getpid(), in_group=in_group)
        try:
            self._create(path, mine)
        except FileExistsError:
            other = read(path)
            # A run gives work out again when its worker is gone. A worker on another machine has ended, however young its lease;
            # one on this machine may have lost its scheduler only, and still work.
            if other is not None and other.run == self.run and not _works_beside(path, other, mine):
                if in_group:
                    raise Busy from None
                ended = other.ended if other.in_group else (*other.ended, other.pid)
                if len(ended) >= self.attempts:
                    with suppress(OSError):
                        path.unlink()
                    raise TooManyAttempts(ended) from None
                mine = replace(mine, ended=ended)
            elif other is not None and is_alive(path, other):
                raise Busy from None
            with suppress(OSError):  # where a folder is in the way, the work is done without a lease
                write_json(path, asdict(mine))
                if read(path) != mine:
                    raise Busy from None  # another process took it over at the same time
        except OSError as error:
            raise StoreError(f"store {shown(self.folder.parent)}: cannot be written to ({error.strerror or error})") from error
        self._held.add(path)
        self._start()

    def _create(self, path: Path, lease: Lease) -> None:
        # A link to a written file: a lease is never there without content.
        written = path.with_name(temporary_name(path.name))
        try:
            make_folder(self.folder)
            written.write_text(json.dumps(asdict(lease)), encoding="utf-8")
            share(written)
            os.link(written, path)
        except FileExistsError:
            raise
        except OSError as error:  # a file system without links
            if error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES):
                raise
            with path.open("x") as file:
                file.write(written.read_text(encoding="utf-8"))
            share(path)
        finally:
            with suppress(OSError):
                written.unlink()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._update, name="tmi leases", daemon=True)
            self._thread.start()

    def _update(self) -> None:
        while not self._stop.wait(BEAT):
            for path in list(self._held):
                with suppress(OSError):
                    os.utime(path)


def read(path: Path) -> Lease | None:
    """Return the lease in a file, or None if the file is gone or is no lease."""
    try:
        fields = read_json(path)
        ended, in_group = tuple(map(int, fields["ended"])), bool(fields.get("in_group"))
        return Lease(str(fields["run"]), str(fields["host"]), int(fields["pid"]), ended, in_group)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def is_alive(path: Path, lease: Lease) -> bool:
    """Whether the process of a lease still works: it is a running process of this machine, or updated the lease lately."""
    if lease.host == socket.gethostname() and not is_running(lease.pid):
        return False
    return abs(time.time() - _changed(path)) < STALE  # clocks of other machines may be ahead


def _works_beside(path: Path, other: Lease, mine: Lease) -> bool:
    """Whether the other lease is of another process of this machine that still works."""
    return other.host == mine.host and other.pid != mine.pid and is_alive(path, other)


def sweep(folder: Path) -> None:
    """Remove the leases of processes that have ended; files that are no leases stay."""
    if folder.is_symlink():
        return
    try:
        paths = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file()]
    except OSError:
        return
    for path in paths:
        lease = read(path)
        is_stale = abs(time.time() - _changed(path)) > STALE if lease is None else not is_alive(path, lease)
        if is_stale:
            with suppress(OSError):
                path.unlink()


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
