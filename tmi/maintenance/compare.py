"""How far numbers that were computed again are from those that are stored."""

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

_ZERO = 1e-12  # below this a metric is rounding

Likeness = Literal["equal", "close", "different"]


def compare(stored: Mapping[str, LabelledArray], made: Mapping[str, LabelledArray]) -> tuple[Likeness, str]:
    """Compare the arrays of two files.

    Parameters
    ----------
    stored, made : mapping of str to LabelledArray
        As `tmi.store.hdf5.from_bytes` gives them; a result's metrics are the arrays ``metric`` and ``metrics``.

    Returns
    -------
    likeness : {"equal", "close", "different"}
        Bit for bit equal; agreeing to `CLOSE`; or not. Whole numbers, booleans and words only agree if they are equal.
    first : str
        What differs most, in words; empty if all is equal.
    """
    for name in stored.keys() ^ made.keys():
        return "different", f"{name!r} is only {'stored' if name in stored else 'computed'}"
    likeness: Likeness = "equal"
    worst = ""
    largest = 0.0
    for name, array in stored.items():
        one, other = array.values, made[name].values
        if array.dims != made[name].dims or one.shape != other.shape or one.dtype.kind != other.dtype.kind:
            return "different", f"{name!r} is {_kind(array)}, computed again {_kind(made[name])}"
        if one.dtype.kind != "f":
            if not np.array_equal(one, other):
                return "different", f"{name!r} has other {'words' if one.dtype.kind == 'U' else 'values'}"
            continue
        if same_bits(one, other):
            continue
        likeness = "close" if likeness == "equal" else likeness
        apart, text = _apart(name, one, other, stored)
        if not apart <= largest:
            largest, worst = apart, text
    if not largest <= CLOSE:
        likeness = "different"
    return likeness, worst


def _apart(name: str, one: NDArray[Any], other: NDArray[Any], stored: Mapping[str, LabelledArray]) -> tuple[float, str]:
    """Return the largest relative difference, and where it is."""
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return np.inf, f"{name!r}: NaN or infinity in other places"
    a, b = (np.where(np.isfinite(value), value, 0.0).astype(float) for value in (one, other))
    if not same_bits(np.where(np.isfinite(one), 0, one), np.where(np.isfinite(other), 0, other)):
        return np.inf, f"{name!r}: NaN or infinity in other places"
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
