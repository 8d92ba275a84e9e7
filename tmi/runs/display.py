"""How a run shows itself: live bars in a terminal, a line now and then elsewhere."""

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
    """What wants to know how a run goes on; see `tmi.runs.display`."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Before the first cell is computed; ``left()`` estimates the seconds that are left, where anything is known."""

    def done(self, outcome: JobResult) -> None:
        """After each."""

    def say(self, text: str) -> None:
        """What a person should read now."""


@contextmanager
def watching(watcher: Watcher | None) -> Iterator[Watcher]:
    """Yield the given watcher, or the display that suits standard error."""
    if watcher is not None:
        yield watcher
    elif sys.stderr.isatty():
        with _bars() as bars, shown_by(bars.track):
            yield bars
    else:
        with shown_by(_unseen):
            yield _Silent()


class Lines:
    """A line every so often: for logs."""

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        """Say how much there is to do."""
        self._todo, self._done, self._failed, self._left = todo, 0, 0, left
        self._told: set[str] = set()
        self._begun = self._said = time.monotonic()
        print(f"{todo} cells to compute, {cached} in the store", file=sys.stderr, flush=True)

    def done(self, outcome: JobResult) -> None:
        """Say how far the run is, if enough time has passed or it is the last cell."""
        self._done += 1
        if outcome.failed:
            self._failed += 1
            if outcome.message not in self._told:  # what fails many cells is said once
                print(f"  failed: {outcome.planned.cell}: {outcome.message}", file=sys.stderr, flush=True)
            self._told.add(outcome.message)
        now = time.monotonic()
        if now - self._said >= _EVERY or self._done == self._todo:
            self._said = now
            failed = f", {self._failed} failed" if self._failed else ""
            left = self._left() if self._done < self._todo else None
            known = "" if left is None else f", about {format_duration(left)} left"
            print(
                f"  {self._done}/{self._todo} cells{failed}, {now - self._begun:.0f} s{known}, last: {outcome.planned.cell}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, text: str) -> None:
        """Say it."""
        print(f"  {text}", file=sys.stderr, flush=True)


class _Silent:
    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        pass

    def done(self, outcome: JobResult) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class _Bars:
    """One bar over the cells, and one below it for what a plug-in is doing."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, todo: int, cached: int, left: Callable[[], float | None]) -> None:
        self._failed = 0
        self._told: set[str] = set()
        self._cached, self._left = cached, left
        self._task = self._progress.add_task("cells", total=todo, left=self._time_left(), note=f"{cached} in the store")

    def done(self, outcome: JobResult) -> None:
        from rich.markup import escape  # labels and messages may hold square brackets

        if outcome.failed:
            self._failed += 1
            if outcome.message not in self._told:
                told = escape(f"{outcome.planned.cell}: {outcome.message}")
                self._progress.console.print(f"[red]failed[/] {told}", highlight=False)
            self._told.add(outcome.message)
        failed = f" · [red]{self._failed} failed[/]" if self._failed else ""
        note = f"{self._cached} in the store{failed} · {escape(str(outcome.planned.cell))}"
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

    # Where the line is too short the note gives way, not the counts.
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


def _unseen(steps: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    yield from steps
