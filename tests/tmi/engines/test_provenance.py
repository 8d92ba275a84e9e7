from __future__ import annotations

import os
import subprocess

import pytest

import tmi
from tests.tmi import toys
from tmi.engines import provenance
from tmi.store.store import Store


def git(folder, *arguments):
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env={**os.environ, **names})


@pytest.fixture
def repository(tmp_path):
    provenance._git.cache_clear()
    git(tmp_path, "init")
    toys.plugin(tmp_path)
    git(tmp_path, "add", "toys.py")
    git(tmp_path, "commit", "-m", "toys")
    yield tmp_path
    provenance._git.cache_clear()


def test_the_revision_of_a_plugins_repository(repository):
    (entry,) = tmi.run(toys.suite(repository), repository / "store")
    revision = entry.record["git"]["toys"]
    assert len(revision) == 40
    assert provenance.git_revision(repository) == revision
    provenance._git.cache_clear()
    (repository / "toys.py").write_text((repository / "toys.py").read_text() + "# changed\n")
    assert provenance.git_revision(repository) == revision + "+"


def test_without_a_repository(tmp_path):
    assert provenance.git_revision(tmp_path) is None
    assert provenance.git_revision(tmp_path / "nosuch") is None


def test_an_installed_package_is_its_versions(repository):
    inside = repository / "site-packages" / "x"
    inside.mkdir(parents=True)
    assert provenance.git_revision(inside) is None


def test_without_git(repository, monkeypatch):
    provenance._git.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert provenance.git_revision(repository) is None


def test_every_file_says_how_it_was_made(tmp_path):
    toys.plugin(tmp_path)
    (entry,) = tmi.run(toys.suite(tmp_path, head='plugins = ["toys.py"]\nseeds = [7]'), tmp_path / "store", threads=1)
    store = Store(tmp_path / "store")
    result = entry.record
    _, dataset = store.load_dataset(result["keys"]["dataset"])
    _, network = store.load_network(result["keys"]["network"])
    assert result["network_origin"] == network["network_origin"] == "trained"
    assert "network_origin" not in dataset
    for record in (result, dataset, network):
        assert record["seed"] == 7
        assert record["threads"] == 1
        assert record["device"] == "cpu"
        assert record["versions"]["torch"]
        assert record["host"]
        assert record["platform"]
        assert record["dataset"] == {
            "name": "toy-data", "params": {"samples": 4}, "plugin": "toys", "origin": str(tmp_path / "toys.py"),
        }  # fmt: skip
    assert network["keys"] == {"dataset": result["keys"]["dataset"]}
    assert network["network"]["params"] == {"width": 1, "bias": False}
    assert dataset["data"] == {"source": "a toy"}
    assert result["seconds"]["dataset"] == dataset["seconds"]
    assert result["seconds"]["network"] == network["seconds"]


def test_the_threads_of_the_training_stay_with_its_results(tmp_path):
    """A probe that is applied with another number does not hide with how many its network was trained."""
    toys.plugin(tmp_path)
    for threads, scale in ((1, 1.0), (2, 2.0)):
        suite = toys.suite(tmp_path, toys.BASE.replace('"toy-probe"', f'"toy-probe"\nscale = {scale}'))
        (entry,) = tmi.run(suite, tmp_path / "store", threads=threads)
        assert (entry.record["threads"], entry.record["network_threads"]) == (threads, 1)


NAMING = """
import tmi
from tmi.params import Method


@tmi.hookimpl
def tmi_probes():
    return {"naming": "STEM:naming"}


@tmi.hookimpl
def tmi_attribution_methods():
    return {"steep": "STEM:steep"}


def naming(network, data, *, methods: list[Method] = ["steep", "steep(power=2)"], other: Method | None = None):
    return tmi.ProbeResult({"count": len(methods)})


def steep(module, images, targets, *, power: int = 1):
    return images
"""


def test_a_result_says_what_its_settings_name(tmp_path):
    toys.plugin(tmp_path)
    toys.plugin(tmp_path, "naming", NAMING)
    suite = toys.suite(tmp_path, toys.BASE + '[probes.q]\nuse = "naming"\n', head='plugins = ["toys.py", "naming.py"]')
    plain, named = tmi.run(suite, tmp_path / "store")
    origin = str(tmp_path / "naming.py")
    used = {"kind": "method", "name": "steep", "plugin": "naming", "origin": origin}
    assert named.record["probe"]["uses"] == [{**used, "params": {"power": 1}}, {**used, "params": {"power": 2}}]
    assert "uses" not in plain.record["probe"]
    assert "uses" not in named.record["network"]
