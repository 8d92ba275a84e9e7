"""Progress of a plug-in's loop, independent of the display that shows it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from .notebook import in_notebook
from .notebook import track as track_below_cell

T = TypeVar("T")

Display = Callable[[Iterable[Any], str, int | None], Iterator[Any]]

_display: ContextVar[Display | None] = ContextVar("tmi_progress", default=None)


def track(steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over steps and show the progress.

    Parameters
    ----------
    steps : iterable
    description : str
        What is being done, such as ``"training"``.
    total : int, optional
        The number of steps, where ``len(steps)`` does not give it.

    Yields
    ------
    object
        The steps, unchanged. Inside `tmi.run` the suite's display shows them as a second bar; in an interactive terminal or a
        notebook a bar of their own; elsewhere nothing.
    """
    display = _display.get()
    if display is not None:
        yield from display(steps, description, total)
    elif in_notebook():
        yield from track_below_cell(steps, description, total)
    elif sys.stderr.isatty() and threading.current_thread() is threading.main_thread():  # a terminal shows one bar at a time
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(steps, description, total=total, transient=True, console=Console(stderr=True))
    else:
        yield from steps


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Show every `track` inside the block by ``display(steps, description, total)``, which yields the steps."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)
