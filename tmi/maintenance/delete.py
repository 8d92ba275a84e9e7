"""Deletes a file of a store."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from tmi.store.files import Stamp


def delete(folder: Path, path: Path, stamp: Stamp | None = None) -> bool:
    """Delete a plain file below a folder.

    Parameters
    ----------
    folder, path : Path
        A link on the way from the folder to the file is not followed.
    stamp : Stamp, optional
        Size and time that the file must still have: a run may have put another in its place since it was listed.

    Returns
    -------
    bool
        Whether it was there and was deleted.

    Raises
    ------
    OSError
        If it cannot be deleted, or lies behind a link.
    """
    for parent in path.relative_to(folder).parents[:-1]:
        if (folder / parent).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder / parent))
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or (stamp is not None and (status.st_size, status.st_mtime_ns) != stamp):
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True
