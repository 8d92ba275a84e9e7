"""The folder of a store as a whole: made, shared, killed, damaged, full."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

import tmi
from tests.tmi import toys
from tests.tmi.store.helpers import KEY, RECORD, RESULT, same
from tmi import Store, StoreError
from tmi.networks.train_once import Trained
from tmi.stages import Stage
from tmi.store import files
from tmi.store.hdf5 import from_bytes, to_bytes


def test_a_damaged_file_is_set_aside_and_can_be_written_again(kept):
    path = kept.path(KEY)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"store: {path.name} is damaged .it is cut short.*set aside as .*computed again"):
        assert kept.read(KEY) is None
    assert not path.exists()
    assert len(list((kept.folder / "damaged").iterdir())) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.read(KEY) is None
    kept.write(KEY, RESULT, RECORD)
    same(RESULT, kept.load(KEY))
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert kept.read(KEY) is None
    assert len(list((kept.folder / "damaged").iterdir())) == 2, "the first one is not overwritten within the same second"


def test_a_damaged_file_that_cannot_be_set_aside(kept):
    kept.path(KEY).write_bytes(b"")
    (kept.folder / "damaged").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be set aside"):
        assert kept.read(KEY) is None


def test_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    assert Store().folder == tmp_path / "tmi-store"
    monkeypatch.setenv("TMI_STORE", "elsewhere")
    assert Store().folder == tmp_path / "elsewhere"
    assert Store("here").folder == tmp_path / "here"
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


def test_foreign_files_do_no_harm(kept):
    results = kept.folder / "results"
    foreign = [
        results / "notes.txt",
        results / ".hidden.tmp",
        results / ".tmp",
        results / ".a.b.tmp",
        results / f".x.{socket.gethostname().rpartition('.')[2]}.{10**30}.y.tmp",
        results / f".x.{socket.gethostname().rpartition('.')[2]}.²³.y.tmp",
        results / "01" / "short.h5",
        results / "01" / "README",
        kept.folder / "mine.tmp",
    ]
    for path in foreign:
        path.write_text("mine")
    (results / "zz").mkdir()
    (results / ".a.folder.1.b.tmp").mkdir()
    kept.prepare()
    assert all(path.exists() for path in foreign)
    assert list(kept.keys()) == [KEY]
    same(RESULT, kept.load(KEY))


@pytest.mark.parametrize("where", ["file", "file/below", "file/below/deeper"])
def test_a_folder_that_cannot_be(tmp_path, where):
    (tmp_path / "file").write_text("I am a file")
    with pytest.raises(StoreError, match=r"store .*file.*: (is not a folder|cannot be written to \(Not a directory\))"):
        Store(tmp_path / where).prepare()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to(store, monkeypatch, code):
    def refuse(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StoreError, match=rf"cannot be written to \({os.strerror(code)}\)"):
        store.prepare()


def test_a_results_folder_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="cannot be written to"):
        Store(tmp_path).prepare()


def test_a_reader_sees_the_old_or_the_new_file_never_a_part(kept):
    writer = f"""
import numpy as np, tmi
store = tmi.Store({str(kept.folder)!r})
print("go", flush=True)
for i in range(10**6):
    store.write({KEY!r}, tmi.ProbeResult({{"i": i}}, {{"a": ("x", np.full(1000, i))}}), {{}})
"""
    process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"go\n"
        seen = set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(300):
                found = kept.load(KEY)
                seen.add(found.metrics.get("i", -1))
                assert all((a.values == found.metrics["i"]).all() for name, a in found.arrays.items() if name == "a")
    finally:
        process.kill()
        process.wait()
    assert len(seen) > 1


LOOP = """
import sys, tmi
sys.stderr = open("/dev/null", "w")
print("go", flush=True)
tmi.run("suite.toml", "store")
print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_at_any_moment(tmp_path):
    toys.plugin(tmp_path)
    toys.suite(tmp_path, head='plugins = ["toys.py"]\nseeds = [' + ", ".join(map(str, range(150))) + "]")
    random.seed(0)
    killed, grown = 0, []
    store = Store(tmp_path / "store")
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP], cwd=tmp_path, stdout=subprocess.PIPE, env=toys.environment(TMI_TOY_LOG="calls")
        )
        assert process.stdout.readline() == b"go\n"
        time.sleep(1.2 + random.random())
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert all(store.load(key) is not None for key in tuple(store.keys()))
        grown.append(len(list(store.keys())))
    assert grown == sorted(grown)
    assert killed > 2
    done = tmi.run(tmp_path / "suite.toml", tmp_path / "store")
    assert len(done) == 150
    assert not done.failed
    assert sum(entry.cached for entry in done) == grown[-1]
    assert list((tmp_path / "store").rglob("*.tmp")) == []
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len([c for c in calls if c.startswith("probe")]) <= grown[-1] + killed, "only the cell in progress is lost"


def test_git_ignores_a_new_store(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "prepared", "written"):
        store = Store(tmp_path / name)
        if name != "written":
            store.prepare()
        store.write(KEY, RESULT, RECORD)
        assert (store.folder / ".gitignore").read_text() == "*\n"
    done = subprocess.run(["git", "init", "-q", tmp_path], check=False)
    if done.returncode == 0:
        status = subprocess.run(
            ["git", "-C", tmp_path, "status", "--porcelain", "-uall"], capture_output=True, text=True, check=True
        )
        assert status.stdout == ""


@pytest.mark.parametrize("content", ["suite.toml", ".git", "results"])
def test_a_folder_that_is_somebodys_gets_no_gitignore(tmp_path, content):
    (tmp_path / content).mkdir()
    store = Store(tmp_path)
    store.prepare()
    store.write(KEY, RESULT, RECORD)
    assert not (tmp_path / ".gitignore").exists()


def test_an_older_gitignore_stays(tmp_path):
    (tmp_path / ".gitignore").write_text("!results\n")
    Store(tmp_path).prepare()
    assert (tmp_path / ".gitignore").read_text() == "!results\n"


# Data sets and networks.

PRODUCT = {"seconds": 0.5, "warnings": ["a warning"], "dataset": {"name": "d"}, "network": {"name": "n", "params": {"a": 1}}}


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", samples=4, test_samples=2)


def test_a_data_set_comes_back(store, data):
    assert store.load_dataset(KEY) is None
    store.write_dataset(KEY, data, PRODUCT)
    back, record = store.load_dataset(KEY)
    assert record == PRODUCT
    assert torch.equal(back.train.images, data.train.images)
    store.flush()
    assert [(cost.kind, cost.name, cost.seconds) for cost in store.index.costs()] == [("dataset", "d", 0.5)]


def test_recipes_are_compressed(store):
    """As numbers of 64 bits, 4,400 images need 400 kB."""
    data = tmi.generate("squares", samples=4000, test_samples=400)
    store.write_dataset(KEY, data, PRODUCT)
    assert store.path(KEY, Stage.DATASET).stat().st_size < 50_000
    back, _ = store.load_dataset(KEY)
    assert torch.equal(back.train.images, data.train.images)


def test_a_network_comes_back_as_its_training(store, data):
    assert store.load_network(KEY) is None
    network = tmi.Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)), ["1"], "trained", task=data.task)
    store.write_network(KEY, network, None, PRODUCT)
    assert store.load_network(KEY) == (None, PRODUCT)
    weights = {f"0.{name}": values.numpy().copy() for name, values in network.module.state_dict().items()}
    store.write_network(KEY, network, Trained(weights, {}, calls=1), PRODUCT)
    training, record = store.load_network(KEY)
    assert record == PRODUCT
    assert {name: values.tolist() for name, values in training.weights.items()} == {k: v.tolist() for k, v in weights.items()}
    store.flush()
    assert [(cost.kind, cost.name, cost.params) for cost in store.index.costs()] == [("network", "n", '{"a":1}')]


def test_a_data_set_that_cannot_be_kept_leaves_no_file(store, data):
    with pytest.raises(tmi.InputError, match="notes: key 1 is not text"):
        store.write_dataset(KEY, dataclasses.replace(data, notes={1: "a"}), PRODUCT)
    assert not store.has("dataset", KEY)


@pytest.mark.parametrize("kind", ["dataset", "network", "result"])
@pytest.mark.parametrize(
    "record",
    [
        None,
        3,
        [1],
        "text",
        {"seconds": "long", "warnings": []},
        {"seconds": [1], "warnings": []},
        {"seconds": {"probe": "long"}},
        {"seconds": {"probe": 1.0}, "probe": 3},
        {"seconds": 1.0, "warnings": [3], "probe": []},
        {"seconds": 1.0, "warnings": None, "finished": 3},
    ],
    ids=str,
)
def test_a_record_of_other_types_is_damage(store, data, kind, record):
    """A file with a right seal that another program wrote."""
    write = {
        "dataset": lambda: store.write_dataset(KEY, data, PRODUCT),
        "network": lambda: store.write_network(KEY, tmi.build("theorem1", data), None, PRODUCT),
        "result": lambda: store.write(KEY, RESULT, RECORD),
    }
    write[kind]()
    path = store.path(KEY, kind)
    header, arrays = from_bytes(files.read_sealed(path))
    header["record"] = record
    files.write_sealed(path, to_bytes(Stage(kind), header, arrays))
    load = {"dataset": store.load_dataset, "network": store.load_network, "result": lambda key: store.read_all([key]).get(key)}
    with pytest.warns(UserWarning, match="is damaged"):
        assert load[kind](KEY) is None
    assert not path.exists()
