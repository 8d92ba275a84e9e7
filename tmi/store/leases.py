"""Leases: who works on what, so that several runs on one store share the work instead of doing it twice.

A claim is a small file beside the results. It is advice, not a lock: where two processes do take the same work, both write the
same file whole, and nothing is wrong but the time. A claim whose process is gone is taken over. It also counts how often work was
begun and not finished, by which a cell that kills its worker is recognised.
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

from .files import is_running, read_json, temporary_name, write_json

FOLDER = "leases"
"""The folder in a store that holds them."""

BEAT = 20.0
"""Seconds between two signs of life of a claim."""

STALE = 120.0
"""Seconds without a sign of life after which a claim is nobody's."""

_NAME = re.compile(r"[0-9a-f]{64}|run-[0-9a-f]{32}")


@dataclass(frozen=True)
class Lease:
    """Who works on something.

    Attributes
    ----------
    run : str
        The run that the work is for.
    host : str
    pid : int
    ended : tuple of int
        The numbers of that run's processes that began this work before, and died of it or were killed meanwhile.
    """

    run: str
    host: str
    pid: int
    ended: tuple[int, ...] = ()


class Busy(Exception):
    """Another run is at it."""


class WornOut(Exception):
    """It was begun as often as it may be, and its worker died each time.

    Attributes
    ----------
    pids : tuple of int
        Their numbers.
    """

    def __init__(self, pids: tuple[int, ...]) -> None:
        super().__init__(pids)
        self.pids = pids


class Leases:
    """The claims of one run.

    Parameters
    ----------
    folder : Path
        Shared by everybody who uses the store.
    run : str
        A name that no other run has.
    attempts : int
        How often work may be begun.
    """

    def __init__(self, folder: Path, run: str, attempts: int = 2) -> None:
        self.folder, self.run, self.attempts = folder, run, attempts
        self._held: set[Path] = set()
        self._beating: threading.Thread | None = None
        self._stop = threading.Event()

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        """Lease a piece of work inside the block.

        Parameters
        ----------
        key : str or None
            None for what nobody else could use.

        Raises
        ------
        Busy
            If another run that is alive is at it.
        WornOut
            If this run has begun it as often as it may.
        StoreError
            If the folder cannot be written to.
        """
        if key is None:
            yield
            return
        path = self.folder / key
        self._take(path)
        try:
            yield
        finally:
            self._held.discard(path)
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Stop giving signs of life."""
        self._stop.set()

    def _take(self, path: Path) -> None:
        mine = Lease(self.run, socket.gethostname(), os.getpid())
        try:
            self._create(path, mine)
        except FileExistsError:
            other = read(path)
            if other is not None and other.run == self.run:  # its worker died, for a run gives nothing out twice
                ended = (*other.ended, other.pid)
                if len(ended) >= self.attempts:
                    with suppress(OSError):
                        path.unlink()
                    raise WornOut(ended) from None
                mine = replace(mine, ended=ended)
            elif other is not None and is_alive(path, other):
                raise Busy from None
            with suppress(OSError):  # a folder may be in the way: then there is no claim
                write_json(path, asdict(mine))
                if read(path) != mine:
                    raise Busy from None  # somebody else took it over at the same time
        except OSError as error:
            raise StoreError(f"store {self.folder.parent}: cannot be written to ({error.strerror or error})") from error
        self._held.add(path)
        self._beat()

    def _create(self, path: Path, claim: Lease) -> None:
        # By a link: a claim is never there without saying whose it is.
        written = path.with_name(temporary_name(path.name))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps(asdict(claim)), encoding="utf-8")
            os.link(written, path)
        except FileExistsError:
            raise
        except OSError as error:  # a file system without links
            if error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES):
                raise
            with path.open("x") as file:
                file.write(written.read_text(encoding="utf-8"))
        finally:
            with suppress(OSError):
                written.unlink()

    def _beat(self) -> None:
        if self._beating is None:
            self._beating = threading.Thread(target=self._give_signs, name="tmi claims", daemon=True)
            self._beating.start()

    def _give_signs(self) -> None:
        while not self._stop.wait(BEAT):
            for path in list(self._held):
                with suppress(OSError):
                    os.utime(path)


def read(path: Path) -> Lease | None:
    """Return the claim in a file, or None where it is gone or says nothing (its writer was killed just then)."""
    try:
        found = read_json(path)
        return Lease(str(found["run"]), str(found["host"]), int(found["pid"]), tuple(map(int, found["ended"])))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def is_alive(path: Path, claim: Lease) -> bool:
    """Whether somebody is still at it: a process of this machine that runs, or a recent sign of life."""
    if claim.host == socket.gethostname() and not is_running(claim.pid):
        return False
    try:
        return abs(time.time() - path.lstat().st_mtime) < STALE  # clocks of other machines may be ahead
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove claims that are nobody's; what is no claim is left alone."""
    if folder.is_symlink():
        return
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file()]
    except OSError:
        return
    for path in found:
        claim = read(path)
        if (claim is not None and not is_alive(path, claim)) or (claim is None and abs(time.time() - _changed(path)) > STALE):
            with suppress(OSError):
                path.unlink()


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
