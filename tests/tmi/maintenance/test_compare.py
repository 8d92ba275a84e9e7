from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmi.maintenance.compare import compare
from tmi.probing.result import LabelledArray


@given(hnp.arrays(np.float64, 4, elements=st.floats(-1e6, 1e6)), st.integers(0, 3), st.floats(-1e-3, 1e-3))
def test_arrays(values, at, by):
    other = values.copy()
    other[at] += by
    likeness, text = compare(labelled(values), labelled(other))
    scale = max(max(abs(v) for v in values), max(abs(v) for v in other))
    most = max(abs(a - b) for a, b in zip(values.tolist(), other.tolist(), strict=True))
    wanted = "equal" if values.tobytes() == other.tobytes() else "close" if most <= 1e-5 * scale else "different"
    assert likeness == wanted
    assert bool(text) == (likeness != "equal" and most > 0)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_each_metric_by_itself(a, b):
    likeness, _ = compare(metrics(1e9, a), metrics(1e9, b))
    near = abs(a - b) <= 1e-5 * max(abs(a), abs(b), 1e-12)
    assert likeness == ("equal" if np.float64(a).tobytes() == np.float64(b).tobytes() else "close" if near else "different")


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array(["a"]), np.array(["b"])),
        (np.array([True]), np.array([False])),
        (np.zeros(2), np.zeros(3)),
        (np.array([np.nan, 1]), np.array([1, np.nan])),
        (np.array([np.inf]), np.array([-np.inf])),
        (np.array([np.nan]), np.array([np.inf])),
    ],
)
def test_different(stored, computed):
    likeness, text = compare(labelled(stored), labelled(computed))
    assert likeness == "different"
    assert text


@pytest.mark.parametrize("values", [np.array([np.nan, np.inf]), np.zeros(0), np.zeros((2, 0)), np.array(["a", "bc"])])
def test_equal(values):
    assert compare(labelled(values), labelled(values.copy())) == ("equal", "")


def test_names():
    assert compare(labelled(np.zeros(1)), {}) == ("different", "'x' is only stored")
    assert compare({}, labelled(np.zeros(1))) == ("different", "'x' is only computed")


def labelled(values: np.ndarray) -> dict[str, LabelledArray]:
    return {"x": LabelledArray(tuple(f"d{i}" for i in range(values.ndim)), values)}


def metrics(*values: float) -> dict[str, LabelledArray]:
    names = [f"m{i}" for i in range(len(values))]
    return {"metric": LabelledArray(("metric",), np.array(names)), "metrics": LabelledArray(("metric",), np.array(values))}
