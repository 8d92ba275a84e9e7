from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi.hashing import canonical, digest

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_reads_back(value):
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_order_of_keys_does_not_matter(value):
    assert digest(value) == digest(dict(reversed(value.items())))


def test_types_are_told_apart():
    assert len({digest(value) for value in (1, 1.0, True, "1", [1], None, 0, False, "", [], {})}) == 11
    assert digest((1, 2)) == digest([1, 2])


def test_what_is_not_json():
    for value in (float("nan"), float("inf"), [float("-inf")]):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical(value)
    for value in (object(), {1, 2}, 1j, b"", {"a": object()}, {(1, 2): 3}):
        with pytest.raises(TypeError):
            canonical(value)
