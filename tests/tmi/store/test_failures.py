"""Why cells failed when they were last tried."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from tests.tmi.store.helpers import KEY, OTHER
from tmi.errors import StoreError
from tmi.store.failures import Failure, Failures

FAILURE = Failure("d/n/p seed 0", "it is broken", "Traceback …", True, "a run", "2026-01-01T00:00:00+00:00")


@pytest.fixture
def failures(tmp_path):
    return Failures(tmp_path / "failures")


def test_a_failure_comes_back(failures):
    assert failures.read(KEY) is None
    assert failures.keys() == set()
    failures.write(KEY, FAILURE)
    assert failures.read(KEY) == FAILURE
    assert failures.keys() == {KEY}
    failures.write(KEY, dataclasses.replace(FAILURE, message="another"))
    assert failures.read(KEY).message == "another"
    failures.clear(KEY)
    failures.clear(OTHER)
    assert failures.read(KEY) is None
    assert failures.keys() == set()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"cell": "a"}',
        '{"cell": "a", "message": 3}',
        '{"cell": "a", "message": "b", "mistake": "no"}',
        '{"cell": "a", "message": "b", "more": "c"}',
        json.dumps({**dataclasses.asdict(FAILURE), "traceback": None}),
    ],
)
def test_what_is_no_failure_is_none(failures, content):
    failures.write(KEY, FAILURE)
    failures._path(KEY).write_text(content)
    assert failures.read(KEY) is None


def test_a_full_disk_costs_only_the_reason(failures, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", refuse)
    failures.write(KEY, FAILURE)
    assert failures.read(KEY) is None


def test_a_key_is_no_path(failures):
    for use in (failures.read, failures.clear, lambda key: failures.write(key, FAILURE)):
        with pytest.raises(StoreError, match="expected 64 hexadecimal digits"):
            use("../../x")


def test_other_files_are_no_keys(failures):
    failures.write(KEY, FAILURE)
    (failures._path(KEY).parent / "notes.json").write_text("{}")
    assert failures.keys() == {KEY}
