from __future__ import annotations

import os
from pathlib import Path

import pytest

import tmi
from tests.tmi import toys
from tmi.runtime.paths import absolute, shown


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder and another working folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("TMI_STORE", raising=False)
    return tmp_path / "home"


def test_where_a_path_leads(home):
    work = Path.cwd()
    for given, meant in [
        ("~", home), ("~/a", home / "a"), (Path("~/a/b"), home / "a/b"), ("~root/x", Path("/root/x")),
        ("./~", work / "~"), ("./~x/y", work / "~x/y"), ("a/~/b", work / "a/~/b"), ("a", work / "a"), ("../a", work / "../a"),
        ("/a/b", Path("/a/b")), (".", work), ("-", work / "-"),
    ]:  # fmt: skip
        assert absolute(given) == meant, given
    assert absolute("a", Path("/f")) == Path("/f/a")
    assert absolute("a", Path("f")) == work / "f/a"
    assert absolute("~/a", Path("/f")) == home / "a"
    with pytest.raises(tmi.InputError, match=r"there is no home folder ~nosuch; .* is written \./~nosuch"):
        absolute("~nosuch/a")
    with pytest.raises(tmi.InputError, match="a path is empty"):
        absolute("")


def test_how_a_path_is_shown(home):
    assert shown(Path.cwd() / "a/b") == "a/b"
    assert shown(home / "a") == str(home / "a")


def test_a_working_folder_that_was_deleted(home):
    Path.cwd().rmdir()
    with pytest.raises(tmi.InputError, match="relative to the working folder, which was deleted"):
        absolute("a")
    assert absolute("~/a") == home / "a"
    assert shown(home / "a") == str(home / "a")


CHANGING = """
import os
import tmi


@tmi.hookimpl
def tmi_dataset_generators():
    return {"cd": "STEM:cd"}


@tmi.hookimpl
def tmi_network_builders():
    return {"cd-net": "STEM:cd_net"}


@tmi.hookimpl
def tmi_probes():
    return {"cd-probe": "STEM:cd_probe"}


def away():
    os.makedirs("away", exist_ok=True)
    os.chdir("away")


if IMPORTED:
    away()


def cd(*, seed: int) -> tmi.Dataset:
    \"\"\"Change the working folder.\"\"\"
    away()
    return tmi.generate("toy-data", seed=seed)


def cd_net(data: tmi.Dataset) -> tmi.Network:
    \"\"\"Change the working folder.\"\"\"
    away()
    return tmi.build("toy-net", data)


def cd_probe(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    \"\"\"Change the working folder.\"\"\"
    away()
    return tmi.ProbeResult({"a": 1.0})
"""

SUITE = """
[datasets.d]
use = "toy-data"
[networks.n]
use = "toy-net"
[probes.p]
use = "cd-probe"
"""


@pytest.mark.parametrize("imported", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("relative", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_plugin_that_changes_the_working_folder_moves_nothing(home, imported, relative):
    """In a process of its own: the import is of a plug-in, and the folder may stay changed."""
    work = Path.cwd()
    toys.plugin(work)
    toys.plugin(work, "changing", CHANGING.replace("IMPORTED", str(imported)))
    toys.suite(work, SUITE, head='plugins = ["toys.py"]')
    place = "" if relative else "~/"
    arguments = ["--plugin", "changing.py", "--store", f"{place}s", "--json", f"{place}rows.json", "--report", f"{place}rep"]
    done = toys.command("run", "suite.toml", *arguments, folder=work)
    assert done.returncode == 0, done.stderr
    where = work if relative else home
    assert {"s", "rows.json", "rep"} <= {path.name for path in where.iterdir()}
    assert [path.name for path in work.rglob("away/*")] == []
    again = toys.command("run", "suite.toml", *arguments, folder=work)
    assert "1 from the store" in again.stdout


def test_every_path_of_python_may_begin_with_the_home_folder(home, monkeypatch):
    toys.plugin(home)
    toys.suite(home, '[datasets.s]\nuse = "squares"\nsamples = 8\ntest_samples = 4\n[networks.n]\nuse = "theorem1"\n'
               '[probes.p]\nuse = "toy-probe"\n', head='plugins = ["~/toys.py"]')  # fmt: skip
    results = tmi.run("~/suite.toml", "~/store")
    assert results.store.folder == home / "store"
    monkeypatch.setenv("TMI_STORE", "~/store")
    assert tmi.run(Path("~/suite.toml"), plugins="~/toys.py").entries[0].cached
    assert tmi.load_suite("~/suite.toml").name == "suite"
    results.to_json("~/rows.json")
    tmi.read_result(f"~/store/results/{results.entries[0].key[:2]}/{results.entries[0].key}.h5")
    from tmi.maintenance.export import export, write_table
    from tmi.report.page import write
    from tmi.testing import check_plugin

    assert write(results, "~/report") == home / "report/index.html"
    export(results.store, "~/out")
    write_table(results.store, "~/table.csv")
    assert check_plugin("~/toys.py")
    data = tmi.generate("squares", seed=0, samples=8, test_samples=4)
    network = tmi.build("cnn", data, seed=0, epochs=1, kernel=2, hidden=0)
    network.save_weights("~/weights.safetensors")
    network.load_weights("~/weights.safetensors")
    network.export("~/net.pt2")
    assert list(Path.cwd().iterdir()) == []
    assert {"store", "rows.json", "report", "out", "table.csv", "weights.safetensors", "net.pt2"} <= set(os.listdir(home))  # noqa: PTH208
