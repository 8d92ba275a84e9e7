"""Standard output and standard error: characters that they cannot write, and rows alone on standard output."""

from __future__ import annotations

import codecs
import ctypes
import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import BinaryIO

from tmi.errors import InputError
from tmi.runtime.paths import absolute


def replace_unwritable() -> None:
    """Write a replacement for each character that the encoding of standard output or standard error does not have."""
    if sys.stderr is None:  # it was closed; nothing then reads the progress and the errors
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="replace", encoding=_ascii() if codecs.lookup(stream.encoding).name == "ascii" else None)


def _ascii() -> str:
    """Return another name for ASCII: click takes that encoding for a mistake, and writes UTF-8 where it finds its name."""
    name, ascii = "tmi_ascii", codecs.lookup("ascii")
    other = codecs.CodecInfo(
        *ascii[:4], incrementalencoder=ascii.incrementalencoder, incrementaldecoder=ascii.incrementaldecoder, name=name
    )
    codecs.register(lambda wanted: other if wanted == name else None)
    return name


def is_stdout(path: str) -> bool:
    """Whether a path that a user gives for a file is standard output: ``-``, ``/dev/stdout``, or another name of it."""
    if path == "-":
        return True
    try:
        return os.path.samestat(os.stat(absolute(path)), os.fstat(sys.stdout.fileno()))  # noqa: PTH116
    except (OSError, ValueError, AttributeError):  # no such file; standard output is closed, or has no descriptor
        return path in ("/dev/stdout", "/dev/fd/1")


@contextmanager
def rows_alone() -> Iterator[BinaryIO]:
    """Yield standard output as a file for rows; everything else that is printed inside the block goes to standard error.

    That holds for Python, for C code and for child processes, since the descriptor itself is redirected.

    Raises
    ------
    InputError
        If standard output is closed.
    """
    stdout = sys.stdout
    if stdout is None:
        raise InputError("-: standard output is closed, so rows cannot be written to it")
    stdout.flush()
    try:
        number = stdout.fileno()
    except (OSError, ValueError):  # a program that calls the command put an object of its own there
        with redirect_stdout(sys.stderr):
            yield stdout.buffer
        return
    copy = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)  # not 2, where standard error is closed: C code would write to it
    with open(copy, "wb") as rows:  # noqa: PTH123
        _redirect(number)
        try:
            with redirect_stdout(sys.stderr):
                yield rows
        finally:
            stdout.flush()
            with suppress(Exception):  # the buffers of C, which are otherwise written when the process ends
                ctypes.CDLL(None).fflush(None)
            os.dup2(rows.fileno(), number)


def _redirect(number: int) -> None:
    """Let a descriptor write to standard error, or to nothing where that is closed."""
    try:
        os.dup2(2, number)
    except OSError:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), number)
