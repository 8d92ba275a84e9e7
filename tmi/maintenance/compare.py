"""How much two files of one key differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmi.store.roundtrip import same_bits

if TYPE_CHECKING:
    from tmi.probing.result import LabelledArray

CLOSE = 1e-5
"""Relative difference up to which numbers agree: of each metric by itself, of an array relative to its largest absolute value."""

_ZERO = 1e-12  # a metric below it is a rounding error

Likeness = Literal["equal", "close", "different"]


def compare(stored: Mapping[str, LabelledArray], computed: Mapping[str, LabelledArray]) -> tuple[Likeness, str]:
    """Compare the arrays of two files.

    Parameters
    ----------
    stored, computed : mapping of str to LabelledArray
        As `tmi.store.hdf5.from_bytes` returns them; the metrics of a result are the arrays ``metric`` and ``metrics``.

    Returns
    -------
    likeness : {"equal", "close", "different"}
        Equal bit for bit; equal up to `CLOSE`; or not. Integers, booleans and strings only agree if they are equal.
    difference : str
        The largest difference, in words; empty if there is none.
    """
    for name in stored.keys() ^ computed.keys():
        return "different", f"{name!r} is only {'stored' if name in stored else 'computed'}"
    likeness: Likeness = "equal"
    largest, text = 0.0, ""
    for name, array in stored.items():
        a, b = array.values, computed[name].values
        if array.dims != computed[name].dims or a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return "different", f"{name!r} is {_kind(array)}, computed again {_kind(computed[name])}"
        if a.dtype.kind != "f":
            if not np.array_equal(a, b):
                return "different", f"{name!r} has other {'words' if a.dtype.kind == 'U' else 'values'}"
        elif not same_bits(a, b):
            likeness = "close" if likeness == "equal" else likeness
            difference, words = _difference(name, a, b, stored)
            if not difference <= largest:
                largest, text = difference, words
    return likeness if largest <= CLOSE else "different", text


def _difference(name: str, a: NDArray[Any], b: NDArray[Any], stored: Mapping[str, LabelledArray]) -> tuple[float, str]:
    """Return the largest relative difference between two arrays of floats, and where it is."""
    finite = np.isfinite(a)
    if not (np.array_equal(finite, np.isfinite(b)) and same_bits(np.where(finite, 0, a), np.where(finite, 0, b))):
        return np.inf, f"{name!r}: NaN or infinity in other places"
    a, b = (np.where(finite, value, 0.0).astype(float) for value in (a, b))
    difference = np.abs(a - b)
    if name == "metrics":
        relative = difference / np.maximum(np.maximum(np.abs(a), np.abs(b)), _ZERO)
        at = int(np.argmax(relative))
        metric = str(stored["metric"].values[at])
        return float(relative[at]), f"metric {metric}: {a[at]:.9g} is stored, {b[at]:.9g} is computed"
    scale = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    most = float(difference.max(initial=0.0))
    return (most / scale if scale else 0.0), f"{name!r}: up to {most:.3g} apart, where the largest value is {scale:.3g}"


def _kind(array: LabelledArray) -> str:
    return f"{array.values.dtype} {dict(zip(array.dims, array.shape, strict=True))}"
