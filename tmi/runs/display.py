"""The progress of a run: live bars in a terminal, a line every 15 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from tmi.engines.job import JobResult
from tmi.runtime.formatting import format_duration
from tmi.runtime.progress import shown_by

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

_EVERY = 15.0  # seconds between two lines where there is no terminal


class Watcher(Protocol):
    """Receives the progress of a run."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Called before the first cell is computed; ``left()`` estimates the remaining seconds, or returns None."""

    def done(self, result: JobResult) -> None:
        """Called after each cell."""

    def say(self, text: str) -> None:
        """Called with a message for the user."""


@contextmanager
def watching(watcher: Watcher | None) -> Iterator[Watcher]:
    """Yield the given watcher, or the display that suits standard error."""
    if watcher is not None:
        yield watcher
    elif sys.stderr.isatty():
        with _bars() as bars, shown_by(bars.track):
            yield bars
    else:
        with shown_by(_without_display):
            yield _Silent()


class Lines:
    """A line every 15 seconds, for logs."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Print how many cells there are."""
        self._todo, self._done, self._failed, self._left = todo, 0, 0, left
        self._reported: set[str] = set()
        self._start_time = self._last_line = time.monotonic()
        print(f"{todo} cells to compute, {cached} in the store", file=sys.stderr, flush=True)

    def done(self, result: JobResult) -> None:
        """Print the progress, if enough time has passed or it is the last cell."""
        self._done += 1
        if result.failed:
            self._failed += 1
            if result.message not in self._reported:  # a cause that fails many cells is printed once
                print(f"  failed: {result.planned.cell}: {result.message}", file=sys.stderr, flush=True)
            self._reported.add(result.message)
        now = time.monotonic()
        if now - self._last_line >= _EVERY or self._done == self._todo:
            self._last_line = now
            failed = f", {self._failed} failed" if self._failed else ""
            left = self._left() if self._done < self._todo else None
            known = "" if left is None else f", about {format_duration(left)} left"
            print(
                f"  {self._done}/{self._todo} cells{failed}, {now - self._start_time:.0f} s{known}, last: {result.planned.cell}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, text: str) -> None:
        """Print the message."""
        print(f"  {text}", file=sys.stderr, flush=True)


class _Silent:
    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        pass

    def done(self, result: JobResult) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class _Bars:
    """One bar over the cells, and one below it for the steps of a plug-in."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        self._failed = 0
        self._reported: set[str] = set()
        self._cached, self._left = cached, left
        self._task = self._progress.add_task("cells", total=todo, left=self._time_left(), note=f"{cached} in the store")

    def done(self, result: JobResult) -> None:
        from rich.markup import escape  # labels and messages may hold square brackets

        if result.failed:
            self._failed += 1
            if result.message not in self._reported:
                text = escape(f"{result.planned.cell}: {result.message}")
                self._progress.console.print(f"[red]failed[/] {text}", highlight=False)
            self._reported.add(result.message)
        failed = f" · [red]{self._failed} failed[/]" if self._failed else ""
        note = f"{self._cached} in the store{failed} · {escape(str(result.planned.cell))}"
        self._progress.update(self._task, advance=1, left=self._time_left(), note=note)

    def say(self, text: str) -> None:
        self._progress.console.print(text, style="yellow", highlight=False, markup=False)

    def _time_left(self) -> str:
        left = self._left()
        return "" if left is None else f"{format_duration(left)} left"

    def track(self, steps: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        from rich.markup import escape

        task = self._progress.add_task(escape(description), total=total, left="", note="")
        try:
            yield from self._progress.track(steps, task_id=task, total=total)
        finally:
            self._progress.remove_task(task)


@contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # On a narrow terminal the note is cut, not the counts.
    columns = (
        TextColumn("{task.description:>8}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(min_width=10, max_width=30)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as progress:
        yield _Bars(progress)


def _without_display(steps: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    yield from steps
