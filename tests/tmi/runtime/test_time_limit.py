from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from tmi.runtime import time_limit as module
from tmi.runtime.time_limit import TimedOut, time_limit


@pytest.fixture(autouse=True)
def host(request):
    """The tests' own timer (pytest-timeout has one) is put away, so that a test can be the program with a timer; and put back."""
    handler, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    rung: list[float] = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    yield rung
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def busy(seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(100))


def in_a_thread(function) -> object:
    """Call in another thread, as a worker does; return what it returned or raised."""
    answers: list[object] = []

    def call() -> None:
        try:
            answers.append(function())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    return answers[0]


def here(function) -> object:
    """Call in this thread, which is the main one; return what it returned or raised."""
    try:
        return function()
    except BaseException as error:
        return error


def in_main_without_signals(function) -> object:
    """Call in the main thread where the handler is one that Python cannot put back."""
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(module.signal, "getsignal", lambda number: None)
        return here(function)


EVERYWHERE = pytest.mark.parametrize("call", [here, in_a_thread, in_main_without_signals])


def limited(work, seconds, last_resort=None) -> str:
    with time_limit(seconds, last_resort):
        work()
    return "done"


@EVERYWHERE
def test_work_in_time_is_left_alone(call):
    assert call(lambda: limited(lambda: None, 5)) == "done"
    assert call(lambda: limited(lambda: None, None)) == "done"


@EVERYWHERE
def test_work_that_takes_too_long_is_ended(call):
    begun = time.monotonic()
    assert isinstance(call(lambda: limited(busy, 0.1)), TimedOut)
    assert time.monotonic() - begun < 20


def test_a_sleep_in_the_main_thread_is_interrupted():
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        limited(lambda: time.sleep(30), 0.1)
    assert time.monotonic() - begun < 20


@EVERYWHERE
def test_the_exception_does_not_hit_the_code_after_the_block(call):
    def repeat() -> str:
        for _ in range(300):
            with suppress(TimedOut), time_limit(0.001):
                busy(0.001)
            sum(range(1000))
        return "done"

    assert call(repeat) == "done"


def swallow(times: int) -> None:
    """Go on after the exception, so many times."""
    for _ in range(times):
        with suppress(TimedOut):
            busy(20)
    busy(0.05)


def test_code_that_swallows_the_exception_gets_it_again(monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.1)
    begun = time.monotonic()
    assert limited(lambda: swallow(2), 0.05) == "done"
    assert 0.2 < time.monotonic() - begun < 15


def test_the_last_resort(monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.1)
    called = threading.Event()

    def deaf() -> None:
        until = time.monotonic() + 20
        while not called.is_set() and time.monotonic() < until:
            with suppress(TimedOut):
                time.sleep(0.01)

    in_a_thread(lambda: limited(deaf, 0.05, called.set))
    assert called.is_set()


@pytest.mark.parametrize("call", [here, in_main_without_signals])
def test_no_last_resort_in_the_main_thread(call, monkeypatch):
    """It would end the user's own process."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    called = threading.Event()

    def deaf() -> None:
        with suppress(TimedOut):
            busy()
        with suppress(TimedOut):
            busy(0.3)

    call(lambda: limited(deaf, 0.05, called.set))
    assert not called.is_set()


@EVERYWHERE
@pytest.mark.parametrize(("outer", "inner"), [(0.1, 20.0), (20.0, 0.1)])
def test_of_nested_limits_the_shorter_one_ends_the_work(call, outer, inner):
    begun = time.monotonic()
    ended_by = []

    def work() -> str:
        with time_limit(outer):
            try:
                limited(busy, inner)
            except TimedOut:
                if inner > outer:
                    raise
                ended_by.append("inner")
            busy(0.2)
        return "done"

    answer = call(work)
    if outer < inner:
        assert isinstance(answer, TimedOut)
        assert ended_by == []
    else:
        assert (answer, ended_by) == ("done", ["inner"])
    assert time.monotonic() - begun < 15


def test_an_outer_limit_may_be_due_at_the_ends_of_inner_blocks():
    def work() -> None:
        with time_limit(0.1):
            for _ in range(100_000):
                with time_limit(20):
                    sum(range(100))

    assert isinstance(here(work), TimedOut)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@EVERYWHERE
def test_an_outer_limit_holds_after_an_inner_block_that_swallowed_it(call, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.5)

    def work() -> None:
        with time_limit(0.1):
            with time_limit(20), suppress(TimedOut):
                busy()
            busy(20)

    begun = time.monotonic()
    assert isinstance(call(work), TimedOut)
    assert time.monotonic() - begun < 15


@EVERYWHERE
@pytest.mark.parametrize("ends", ["in time", "too late", "with an error"])
def test_a_handler_comes_back(call, ends):
    before = signal.getsignal(signal.SIGALRM)
    work = {"in time": lambda: None, "too late": busy, "with an error": lambda: 1 // 0}[ends]
    expected = {"in time": str, "too late": TimedOut, "with an error": ZeroDivisionError}[ends]
    assert isinstance(call(lambda: limited(work, 0.1 if ends == "too late" else 5)), expected)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_handler_that_is_no_function_comes_back(handler):
    signal.signal(signal.SIGALRM, handler)
    assert isinstance(here(lambda: limited(busy, 0.05)), TimedOut)
    assert signal.getsignal(signal.SIGALRM) == handler


def test_a_handler_that_cannot_be_put_back_is_not_replaced(monkeypatch, host):
    monkeypatch.setattr(module.signal, "signal", lambda *_: pytest.fail("the handler is replaced"))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert in_main_without_signals(lambda: limited(lambda: busy(0.2), 5)) == "done"
    assert len(host) == 1


@EVERYWHERE
@pytest.mark.parametrize("ends", ["in time", "too late"])
def test_a_timer_that_is_due_after_the_block_keeps_its_time(call, ends, host):
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.05)
    call(lambda: limited(lambda: busy(0.1) if ends == "in time" else busy(), 5 if ends == "in time" else 0.1))
    assert host == []
    remaining, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 0 < remaining <= 0.5 - 0.1 + 1e-3
    assert interval == pytest.approx(0.05)
    while len(host) < 3:
        time.sleep(0.01)
        assert time.monotonic() < begun + 20
    assert host[0] - begun >= 0.499


@EVERYWHERE
def test_a_timer_that_is_due_inside_the_block_rings_there(call, host):
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    ended = []

    def work() -> None:
        busy(0.5)
        ended.append(time.monotonic())

    # Python calls handlers in the main thread, which waits here for the other one.
    assert call(lambda: limited(work, 20)) == "done"
    assert len(host) == 1
    assert begun + 0.099 <= host[0]
    if call is not in_a_thread:
        assert host[0] < ended[0]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_timer_that_repeats_does_so_inside_the_block_and_after_it(host):
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.1)
    assert limited(lambda: busy(0.5), 20) == "done"
    assert 2 <= len(host) <= 5
    count = len(host)
    busy(0.4)
    assert len(host) > count


def test_a_handler_that_raises_ends_the_block_with_its_own_error(host):
    def raises(*_: object) -> None:
        raise ZeroDivisionError

    signal.signal(signal.SIGALRM, raises)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert isinstance(here(lambda: limited(busy, 20)), ZeroDivisionError)
    assert signal.getsignal(signal.SIGALRM) is raises
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_without_a_handler_ends_the_process_as_it_would_without_a_limit():
    code = (
        "import signal, time\nfrom tmi.runtime.time_limit import time_limit\nsignal.signal(signal.SIGALRM, signal.SIG_DFL)\n"
        "signal.alarm(1)\nwith time_limit(20):\n    time.sleep(10)\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, "")


def test_an_alarm_at_the_very_end_leaves_nothing_behind(host):
    before = signal.getsignal(signal.SIGALRM)
    for number in range(400):
        with suppress(TimedOut), time_limit(1e-6 if number % 2 else 5e-5):
            for _ in range(number):
                pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert signal.getsignal(signal.SIGALRM) is before
    assert host == []


def test_a_timer_rings_once_however_close_its_time_is_to_the_end_of_a_block(host):
    for number in range(300):
        host.clear()
        signal.setitimer(signal.ITIMER_REAL, 1e-4 * (1 + number % 5))
        with suppress(TimedOut), time_limit(2e-4 if number % 3 else 5):
            busy(3e-4)
        until = time.monotonic() + 5
        while not host and time.monotonic() < until:
            time.sleep(1e-4)
        time.sleep(1e-3)
        assert len(host) == 1


@contextmanager
def alarm_of_a_program(seconds: float):
    """What pytest-timeout does around a test."""
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(os.getpid()))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield rung
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_run_with_a_limit_inside_a_program_with_one():
    with alarm_of_a_program(0.3) as rung:
        for _ in range(10):
            limited(lambda: busy(0.05), 5)
        assert len(rung) == 1
