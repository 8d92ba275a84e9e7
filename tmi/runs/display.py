"""The progress of a run: live bars in a terminal, lines elsewhere; and what is being computed for a long time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from tmi.engines.job import JobResult
from tmi.engines.running import Running, in_words
from tmi.runtime.colour import colour
from tmi.runtime.formatting import format_count, format_duration
from tmi.runtime.progress import shown_by

from .notebook import below_cell, in_notebook

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

_EVERY = 15.0  # seconds between two lines where there is no terminal
_LONG = (60.0, 300.0, 1800.0)  # seconds after which a cell that is still being computed is named; then as often as the last
_LOOK = 1.0  # seconds between two looks at what is being computed


class Watcher(Protocol):
    """Receives the progress of a run."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Called before the first cell is computed; ``left()`` estimates the remaining seconds, or returns None."""

    def done(self, result: JobResult) -> None:
        """Called after each cell."""

    def say(self, text: str) -> None:
        """Called with a message for the user."""


@contextmanager
def watching(watcher: Watcher | None, running: Running) -> Iterator[Watcher]:
    """Yield the given watcher, or the display that suits standard error.

    Bars show all the time what is being computed; to any other watcher it is said after 1, 5 and 30 minutes.
    """
    if watcher is not None:
        with _reminders(watcher, running):
            yield watcher
    elif in_notebook():
        with below_cell(running) as below, _reminders(below, running):
            yield below
    elif sys.stderr.isatty():
        with _bars(running) as bars, shown_by(bars.track):
            yield bars
    else:
        silent = Silent()
        with shown_by(_without_display), _reminders(silent, running):
            yield silent


@contextmanager
def _reminders(watcher: Watcher, running: Running) -> Iterator[None]:
    """Say from a thread what has been computed for a long time: a plug-in that hangs does not return to this one."""
    stop = threading.Event()

    def look() -> None:
        named: dict[object, int] = {}  # how often each job was named
        while not stop.wait(_LOOK):
            current = running.current()
            named = {job.job: named.get(job.job, 0) for job in current}
            due = [job for job in current if job.seconds >= _reminder(named[job.job])]
            if due:
                for job in due:
                    named[job.job] += 1
                with suppress(Exception):  # standard error may be closed
                    watcher.say(f"still running: {in_words(due)}")
                stop.wait(_EVERY - _LOOK)

    thread = threading.Thread(target=look, name="tmi display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _reminder(count: int) -> float:
    """Return after how many seconds a job is named that was named ``count`` times."""
    return _LONG[count] if count < len(_LONG) else _LONG[-1] * (count - len(_LONG) + 2)


class Lines:
    """A line every 15 seconds, for logs.

    Parameters
    ----------
    every_cell : bool
        Whether each cell that is done has a line, with the seconds that it took.
    """

    def __init__(self, every_cell: bool = False) -> None:
        self._every_cell = every_cell

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Print how many cells there are."""
        self._todo, self._done, self._failed, self._left = todo, 0, 0, left
        self._reported: set[str] = set()
        self._start_time = self._last_line = time.monotonic()
        print(f"{format_count(todo, 'cell')} to compute, {cached:,} in the store", file=sys.stderr, flush=True)

    def done(self, result: JobResult) -> None:
        """Print the progress, if enough time has passed or it is the last cell."""
        self._done += 1
        if result.failed:
            self._failed += 1
            if result.message not in self._reported:  # a cause that fails many cells is printed once
                print(f"  failed: {result.planned.cell}: {result.message}", file=sys.stderr, flush=True)
            self._reported.add(result.message)
        if self._every_cell and not result.failed:
            print(f"  done: {result.planned.cell}, {format_duration(result.seconds)}", file=sys.stderr, flush=True)
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


class Silent:
    """Says only what the user must know: what a signal does, and what is being computed for a long time."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Print nothing."""

    def done(self, result: JobResult) -> None:
        """Print nothing."""

    def say(self, text: str) -> None:
        """Print the message."""
        print(text, file=sys.stderr, flush=True)


class _Bars:
    """One bar over the cells, and one below it for the steps of a plug-in."""

    def __init__(self, progress: Progress, running: Running) -> None:
        self._progress, self._running = progress, running

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        self._failed = 0
        self._reported: set[str] = set()
        self._cached, self._left = cached, left
        self._last = ""
        self._task = self._progress.add_task("cells", total=todo, left=self._time_left(), note=_Live(self._note))

    def done(self, result: JobResult) -> None:
        from rich.markup import escape  # labels and messages may hold square brackets

        if result.failed:
            self._failed += 1
            if result.message not in self._reported:
                text = escape(f"{result.planned.cell}: {result.message}")
                self._progress.console.print(f"[red]failed[/] {text}", highlight=False)
            self._reported.add(result.message)
        self._last = str(result.planned.cell)
        self._progress.update(self._task, advance=1, left=self._time_left())

    def _note(self) -> str:
        from rich.markup import escape

        failed = f" · [red]{self._failed} failed[/]" if self._failed else ""
        return f"{self._cached} in the store{failed} · {escape(in_words(self._running.current(), 1) or self._last)}"

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


class _Live:
    """Text that is made each time it is shown."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text()


@contextmanager
def _bars(running: Running) -> Iterator[_Bars]:
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
    console = Console(stderr=True, no_color=True if colour() is False else None)
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield _Bars(progress, running)


def _without_display(steps: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    yield from steps
