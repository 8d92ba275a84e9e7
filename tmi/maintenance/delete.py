"""Deleting a file below a folder, without following a link on the way."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path

from tmi.store.files import Stamp
from tmi.store.store import Store

from .inventory import Found


def remove(store: Store, found: Found) -> bool:
    """Delete a file of a store, unless another took its place meanwhile.

    Returns
    -------
    bool
        Whether it was there as it was found.

    Raises
    ------
    OSError
        If it cannot be deleted, or a folder on the way to it became a link.
    """
    return unlink(store.folder, found.path, found.stamp)


def unlink(folder: Path, path: Path, stamp: Stamp | None = None) -> bool:
    """Delete a plain file below a folder without following a link on the way.

    Parameters
    ----------
    folder, path : Path
    stamp : Stamp, optional
        Of the file that is meant.

    Returns
    -------
    bool
        Whether it was there.
    """
    *parents, name = path.relative_to(folder).parts
    with ExitStack() as opened:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        opened.callback(os.close, at)
        try:
            for parent in parents:
                at = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                opened.callback(os.close, at)
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or (stamp is not None and (status.st_size, status.st_mtime_ns) != stamp):
                return False
            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            return False
    return True
