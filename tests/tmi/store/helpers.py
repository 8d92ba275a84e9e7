"""A result, and ways to compare and to falsify its file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tmi import MetricInfo, ProbeResult, Store

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


def small(store: Store) -> bytes:
    store.write(KEY, ProbeResult({"a": 1.0}), {})
    return store.path(KEY).read_bytes()


def poisoned(store: Store, change) -> None:
    """Write a result, change the HDF5 inside, and seal it again."""
    path = store.path(KEY)
    store.write(KEY, RESULT, RECORD)
    path.write_bytes(path.read_bytes()[: -len(b"tmi-sha256:") - 32])
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path)
