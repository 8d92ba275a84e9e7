"""Workers in processes of their own, real ones: each test starts them, which takes some seconds."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tmi
from tests.tmi import toys
from tests.tmi.engines.counting import NETWORKS, counts, write_suite
from tmi import EngineError, Store
from tmi.plugins import host as plugins
from tmi.plugins.registry import Registry
from tmi.runs.runner import load_results
from tmi.store import files

pytestmark = pytest.mark.slow

PLUGINS = 'plugins = ["toys.py"]'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))
    toys.plugin(tmp_path)
    return tmp_path


TRAINED = """
[datasets.squares]
use = "squares"
samples = 100
test_samples = 20
[datasets.d]
use = "toy-data"
[networks.constructed]
use = "theorem1"
[networks.sgd]
use = "cnn"
kernel = 2
hidden = 0
epochs = 3
sweep.filters = [1, 4]
[probes.accuracy]
use = "accuracy"
[probes.sparsity]
use = "activation-sparsity"
[probes.toy]
use = "toy-probe"
[probes.bad]
use = "bad-probe"
[[skip]]
dataset = "d"
network = "sgd"
"""


def test_workers_do_what_one_process_does(folder):
    suite = toys.suite(folder, TRAINED, head=PLUGINS + "\nseeds = [0, 1, 2]")
    alone = tmi.run(suite, folder / "alone", threads=1)
    toys.calls(folder)
    together = tmi.run(suite, folder / "together", workers=2, threads=1)
    said = toys.calls(folder)
    assert [e.status for e in together] == [e.status for e in alone]
    assert {e.status for e in together} == {"ok", "failed"}
    for a, b in zip(alone, together, strict=True):
        assert (str(a), a.key, a.metrics, a.message) == (str(b), b.key, b.metrics, b.message)
        if a.status == "failed":
            assert "in bad_probe" in b.traceback
            continue
        assert list(a.metrics) == list(b.metrics)
        for name, array in alone.load(a).arrays.items():
            np.testing.assert_array_equal(array.values, together.load(b).arrays[name].values)
        assert b.record["threads"] == 1
    assert sorted(c for c in said if c.startswith("data")) == ["data 0", "data 1", "data 2"], "shared work is done once"
    trained = [Store(folder / name) for name in ("alone", "together")]
    for key in trained[0].keys("network"):  # the stored weights too
        one, other = (files.read_sealed(store.path(key, "network")) for store in trained)
        assert len(one) == len(other)
    warm = tmi.run(suite, folder / "together", workers=2, only=["toy", "accuracy"])
    assert all(e.cached for e in warm)
    assert list((folder / "together" / "leases").iterdir()) == []


@pytest.mark.parametrize("keep", ["all", "networks", "results"])
@pytest.mark.parametrize(("builder", "workers"), [("toy-net", 2), ("toy-net", 3), ("kept-net", 2)])
def test_every_network_is_trained_once(tmp_path, monkeypatch, keep, builder, workers):
    suite = write_suite(tmp_path, monkeypatch, builder)
    results = tmi.run(suite, tmp_path / "store", workers=workers, threads=1, keep=keep)
    assert {entry.status for entry in results} == {"ok"}
    datasets, networks = counts(tmp_path)
    assert networks == dict.fromkeys(NETWORKS, 1)
    most = 1 if keep == "all" else workers
    assert all(1 <= count <= most for count in datasets.values()), datasets


def test_a_data_set_that_cannot_be_made_is_tried_once(folder):
    content = (
        toys.BASE
        + "[datasets.bad]\nuse = 'bad-data'\nhow = 'tmi'\n[networks.bad]\nuse = 'bad-net'\n[networks.m]\nuse = 'toy-net'\n"
    )
    results = tmi.run(toys.suite(folder, content), folder / "store", workers=2)
    assert toys.calls(folder).count("bad-data 0") == 1
    bad = [e for e in results if e.dataset == "bad"]
    assert len(bad) == 3
    assert {(e.status, e.message, e.mistake) for e in bad} == {("failed", "the toy is broken", True)}
    assert [e.status for e in results if e.dataset == "d"] == ["ok", "failed", "ok"]
    again = load_results(folder / "suite.toml", folder / "store")
    assert [(e.status, e.message, e.traceback) for e in again] == [(e.status, e.message, e.traceback) for e in results]


@pytest.fixture
def scheduler():
    """A scheduler with one worker, as on a cluster."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def test_a_real_scheduler(folder, scheduler, monkeypatch):
    suite = toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1, 2]")
    results = tmi.run(suite, folder / "store", scheduler=scheduler)
    assert [e.status for e in results] == ["ok"] * 3
    # Relative folders are the asker's.
    monkeypatch.chdir(folder)
    assert all(e.status == "ok" for e in tmi.run(toys.suite(folder), "here", scheduler=scheduler))
    assert len(list(Store(folder / "here").keys())) == 1
    # A worker takes a file that was edited since its last run, as the asker does.
    toys.plugin(folder, text=toys.TOYS.replace("scale * float", "2 * scale * float"))
    run = f"import tmi; print(*tmi.run('suite.toml', 'other', scheduler={scheduler!r}).values('total'))"
    done = toys.python("-c", run, folder=folder)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(2 * results.values("total")[0])
    # A worker whose code is not the asker's files nothing under the wrong key.
    run = f"import tmi.suites.keys as keys; keys.FORMAT = -1; import tmi; tmi.run('suite.toml', 'third', scheduler={scheduler!r})"
    done = toys.python("-c", run, folder=folder)
    assert done.returncode != 0
    assert "has other code" in done.stderr
    assert list(Store(folder / "third").keys()) == []


def test_a_plugin_that_workers_cannot_have(folder):
    space = {"__name__": "__main__", "tmi": tmi}
    exec("def typed(network, data): return tmi.ProbeResult({'a': 1})", space)
    module = type(sys)("typed")
    module.tmi_probes = tmi.hookimpl(lambda: {"typed": space["typed"]})
    module.tmi_probes.__name__ = "tmi_probes"
    host = plugins.load([folder / "toys.py"])
    host.add(plugins.Plugin("typed", "a test", module))
    suite = toys.suite(folder, toys.BASE.replace("toy-probe", "typed"), head="")
    with pytest.raises(EngineError, match=r"worker on .*: probe 'typed' is unknown"):
        tmi.run(suite, folder / "store", workers=2, registry=Registry(host))


def test_a_scheduler_that_is_not_there(folder):
    with pytest.raises(EngineError, match=r"scheduler tcp://127\.0\.0\.1:9: cannot be reached"):
        tmi.run(toys.suite(folder), folder / "store", scheduler="tcp://127.0.0.1:9")
    done = toys.command("run", "suite.toml", "--scheduler", "nonsense", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: scheduler nonsense: cannot be reached") or "\nerror: scheduler nonsense" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_without_a_main_guard(folder):
    toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    (folder / "script.py").write_text("import tmi\nprint(tmi.run('suite.toml', 'store', workers=2))\n")
    done = toys.python("script.py", folder=folder)
    assert done.stdout == "Results(suite: 2 cells, 0 failed)\n", done.stderr


def test_workers_end_with_the_run_that_started_them(folder):
    toys.plugin(folder, text=toys.TOYS.replace('called(f"probe', 'import time; time.sleep(100); called(f"probe'))
    toys.suite(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tmi.cli", "run", "suite.toml", "--store", "store", "--workers", "2"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=toys.environment(TMI_TOY_LOG=folder / "calls"),
    )  # fmt: skip
    wait_for(lambda: len(list((folder / "store" / "leases").glob("?" * 64))) == 1)
    import psutil

    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) == 2
    process.kill()
    process.wait()
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


def wait_for(condition) -> None:
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


SLOW = toys.TOYS.replace('called(f"probe', 'import time; time.sleep(1); called(f"probe')


class Cluster:
    """A scheduler and its workers in processes of their own, as on a cluster, on a port that stays."""

    def __init__(self, folder: Path) -> None:
        self.environment = toys.environment(TMI_TOY_LOG=folder / "calls")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        return self.start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", self.address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard")

    def reachable(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(folder):
    cluster = Cluster(folder)
    wait_for(cluster.reachable)
    yield cluster
    cluster.close()


def run_beside(folder: Path, address: str) -> tuple[threading.Thread, list[object]]:
    """Run eight cells of one second in another thread; its results, or the error, come in the list."""
    toys.plugin(folder, text=SLOW)
    suite = toys.suite(folder, toys.BASE + "sweep.scale = [1, 2, 3, 4, 5, 6, 7, 8]\n")
    answers: list[object] = []

    def run() -> None:
        try:
            answers.append(tmi.run(suite, folder / "store", scheduler=address))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: (folder / "calls").exists() and "probe" in (folder / "calls").read_text())
    return thread, answers


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_ends_ends_the_run(folder, cluster, number):
    cluster.start_worker()
    thread, answers = run_beside(folder, cluster.address)
    begun = time.monotonic()
    cluster.scheduler.send_signal(number)
    thread.join(60)
    assert time.monotonic() - begun < 45
    assert isinstance(answers[0], EngineError)
    assert str(answers[0]) == "the scheduler is gone; what is finished is kept, and the next run continues from there"
    assert 1 <= len(list(Store(folder / "store").keys())) < 8


def test_a_scheduler_that_is_restarted_gets_the_jobs_again(folder, cluster):
    cluster.start_worker()
    thread, answers = run_beside(folder, cluster.address)
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    cluster.start_scheduler()
    wait_for(cluster.reachable)
    cluster.start_worker()
    thread.join(200)  # workers import torch before they take jobs, which takes long on a busy machine
    assert [entry.status for entry in answers[0]] == ["ok"] * 8


def test_a_client_that_restarts_the_workers_of_all(folder, cluster):
    """`Client.restart` cancels the futures of every client."""
    from distributed import Client

    workers = [cluster.start_worker()]
    thread, answers = run_beside(folder, cluster.address)
    with Client(cluster.address, set_as_default=False) as other, suppress(Exception):
        other.restart(timeout=1, wait_for_workers=False)
    workers.append(cluster.start_worker())
    thread.join(200)  # workers import torch before they take jobs, which takes long on a busy machine
    assert [entry.status for entry in answers[0]] == ["ok"] * 8


def test_a_worker_that_is_killed_at_any_moment(folder, cluster):
    workers = [cluster.start_worker(), cluster.start_worker()]
    thread, answers = run_beside(folder, cluster.address)
    for _ in range(3):
        workers.append(cluster.start_worker())
        workers.pop(0).kill()
        time.sleep(1.5)
    thread.join(200)  # workers import torch before they take jobs, which takes long on a busy machine
    assert [entry.status for entry in answers[0]] == ["ok"] * 8
