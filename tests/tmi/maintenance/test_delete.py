from __future__ import annotations

import os

import pytest

from tests.tmi.maintenance.helpers import paths, store_file
from tmi.maintenance.delete import delete


def test_a_file_that_was_replaced_meanwhile_stays(store):
    path = paths(store, "probe")[0]
    file = store_file(store, "probe", path.stem)
    os.utime(path, ns=(1, file.mtime_ns + 1))
    assert not delete(store.folder, file.path, file.stamp)
    assert path.exists()
    path.unlink()
    assert not delete(store.folder, file.path, file.stamp)


def test_a_folder_that_became_a_link_meanwhile(store, tmp_path):
    path = paths(store, "probe")[0]
    file = store_file(store, "probe", path.stem)
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        delete(store.folder, file.path, file.stamp)
    assert (tmp_path / "elsewhere" / path.name).exists()
