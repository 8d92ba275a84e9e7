import hashlib
from pathlib import Path

import pytest

import tmi_datasets.sources.shipped as module
from tmi_datasets.sources.shipped import shipped


def test_installed_package_carries_its_data(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "tmi_datasets" / "sources" / "shipped.py"))
    (tmp_path / "tmi_datasets" / "data").mkdir(parents=True)
    assert shipped("x") == tmp_path / "tmi_datasets" / "data" / "x"


def test_checkout_has_it_beside_the_plugins(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "plugins" / "tmi_datasets" / "sources" / "shipped.py"))
    assert shipped("x") == tmp_path / "datasets" / "x"


@pytest.mark.parametrize(("name", "script"), [("fashion-mnist", "make_sample.py"), ("cutouts", "make_cutouts.py")])
def test_the_data_comes_with_its_licence_and_source(name, script):
    folder = Path(shipped(name))
    assert {"LICENSE", "README.md", "SHA256SUMS", script} <= {file.name for file in folder.iterdir()}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split()
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest


def test_the_cutouts_are_small():
    assert sum(file.stat().st_size for file in shipped("cutouts").rglob("*.png")) < 60_000
