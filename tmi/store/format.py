"""What all files of a store have in common, and how they are checked: a seal, a version of the layout, a key."""

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
"""Version of the layout; a file with a newer one is refused."""

_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Parts:
    """A file's header and arrays."""

    header: dict[str, Any]
    arrays: dict[str, LabelledArray]


def headed(key: str, header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header with the entries that every file has."""
    return {"version": VERSION, "key": key, **header}


def read_parts(path: Path, key: str | None, kind: Stage, names: Sequence[str] | None = None) -> Parts:
    """Read a file.

    Parameters
    ----------
    path : Path
    key : str or None
        The key that it must have; None if any will do.
    kind : Stage
    names : sequence of str, optional
        The arrays to read; by default all.

    Raises
    ------
    DamagedFileError
        If its bytes are not those that were written, or they do not hold what they should.
    StoreError
        If a newer tmi wrote it.
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
        except OSError as error:  # from HDF5
            raise DamagedFileError(f"{type(error).__name__}: {error}") from error
        if key not in (None, header["key"]):
            raise DamagedFileError(f"it holds the {kind.product} of another key")
        return Parts(header, arrays)


@contextmanager
def damaged_if_it_fails() -> Iterator[None]:
    """Turn exceptions of the block into `DamagedFileError`: a file that another program wrote may lead to any of them."""
    try:
        yield
    except (StoreError, MemoryError, OSError):
        raise
    except Exception as error:
        raise DamagedFileError(f"{type(error).__name__}: {error}") from error


def is_key(key: str) -> bool:
    """Whether a text is 64 hexadecimal digits, and so cannot lead out of the folder."""
    return _KEY.fullmatch(key) is not None


def check_key(key: str) -> None:
    """Raise an error for text that is no key.

    Raises
    ------
    StoreError
    """
    if not is_key(key):
        raise StoreError(f"key {key!r}: expected 64 hexadecimal digits")
