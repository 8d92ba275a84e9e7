from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tests.tmi import toys
from tmi import DamagedFileError, MetricInfo, ProbeResult, Store, StoreError
from tmi.store import files
from tmi.store import format as layout

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
RESULT = ProbeResult(
    {"accuracy": 0.1, "active.hidden": 1 / 3},
    {"logits": (("image", "class"), np.arange(6.0).reshape(3, 2)), "right": ("image", [True, False, True])},
    {"class": ["weiß", "黒"]},
    {"accuracy": MetricInfo("Share that is right.", "higher", 0, 1)},
    notes=("one", "zwei ü"),
)
RECORD = {"seed": 3, "versions": {"torch": "2"}, "text": "ü\n黒", "list": [1, 2.5, None, True]}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    made.prepare()
    return made


@pytest.fixture
def kept(store):
    store.write(KEY, RESULT, RECORD)
    return store


def seal(path: Path) -> None:
    """Seal a file as the store does, so that what is wrong lies in its contents."""
    import hashlib

    path.write_bytes(path.read_bytes() + b"tmi-sha256:" + hashlib.sha256(path.read_bytes()).digest())


def same(a: ProbeResult, b: ProbeResult) -> None:
    assert a.metrics == b.metrics
    assert list(a.arrays) == list(b.arrays)
    assert list(a.coords) == list(b.coords)
    assert dict(a.info) == dict(b.info)
    assert a.notes == b.notes
    for name, array in a.arrays.items():
        assert array.dims == b.arrays[name].dims
        equal(array.values, b.arrays[name].values)
    for name, values in a.coords.items():
        equal(values, b.coords[name])


def equal(a: np.ndarray, b: np.ndarray) -> None:
    assert isinstance(b, np.ndarray)
    assert a.shape == b.shape
    assert a.dtype.kind == b.dtype.kind
    assert a.dtype.kind == "U" or a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def test_a_result_comes_back(kept):
    same(RESULT, kept.load(KEY))
    stored = kept.read(KEY)
    assert stored.metrics == RESULT.metrics
    assert stored.record == RECORD
    assert stored.notes == RESULT.notes
    assert list(kept.keys()) == [KEY]
    assert KEY in kept
    assert OTHER not in kept
    assert kept.read(OTHER) is None
    assert kept.load(OTHER) is None
    assert repr(kept).startswith("Store(")


@pytest.mark.parametrize(
    "values",
    [
        np.array(True),
        np.array([True, False]),
        np.array(7),
        np.array(2.5, np.float32),
        np.array("ein wort ü"),
        np.array(["", "a", "long word", "黒🙂"]),
        np.array(["two\nlines", "tab\t"]),
        np.zeros((0,)),
        np.zeros((3, 0, 2), bool),
        np.array([], str),
        np.arange(5, dtype=np.int8),
        np.arange(5, dtype=np.uint8),
        np.array([2**64 - 1], np.uint64),
        np.array([-(2**63)], np.int64),
        np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        np.array([np.nan, 1], np.float32),
        np.array([0.5], np.float16),
        np.arange(4, dtype=">f8"),
        np.random.default_rng(0).random((40, 50)),
        np.random.default_rng(0).random((40, 500)) > 0.5,
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20)[::2],
        (np.arange(20) > 3)[::2],
    ],
    ids=lambda v: f"{v.dtype}{v.shape}",
)
def test_every_kind_of_array(store, values):
    dims = tuple("abc"[: values.ndim])
    store.write(KEY, result := ProbeResult({}, {"array": (dims, values)}), {})
    same(result, store.load(KEY))
    assert store.read(KEY).metrics == {}


@given(
    values=hnp.arrays(
        st.sampled_from([np.bool_, np.int32, np.int64, np.float32, np.float64]),
        hnp.array_shapes(min_dims=0, max_side=4, min_side=0),
    ),
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), max_size=4),
    metrics=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1).filter(
            lambda name: not name.startswith(".") and name not in ("header", "metrics", "metric")
        ),
        st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    ),
)
def test_any_result_comes_back(tmp_path_factory, values, words, metrics):
    store = Store(tmp_path_factory.getbasetemp() / "any")
    dims = tuple(f"axis {i} ü" for i in range(values.ndim))
    arrays = {"values": (dims, values), "words": ("word", np.array(words, dtype=str))}
    store.write(KEY, result := ProbeResult(metrics, arrays, {"word": words}, notes=words), {"words": words})
    same(result, store.load(KEY))
    assert store.read(KEY).record == {"words": words}


def test_twenty_arrays_keep_their_order(store):
    arrays = {f"a{i}": (("x", f"y{i}"), np.full((2, i), i)) for i in reversed(range(20))}
    store.write(KEY, result := ProbeResult({f"m{i}": i for i in range(100, 0, -1)}, arrays), {})
    same(result, store.load(KEY))
    assert list(store.read(KEY).metrics) == list(result.metrics)


def test_a_large_record(store):
    record = {"warnings": ["x" * 1000] * 300}
    store.write(KEY, RESULT, record)
    assert store.read(KEY).record == record


def test_an_array_named_as_another_arrays_axis(store):
    """It cannot be stored with labelled axes, so it is refused when the result is made."""
    with pytest.raises(tmi.InputError, match="array 'q': has the name of an axis"):
        ProbeResult({}, {"p": (("q",), [1, 2]), "q": (("r",), [1, 2, 3])})


# Bytes that are not those that were written.


def small(store: Store) -> bytes:
    store.write(KEY, ProbeResult({"a": 1.0}), {})
    return store.path(KEY).read_bytes()


def test_every_flipped_byte_is_seen(store):
    data = small(store)
    path = store.path(KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
            assert store.load(KEY) is None, place
    path.write_bytes(data)
    assert store.load(KEY).metrics == {"a": 1.0}


def test_every_cut_is_seen(store):
    data = small(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in [*range(0, len(data), 64), len(data) - 1]:
            store.path(KEY).write_bytes(data[:length])
            assert store.read(KEY) is None, length
        store.path(KEY).write_bytes(data + b"\0")
        assert store.read(KEY) is None


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


def test_the_result_of_another_key(kept):
    path = kept.path(OTHER)
    path.parent.mkdir()
    shutil.copy(kept.path(KEY), path)
    with pytest.warns(UserWarning, match="another key"):
        assert kept.load(OTHER) is None
    assert kept.load(KEY) is not None


def test_a_newer_layout_is_refused(store, monkeypatch):
    monkeypatch.setattr(layout, "VERSION", 2)
    store.write(KEY, RESULT, RECORD)
    monkeypatch.undo()
    for read in (store.read, store.load):
        with pytest.raises(StoreError, match=r"written by a newer tmi \(layout 2, this one reads 1\)") as caught:
            read(KEY)
        assert not isinstance(caught.value, DamagedFileError)
    assert store.path(KEY).exists()


def test_sealed_but_not_hdf5(store):
    path = store.path(KEY)
    path.parent.mkdir()
    path.write_bytes(b"not HDF5 at all")
    seal(path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.read(KEY) is None


def poisoned(store: Store, change) -> None:
    """Write a result, change the HDF5 inside, and seal it again."""
    path = store.path(KEY)
    store.write(KEY, RESULT, RECORD)
    path.write_bytes(path.read_bytes()[: -len(b"tmi-sha256:") - 32])
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def replace(file: h5py.File, name: str, **data: object) -> None:
    del file[name]
    file.create_dataset(name, **data)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: replace(file, "header", data=np.void(pickle.dumps(Bomb()))),
        lambda file: replace(file, "logits", data=np.void(pickle.dumps(Bomb()))),
        lambda file: replace(file, "logits", data=np.zeros(3, [("a", int), ("b", float)])),
        lambda file: replace(file, "logits", shape=(2,), dtype=h5py.ref_dtype),
        lambda file: replace(file, "logits", shape=(2,), dtype=h5py.vlen_dtype(np.int32)),
        lambda file: replace(file, "header", data="{"),
        lambda file: replace(file, "header", data="[1]"),
        lambda file: replace(file, "header", data="{}"),
        lambda file: replace(file, "header", data='{"version": "x"}'),
        lambda file: replace(file, "metrics", data=[1.0, 2.0, 3.0]),
        lambda file: replace(file, "metrics", data=[1.0, np.nan]),
        lambda file: file.__delitem__("logits"),
        lambda file: file.__delitem__("class"),
    ],
)
def test_a_file_of_another_making_is_refused(store, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poisoned(store, change)
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.load(KEY) is None
    assert not (tmp_path / "exploded").exists()


def test_external_links_are_not_followed(store, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["logits"] = np.zeros((3, 2))

    def link(file):
        del file["logits"]
        file["logits"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/logits")

    poisoned(store, link)
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.load(KEY) is None


@pytest.mark.parametrize("key", ["", "a", "../" * 21 + "x", "A" * 64, "../../" + "a" * 58, "/" * 64, KEY + "\n", "g" * 64])
def test_a_key_is_no_path(store, key):
    for use in (store.path, store.read, store.load, store.__contains__, lambda k: store.write(k, RESULT, {})):
        with pytest.raises(StoreError, match="expected 64 hexadecimal digits"):
            use(key)


# The folder.


def test_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    assert Store().folder == Path("tmi-store")
    monkeypatch.setenv("TMI_STORE", "elsewhere")
    assert Store().folder == Path("elsewhere")
    assert Store("here").folder == Path("here")
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


def test_left_behind_files_are_swept_and_living_ones_are_not(store):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    results = store.folder / "results"
    living = results / files.temporary_name("living")
    dead = results / files.temporary_name("dead").replace(f".{os.getpid()}.", f".{ended.pid}.")
    away, old = (results / f".{name}.another-host.{ended.pid}.abcdef01.tmp" for name in ("away", "old"))
    for path in (living, dead, away, old):
        path.write_text("half a file")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    store.prepare()
    assert [path.exists() for path in (living, dead, away, old)] == [True, False, True, False]


def test_hosts_with_dots(store, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node7.cluster.example.org")
    path = store.folder / "results" / files.temporary_name("mine")
    path.write_text("half a file")
    store.prepare()
    assert path.exists()


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


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EIO])
def test_no_space_leaves_what_was_there(kept, monkeypatch, code):
    def refuse(*_arguments):
        raise OSError(code, os.strerror(code))

    for owner, name in ((Path, "replace"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(StoreError, match=rf"cannot keep a result \({os.strerror(code)}\)"):
                kept.write(KEY, ProbeResult({"new": 1}), {})
    same(RESULT, kept.load(KEY))
    assert list(kept.folder.rglob("*.tmp")) == []


def test_a_file_that_cannot_be_read_is_not_damaged(kept, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError, match=r"cannot read .*Permission denied"):
        kept.read(KEY)
    monkeypatch.undo()
    assert kept.read(KEY) is not None


FULL = """
import resource, tmi
import numpy as np
store = tmi.Store("store")
store.prepare()
data = np.random.default_rng(0).random(3000)
for limit in (0, 10, 100, 1000, 4000, 8000, 20000, 10**6):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        store.write("a" * 64, tmi.ProbeResult({"a": 1}, {"x": ("i", data)}), {})
    except tmi.StoreError as error:
        assert str(error) == "store store: cannot keep a result (File too large)", error
        assert store.load("a" * 64) is None
        assert limit < 10**6
assert store.load("a" * 64).metrics == {"a": 1}
"""


def test_where_the_disk_ends_the_process_lives(tmp_path):
    """HDF5 writing to a full disk may crash the process; the store does not let it."""
    done = toys.python("-c", FULL, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize(
    "result",
    [
        ProbeResult({}, {"words": ("x", ["a\0b", "c"])}),
        ProbeResult({}, {"words": ("x", ["\udc80", "c"])}),
    ],
)
def test_words_that_hdf5_does_not_have(kept, result):
    with pytest.raises(tmi.InputError, match="the result cannot be kept"):
        kept.write(KEY, result, {})
    same(RESULT, kept.load(KEY))


@pytest.mark.parametrize(
    "given", [({"a\0b": 1},), ({}, {"a\0b": ("x", [1])}), ({}, {"a": ("a\0b", [1])}), ({}, {"a": ("x", [1])}, {"x\0": [1]})]
)
def test_names_that_hdf5_would_cut(given):
    with pytest.raises(tmi.InputError, match="cannot be stored"):
        ProbeResult(*given)


def test_interrupted_while_writing(kept, monkeypatch):
    def interrupt(_file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kept.write(OTHER, RESULT, {})
    assert OTHER not in kept
    assert list(kept.folder.rglob("*.tmp")) == []


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": object()}, {"x": "\udc80"}])
def test_a_record_that_is_not_json(kept, record):
    with pytest.raises(tmi.InputError, match="the result cannot be kept"):
        kept.write(KEY, ProbeResult({"new": 1}), record)
    same(RESULT, kept.load(KEY))
    assert list(kept.folder.rglob("*.tmp")) == []


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


def test_xarray_opens_a_file(kept):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(kept.path(KEY), engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["logits"], RESULT.arrays["logits"].values)
        assert opened["logits"].dims == ("image", "class")
        assert list(opened["class"].values) == ["weiß", "黒"]
        assert opened["right"].dtype == bool
        assert opened["right"].values.tolist() == [True, False, True]
        assert dict(zip(opened["metric"].values, opened["metrics"].values, strict=True)) == RESULT.metrics
    same(RESULT, kept.load(KEY))


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
    assert len([c for c in calls if c.startswith("probe")]) <= grown[-1] + killed, "only the cell at hand is lost"
