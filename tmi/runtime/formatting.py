"""Sizes and ages as people write them, and names that are safe to print."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from tmi.errors import InputError

if TYPE_CHECKING:
    pass

_BYTES = {
    **{"": 1, "b": 1},
    **{f"{letter}{ending}": 1000**power for power, letter in enumerate("kmgt", 1) for ending in ("", "b")},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_NUMBER = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Return bytes.

    Parameters
    ----------
    text : str
        ``"2GB"``, ``"500 MB"``, ``"1.5 GiB"``, ``"1000"``: 1 kB is 1000 bytes, 1 KiB 1024.

    Raises
    ------
    InputError
    """
    return int(_parse(text, _BYTES, "a size", "500MB, 2GB or 1.5GiB"))


def parse_age(text: str) -> float:
    """Return seconds.

    Parameters
    ----------
    text : str
        ``"30d"``, ``"12h"``, ``"2w"``, ``"90min"`` or ``"10s"``.

    Raises
    ------
    InputError
    """
    return _parse(text, _SECONDS, "an age", "12h, 30d or 2w")


def size_text(size: float) -> str:
    """Write bytes as people do: ``"1.2 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB" if size < 999.5 else f"{size:.0f} TB"


def time_text(seconds: float) -> str:
    """Write a time since 1970 in UTC: ``"2026-01-31 12:00"``."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # a file's time may be anything
        return "unknown"


def shown(name: object) -> str:
    """Write a name in one line without characters that steer a terminal; a file may be called anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in str(name))


def counted(count: int, what: str) -> str:
    """Write ``"1 result"``, ``"2 results"``."""
    word = {"dataset": "data set", "probe": "result"}.get(what, what)
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _parse(text: str, units: dict[str, float] | dict[str, int], what: str, examples: str) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise InputError(f"{shown(text)!r}: expected {what} such as {examples}")
    return float(found[1]) * units[found[2].lower()]


def spell(seconds: float) -> str:
    """Write a duration as people say it: ``"40 s"``, ``"12 min"``, ``"3 h 20 min"``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
