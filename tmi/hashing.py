"""Canonical JSON and its SHA-256 digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """Return a value as JSON in canonical form: sorted keys, no spaces, floats with the fewest digits that restore them exactly.

    Raises
    ------
    ValueError
        For NaN and infinities.
    TypeError
        For a value that JSON cannot represent.
    """
    return _encoder.encode(value)


def digest(value: Any) -> str:
    """Return the SHA-256 digest of ``canonical(value)`` as 64 hexadecimal digits.

    Raises
    ------
    ValueError, TypeError
        See `canonical`.
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()
