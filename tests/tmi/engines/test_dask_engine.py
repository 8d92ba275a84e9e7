"""What the dispatcher makes of each state of a future and of the scheduler, with a scripted client.

`test_dask_engine_processes` has real schedulers and workers.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed")

from tests.tmi.engines.test_job_queue import Cell, cells
from tmi import EngineError
from tmi.engines import dask_engine as module
from tmi.engines import job_queue
from tmi.engines.job import JobResult
from tmi.engines.running import Running
from tmi.runtime.signals import Stop

CELLS = cells("a", "m", "pqrstu")


class Future:
    """A future whose answers are scripted: each call of `result` takes the next one, the last one for good."""

    def __init__(self, job, worker: str) -> None:
        self.job, self.worker, self.status = job, worker, "pending"
        self.answers: list[object] = [JobResult(job.planned, job.stage, stored=object())]
        self.error: Exception | None = None

    def result(self, timeout: float) -> object:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def exception(self, timeout: float) -> Exception | None:
        return self.error

    def cancel(self) -> None:
        self.status = "cancelled"

    def release(self) -> None:
        pass

    def add_done_callback(self, callback) -> None:
        pass


class Client:
    """Two workers that finish every job at once, but for the first, which the script treats."""

    def __init__(self, script) -> None:
        self.status = "running"
        self.workers = ["one", "two"]
        self.scheduler = SimpleNamespace(ncores=None)
        self.script, self.submitted, self.asked = script, [], 0
        self.later: dict[int, object] = {}

    def submit(self, work, job, *, key, workers, allow_other_workers, pure) -> Future:
        assert workers[0] in self.workers or self.status != "running"
        future = Future(job, workers[0])
        self.submitted.append(future)
        if len(self.submitted) == 1:
            self.script(self, future)
        else:
            future.status = "finished"
        return future

    def sync(self, function, *, workers, callback_timeout) -> dict[str, int]:
        self.asked += 1
        action = self.later.pop(self.asked, None)
        if action is not None:
            action()
        return dict.fromkeys(self.workers, 1)

    def after(self, requests: int, action) -> None:
        """Do something when the list of workers has been asked for so many times more."""
        self.later[self.asked + requests] = action


@pytest.fixture
def dispatch(monkeypatch):
    """Run the cells on a scripted client; return the client and the results."""
    monkeypatch.setattr(module, "encode_job", lambda job, options: job)
    monkeypatch.setattr(module, "decode_result", lambda answer, job, store: answer)
    monkeypatch.setattr(module, "_INTERVAL", 0.0)
    monkeypatch.setattr(job_queue, "_PAUSE", 0.01)

    def run(script, plan: list[Cell] = CELLS):
        client = Client(script)
        store = SimpleNamespace(has=lambda stage, key: True)
        options = SimpleNamespace(store=store, run="run", stop=Stop(), attempts=2, running=Running(), keep="all")
        return client, list(module._Dispatcher(client, plan, options).results())

    return run


def dies(client: Client, future: Future) -> None:
    """The scheduler sees that the worker is gone, and another one comes."""
    client.workers = [*(worker for worker in client.workers if worker != future.worker), "three"]


def before_it_begins(client, future) -> None:
    client.after(1, lambda: dies(client, future))


def while_it_runs(client, future) -> None:
    client.after(4, lambda: dies(client, future))


def after_it_finished(client, future) -> None:
    """The result is in the memory of a worker that is gone."""
    future.status = "lost"
    client.after(2, lambda: dies(client, future))


def between_finished_and_fetched(client, future) -> None:
    future.status = "finished"

    def lose() -> Exception:
        future.status = "lost"
        dies(client, future)
        return TimeoutError()

    future.answers = [lose]


def while_it_is_fetched(client, future) -> None:
    """The scheduler reports that it has no result, and the client waits for a new one."""
    future.status = "finished"

    def reset() -> Exception:
        future.status = "pending"
        client.after(2, lambda: dies(client, future))
        return TimeoutError()

    future.answers = [reset]


def and_its_result_is_never_seen(client, future) -> None:
    """The state stays finished: a scheduler that has not noticed yet."""
    future.status = "finished"
    future.answers = [OSError("connection refused")]
    client.after(3, lambda: dies(client, future))


def and_the_scheduler_forgets_the_job(client, future) -> None:
    future.status = "cancelled"


def and_dask_gives_the_job_up(client, future) -> None:
    from distributed.scheduler import KilledWorker

    future.status, future.error = "error", KilledWorker("key", "a worker", 3)


def and_the_scheduler_is_restarted(client, future) -> None:
    """The client cancels its futures, connects again, and finds other workers."""
    client.status = "connecting"
    future.status = "cancelled"
    connect_again_later(client)


def connect_again_later(client) -> None:
    """Connect when the status has been read some times."""

    class Reconnecting(Client):
        reads = 0

        @property
        def status(self) -> str:
            type(self).reads += 1
            if type(self).reads > 4:
                self.workers = ["three"]
                return "running"
            return "connecting"

        @status.setter
        def status(self, value: str) -> None:
            pass

    client.__class__ = Reconnecting


@pytest.mark.parametrize(
    "moment",
    [
        before_it_begins, while_it_runs, after_it_finished, between_finished_and_fetched, while_it_is_fetched,
        and_its_result_is_never_seen, and_the_scheduler_forgets_the_job, and_dask_gives_the_job_up,
        and_the_scheduler_is_restarted,
    ],
)  # fmt: skip
def test_a_job_whose_worker_dies_is_given_out_again(dispatch, moment):
    client, results = dispatch(moment)
    assert sorted(str(result.planned) for result in results) == sorted(map(str, CELLS))
    assert all(result.stored is not None for result in results)
    first = client.submitted[0].job.planned
    assert [future.job.planned for future in client.submitted].count(first) == 2


@pytest.mark.parametrize("error", [OSError("timed out"), TimeoutError(), AttributeError("NoneType")])
def test_a_result_that_comes_late_is_not_computed_again(dispatch, error):
    def script(client, future) -> None:
        future.status = "finished"
        future.answers = [error, error, *future.answers]

    client, results = dispatch(script)
    assert len(client.submitted) == len(results) == len(CELLS)


def test_a_result_that_never_comes_from_a_worker_that_runs(dispatch, monkeypatch):
    monkeypatch.setattr(module, "_FETCHES", 3)

    def script(client, future) -> None:
        future.status = "finished"
        future.answers = [TimeoutError()]

    client, results = dispatch(script)
    assert (len(client.submitted), len(results)) == (len(CELLS) + 1, len(CELLS))


def test_code_that_cannot_run_on_the_workers_ends_the_run(dispatch):
    def script(client, future) -> None:
        future.status, future.error = "error", ModuleNotFoundError("No module named 'tmi'")

    with pytest.raises(EngineError, match=r"the workers cannot do the jobs \(ModuleNotFoundError: No module named 'tmi'\)"):
        dispatch(script)


@pytest.mark.parametrize("status", ["closed", "closing"])
def test_a_client_that_gave_up_means_that_the_scheduler_is_gone(dispatch, status):
    def script(client, future) -> None:
        future.status, client.status = "cancelled", status

    with pytest.raises(EngineError, match="the scheduler is gone; what is finished is kept"):
        dispatch(script)


def test_a_scheduler_that_does_not_answer_is_gone_after_a_while(dispatch, monkeypatch):
    monkeypatch.setattr(module, "_SILENCE", 0.3)

    def fail() -> None:
        raise OSError("timed out")

    def script(client, future) -> None:
        for number in range(10_000):
            client.after(number, fail)

    begun = time.monotonic()
    with pytest.raises(EngineError, match="the scheduler is gone"):
        dispatch(script)
    assert 0.3 < time.monotonic() - begun < 20


def test_a_request_that_fails_now_and_then_does_no_harm(dispatch):
    def fail() -> None:
        raise OSError("timed out")

    def script(client, future) -> None:
        for number in (1, 3, 4):
            client.after(number, fail)
        client.after(5, lambda: setattr(future, "status", "finished"))

    client, results = dispatch(script)
    assert len(client.submitted) == len(results) == len(CELLS)


def test_a_job_that_is_always_lost_becomes_a_failed_row(dispatch, monkeypatch):
    monkeypatch.setattr(module, "_LOSSES", 1)

    class Forgetful(Client):
        def submit(self, work, job, **settings) -> Future:
            future = super().submit(work, job, **settings)
            if job.planned == CELLS[0]:
                future.status = "lost"
            return future

    def script(client, future) -> None:
        client.__class__ = Forgetful
        future.status = "lost"

    results = dispatch(script)[1]
    failed = [result for result in results if result.failed]
    assert [(result.planned, result.message) for result in failed] == [(CELLS[0], "its worker ended again and again")]
    assert len(results) == len(CELLS)


def test_after_a_request_to_stop_what_runs_is_collected(dispatch):
    def script(client, future) -> None:
        client.after(3, lambda: setattr(future, "status", "finished"))
        dispatcher_stop.asked = True

    dispatcher_stop = Stop()
    client = Client(script)
    store = SimpleNamespace(has=lambda stage, key: True)
    options = SimpleNamespace(store=store, run="run", stop=dispatcher_stop, attempts=2, running=Running(), keep="all")
    results = list(module._Dispatcher(client, CELLS, options).results())
    assert len(results) == len(client.submitted) < len(CELLS)
