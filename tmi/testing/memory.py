"""The memory that a block of code takes, as the operating system counts it: tensors are seen too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SELF = Path("/proc/self")


@contextmanager
def peak_megabytes() -> Iterator[list[float]]:
    """Measure by how many MB the process's resident memory was greater inside the block than before it, at most.

    Yields
    ------
    list of float
        Holds the number after the block; it stays empty where the system does not tell, as on other systems than Linux.
    """
    found: list[float] = []
    with suppress(OSError):
        (_SELF / "clear_refs").write_text("5")  # the greatest size so far is counted again from here
    before = _status("VmRSS"), _status("VmHWM")
    yield found
    after = _status("VmHWM")
    if before[0] is not None and before[1] is not None and after is not None and before[1] - before[0] < 50:  # else not reset
        found.append(max(0.0, after - before[0]))


def _status(what: str) -> float | None:
    """Return an entry of the process's status in MB; None where there is none."""
    with suppress(OSError):
        match = re.search(rf"^{what}:\s+(\d+) kB", (_SELF / "status").read_text(), re.M)
        return int(match[1]) / 1000 if match else None
    return None
