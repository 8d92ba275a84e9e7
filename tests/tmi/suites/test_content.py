from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi.errors import MissingPathError
from tmi.suites import content
from tmi.suites.content import content_of

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=3).filter(
    lambda n: n not in (".", "..")
)
TREES = st.recursive(st.binary(max_size=3), lambda below: st.dictionaries(NAMES, below, max_size=3), max_leaves=6)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(content, "_cache_folder", lambda: folder)
    monkeypatch.setattr(content._Kept, "_in_process", {})
    return folder


def make(path, tree):
    if isinstance(tree, bytes):
        path.write_bytes(tree)
    else:
        path.mkdir()
        for name, below in tree.items():
            make(path / name, below)


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, min_size=2, max_size=2))
def test_equal_trees_have_equal_digests_and_others_have_not(tmp_path_factory, trees):
    folder = tmp_path_factory.mktemp("trees")
    digests = []
    for number, tree in enumerate(trees):
        make(folder / str(number), tree)
        digests.append(content_of(folder / str(number)))
    assert (digests[0] == digests[1]) == (trees[0] == trees[1])


def test_any_bytes_in_a_name(tmp_path):
    (tmp_path / os.fsdecode(b"\xff\n")).write_text("1")
    first = content_of(tmp_path)
    (tmp_path / os.fsdecode(b"\xff\n")).rename(tmp_path / os.fsdecode(b"\xfe\n"))
    assert content_of(tmp_path) != first


def test_the_target_of_a_link_counts(tmp_path):
    (tmp_path / "target").write_text("1")
    (tmp_path / "folder").mkdir()
    link, inside = tmp_path / "link", tmp_path / "folder" / "link"
    link.symlink_to("target")
    inside.symlink_to("../target")
    assert content_of(link) == content_of(tmp_path / "target")
    before = content_of(tmp_path / "folder")
    (tmp_path / "target").write_text("2")
    assert content_of(link) == content_of(tmp_path / "target")
    assert content_of(tmp_path / "folder") != before


def test_links_to_nothing_and_to_a_folder_above_and_pipes(tmp_path):
    (tmp_path / "nothing").symlink_to("nosuch")
    (tmp_path / "above").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert content_of(tmp_path) == content_of(tmp_path)
    with pytest.raises(MissingPathError, match="pipe is neither a file nor a folder"):
        content_of(tmp_path / "pipe")
    with pytest.raises(MissingPathError, match=r"there is no file or folder .*nosuch"):
        content_of(tmp_path / "nosuch")


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "file").touch()
    monkeypatch.setattr(content, "_digest_of", refused)
    with pytest.raises(MissingPathError, match=r"file cannot be read \(Permission denied\)"):
        content_of(tmp_path / "file")


def test_a_change_that_leaves_size_and_times_is_seen(tmp_path):
    file = tmp_path / "file"
    file.write_text("1")
    os.utime(file, ns=(0, 0))
    first = content_of(file)
    file.write_text("2")
    os.utime(file, ns=(0, 0))
    assert content_of(file) != first


@pytest.mark.parametrize("worth", [(1, 1), (10**9, 10**9)])
def test_what_is_old_is_read_once(tmp_path, monkeypatch, cache, worth):
    monkeypatch.setattr(content, "_WORTH_KEEPING", worth)
    monkeypatch.setattr(content, "_RECENT", 10**8)
    calls = []
    digest_of = content._digest_of
    monkeypatch.setattr(content, "_digest_of", lambda file: calls.append(file.name) or digest_of(file))
    (tmp_path / "file").write_text("1")
    recent = content_of(tmp_path)
    assert recent == content_of(tmp_path)
    assert calls == ["file"] * 2, "it may change within the resolution of the clock"
    time.sleep(0.15)
    assert recent == content_of(tmp_path) == content_of(tmp_path)
    assert calls == ["file"] * 3
    content._Kept._in_process.clear()  # as in another process
    assert content_of(tmp_path) == recent
    assert calls == ["file"] * (3 if worth == (1, 1) else 4)
    for damaged in ("", "[]", '["a", "b"]', "{"):
        for kept in cache.iterdir():
            kept.write_text(damaged)
        content._Kept._in_process.clear()
        assert content_of(tmp_path) == recent
    (tmp_path / "file").write_text("2")
    assert content_of(tmp_path) != recent
