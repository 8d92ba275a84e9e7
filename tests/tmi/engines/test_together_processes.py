"""Groups of networks with workers in processes of their own, some of which are killed."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.engines.test_dask_engine_processes import Cluster, wait_for
from tests.tmi.engines.test_together import ALL, BUILDER, WALKS, trained, trainings
from tmi import Store

pytestmark = pytest.mark.slow

HEAD = 'plugins = ["toys.py"]\nseeds = [0, 1, 2]'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))
    return tmp_path


def write(folder, how_train: str = "", fit: str = ""):
    text = BUILDER.replace("HOW_TRAIN", how_train).replace("HOW_GROUP", "").replace("        if fail:", f"{fit}        if fail:")
    toys.plugin(folder, text=toys.TOYS + text)
    return toys.suite(folder, WALKS, head=HEAD)


def calls(folder):
    lines = [line.split() for line in toys.calls(folder)]
    return [line[1:] for line in lines if line[0] == "together"], [line[1] for line in lines if line[0] == "alone"]


def test_workers_divide_a_group(folder):
    suite = write(folder)
    results = tmi.run(suite, folder / "store", workers=2)
    assert {entry.status for entry in results} == {"ok"}
    together, alone = trainings(folder)
    assert len(together) >= 2
    assert max(map(len, together)) <= 5
    assert Counter([name for group in together for name in group] + alone) == dict.fromkeys(ALL, 1)
    expected = tmi.run(suite, folder / "one", workers=1)
    assert [entry.metrics for entry in results] == [entry.metrics for entry in expected]
    one, other = (trained(Store(folder / name)) for name in ("store", "one"))
    assert all(
        network.weights["0.1.weight"].tobytes() == other[key].weights["0.1.weight"].tobytes() for key, network in one.items()
    )


def test_a_group_that_ends_its_worker_is_trained_alone(folder):
    results = tmi.run(write(folder, "import os; os._exit(1)"), folder / "store", workers=2, attempts=1)
    assert {entry.status for entry in results} == {"ok"}, "the end of the worker counts against none of them"
    assert sorted(calls(folder)[1]) == sorted(ALL)


def test_a_member_that_ends_its_worker_fails_alone(folder):
    suite = write(
        folder,
        "any(r.params['epochs'] == 3 for r in requests) and os._exit(1)",
        "        if epochs == 3:\n            os._exit(1)\n",
    )
    results = tmi.run(suite, folder / "store", workers=2, attempts=1)
    assert {(entry.swept["epochs"], entry.status) for entry in results} == {(1, "ok"), (3, "failed"), (5, "ok")}
    assert all("ended its worker process once" in entry.message for entry in results.failed)


def test_a_group_that_cannot_be_interrupted_is_trained_alone(folder):
    results = tmi.run(write(folder, "import ctypes; ctypes.CDLL(None).sleep(100)"), folder / "store", workers=2, timeout=1)
    assert {entry.status for entry in results} == {"ok"}, {entry.message for entry in results}
    assert sorted(calls(folder)[1]) == sorted(ALL)


def test_workers_that_are_killed_at_any_moment(folder):
    """Nothing is lost, and what a group has finished is not trained again."""
    cluster = Cluster(folder)
    try:
        wait_for(cluster.reachable)
        workers = [cluster.start_worker(), cluster.start_worker()]
        suite = write(folder, "import time; time.sleep(2)")
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(tmi.run(suite, folder / "store", scheduler=cluster.address)))
        thread.start()
        wait_for(lambda: (folder / "calls").exists() and "together" in (folder / "calls").read_text())
        for _ in range(2):
            workers.append(cluster.start_worker())
            workers.pop(0).kill()
            time.sleep(1.5)
        thread.join(200)
    finally:
        cluster.close()
    (results,) = answers
    assert {entry.status for entry in results} == {"ok"}
    together, alone = calls(folder)
    assert together
    assert len(alone) == len(set(alone)), "none is trained alone twice"
    assert len(trained(Store(folder / "store"))) == 9


def test_two_runs_at_once_share_the_networks(folder):
    """Each network is trained by one of them."""
    suite = write(folder, "import time; time.sleep(1)")
    code = f"import tmi; assert not tmi.run({str(suite)!r}, {str(folder / 'store')!r}).failed"
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(toys.python("-c", code, folder=folder, TMI_TOY_LOG=folder / "calls")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.returncode for process in done] == [0, 0], [process.stderr for process in done]
    together, alone = calls(folder)
    assert Counter([name for group in together for name in group] + alone) == dict.fromkeys(ALL, 1)
