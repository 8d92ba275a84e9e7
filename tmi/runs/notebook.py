"""The progress of a run in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tmi.engines.job import JobResult
from tmi.engines.running import Running, in_words
from tmi.runtime.formatting import format_count, format_duration
from tmi.runtime.notebook import LiveHtml, bar, in_notebook, track
from tmi.runtime.progress import shown_by

__all__ = ["Below", "below_cell", "in_notebook"]


class Below:
    """One bar over the cells of a suite, below the cell of the notebook, and what is computed now."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._live = LiveHtml()
        self._todo = self._done = self._failed = 0
        self._reported: set[str] = set()
        self._start = time.monotonic()

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Show the bar."""
        self._todo, self._cached, self._left = todo, cached, left
        self._live.show(self._bar(""), now=True)

    def done(self, result: JobResult) -> None:
        """Move the bar; print the reason of a failure, once where it fails many cells."""
        self._done += 1
        if result.failed:
            self._failed += 1
            if result.message not in self._reported:
                self.say(f"failed: {result.planned.cell}: {result.message}")
            self._reported.add(result.message)
        self._live.show(self._bar(str(result.planned.cell)))

    def say(self, text: str) -> None:
        """Print the message."""
        print(text, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Replace the bar by a line."""
        seconds = format_duration(time.monotonic() - self._start)
        if self._todo:
            failed = f", {self._failed} failed" if self._failed else ""
            cells = f"{format_count(self._done, 'cell')} computed in {seconds}{failed}, {self._cached:,} in the store"
            self._live.show(f"<div>{cells}</div>", now=True)

    def _bar(self, last: str) -> str:
        left = self._left()
        known = "" if left is None else f", {format_duration(left)} left"
        failed = f", {self._failed} failed" if self._failed else ""
        now = in_words(self._running.current(), 1) or last
        return bar(self._done, self._todo, f"{self._done} of {self._todo} cells{failed}{known}{f': {now}' if now else ''}")


@contextmanager
def below_cell(running: Running) -> Iterator[Below]:
    """Show a run below the cell of the notebook, and the steps of a plug-in in a second place."""
    below = Below(running)
    steps = LiveHtml()
    try:
        with shown_by(lambda given, description, total: track(given, description, total, steps)):
            yield below
    finally:
        below.finish()
