"""How an error of code or of a library is put into a message of one line."""

from __future__ import annotations

_LONGEST = 200  # characters: some libraries answer with pages


def one_line(error: BaseException) -> str:
    """Return an error's type and text in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}".removesuffix(".")
