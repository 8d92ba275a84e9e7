"""A limit on the time that a block of code takes, even where the code never looks at the clock."""

from __future__ import annotations

import contextlib
import ctypes
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

GRACE = 5.0
"""Seconds between the exception and what follows where the block has not ended: the exception again, or the last resort."""

_SOON = 1e-3  # seconds


class TimedOut(Exception):
    """The block took longer than its limit."""


@contextlib.contextmanager
def time_limit(seconds: float | None, last_resort: Callable[[], Any] | None = None) -> Iterator[None]:
    """Raise `TimedOut` inside the block when it takes too long.

    Limits may be nested. In the main thread the limit is a timer of the process and its SIGALRM; a handler and a timer that the
    program has set are called at their time and put back after the block. Other threads get no signals: there the interpreter
    raises the exception, which does not interrupt a sleep.

    Parameters
    ----------
    seconds : float or None
        None for no limit.
    last_resort : callable, optional
        Called from another thread if the block has not ended `GRACE` seconds later: a library that does not return to Python
        cannot be interrupted from within its process. Never called for a block in the main thread.

    Raises
    ------
    TimedOut
        Between two steps of Python, in the code that runs then.
    """
    if seconds is None:
        yield
        return
    in_main = threading.current_thread() is threading.main_thread()
    # None: the handler was installed by another language and could not be put back.
    by_signal = in_main and signal.getsignal(signal.SIGALRM) is not None
    limit = _AlarmClock(seconds) if by_signal else _Watchdog(seconds, None if in_main else last_resort)
    try:
        limit.start()
        try:
            yield
        finally:
            limit.stop()
    finally:
        limit.stop()  # once more: the exception may have been raised inside the first call


class _AlarmClock:
    """For the main thread: SIGALRM, which also interrupts a sleep or a wait.

    The process has one such timer. It is set to whichever is due first: this limit, or the timer that was set before it, which
    may be that of an enclosing limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._active = self._armed = self._stopping = False

    def start(self) -> None:
        self._other_handler = signal.getsignal(signal.SIGALRM)
        self._active = True
        signal.signal(signal.SIGALRM, self._ring)
        timer = signal.setitimer(signal.ITIMER_REAL, 0)
        # A signal that was pending has been handled by now, and its handler may have set the timer again.
        timer_set_again = signal.setitimer(signal.ITIMER_REAL, 0)
        remaining, self._other_interval = timer_set_again if timer_set_again[0] else timer
        now = time.monotonic()
        self._due = now + self._seconds
        self._other_due = now + remaining if remaining else math.inf
        enclosing = getattr(self._other_handler, "__self__", None)
        if isinstance(enclosing, _AlarmClock):  # exact, where the system gives 0 for less than a microsecond
            self._other_due = min(enclosing._due, enclosing._other_due)
        self._armed = True
        self._arm()

    def stop(self) -> None:
        if not self._active:
            return
        self._stopping = True
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._other_handler)  # a signal that is pending reaches _ring before
        self._active = False
        if self._armed and self._other_due < math.inf:
            signal.setitimer(signal.ITIMER_REAL, _delay(self._other_due), self._other_interval)

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, _delay(min(self._due, self._other_due)))

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self._armed:  # the timer is still that of before
            self._call_other_handler(number, frame)
            return
        now = time.monotonic() + 1e-5  # the timer's resolution
        is_due = now >= self._due
        try:
            if now >= self._other_due or not is_due:  # neither is due: a signal that was sent, or came late
                self._ring_other(number, frame)
            if is_due and _in_this_module(frame):
                self._due = now + _SOON  # an exception there could skip the end of the limit
            elif is_due and not self._stopping:
                self._due = now + GRACE  # again and again, for code that swallows the first one
                raise TimedOut
        finally:
            if not self._stopping:
                self._arm()

    def _ring_other(self, number: int, frame: FrameType | None) -> None:
        """Do what the timer and the handler from before would have done; the handler may set the timer again."""
        self._other_due = self._other_due + self._other_interval if self._other_interval else math.inf
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            self._call_other_handler(number, frame)
        finally:
            remaining, interval = signal.setitimer(signal.ITIMER_REAL, 0)
            if remaining:
                self._other_due, self._other_interval = time.monotonic() + remaining, interval

    def _call_other_handler(self, number: int, frame: FrameType | None) -> None:
        if callable(self._other_handler):
            self._other_handler(number, frame)
        elif self._other_handler == signal.SIG_DFL:  # the system's default action, which ends the process
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGALRM)


def _in_this_module(frame: FrameType | None) -> bool:
    """Whether a limit is being begun or ended in this frame."""
    if frame is not None and frame.f_code.co_filename == contextlib.__file__:
        return True
    while frame is not None and frame.f_code.co_filename != __file__:
        frame = frame.f_back
    return frame is not None


def _delay(due: float) -> float:
    return max(due - time.monotonic(), 1e-6)  # 0 would stop the timer


class _Watchdog:
    """For other threads, which get no signals: an exception that the interpreter raises in them."""

    _innermost = threading.local()  # .limit: the limit of this thread that was begun last, if any

    def __init__(self, seconds: float, last_resort: Callable[[], Any] | None) -> None:
        self._seconds, self._last_resort = seconds, last_resort
        self._thread = threading.get_ident()
        self._enclosing: _Watchdog | None = getattr(self._innermost, "limit", None)
        self._over = False
        self._done = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        self._innermost.limit = self
        threading.Thread(target=self._watch, name="tmi time limit", daemon=True).start()

    def stop(self) -> None:
        self._innermost.limit = self._enclosing
        with self._lock:
            self._done.set()
            # A thread has one pending exception: this limit's must not hit the code after the block, an enclosing one's must.
            _raise_in(self._thread, TimedOut if self._enclosing is not None and self._enclosing._any_over() else None)

    def _any_over(self) -> bool:
        return self._over or (self._enclosing is not None and self._enclosing._any_over())

    def _watch(self) -> None:
        wait = self._seconds
        while not self._done.wait(wait):
            if self._over and self._last_resort is not None:
                self._last_resort()
                return
            with self._lock:
                if self._done.is_set():
                    return
                self._over = True
                _raise_in(self._thread, TimedOut)
            wait = GRACE


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error))
