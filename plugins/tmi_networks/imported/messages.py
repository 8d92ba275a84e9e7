"""Parts of messages: an error of code or of a library in one line, and a command that repairs a file."""

from __future__ import annotations

import json
import shlex

_LONGEST = 200  # characters: some libraries answer with pages


def one_line(error: BaseException) -> str:
    """Return an error's type and text in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}".removesuffix(".")


def python_command(program: str, *names: str) -> str:
    """Return the command of a POSIX shell that runs a program; ``{}`` in it stand for names of files, of any characters."""
    return f"python -c {shlex.quote(program.format(*map(json.dumps, names)))}"
