from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tmi.maintenance.helpers import edit, flip, paths, store_file
from tmi import DamagedFileError, StoreError
from tmi.maintenance import read
from tmi.maintenance.read import read_file, read_records
from tmi.store.store import FOLDERS


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_row_of_a_file_is_that_of_the_index(store, kind):
    for key in store.keys(kind):
        file = store_file(store, kind, key)
        content = read_file(file)
        (row,) = store.index.read(kind, {key: file.stamp}).values()
        assert content.row == row
        assert content.record["seed"] in (0, 1, 2)


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("other", FOLDERS)
def test_a_file_of_another_kind_or_key(store, kind, other):
    file = store_file(store, kind, next(iter(store.keys(kind))))
    if kind != other:
        with pytest.raises(DamagedFileError):
            read_file(replace(file, kind=other))
    with pytest.raises(DamagedFileError, match="of another key"):
        read_file(replace(file, key="0" * 64))


def test_a_file_of_a_newer_layout_is_not_damaged(store):
    path = paths(store, "probe")[0]
    edit(path, lambda header: header.update(version=2))
    with pytest.raises(StoreError, match="newer tmi") as error:
        read_file(store_file(store, "probe", path.stem))
    assert not isinstance(error.value, DamagedFileError)


def test_records_come_from_the_index_and_else_from_the_files(store, monkeypatch):
    files = [store_file(store, kind, path.stem) for kind in FOLDERS for path in paths(store, kind)]
    opened = []
    monkeypatch.setattr(read, "read_file", lambda file: opened.append(file) or read_file(file))
    indexed = list(read_records(store, files))
    assert ([file for file, _ in indexed], opened) == (files, [])
    store.index.clear()
    assert (list(read_records(store, files)), opened) == (indexed, files)


def test_the_record_of_a_damaged_file(store):
    path = paths(store, "network")[0]
    flip(path)
    assert list(read_records(store, [store_file(store, "network", path.stem)])) == [
        (store_file(store, "network", path.stem), None)
    ]
