"""The IDX format of the MNIST family: a magic number, the sizes, the bytes.

The first four bytes are 0, 0, the element type (8 for unsigned bytes) and the number of axes; then follows the length of each
axis as a big-endian 32-bit number, then the elements in row-major order, and nothing after them.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DataFileError

_UNSIGNED_BYTE = 8


def decode(content: bytes, name: str | Path) -> NDArray[np.uint8]:
    """Read the content of an IDX file, strictly.

    Parameters
    ----------
    content : bytes
        Uncompressed.
    name : str or Path
        The file's name in messages.

    Returns
    -------
    ndarray of uint8
        Read-only, with as many axes as the file names.

    Raises
    ------
    DataFileError
        For another magic number or element type, for a header or body that ends too early, and for bytes left over.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataFileError(f"{name}: is no IDX file, for its first four bytes are {content[:4].hex(' ') or 'missing'}")
    kind, axes = content[2], content[3]
    if kind != _UNSIGNED_BYTE or not axes:
        raise DataFileError(f"{name}: expected IDX with unsigned bytes (08) and at least one axis, got {kind:02x} with {axes}")
    header = 4 + 4 * axes
    if len(content) < header:
        raise DataFileError(f"{name}: is truncated, it ends after {len(content)} of {header} bytes of its header")
    shape = tuple(int(side) for side in np.frombuffer(content, ">u4", axes, 4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        what = "is truncated" if len(content) < expected else "has bytes left over"
        size = "×".join(map(str, shape))
        raise DataFileError(f"{name}: {what}, {size} elements need {expected} bytes and it has {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def encode(array: NDArray[Any]) -> bytes:
    """Return the IDX file of an array of uint8: the inverse of `decode`."""
    if array.dtype != np.uint8 or not array.ndim:
        raise DataFileError(f"IDX: expected uint8 with at least one axis, got {array.dtype} of shape {array.shape}")
    return bytes((0, 0, _UNSIGNED_BYTE, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def read_content(file: Path) -> bytes:
    """Return a file's uncompressed content, whether it is gzipped (``.gz``) or not.

    Raises
    ------
    DataFileError
        If it cannot be read, or its compression is damaged or cut short.
    """
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFileError(f"{file}: is not a whole gzip file ({error})") from None
    except OSError as error:
        raise DataFileError(f"{file}: cannot be read ({error.strerror or error})") from None
