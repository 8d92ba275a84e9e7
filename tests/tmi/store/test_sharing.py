"""The permissions of everything that a store writes, and a colleague of the same group who continues."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import traceback
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tmi
from tests.tmi.store.helpers import KEY, OTHER, RECORD, RESULT
from tmi import Store
from tmi.maintenance.export import export, write_table
from tmi.maintenance.verify import verify
from tmi.store.failures import Failure

GROUP, ALICE, BOB = 54321, 54322, 54323
MADE = {"seconds": 1.0, "dataset": {"name": "d"}, "network": {"name": "n"}, "warnings": []}


def fill(folder: Path, data: tmi.Dataset, network: tmi.Network) -> None:
    """Write every kind of file that a store has, and an export beside it."""
    store = Store(folder / "store")
    store.prepare()
    for key in (KEY, OTHER):
        store.write(key, RESULT, RECORD)
    store.write_dataset(KEY, data, MADE)
    store.write_network(KEY, network, None, MADE)
    store.failures.write(KEY, Failure("a", "b"))
    store.flush()
    store.path(OTHER).write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.read(OTHER) is None
    export(store, folder / "export")
    write_table(store, folder / "table.csv")
    (folder / "store" / "failures" / "sub").mkdir(exist_ok=True)
    shutil.rmtree(folder / "store" / "failures" / "sub")


@pytest.fixture(scope="module")
def toys():
    data = tmi.generate("squares", seed=0, samples=4, test_samples=2)
    return data, tmi.build("theorem1", data)


@given(st.integers(0, 0o77), st.sampled_from([0o755, 0o775, 0o2755, 0o2775, 0o2770, 0o2777]))
@example(0o022, 0o2775)
@example(0o077, 0o2775)
@example(0o077, 0o755)
def test_modes(toys, umask, mode):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(mode)
    before = os.umask(umask)
    try:
        fill(folder, *toys)
        with Store(folder / "store").leases("r").hold(KEY):
            found = {path: path.lstat().st_mode for path in folder.rglob("*")}
    finally:
        os.umask(before)
        shutil.rmtree(folder)
    assert {path.name for path in found} >= {"index.sqlite", ".gitignore", "results.csv", "table.csv", KEY, f"{KEY}.json"}
    shared = mode & 0o2020 == 0o2020
    for path, own in found.items():
        if stat.S_ISDIR(own):
            inherited = mode & stat.S_ISGID
            expected = stat.S_IFDIR | (0o777 & ~umask) | inherited | (0o070 if shared else 0)
        else:
            expected = stat.S_IFREG | (0o666 & ~umask) | (0o060 if shared and path.name != "table.csv" else 0)
        assert own == expected, (path, oct(own), oct(expected))


def as_user(user: int, group: int, do) -> None:
    """Call a function in a process of another user, with the usual umask; its failure is one here."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setgid(group)
            os.setuid(user)
            os.umask(0o022)
            do()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
def test_a_colleague_of_the_same_group_continues(toys):
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, ALICE, GROUP)
    folder.chmod(0o2775)
    (folder / "plain").mkdir(mode=0o755)
    os.chown(folder / "plain", ALICE, GROUP)
    (folder / "plain").chmod(0o755)

    def continues() -> None:
        store = Store(folder / "store")
        store.prepare()
        assert store.read_all([KEY])[KEY].metrics["accuracy"] == 0.1
        assert store.load_dataset(KEY) is not None
        store.write(KEY, RESULT, RECORD)
        store.write(OTHER, RESULT, RECORD)
        store.flush()
        assert store.index.trouble == ""
        assert set(store.index.read("probe", {key: tmi.store.files.stamp(store.path(key)) for key in (KEY, OTHER)})) == {
            KEY,
            OTHER,
        }
        store.failures.write(KEY, Failure("a", "of Bob"))
        assert store.failures.read(KEY).message == "of Bob"
        store.failures.clear(KEY)
        with store.leases("other").hold(KEY):
            pass
        assert verify(store, registry=None, sample=0, repair=True).ok

    def reads() -> None:
        store = Store(folder / "plain" / "store")
        assert store.read_all([KEY])[KEY].metrics["accuracy"] == 0.1
        with pytest.raises(tmi.StoreError, match="cannot be written to"):
            store.prepare()

    try:
        for place in (folder, folder / "plain"):
            as_user(ALICE, GROUP, lambda place=place: fill(place, *toys))
        as_user(BOB, GROUP, continues)
        as_user(ALICE, GROUP, continues)
        as_user(BOB, GROUP, reads)
    finally:
        shutil.rmtree(folder)
