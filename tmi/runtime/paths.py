"""Paths as users give them: relative to the working folder of that moment, or to a home folder."""

from __future__ import annotations

import os
from pathlib import Path

from tmi.errors import InputError


def absolute(path: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """Return the absolute path that a user means, so that a later change of the working folder does not move it.

    Parameters
    ----------
    path : str or path
        ``~`` and ``~user`` at its start are home folders. A file whose name begins with ``~`` is written ``./~name``.
    folder : Path, optional
        The folder that a relative path starts from; by default the working folder.

    Returns
    -------
    Path
        Links and ``..`` in it are kept, since following them needs the file.

    Raises
    ------
    InputError
        If the path is empty, there is no such user, or the working folder was deleted and the path is relative to it.
    """
    text = os.fspath(path)
    if not text:  # as from a variable of the shell that is not set; "." is the working folder
        raise InputError('a path is empty; write "." for the working folder')
    expanded = os.path.expanduser(text)  # noqa: PTH111  # Path drops the ./ that makes a ~ an ordinary character
    if expanded == text and text.startswith("~"):
        user = text.partition("/")[0]
        raise InputError(f"{text}: there is no home folder {user}; a file whose name begins with ~ is written ./{user}")
    try:
        return (folder or Path()).joinpath(expanded).absolute()
    except FileNotFoundError:
        raise InputError(f"{text}: is relative to the working folder, which was deleted; give an absolute path") from None


def shown(path: str | os.PathLike[str]) -> str:
    """Write an absolute path for a message: relative to the working folder if it lies in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # outside of it, or the working folder was deleted
        return str(path)
