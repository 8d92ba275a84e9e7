from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from tmi.runtime.signals import stoppable


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Pytest and what started it may have set the handlers otherwise."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_asks_and_twice_stops(number):
    said = []
    with stoppable(said.append) as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert (stop.asked, stop.by_signal) == (True, True)
        assert len(said) == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_second_signal_ends_processes_that_were_started_inside():
    context = multiprocessing.get_context("fork")
    of_the_program = context.Process(target=time.sleep, args=(60,))
    of_the_program.start()
    try:
        with stoppable(lambda text: None):
            of_a_pool = context.Process(target=time.sleep, args=(60,))
            of_a_pool.start()
            os.kill(os.getpid(), signal.SIGINT)
            assert of_a_pool.is_alive()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        of_a_pool.join(10)
        assert of_a_pool.exitcode == -signal.SIGKILL
        assert of_the_program.is_alive()
    finally:
        of_the_program.kill()
        of_the_program.join()


def test_a_program_that_handles_signals_itself_goes_on_doing_so():
    got = []
    signal.signal(signal.SIGTERM, lambda *_: got.append("its own"))
    with stoppable(lambda text: None) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert got == ["its own"]
        assert not stop.asked
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stoppable(lambda text: None):
        os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_gets_no_signals():
    found = []

    def run():
        with stoppable(lambda text: None) as stop:
            found.append(stop.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_terminal_that_is_gone_does_not_end_the_run():
    def say(text):
        raise BrokenPipeError

    with stoppable(say) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.by_signal
