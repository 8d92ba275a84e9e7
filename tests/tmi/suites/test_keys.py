from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tmi.test_hashing import JSON
from tmi.hashing import canonical
from tmi.suites import keys

DATASET = {"name": "fashion", "code": "c0de", "params": {"k": 1}, "seed": 0, "outside": None}
NETWORK = DATASET | {"dataset": "d"}
RESULT = NETWORK | {"network": "n"}
CHANGES = {
    "name": "digits",
    "code": "c0df",
    "params": {"k": 1.0},
    "seed": 1,
    "outside": {"sha256": "0"},
    "dataset": "e",
    "network": "m",
}


@pytest.mark.parametrize(("key", "given_"), [(keys.dataset_key, DATASET), (keys.network_key, NETWORK), (keys.result_key, RESULT)])
def test_a_key_changes_with_each_ingredient(key, given_):
    found = {key(**given_), *(key(**(given_ | {name: CHANGES[name]})) for name in given_)}
    assert len(found) == 1 + len(given_)
    assert key(**given_) == key(**given_)
    assert all(len(k) == 64 for k in found)


def test_a_key_changes_with_core_versions_and_format(monkeypatch):
    before = keys.dataset_key(**DATASET)
    for name, value in (("core_fingerprint", lambda: "x"), ("versions", lambda: {"torch": "3"}), ("FORMAT", -1)):
        with monkeypatch.context() as patched:
            patched.setattr(keys, name, value)
            assert keys.dataset_key(**DATASET) != before
    assert keys.dataset_key(**DATASET) == before


def test_kinds_do_not_share_keys():
    same = {"name": "a", "code": "b", "params": {}, "seed": 0}
    assert (
        len({keys.dataset_key(**same), keys.network_key(**same, dataset=""), keys.result_key(**same, dataset="", network="")})
        == 3
    )


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_different_settings_different_keys(one, other):
    same = canonical(one) == canonical(other)
    assert (keys.dataset_key("a", "b", one, 0) == keys.dataset_key("a", "b", other, 0)) == same
