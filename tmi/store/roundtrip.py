"""What comes back from a file exactly as it was: values by way of JSON, words, and the bits of arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def as_json(value: Any, name: str = "value") -> Any:
    """Return a value as JSON can hold it; a tuple becomes ``{"tuple": […]}``.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, list, tuple or dict, nested: of these very classes, not of subclasses.
    name : str
        What the reason calls the value.

    Raises
    ------
    ValueError
        If `from_json` would not return an equal value of the same types, with the reason: ``"notes: key 1 is not text"``.
    """
    try:
        return _coded(value, name)
    except RecursionError:
        raise ValueError(f"{name}: is nested too deeply") from None


def from_json(value: Any) -> Any:
    """Return what `as_json` was given, but for the order of a dict's keys."""
    if isinstance(value, dict):
        if value.keys() == {"tuple"}:
            return tuple(map(from_json, value["tuple"]))
        return {key: from_json(part) for key, part in value.items()}
    return list(map(from_json, value)) if isinstance(value, list) else value


def is_text(word: Any) -> bool:
    """Whether HDF5 can hold a word."""
    return isinstance(word, str) and "\0" not in word and _is_unicode(word)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two tensors or arrays have the same shape, dtype and bits; NaN is NaN, and −0 is not 0."""
    a, b = (np.asarray(value) for value in (one, other))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    first, second = (np.ascontiguousarray(value).reshape(-1).view(np.uint8) for value in (a, b))
    return np.array_equal(first, second)


def _coded(value: Any, name: str) -> Any:
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or not _is_unicode(key):
                raise ValueError(f"{name}: key {key!r} is not text")
        if value.keys() == {"tuple"}:
            raise ValueError(f"{name}: a dict whose only key is 'tuple' would come back as a tuple")
        return {key: _coded(part, f"{name}[{key!r}]") for key, part in value.items()}
    if kind in (list, tuple):
        parts = [_coded(part, f"{name}[{index}]") for index, part in enumerate(value)]
        return parts if kind is list else {"tuple": parts}
    if value is not None and kind not in (bool, int, float, str):
        raise ValueError(f"{name}: JSON has no {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{name}: JSON has no {value}")
    if kind is str and not _is_unicode(value):
        raise ValueError(f"{name}: {value!r} is not Unicode text")
    return value


def _is_unicode(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
