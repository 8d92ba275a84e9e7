from __future__ import annotations

import json
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tmi.store.roundtrip import as_json, from_json, is_text, same_bits

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def typed(value):
    """The value with the type of each of its parts."""
    if isinstance(value, dict):
        return dict, {key: typed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [typed(part) for part in value]
    return type(value), repr(value)


@given(plain)
def test_what_is_written_comes_back(value):
    try:
        written = json.dumps(as_json(value), ensure_ascii=False).encode()
    except ValueError:  # lone surrogates, and what looks like a tuple's own form
        assert "tuple" in repr(value) or "\\ud" in repr(value)
        return
    assert typed(from_json(json.loads(written))) == typed(value)


class Words(str):
    pass


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "value: JSON has no nan"),
        ({"a": [1, float("-inf")]}, "value['a'][1]: JSON has no -inf"),
        ({1: "a"}, "value: key 1 is not text"),
        ({("a", 1): "a"}, "value: key ('a', 1) is not text"),
        ({Words("a"): "a"}, "value: key 'a' is not text"),
        ({"tuple": [1]}, "value: a dict whose only key is 'tuple' would come back as a tuple"),
        (np.float64(1), "value: JSON has no float64"),
        (np.int64(1), "value: JSON has no int64"),
        ({1, 2}, "value: JSON has no set"),
        (OrderedDict(a=1), "value: JSON has no OrderedDict"),
        (Words("a"), "value: JSON has no Words"),
        ("\udc80", "value: '\\udc80' is not Unicode text"),
        ({"\udc80": 1}, "value: key '\\udc80' is not text"),
        (b"a", "value: JSON has no bytes"),
        ([{"a": (3, {2})}], "value[0]['a'][1]: JSON has no set"),
    ],
    ids=repr,
)
def test_refuses_what_would_change(value, reason):
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        as_json(value)


def test_refuses_what_never_ends():
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="notes: is nested too deeply"):
        as_json(value, "notes")


def test_text():
    assert [is_text(word) for word in ("", "ü黒", "a\0b", "\udc80", 3, None)] == [True, True, False, False, False, False]


def test_bits():
    one = np.array([0.0, np.nan])
    assert same_bits(one, one.copy())
    assert same_bits(torch.from_numpy(one), one)
    assert not same_bits(one, np.array([-0.0, np.nan]))
    assert not same_bits(one, one.astype(np.float32))
    assert not same_bits(one, one[None])
