"""A limit on the time that a piece of work takes, even where it does not look at the clock."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE = 5.0
"""Seconds that work has to give up after it was told to."""


class TimedOut(Exception):
    """The work took too long."""


@contextmanager
def time_limit(seconds: float | None, last_resort: Callable[[], Any] | None = None) -> Iterator[None]:
    """Raise `TimedOut` inside the block when it takes too long.

    Parameters
    ----------
    seconds : float or None
        None for no limit.
    last_resort : callable, optional
        Called from another thread if the block has not ended `GRACE` seconds later: a library that does not come back to Python
        cannot be interrupted from within its process.

    Raises
    ------
    TimedOut
        Between two steps of Python, in whatever code runs then.
    """
    if seconds is None:
        yield
        return
    kind: type[_AlarmClock | _Watchdog] = _AlarmClock if threading.current_thread() is threading.main_thread() else _Watchdog
    watch = kind(seconds, last_resort)
    try:
        watch.start()
        try:
            yield
        finally:
            watch.stop()
    finally:
        watch.stop()  # once more: the exception may have come in the midst of the first


class _AlarmClock:
    """For the main thread: a signal, which also ends a sleep or a wait."""

    def __init__(self, seconds: float, last_resort: Callable[[], Any] | None) -> None:
        self._seconds = seconds
        self._before = signal.getsignal(signal.SIGALRM)

    def start(self) -> None:
        def ring(*_: object) -> None:
            raise TimedOut

        signal.signal(signal.SIGALRM, ring)
        # Again and again, for code that swallows the first one.
        signal.setitimer(signal.ITIMER_REAL, self._seconds, GRACE)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


class _Watchdog:
    """For other threads, which get no signals: an exception that the interpreter raises in them."""

    def __init__(self, seconds: float, last_resort: Callable[[], Any] | None) -> None:
        self._seconds, self._last_resort = seconds, last_resort
        self._thread = threading.get_ident()
        self._done = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="tmi time limit", daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            self._done.set()
            _raise_in(self._thread, None)  # one that is under way must not hit what comes after the block

    def _watch(self) -> None:
        if self._done.wait(self._seconds):
            return
        with self._lock:
            if self._done.is_set():
                return
            _raise_in(self._thread, TimedOut)
        if not self._done.wait(GRACE) and self._last_resort is not None:
            self._last_resort()


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error))
