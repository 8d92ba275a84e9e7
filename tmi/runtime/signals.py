"""Ctrl-C and SIGTERM: once to finish what is running, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether to begin anything new.

    Attributes
    ----------
    asked : bool
    by_signal : bool
        Whether it was a person, or the system, and not a failure.
    """

    def __init__(self) -> None:
        self.asked = self.by_signal = False


@contextmanager
def stoppable(say: Callable[[str], None]) -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM inside the block into a request, and the second into `KeyboardInterrupt`.

    Parameters
    ----------
    say : callable
        Told once what happens now.

    Yields
    ------
    Stop
        Never asked to in another thread than the main one, which alone gets signals, or where the program handles them itself.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.by_signal:
            raise KeyboardInterrupt
        stop.asked = stop.by_signal = True
        with suppress(Exception):  # where nobody listens any more, as after a lost connection, the run still ends in order
            say("stopping when what is running is finished; once more to stop at once")

    before = {}
    if threading.current_thread() is threading.main_thread():
        ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        before = {number: signal.signal(number, handle) for number in SIGNALS if signal.getsignal(number) is ours[number]}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
