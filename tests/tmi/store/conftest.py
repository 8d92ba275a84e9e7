"""Stores to test with."""

from __future__ import annotations

import pytest

from tests.tmi.store.helpers import KEY, RECORD, RESULT
from tmi import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    made.prepare()
    return made


@pytest.fixture
def kept(store):
    store.write(KEY, RESULT, RECORD)
    return store
