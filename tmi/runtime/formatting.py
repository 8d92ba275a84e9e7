"""Numbers and names as people read and write them: sizes, ages, durations, times, counts, and names that are safe to print."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path

from tmi.errors import InputError

from .paths import shown

_BYTES = {
    **{"": 1, "b": 1},
    **{f"{letter}{ending}": 1000**power for power, letter in enumerate("kmgt", 1) for ending in ("", "b")},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_NUMBER_WITH_UNIT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Return the number of bytes that a text stands for.

    Parameters
    ----------
    text : str
        ``"2GB"``, ``"500 MB"``, ``"1.5 GiB"``, ``"1000"``: 1 kB is 1000 bytes, 1 KiB is 1024.

    Raises
    ------
    InputError
    """
    return int(_parse(text, _BYTES, "a size", "500MB, 2GB or 1.5GiB"))


def parse_age(text: str) -> float:
    """Return the number of seconds that a text stands for.

    Parameters
    ----------
    text : str
        ``"30d"``, ``"12h"``, ``"2w"``, ``"90min"`` or ``"10s"``; the unit is required.

    Raises
    ------
    InputError
    """
    return _parse(text, _SECONDS, "an age", "12h, 30d or 2w")


def format_size(size: float) -> str:
    """Write a number of bytes with three significant digits and powers of 1000: ``"1.2 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB" if size < 999.5 else f"{size:.0f} TB"


def format_duration(seconds: float) -> str:
    """Write a duration in one or two units: ``"2.5 s"``, ``"40 s"``, ``"12 min"``, ``"3 h 20 min"``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def format_time(seconds: float) -> str:
    """Write a time, in seconds since 1970, in UTC: ``"2026-01-31 12:00"``; ``"unknown"`` where no calendar has it."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # the time of a file may be any number
        return "unknown"


def format_count(count: int, noun: str) -> str:
    """Write a count with its noun, in the plural where it is not 1: ``"1 result"``, ``"2,000 results"``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(name: object) -> str:
    """Write a name in one line, its control characters escaped: a file name may hold codes that control a terminal.

    A path is written relative to the working folder if it lies in it.
    """
    text = shown(name) if isinstance(name, Path) else str(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _parse(text: str, units: Mapping[str, int], expected: str, examples: str) -> float:
    match = _NUMBER_WITH_UNIT.fullmatch(text)
    if match is None or match[2].lower() not in units:
        raise InputError(f"{printable(text)!r}: expected {expected} such as {examples}")
    return float(match[1]) * units[match[2].lower()]
