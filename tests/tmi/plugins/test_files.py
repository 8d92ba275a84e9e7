"""Plug-in files as modules: their names, their functions in child processes, and files that are edited."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi.plugins.component import shown_module
from tmi.plugins.files import file_of, module_of
from tmi.plugins.host import PluginHost

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=8).map(
    lambda text: text.encode("utf-8", "surrogateescape" if text.isascii() else "replace").decode("utf-8", "surrogateescape")
)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_names_and_files_are_one_to_one(parts):
    file = Path("/", *parts)
    name = module_of(file)
    assert file_of(name) == file
    assert name.rpartition(".")[0] == "tmi.plugins.files"
    assert name.rpartition(".")[2].isidentifier()
    assert name.isascii()


@pytest.mark.parametrize(
    "name", ["tmi.plugins.files", "tmi.plugins.host", "json", "tmi.plugins.files._zz", "tmi.plugins.files.a-b"]
)
def test_other_modules_are_no_files(name):
    assert file_of(name) is None
    assert shown_module(name) == f"module {name!r}"


FILE = '''
from __future__ import annotations
import os, sys
import tmi
from zz_numbers import two

@tmi.hookimpl
def tmi_probes():
    return {"shared": "STEM:shared"}

def power(number):
    return number ** two()

class Powers:
    def __len__(self): return 10
    def __getitem__(self, number): return power(number)

def shared(network: tmi.Network, data: tmi.Dataset, *, how: str = "pool", method: str = "fork") -> tmi.ProbeResult:
    """Share the work among processes."""
    import multiprocessing as mp
    context = mp.get_context(method)
    if how == "pool":
        with context.Pool(2) as pool:
            numbers = pool.map(power, range(10))
    elif how == "executor":
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            numbers = list(pool.map(power, range(10)))
    elif how == "joblib":
        from joblib import Parallel, delayed
        numbers = Parallel(n_jobs=2)(delayed(power)(i) for i in range(10))
    else:
        from torch.utils.data import DataLoader
        numbers = [int(x) for x in DataLoader(Powers(), 1, num_workers=2, multiprocessing_context=method)]
    return tmi.ProbeResult({"sum": float(sum(numbers))})
'''

SUITE = """
plugins = ["v1.0-data/shared work.py"]
[datasets.squares]
use = "squares"
samples = 20
test_samples = 5
[networks.constructed]
use = "theorem1"
[probes.shared]
use = "shared"
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a plug-in file and its helper below it, whose names are not those of modules."""
    place = tmp_path / "v1.0-data"
    place.mkdir()
    (place / "zz_numbers.py").write_text("def two():\n    return 2\n")
    (place / "shared work.py").write_text(FILE.replace("STEM", "shared work"))
    (tmp_path / "suite.toml").write_text(SUITE)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith(("zz_", "tmi.plugins.files."))]:
        del sys.modules[name]


def run(folder, *arguments):
    command = [sys.executable, "-m", "tmi.cli", "run", "suite.toml", "--json", "rows.json", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"value": 285.0' in (folder / "rows.json").read_text(), (folder / "rows.json").read_text()


def sweep(folder, hows, methods):
    text = SUITE + f"sweep.how = {hows}\nsweep.method = {methods}\n"
    (folder / "suite.toml").write_text(text)


@pytest.mark.slow
def test_a_pool_of_forked_processes(folder):
    """Leaving the block of a pool ends its processes by SIGTERM, to which a run listens."""
    run(folder, "--timeout", "60")


WAYS, METHODS = ["pool", "executor", "joblib", "loader"], ["fork", "spawn", "forkserver"]


@pytest.mark.slow
def test_every_way_to_share_work_among_processes(folder):
    sweep(folder, WAYS, METHODS)
    run(folder)
    assert (folder / "rows.json").read_text().count('"value": 285.0') == len(WAYS) * len(METHODS)


@pytest.mark.slow
def test_in_workers(folder):
    sweep(folder, WAYS, METHODS)
    run(folder, "--workers", "2")
    assert (folder / "rows.json").read_text().count('"value": 285.0') == len(WAYS) * len(METHODS)


@pytest.mark.slow
def test_on_a_scheduler(folder):
    """Dask's nanny starts a worker as a daemonic process, which may start none by itself."""
    from distributed import LocalCluster

    sweep(folder, WAYS, METHODS)
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        run(folder, "--scheduler", cluster.scheduler_address)
    assert (folder / "rows.json").read_text().count('"value": 285.0') == len(WAYS) * len(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_time_limit_ends_a_pool(folder, workers):
    file = folder / "v1.0-data/zz_numbers.py"
    file.write_text("import time\ndef two():\n    time.sleep(300)\n")
    command = [sys.executable, "-m", "tmi.cli", "run", "suite.toml", "--timeout", "3", "--workers", workers]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert "took longer than the limit of 3 s" in done.stderr


def test_a_new_process_finds_the_functions_by_name(folder):
    """Nothing but the name is needed: not the working folder, the path or a variable."""
    host = PluginHost()
    host.load_file(folder / "v1.0-data/shared work.py")
    power = sys.modules[module_of(folder / "v1.0-data/shared work.py")].power
    script = f"import pickle; print(pickle.loads({pickle.dumps(power)!r})(5))"
    done = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True)
    assert done.stdout == "25\n", done.stderr
    assert shown_module(power.__module__) == "file shared work.py"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(module_of(folder / "gone.py"))


EDITED = """
import tmi
from zz_edited_helper import value
FACTOR = 1

@tmi.hookimpl
def tmi_probes():
    return {"edited": "zz_edited:edited", "beside": "zz_edited_beside:beside"}

def edited(network, data):
    '''A number.'''
    return tmi.ProbeResult({"number": FACTOR * value()})
"""
BESIDE = "import tmi\ndef beside(network, data):\n    '''Another.'''\n    return tmi.ProbeResult({'number': 7})\n"
DEEP = "def deep():\n    return 3\n"
HELPER = "import zz_edited_deep\ndef value():\n    return 5 * zz_edited_deep.deep()\n"


class TestEdited:
    @pytest.fixture
    def results(self, tmp_path):
        for name, text in (("", EDITED), ("_helper", HELPER), ("_deep", DEEP), ("_beside", BESIDE)):
            (tmp_path / f"zz_edited{name}.py").write_text(text)
        suite = {
            "plugins": [str(tmp_path / "zz_edited.py")],
            "datasets": {"squares": {"use": "squares", "samples": 8, "test_samples": 4}},
            "networks": {"constructed": {"use": "theorem1"}},
            "probes": {"edited": {"use": "edited"}, "beside": {"use": "beside"}},
        }
        path = list(sys.path)
        yield lambda: {e.probe: e for e in tmi.run(suite, tmp_path / "store")}
        sys.path[:] = path
        for name in [name for name in sys.modules if name.startswith(("zz_", "tmi.plugins.files."))]:
            del sys.modules[name]

    @pytest.mark.parametrize(
        ("file", "old", "new", "expected"),
        [
            ("zz_edited.py", "FACTOR = 1", "FACTOR = 2", {"edited": 30, "beside": 7}),
            ("zz_edited_helper.py", "5", "4", {"edited": 12, "beside": 7}),
            ("zz_edited_deep.py", "3", "2", {"edited": 10, "beside": 7}),
            ("zz_edited_beside.py", "7", "8", {"edited": 15, "beside": 8}),
        ],
    )
    def test_the_next_run_takes_the_edited_file(self, results, tmp_path, file, old, new, expected):
        """At once: the file keeps its size, and the edit follows within a second."""
        first = results()
        assert {name: entry.metrics["number"] for name, entry in first.items()} == {"edited": 15, "beside": 7}
        path = tmp_path / file
        for text, numbers in ((path.read_text().replace(old, new), expected), (path.read_text(), {"edited": 15, "beside": 7})):
            stamp = path.stat().st_mtime_ns
            path.write_text(text)
            os.utime(path, ns=(stamp + 1000, stamp + 1000))
            again = results()
            assert {name: entry.metrics["number"] for name, entry in again.items()} == numbers
            changed = {name for name in numbers if numbers[name] != first[name].metrics["number"]}
            assert {name for name in first if first[name].key != again[name].key} >= changed
            assert all(entry.cached or name in changed for name, entry in again.items() if numbers is not expected)
        assert {name: entry.key for name, entry in again.items()} == {name: entry.key for name, entry in first.items()}
        assert all(entry.cached for entry in again.values())

    def test_an_error_in_an_edit_is_one_sentence_and_the_next_edit_works(self, results, tmp_path):
        results()
        path = tmp_path / "zz_edited.py"
        for text in ("def f(:", EDITED.replace("FACTOR = 1", "1 / 0")):
            path.write_text(text)
            with pytest.raises(tmi.PluginError, match=r"zz_edited\.py: cannot be imported"):
                results()
        path.write_text(EDITED.replace("FACTOR = 1", "FACTOR = 3"))
        entry = results()["edited"]
        assert entry.metrics["number"] == 45
        assert results()["edited"].cached

    def test_a_registry_keeps_the_functions_that_it_has(self, results, tmp_path):
        results()
        host = PluginHost()
        host.load_file(tmp_path / "zz_edited.py")
        component = host.components["probe", "edited"]
        before = component.fingerprint()
        (tmp_path / "zz_edited.py").write_text(EDITED.replace("FACTOR = 1", "FACTOR = 2"))
        assert results()["edited"].metrics["number"] == 30
        assert component.fingerprint() == before
        assert not component.is_current()
        assert component.function(None, None).metrics["number"] == 15


def test_the_fingerprint_does_not_depend_on_the_folder(tmp_path):
    prints = set()
    for name in ("a", "b.c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zz_same.py").write_text(
            BESIDE + "@tmi.hookimpl\ndef tmi_probes():\n    return {'b': beside, 'c': 'zz_same:beside'}\n"
        )
        host = PluginHost()
        host.load_file(tmp_path / name / "zz_same.py")
        prints |= {component.fingerprint() for component in host.components.values()}
    assert len(prints) == 1
    assert None not in prints
