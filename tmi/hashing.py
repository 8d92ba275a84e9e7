"""Canonical JSON and its SHA-256: the one way in which a value becomes a digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """Write a value as JSON in one way only: sorted keys, no spaces, shortest exact floats.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON does not have.
    TypeError
        For what is not JSON.
    """
    return _encoder.encode(value)


def digest(value: Any) -> str:
    """Return the SHA-256 of `canonical` ``(value)``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
