from __future__ import annotations

import json
import os
import time

import pytest
from click.testing import CliRunner

import tmi
from tests.tmi import toys
from tmi import Store
from tmi.cli import main


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    toys.plugin(folder)
    toys.suite(folder, head='plugins = ["toys.py"]\nseeds = [0, 1]')
    tmi.run(folder / "suite.toml", folder / "tmi-store")
    return folder


@pytest.fixture
def folder(run_folder, tmp_path, monkeypatch):
    """A working folder with a copy of the store where commands look for it."""
    import shutil

    shutil.copytree(run_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    return tmp_path


def call(*arguments, code=0):
    """Call the command; every error is one line, never a traceback."""
    called = CliRunner().invoke(main, ["store", *map(str, arguments)])
    assert called.exception is None or isinstance(called.exception, SystemExit), called.exc_info
    assert called.exit_code == code, called.output
    if code == 2:
        assert called.stdout == ""
        assert "rror: " in called.stderr
    return called


def result(folder):
    store = Store(folder / "tmi-store")
    return store.path(next(iter(store.keys())))


def flip(path):
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)


def test_info(folder):
    lines = call("info").stdout.splitlines()
    assert lines[0].startswith("store tmi-store: ")
    assert lines[0].endswith(", layout 1")
    assert lines[1].split() == ["files", "size", "work", "oldest", "newest"]
    assert [line.split()[:2] for line in lines[2:5]] == [["results", "2"], ["datasets", "2"], ["networks", "2"]]
    assert any(line.startswith("index: in step with the files") for line in lines)
    assert call("info", "--json", "info.json").stdout == ""
    assert json.loads((folder / "info.json").read_text())["kinds"]["result"]["count"] == 2


@pytest.mark.parametrize("command", ["info", "verify", "prune --max-size 1GB", "export out"])
def test_no_store(folder, command):
    called = call(*command.split(), "--store", "nowhere", code=2)
    assert called.stderr == "error: store nowhere: there is no such folder\n"
    assert not (folder / "nowhere").exists()
    assert not (folder / "out").exists()


def test_the_store_of_the_environment(folder, monkeypatch):
    monkeypatch.setenv("TMI_STORE", "other")
    assert "other" in call("info", code=2).stderr


def test_verify(folder):
    called = call("verify", "--plugin", "toys.py", "--sample", "5", "--seed", "1")
    assert "checked 2 results, 2 data sets, 2 networks" in called.stdout
    assert "computed again 6: 6 equal bit for bit" in called.stdout
    assert called.stderr == ""
    assert "give --plugin" in call("verify").stdout
    assert "2 results would take too long" in call("verify", "--plugin", "toys.py", "--seconds", "0").stdout


def test_verify_and_repair(folder):
    path = result(folder)
    flip(path)
    called = call("verify", "--sample", "0", code=1)
    assert called.stderr == f"problem: {path.relative_to(folder)}: is damaged (its bytes are not those that were written)\n"
    assert "set aside as" in call("verify", "--sample", "0", "--repair", code=1).stdout
    assert "0 damaged" in call("verify", "--sample", "0").stdout
    assert call("verify", "--sample", "0").stderr == ""


def test_verify_names_what_is_strange(folder):
    for number in range(15):
        (folder / "tmi-store" / f"note {number:02} \x1b[2J").write_text("x")
    lines = call("verify", "--sample", "0").stderr.splitlines()
    assert lines[0] == "tmi-store/note 00 \\x1b[2J: is a file that is not of the store (left alone)"
    assert len(lines) == 11
    assert lines[-1] == "… and 5 more such (left alone)"


def test_prune(folder):
    then = time.time() - 40 * 86400
    os.utime(result(folder), (then, then))
    dry = call("prune", "--older", "30d", "--dry-run").stdout.splitlines()
    assert dry[0].split()[:2] == ["result", result(folder).stem]
    assert dry[1].startswith("would remove 1 result (")
    assert call("prune", "--older", "30d").stdout.startswith("removed 1 result (")
    assert call("prune", "--older", "30d").stdout.startswith("removed nothing; ")
    called = call("prune", "--unreachable")
    assert called.stdout.startswith("removed nothing; ")
    assert f"give --plugin {folder / 'toys.py'}" not in called.stderr  # the run was in another folder
    assert "left alone: 1 result: made with a plug-in file that is not loaded; give --plugin /" in called.stderr
    called = call("prune", "--max-size", "0", "--kind", "datasets", "--dry-run", "--json", "-")
    rows = json.loads(called.stdout)
    assert {row["kind"] for row in rows} == {"dataset"}
    assert all(os.path.getsize(row["path"]) == row["size"] for row in rows)  # noqa: PTH202
    assert "would remove 2 data sets" in called.stderr
    called = call("prune", "--max-size", "0", "--kind", "dataset", "--kind", "network")
    assert called.stdout.startswith("removed 2 data sets (")
    assert "stay, more than 0 B" in called.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "Error: say what may go: give at least one of --older, --unreachable and --max-size"),
        (["prune", "--kind", "result"], "Error: say what may go"),
        (["prune", "--older", "30"], "error: '30': expected an age such as 12h, 30d or 2w"),
        (["prune", "--max-size", "much"], "error: 'much': expected a size such as 500MB, 2GB or 1.5GiB"),
        (["prune", "--max-size", "1", "--kind", "failure"], "Error: Invalid value for '--kind'"),
        (["verify", "--sample", "-1"], "Error: Invalid value for '--sample'"),
        (["verify", "--plugin", "nowhere.py"], "error: plug-in file nowhere.py: there is no such file"),
        (["export", "out", "--only", "p"], "Error: --only and --plugin go with --suite"),
        (["export", "out.csv", "--with-data"], "Error: --with-data needs a folder, and DEST is a table"),
        (["export", "out.parquet"], "error: export out.parquet: tables are written as .csv or .json"),
        (["export", "out", "--suite", "nosuch"], "error: "),
        (["export", "tmi-store"], "error: export tmi-store: is not empty; an export needs a folder of its own"),
        (["export", "nowhere/t.csv"], "error: export nowhere/t.csv: cannot be written (No such file or directory)"),
        (["verfy"], "Error: no such command 'verfy'; did you mean \"verify\"?"),
    ],
)
def test_mistakes(folder, arguments, message):
    assert message in call(*arguments, code=2).stderr


def test_export(folder):
    called = call("export", "out", "--with-data")
    assert called.stdout.startswith("out: 2 results, 2 data sets, 2 networks (")
    assert called.stdout.endswith(", 4 rows\n")
    assert "checked 2 results" in call("verify", "--store", "out", "--plugin", "toys.py").stdout
    called = call("export", "one", "--suite", "suite.toml", "--only", "d/n/p seed 1")
    assert called.stdout.startswith("one: 1 result (")
    assert (folder / "one" / "results.csv").read_text().splitlines()[0].startswith("dataset,network,probe,seed,metric,value,")
    assert call("export", "t.json", "--suite", "suite.toml").stdout == "t.json: 4 rows\n"
    assert len(json.loads((folder / "t.json").read_text())) == 4


def test_export_of_what_is_damaged(folder):
    path = result(folder)
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    called = call("export", "out", code=1)
    assert called.stderr == f"{path.relative_to(folder)}: is left out (its bytes are not those that were written)\n"
    assert called.stdout.startswith("out: 1 result (")


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from click.testing import CliRunner; from tmi.cli.store import store\n"
        "for name in ('', *store.commands): assert CliRunner().invoke(store, [name, '--help'][not name:]).exit_code == 0\n"
        "print([m for m in ('torch', 'numpy', 'h5py', 'pandas', 'rich', 'dask') if m in sys.modules])"
    )
    assert toys.python("-c", code, folder=tmp_path).stdout == "[]\n"
