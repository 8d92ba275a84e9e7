from __future__ import annotations

import shutil

import pytest

import tmi
from tests.tmi import toys
from tmi import Store
from tmi.plugins.registry import with_files


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A folder with the toys, a suite of three seeds and one failing probe, and the store of its run."""
    folder = tmp_path_factory.mktemp("run")
    toys.plugin(folder)
    toys.suite(folder, toys.BASE + '[probes.bad]\nuse = "bad-probe"\n', head='plugins = ["toys.py"]\nseeds = [0, 1, 2]')
    results = tmi.run(folder / "suite.toml", folder / "store")
    assert (len(results), len(results.failed)) == (6, 3)
    return folder


@pytest.fixture
def registry(run_folder):
    return with_files(run_folder / "toys.py")


@pytest.fixture
def store(run_folder, tmp_path):
    """A copy of that store; the files keep their times."""
    shutil.copytree(run_folder / "store", tmp_path / "store")
    return Store(tmp_path / "store")
