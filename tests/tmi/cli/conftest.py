from __future__ import annotations

import pytest

from tests.tmi import toys


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMI_STORE", raising=False)
    toys.plugin(tmp_path)
    toys.suite(tmp_path)
    return tmp_path
