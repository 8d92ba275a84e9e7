"""What every file of a store has in common: a seal, a version, a key; and what it takes to believe one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmi.errors import DamagedFileError, StoreError
from tmi.probing.result import LabelledArray
from tmi.stages import Stage

from .files import read_sealed

VERSION = 1
"""Version of the file layout; a file of a newer one is refused."""

_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Parts:
    """A file's header and arrays."""

    header: dict[str, Any]
    arrays: dict[str, LabelledArray]


def headed(key: str, header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header with what every file's has."""
    return {"version": VERSION, "key": key, **header}


def read_parts(path: Path, key: str | None, kind: Stage, names: Sequence[str] | None = None) -> Parts:
    """Read a file.

    Parameters
    ----------
    path : Path
    key : str or None
        That it must have; None for any.
    kind : Stage
    names : sequence of str, optional
        Only these arrays.

    Raises
    ------
    DamagedFileError
        If it is not what was written, or not what it should be.
    StoreError
        If it was written by a newer tmi.
    OSError
        If it cannot be read.
    """
    from .hdf5 import from_bytes

    data = read_sealed(path)
    with damaged_if_it_fails():
        try:
            header, _ = from_bytes(data, ())
            if header["version"] > VERSION:  # its arrays may be anything
                raise StoreError(f"{path}: was written by a newer tmi (layout {header['version']}, this one reads {VERSION})")
            _, arrays = from_bytes(data, names)
        except OSError as error:  # HDF5's own
            raise DamagedFileError(f"{type(error).__name__}: {error}") from error
        if key not in (None, header["key"]):
            raise DamagedFileError(f"it holds the {kind.product} of another key")
        return Parts(header, arrays)


@contextmanager
def damaged_if_it_fails() -> Iterator[None]:
    """Inside it, whatever a file of another making leads to means that the file is damaged."""
    try:
        yield
    except (StoreError, MemoryError, OSError):
        raise
    except Exception as error:
        raise DamagedFileError(f"{type(error).__name__}: {error}") from error


def is_key(key: str) -> bool:
    """Whether it is 64 hexadecimal digits, and so no way out of the folder."""
    return _KEY.fullmatch(key) is not None


def check_key(key: str) -> None:
    """Refuse what is no key.

    Raises
    ------
    StoreError
    """
    if not is_key(key):
        raise StoreError(f"key {key!r}: expected 64 hexadecimal digits")
