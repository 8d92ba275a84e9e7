"""Progress in a notebook: a line and a bar below the cell that runs, which change in place."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from html import escape
from typing import Any, TypeVar

from .formatting import format_duration

T = TypeVar("T")

_EVERY = 0.2  # seconds between two changes


def in_notebook() -> bool:
    """Whether this thread runs a cell of a Jupyter notebook; IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None and threading.current_thread() is threading.main_thread()


class LiveHtml:
    """A place below the cell whose content is replaced; nothing is displayed before `show` is called."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = -_EVERY

    def show(self, html: str, *, now: bool = False) -> None:
        """Replace the content, at most five times a second unless ``now``."""
        from IPython.display import display

        if not now and time.monotonic() - self._last < _EVERY:
            return
        self._last = time.monotonic()
        if self._handle is None:
            self._handle = display(_Html(html), display_id=True)
        else:
            self._handle.update(_Html(html))

    def clear(self) -> None:
        """Leave an empty place."""
        if self._handle is not None:
            self.show("", now=True)


class _Html:
    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return "progress"


def bar(done: int, total: int | None, text: str) -> str:
    """Return a bar with a text beside it, as HTML; without a total the bar only says that something runs."""
    limits = "" if total is None else f' value="{done}" max="{max(total, 1)}"'
    return (
        f'<div><progress{limits} aria-label="{escape(text, quote=True)}" style="width:16em;vertical-align:middle">'
        f"</progress> {escape(text)}</div>"
    )


def track(steps: Iterable[T], description: str, total: int | None, live: LiveHtml | None = None) -> Iterator[T]:
    """Iterate over steps and show the progress below the cell; the bar vanishes at the end."""
    total = len(steps) if total is None and isinstance(steps, Sized) else total
    live = live or LiveHtml()
    start = time.monotonic()
    try:
        for number, step in enumerate(steps):
            of = f"{number} of {total}" if total is not None else f"{number}"
            live.show(bar(number, total, f"{description}: {of}, {format_duration(time.monotonic() - start)}"))
            yield step
    finally:
        live.clear()
