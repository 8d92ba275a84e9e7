"""One line of the table: what is asked, what was found, whether it holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """What was asked and found.

    Attributes
    ----------
    part, asked, found : str
    seconds : float
        What finding it took.
    holds : bool or None
        None where it was not tried, or is a time: those depend on the machine, and are printed only.
    """

    part: str
    asked: str
    found: str
    seconds: float
    holds: bool | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Part:
    """Collects the rows of one part.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self._begun = time.perf_counter()

    def add(self, asked: str, found: str, holds: bool | None) -> None:
        """Add a row; its time is what passed since the one before."""
        now = time.perf_counter()
        self.rows.append(Row(self.name, asked, found, now - self._begun, holds))
        self._begun = now

    def none_of(self, asked: str, problems: list[str], fine: str) -> None:
        """Add a row that holds if there are no problems; else it names the first few."""
        found = fine if not problems else f"{len(problems)} wrong: " + "; ".join(problems[:4])
        self.add(asked, found, not problems)

    @contextmanager
    def step(self, asked: str) -> Iterator[list[str]]:
        """Gather problems inside the block; what it raises is one. Its last word that begins with ``=`` is what was found."""
        said: list[str] = []
        try:
            yield said
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}"[:300])
        fine = [text[1:] for text in said if text.startswith("=")]
        self.none_of(asked, [text for text in said if not text.startswith("=")], fine[-1] if fine else "as asked")


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tmi-endurance-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_a_child(work: Callable[[], list[str]], seconds: int = 30) -> list[str]:
    """Do the work in a forked process, so that one that hangs is a finding and not the end."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)  # ends this process
        try:
            said = work()
        except BaseException as error:
            said = [f"{type(error).__name__}: {error}"]
        os.write(write, json.dumps(said[:5]).encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return ["hangs" if os.WIFSIGNALED(status) else "no answer"] if not answer else list(json.loads(answer))
