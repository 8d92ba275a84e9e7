"""What comes back from a file exactly as it was: values by way of JSON, words, and the bits of arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tmi.hashing import canonical


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it; a tuple becomes ``{"tuple": […]}``.

    Raises
    ------
    ValueError
        If `from_json` would not return an equal value of the same types; the order of a dict's keys does not count.
    """
    try:
        made = _coded(value)
        back = from_json(json.loads(canonical(made).encode()))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not _same(back, value):
        raise ValueError(f"JSON changes {value!r}")
    return made


def from_json(value: Any) -> Any:
    """Return what `as_json` was given."""
    if isinstance(value, dict):
        if value.keys() == {"tuple"}:
            return tuple(map(from_json, value["tuple"]))
        return {key: from_json(part) for key, part in value.items()}
    return list(map(from_json, value)) if isinstance(value, list) else value


def is_text(word: Any) -> bool:
    """Whether HDF5 can hold a word."""
    try:
        return isinstance(word, str) and b"\0" not in word.encode()
    except UnicodeEncodeError:
        return False


def same_bits(one: Any, other: Any) -> bool:
    """Whether two tensors or arrays have the same shape, dtype and bits; NaN is NaN, and −0 is not 0."""
    a, b = (np.asarray(value) for value in (one, other))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    first, second = (np.ascontiguousarray(value).reshape(-1).view(np.uint8) for value in (a, b))
    return np.array_equal(first, second)


def _coded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _coded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = list(map(_coded, value))
        return {"tuple": parts} if isinstance(value, tuple) else parts
    return value


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
