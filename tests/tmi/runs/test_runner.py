from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

import tmi
from tests.tmi import toys
from tmi import InputError, StoreError, SuiteError
from tmi.engines import serial as engines
from tmi.plugins import host as plugins
from tmi.plugins.registry import Registry
from tmi.runs import runner
from tmi.runs.runner import load_results
from tmi.store.store import Store

PLUGINS = 'plugins = ["toys.py"]'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMI_TOY_LOG", str(tmp_path / "calls"))
    toys.plugin(tmp_path)
    return tmp_path


def run(folder, content=toys.BASE, head=PLUGINS, **more):
    return tmi.run(toys.suite(folder, content, head=head), folder / "store", **more)


class Seen:
    """A watcher that remembers."""

    def __init__(self):
        self.said = []

    def start(self, todo, cached, left):
        self.said.append((todo, cached))
        self.left = left

    def say(self, text):
        self.said.append(text)

    def done(self, outcome):
        self.said.append((str(outcome.planned.cell), outcome.message))


def test_cold_and_warm(folder):
    seen = Seen()
    cold = run(folder, head=PLUGINS + "\nseeds = [0, 1]", watcher=seen)
    assert toys.calls(folder) == ["data 0", "net 0", "probe 0 1.0", "data 1", "net 1", "probe 1 1.0"]
    assert seen.said == [(2, 0), ("d/n/p seed 0", ""), ("d/n/p seed 1", "")]
    assert [e.cached for e in cold] == [False, False]
    warm = run(folder, head=PLUGINS + "\nseeds = [0, 1]", watcher=seen)
    assert len(seen.said) == 3, "nothing to do, nothing to tell"
    assert toys.calls(folder) == []
    assert [e.cached for e in warm] == [True, True]
    assert cold.rows() == warm.rows()
    for a, b in zip(cold, warm, strict=True):
        assert (a.metrics, a.notes, a.record, a.swept, str(a)) == (b.metrics, b.notes, b.record, b.swept, str(b))
        np.testing.assert_array_equal(cold.load(a).arrays["logits"].values, warm.load(b).arrays["logits"].values)
        assert warm.load(b).info["total"].unit == "logits"


def test_provenance(folder):
    (entry,) = run(folder, head=PLUGINS + "\nseeds = [7]")
    record = entry.record
    assert record["tmi"] == tmi.__version__
    assert record["seed"] == 7
    assert record["dataset"]["name"] == "toy-data"
    assert record["dataset"]["params"] == {"samples": 4}
    assert record["network"]["origin"] == str(folder / "toys.py")
    assert record["data"] == {"source": "a toy"}
    assert "ink" not in record
    assert record["versions"]["torch"]
    assert record["seconds"].keys() == {"dataset", "network", "probe"}
    assert entry.notes == ("a toy's <remark>",)


def test_only_what_is_new_is_computed(folder):
    run(folder, head=PLUGINS + "\nseeds = [0]")
    toys.calls(folder)
    run(folder, toys.BASE + "[probes.q]\nuse = 'toy-probe'\nscale = 2\n", head=PLUGINS + "\nseeds = [0]")
    assert toys.calls(folder) == ["probe 0 2.0"], "data set and network come from the store"
    run(folder, head=PLUGINS + "\nseeds = [1, 0]")
    assert toys.calls(folder) == ["data 1", "net 1", "probe 1 1.0"]


def test_failures_are_rows_and_never_kept(folder):
    content = toys.BASE + "[datasets.bad]\nuse = 'bad-data'\n[networks.bad]\nuse = 'bad-net'\n[probes.bad]\nuse = 'bad-probe'\n"
    results = run(folder, content)
    assert len(results) == 8
    assert [str(e) for e in results if e.status == "ok"] == ["d/n/p seed 0"]
    assert len(results.failed) == 7
    assert all(
        e.status == "failed" and e.message.startswith("ValueError: the toy is broken: raise (toys.py") for e in results.failed
    )
    assert all("Traceback" in e.traceback for e in results.failed)
    assert len(list(results.store.keys())) == 1
    toys.calls(folder)
    again = run(folder, content)
    assert {"bad-data 0", "bad-net 0", "bad-probe raise"} <= set(toys.calls(folder))
    assert len(again.failed) == 7
    with pytest.raises(tmi.UnknownNameError, match=r"there is no result .ValueError: the toy is broken"):
        again.load(again.failed[0])


@pytest.mark.parametrize(
    "how", ["nul", "surrogate", "surrogate-note", "nul-name", "axis-named-as-array", "nan", "surrogate-message"]
)
def test_a_result_that_cannot_be_kept_is_a_row(folder, how, capsys):
    content = f"{toys.BASE}[probes.a]\nuse = 'bad-probe'\nhow = '{how}'\n"
    seen = Seen()
    results = run(folder, content, watcher=seen)
    ok, bad = results.entries
    assert (ok.status, bad.status) == ("ok", "failed")
    assert bad.message
    assert seen.said[-1] == (f"{bad.dataset}/{bad.network}/{bad.probe} seed 0", bad.message)
    results.to_json(folder / "rows.json")
    assert json.loads((folder / "rows.json").read_text())[-1]["message"] == bad.message


NOTES = """
import tmi


@tmi.hookimpl
def tmi_dataset_generators():
    return {"noted": "STEM:noted"}


def noted(*, seed: int, how: str = "nan") -> tmi.Dataset:
    \"\"\"Note what is no JSON.\"\"\"
    import dataclasses

    import numpy as np

    import tmi_datasets.squares

    note = {"nan": float("nan"), "numpy": np.float32(1), "bytes": b"x"}[how]
    return dataclasses.replace(tmi_datasets.squares.squares(seed=0, samples=4, test_samples=4), notes={"x": note})
"""


@pytest.mark.parametrize("how", ["nan", "numpy", "bytes"])
def test_a_data_sets_notes_that_are_no_json(folder, how):
    toys.plugin(folder, "noted", NOTES)
    content = f"{toys.BASE}[datasets.noted]\nuse = 'noted'\nhow = '{how}'\n".replace('[probes.p]\nuse = "toy-probe"', PROBE)
    results = run(folder, content.replace("toy-net", "theorem1"), 'plugins = ["toys.py", "noted.py"]')
    assert [e.status for e in results] == ["ok", "failed"]
    assert "notes" in results.failed[0].message or "cannot be kept" in results.failed[0].message


PROBE = "[probes.p]\nuse = 'accuracy'"


# Failures.


def test_failures_are_remembered_until_they_are_mended(folder, monkeypatch):
    """A failure that has its cause outside of the code, as most that are worth a second try."""
    fails = toys.TOYS.replace(
        "    logits = network", "    if 'BROKEN' in os.environ:\n        fail('raise')\n    logits = network"
    )
    toys.plugin(folder, text=fails)
    monkeypatch.setenv("BROKEN", "1")
    content = toys.BASE + "[probes.q]\nuse = 'toy-probe'\nscale = 2\n"
    first = run(folder, content, only=["/p"])
    assert [e.status for e in first] == ["failed"]
    found = load_results(folder / "suite.toml", folder / "store")
    assert [e.status for e in found] == ["failed", "missing"]
    assert (found.entries[0].message, found.entries[0].traceback) == (first.entries[0].message, first.entries[0].traceback)
    assert "in toy_probe" in found.entries[0].traceback
    monkeypatch.delenv("BROKEN")
    toys.calls(folder)
    again = run(folder, content, retry_failed=True)
    assert [e.status for e in again] == ["ok", "missing"], "only what had failed"
    assert toys.calls(folder) == ["probe 0 1.0"]
    assert Store(folder / "store").failures.keys() == set()
    assert [e.status for e in run(folder, content)] == ["ok", "ok"]
    assert toys.calls(folder) == ["probe 0 2.0"]


def test_a_later_run_tries_what_failed_again(folder):
    content = toys.BASE.replace("toy-probe", "bad-probe")
    for _ in range(2):
        assert len(run(folder, content).failed) == 1
        assert [c for c in toys.calls(folder) if c.startswith("bad")] == ["bad-probe raise"]


@pytest.mark.parametrize(("keep", "kinds"), [("all", {"dataset", "network"}), ("networks", {"network"}), ("results", set())])
def test_what_is_kept(folder, keep, kinds):
    results = run(folder, toys.BASE + "[probes.q]\nuse = 'toy-probe'\nscale = 2\n", keep=keep)
    assert {kind for kind in ("dataset", "network") if list(results.store.keys(kind))} == kinds
    assert toys.calls(folder) == ["data 0", "net 0", "probe 0 1.0", "probe 0 2.0"], "once in a run in any case"
    assert len(list(results.store.keys())) == 2
    run(folder, toys.BASE + "[probes.r]\nuse = 'toy-probe'\nscale = 3\n", keep=keep)
    made = [name for kind, name in (("dataset", "data 0"), ("network", "net 0")) if kind not in kinds]
    assert toys.calls(folder) == [*made, "probe 0 3.0"]
    with pytest.raises(InputError, match="keep 'nothing' is unknown"):
        run(folder, keep="nothing")


def test_fail_fast(folder):
    content = toys.BASE + "[probes.bad]\nuse = 'bad-probe'\n"
    results = run(folder, content, head=PLUGINS + "\nseeds = [0, 1]", fail_fast=True)
    assert [e.status for e in results] == ["ok", "failed", "missing", "missing"]
    assert not [c for c in toys.calls(folder) if c.endswith("1")]
    assert [e.status for e in run(folder, content, head=PLUGINS + "\nseeds = [0, 1]")] == ["ok", "failed", "ok", "failed"]


@pytest.mark.parametrize(
    ("slow", "what"),
    [('called(f"data', "making the data set"), ('called(f"net', "building the network"), ('called(f"probe', "the probe")],
)
def test_a_time_limit(folder, slow, what):
    waits = f"import time; time.sleep(100 if seed_or(locals()) == 1 else 0); {slow}"
    text = toys.TOYS.replace(slow, waits).replace(
        "def called(",
        "def seed_or(names):\n    return names.get('seed', getattr(names.get('network'), 'seed', None))\n\n\ndef called(",
    )
    toys.plugin(folder, text=text)
    results = run(folder, head=PLUGINS + "\nseeds = [0, 1, 2]", timeout=1)
    assert [e.status for e in results] == ["ok", "failed", "ok"]
    assert results.entries[1].message == f"{what} took longer than the limit of 1 s"
    assert "time.sleep" in results.entries[1].traceback


# The store.


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_store_that_cannot_be_is_said_first(folder, where):
    (folder / "file").write_text("")
    with pytest.raises(StoreError, match=r"store .*file"):
        tmi.run(toys.suite(folder), folder / where)
    assert toys.calls(folder) == []


def test_an_unwritable_store_is_said_first(folder, monkeypatch):
    def refuse(*_arguments, **_more):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StoreError, match="cannot be written to"):
        run(folder)
    assert toys.calls(folder) == []


def test_a_disk_that_fills_up_keeps_what_was_done(folder, monkeypatch):
    before, count = os.fsync, iter(range(100))

    def fill(file):
        if next(count) >= 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before(file)

    monkeypatch.setattr(os, "fsync", fill)
    head = PLUGINS + "\nseeds = [0, 1, 2, 3]"
    with pytest.raises(StoreError, match=r"No space left on device.; the 2 finished results are kept, and the next run"):
        run(folder, head=head)
    monkeypatch.setattr(os, "fsync", before)
    toys.calls(folder)
    results = run(folder, head=head)
    assert [e.cached for e in results] == [True, True, False, False]
    assert toys.calls(folder) == ["probe 2 1.0", "data 3", "net 3", "probe 3 1.0"]


def test_a_damaged_file_is_computed_again(folder):
    (first,) = run(folder)
    path = Store(folder / "store").path(first.key)
    path.write_bytes(path.read_bytes()[:-9])
    toys.calls(folder)
    with pytest.warns(UserWarning, match="is damaged"):
        (second,) = run(folder)
    assert not second.cached
    assert toys.calls(folder) == ["probe 0 1.0"]
    assert second.metrics == first.metrics
    assert run(folder).entries[0].cached


def test_collect_computes_nothing(folder):
    suite = toys.suite(folder, head=PLUGINS + "\nseeds = [0, 1]")
    tmi.run(suite, folder / "store", only=["seed 1"])
    toys.calls(folder)
    found = load_results(suite, folder / "store")
    assert [e.status for e in found] == ["missing", "ok"]
    assert toys.calls(folder) == []
    assert [str(e) for e in load_results(suite, folder / "store", only=["seed 0"])] == ["d/n/p seed 0"]
    assert [e.status for e in load_results(suite, folder / "nosuch")] == ["missing"] * 2
    assert not (folder / "nosuch").exists()
    assert found.rows()[0] | {"key": ""} == {
        "dataset": "d", "network": "n", "probe": "p", "seed": 0, "metric": None, "value": None, "status": "missing", "key": "",
        "message": "",
    }  # fmt: skip


def test_without_a_fingerprint_nothing_is_kept(folder):
    space = {"__name__": "__main__", "tmi": tmi}
    exec("def typed(network, data): return tmi.ProbeResult({'a': 1}, {'x': ('i', [1, 2])})", space)
    module = types.ModuleType("typed")
    module.tmi_probes = tmi.hookimpl(lambda: {"typed": space["typed"]})
    module.tmi_probes.__name__ = "tmi_probes"
    host = plugins.load([folder / "toys.py"])
    host.add(plugins.Plugin("typed", "a test", module))
    suite = toys.suite(folder, toys.BASE.replace("toy-probe", "typed"), head="")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"probe .*: its code cannot be fingerprinted, so what it computes is not kept"):
            results = tmi.run(suite, folder / "store", registry=Registry(host))
        (entry,) = results
        assert (entry.status, entry.key, entry.cached, entry.metrics) == ("ok", None, False, {"a": 1.0})
        assert results.load(entry).arrays["x"].values.tolist() == [1, 2]
    assert list(Store(folder / "store").keys()) == []


@pytest.mark.parametrize(
    "how",
    [
        *({"workers": value} for value in (0, -1, "1", 1.5, True)),
        *({"threads": value} for value in (0, -1, "1", 1.5)),
        *({"attempts": value} for value in (0, 1.5)),
        *({"timeout": value} for value in (0, -1, "1", float("nan"), float("inf"), True)),
        {"memory": "4 GB"},
        {"workers": 2, "memory": "much"},
        {"workers": 2, "memory": "1 MB"},
        {"workers": 2, "scheduler": "tcp://127.0.0.1:1"},
        {"scheduler": "tcp://127.0.0.1:1", "memory": "4 GB"},
    ],
    ids=str,
)
def test_settings_of_a_run_that_make_no_sense(folder, how):
    with pytest.raises(InputError, match="|".join(how)):
        run(folder, **how)
    assert toys.calls(folder) == []
    assert toys.calls(folder) == []


def test_mistakes_come_before_any_work(folder):
    with pytest.raises(SuiteError):
        run(folder, toys.BASE + "[probes.q]\nuse = 'nosuch'")
    with pytest.raises(SuiteError, match="matches no cell"):
        run(folder, only=["nosuch"])
    assert toys.calls(folder) == []
    assert not (folder / "store").exists()


# Fresh processes.


KEYS = """
import tmi
from tmi.suites.plan import make_plan
[p] = make_plan(tmi.load_suite('suite.toml'))
print(p.dataset_key, p.key)
"""


def test_a_changed_helper_changes_the_key_and_a_changed_comment_does_not(tmp_path):
    text = toys.TOYS.replace("import numpy as np", "import numpy as np\nfrom toy_helper import factor")
    toys.suite(tmp_path)

    def key(plugin, helper):
        toys.plugin(tmp_path, text=plugin)
        (tmp_path / "toy_helper.py").write_text(helper)
        done = toys.python("-B", "-c", KEYS, folder=tmp_path)
        assert done.stderr == ""
        return done.stdout

    first = key(text, "factor = 1")
    assert key(text + "# a comment\n", '"""A docstring."""\nfactor  =  1  # one') == first
    assert key(text, "factor = 2") != first
    assert key(text.replace("scale * float", "2 * scale * float"), "factor = 1") != first


@pytest.mark.slow
def test_a_changed_helper_is_computed_again_and_a_changed_comment_is_not(tmp_path):
    text = toys.TOYS.replace("import numpy as np", "import numpy as np\nfrom toy_helper import factor").replace(
        "scale * float", "factor() * scale * float"
    )
    helper = "def factor():\n    return {}\n"
    toys.suite(tmp_path)
    code = 'import tmi; [e] = tmi.run("suite.toml", "store"); print(e.metrics["total"], e.cached)'

    def total(plugin, helper):
        toys.plugin(tmp_path, text=plugin)
        (tmp_path / "toy_helper.py").write_text(helper)
        done = toys.python("-B", "-c", code, folder=tmp_path)
        assert done.stderr == ""
        value, cached = done.stdout.split()
        return float(value), cached == "True"

    first, cached = total(text, helper.format(1))
    assert not cached
    assert total(text + "# a comment\n", "# another\n" + helper.format("1  # one")) == (first, True)
    assert total(text, helper.format(2)) == (pytest.approx(2 * first), False)
    assert total(text, helper.format(1)) == (first, True)


def test_a_warm_run_imports_nothing_heavy(folder):
    toys.suite(folder)
    code = """
import sys
from tmi.cli import main
try:
    main(["run", "suite.toml", "--store", "store", "--report", "report", "--json", "rows.json"])
except SystemExit as error:
    assert not error.code, error.code
print(sorted({"torch", "captum", "sklearn", "matplotlib", "numba", "scipy", "pandas"} & set(sys.modules)))
"""
    cold, warm = (toys.python("-c", code, folder=folder) for _ in range(2))
    assert "torch" in cold.stdout
    assert "0 failed" in warm.stdout
    assert "1 from the store" in warm.stdout
    assert warm.stdout.splitlines()[-1] == "[]"
    (folder / "report" / "index.html").unlink()
    again = toys.python("-c", code, folder=folder)
    assert again.stdout.splitlines()[-1] == "[]", "nor does writing a page without figures"


def started(folder, *arguments, seeds=15, pause="0.1"):
    """Start ``tmi run`` on cells that take a while, and wait until some are done."""
    (folder / "calls").unlink(missing_ok=True)
    # Says so before it waits: a cell that is running can be told from one that is done.
    slow = toys.TOYS.replace('called(f"probe', f'import time; time.sleep({pause}); called(f"probe')
    toys.plugin(folder, text=slow)
    toys.suite(folder, head=PLUGINS + "\nseeds = [" + ", ".join(map(str, range(seeds))) + "]")
    process = subprocess.Popen(
        [sys.executable, "-m", "tmi.cli", "run", "suite.toml", "--store", "store", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=toys.environment(TMI_TOY_LOG=folder / "calls"),
        # A shell's background jobs ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "calls").exists() or (folder / "calls").read_text().count("probe") < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_and_again(folder, number):
    process = started(folder)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    (line,) = (line for line in err.splitlines() if "stopping" in line)
    assert re.match(
        r"  stopping when what is running is finished: d/n/p.* seed \d+ \((data set|network|probe), for [\d.]+ s\);", line
    )
    assert line.endswith("; Ctrl-C or SIGTERM once more stops at once, and the next run computes it again")
    assert "finished cells are kept, and the same command continues from there" in err
    store = Store(folder / "store")
    kept = len(list(store.keys()))
    assert 3 <= kept < 15
    assert list((folder / "store").rglob("*.tmp")) == []
    assert list((folder / "store" / "leases").iterdir()) == []
    first = [c for c in toys.calls(folder) if c.startswith("probe")]
    assert len(first) == kept, "what was running was finished and kept"
    results = tmi.run(folder / "suite.toml", store)
    assert sum(e.cached for e in results) == kept
    second = [c for c in toys.calls(folder) if c.startswith("probe")]
    assert len(second) == 15 - kept
    assert not set(first) & set(second)


def test_ctrl_c_twice_stops_at_once(folder):
    process = started(folder, pause="0.05 if network.seed < 3 else 100", seeds=5)
    time.sleep(0.2)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "a long cell is running"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert time.monotonic() - begun < 50, "and is not waited for"
    assert "Traceback" not in err
    assert len(list(Store(folder / "store").keys())) == 3
    assert list((folder / "store" / "leases").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_with_workers(folder, times):
    process = started(folder, "--workers", "2", seeds=40, pause="0.3" if times == 1 else "0.1 if network.seed < 4 else 100")
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, err = process.communicate(timeout=80)
    # Where what is running ends before the second signal comes, that may meet the interpreter on its way out.
    assert process.returncode in ((130,) if times == 1 else (130, -signal.SIGINT)), err
    assert "Traceback" not in err
    store = Store(folder / "store")
    kept = len(list(store.keys()))
    assert 3 <= kept < 40
    assert list((folder / "store").rglob("*.tmp")) == []
    if times == 1:
        assert len([c for c in toys.calls(folder) if c.startswith("probe")]) == kept, "what was running was finished and kept"


def test_cells_with_equal_settings_are_computed_once(folder):
    same = '[probes.same]\nuse = "toy-probe"\n[datasets.e]\nuse = "toy-data"\n'
    results = tmi.run(toys.suite(folder, toys.BASE + same), folder / "store")
    assert toys.calls(folder) == ["data 0", "net 0", "probe 0 1.0"]
    assert [(e.dataset, e.probe, e.status, e.cached) for e in results] == [
        (d, p, "ok", False) for d in ("d", "e") for p in ("p", "same")
    ]
    assert len({e.key for e in results}) == 1


def test_cells_with_equal_settings_fail_together(folder):
    text = toys.BASE.replace("toy-probe", "bad-probe") + '[probes.same]\nuse = "bad-probe"\n'
    results = tmi.run(toys.suite(folder, text), folder / "store")
    assert [e.probe for e in results.failed] == ["p", "same"]
    assert toys.calls(folder).count("bad-probe raise") == 1


def test_the_engine_is_closed_when_its_consumer_fails(folder, monkeypatch):
    closed = []

    def engine(cells, orders):
        try:
            yield from engines.serial(cells, orders)
        finally:
            closed.append(True)

    class Broken:
        def start(self, todo, cached, left): ...

        def say(self, text): ...

        def done(self, outcome):
            raise RuntimeError("no terminal")

    monkeypatch.setattr(runner, "serial", engine)
    with pytest.raises(RuntimeError) as caught:
        tmi.run(toys.suite(folder), folder / "store", watcher=Broken())
    assert closed, "although the traceback is still held"
    assert caught.traceback


def test_what_is_gone_is_said(folder):
    (entry,) = results = tmi.run(toys.suite(folder), folder / "store")
    results.store.path(entry.key).unlink()
    with pytest.raises(tmi.UnknownNameError, match="its file is gone or was damaged; run the suite again"):
        results.load(entry)
