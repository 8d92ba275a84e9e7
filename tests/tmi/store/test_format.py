"""Every file names its layout and its key."""

from __future__ import annotations

import shutil

import pytest

from tests.tmi.store.helpers import KEY, OTHER, RECORD, RESULT
from tmi import DamagedFileError, StoreError
from tmi.store import format as layout


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


@pytest.mark.parametrize("key", ["", "a", "../" * 21 + "x", "A" * 64, "../../" + "a" * 58, "/" * 64, KEY + "\n", "g" * 64])
def test_a_key_is_no_path(store, key):
    for use in (store.path, store.read, store.load, store.__contains__, lambda k: store.write(k, RESULT, {})):
        with pytest.raises(StoreError, match="expected 64 hexadecimal digits"):
            use(key)
