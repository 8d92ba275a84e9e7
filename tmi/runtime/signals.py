"""Ctrl-C and SIGTERM: the first finishes what is running, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A request to begin nothing new.

    Attributes
    ----------
    asked : bool
        Whether it was made.
    by_signal : bool
        Whether it was made by a signal, and not after a failure.
    """

    def __init__(self) -> None:
        self.asked = self.by_signal = False


def _children() -> set[Any]:
    """Return the processes that this one started by multiprocessing, and that run."""
    multiprocessing = sys.modules.get("multiprocessing")
    return set(multiprocessing.active_children() if multiprocessing else ())


@contextmanager
def stoppable(say: Callable[[str], None], running: Callable[[], str] = str) -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM inside the block into a request, and the second into `KeyboardInterrupt`.

    The second one also kills the processes that were started by multiprocessing inside the block.

    Parameters
    ----------
    say : callable
        Shows a message to the user; called once.
    running : callable, optional
        Returns what is running, in words, empty if nothing is: the message says that the block waits for it.

    Yields
    ------
    Stop
        Never set by a signal in another thread than the main one, which alone gets signals, or where the program has handlers
        of its own.
    """
    stop, children = Stop(), _children()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.by_signal:
            for child in _children() - children:  # a plug-in's pool would wait for what they compute
                child.kill()
            raise KeyboardInterrupt
        stop.asked = stop.by_signal = True
        with suppress(Exception):  # the terminal may be closed, as after a lost connection; the run still ends in order
            waiting_for = running()
            say(
                f"stopping when what is running is finished{': ' if waiting_for else ''}{waiting_for}; "
                "Ctrl-C or SIGTERM once more stops at once, and the next run computes it again"
            )

    previous = {}
    if threading.current_thread() is threading.main_thread():
        defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        previous = {number: signal.signal(number, handle) for number in SIGNALS if signal.getsignal(number) is defaults[number]}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
