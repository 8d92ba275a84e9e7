from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest

from tmi.runtime import time_limit as timeouts
from tmi.runtime.time_limit import TimedOut, time_limit


def busy() -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        sum(range(100))


def in_a_thread(function) -> object:
    """Call in another thread, as a worker does; return what it returned or raised."""
    found: list[object] = []

    def call() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    return found[0]


def limited(work, seconds, last_resort=None) -> str:
    with time_limit(seconds, last_resort):
        work()
    return "done"


def test_work_in_time_is_left_alone():
    assert limited(lambda: None, 5) == "done"
    assert in_a_thread(lambda: limited(lambda: None, 5)) == "done"
    assert limited(lambda: None, None) == "done"


def test_work_that_takes_too_long_is_ended():
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        limited(busy, 0.1)
    with pytest.raises(TimedOut):
        limited(lambda: time.sleep(30), 0.1)
    assert isinstance(in_a_thread(lambda: limited(busy, 0.1)), TimedOut)
    assert time.monotonic() - begun < 20


def test_the_exception_does_not_hit_what_comes_after():
    def close() -> str:
        for _ in range(300):
            try:
                with time_limit(0.001):
                    time.sleep(0.001)
            except TimedOut:
                pass
            sum(range(1000))
        return "done"

    assert close() == "done"
    assert in_a_thread(close) == "done"


def test_the_last_resort(monkeypatch):
    monkeypatch.setattr(timeouts, "GRACE", 0.1)
    called = threading.Event()

    def deaf() -> None:
        until = time.monotonic() + 20
        while not called.is_set() and time.monotonic() < until:
            try:
                time.sleep(0.01)
            except TimedOut:
                continue

    in_a_thread(lambda: limited(deaf, 0.05, called.set))
    assert called.is_set()


def test_a_handler_that_was_there_comes_back():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    assert limited(lambda: None, 5) == "done"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_at_the_very_end_leaves_nothing_behind():
    before = signal.getsignal(signal.SIGALRM)
    for number in range(400):
        with suppress(TimedOut), time_limit(1e-6 if number % 2 else 5e-5):
            for _ in range(number):
                pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert signal.getsignal(signal.SIGALRM) is before
