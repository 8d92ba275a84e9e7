"""A result comes back as it was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tests.tmi.store.helpers import KEY, OTHER, RECORD, RESULT, same
from tmi import ProbeResult, Store


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


@pytest.mark.parametrize(
    "given", [({"a\0b": 1},), ({}, {"a\0b": ("x", [1])}), ({}, {"a": ("a\0b", [1])}), ({}, {"a": ("x", [1])}, {"x\0": [1]})]
)
def test_names_that_hdf5_would_cut(given):
    with pytest.raises(tmi.InputError, match="cannot be stored"):
        ProbeResult(*given)


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": object()}, {"x": "\udc80"}])
def test_a_record_that_is_not_json(kept, record):
    with pytest.raises(tmi.InputError, match="the result cannot be kept"):
        kept.write(KEY, ProbeResult({"new": 1}), record)
    same(RESULT, kept.load(KEY))
    assert list(kept.folder.rglob("*.tmp")) == []
