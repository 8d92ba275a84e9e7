"""What HDF5 holds of a file, and what it may not do to the process that reads it."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

import tmi
from tests.tmi import toys
from tests.tmi.store.helpers import KEY, RESULT, poisoned, same, seal
from tmi import ProbeResult


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


def test_sealed_but_not_hdf5(store):
    path = store.path(KEY)
    path.parent.mkdir()
    path.write_bytes(b"not HDF5 at all")
    seal(path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.read(KEY) is None


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
        shown = RESULT.to_xarray()
        xarray.testing.assert_equal(opened.drop_vars("header"), shown)
        assert opened["metrics"].attrs == shown["metrics"].attrs != {}
        assert opened.attrs == {"format": "tmi result", **shown.attrs}
    same(RESULT, kept.load(KEY))
