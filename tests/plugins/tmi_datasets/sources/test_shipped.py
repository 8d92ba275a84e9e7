from pathlib import Path

import tmi_datasets.sources.shipped as module
from tmi_datasets.sources.shipped import shipped


def test_installed_package_carries_its_data(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "tmi_datasets" / "sources" / "shipped.py"))
    (tmp_path / "tmi_datasets" / "data").mkdir(parents=True)
    assert shipped("x") == tmp_path / "tmi_datasets" / "data" / "x"


def test_checkout_has_it_beside_the_plugins(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "plugins" / "tmi_datasets" / "sources" / "shipped.py"))
    assert shipped("x") == tmp_path / "datasets" / "x"


def test_the_data_comes_with_its_licence_and_source():
    folder = shipped("fashion-mnist")
    assert {"LICENSE", "README.md", "SHA256SUMS", "make_sample.py"} <= {file.name for file in Path(folder).iterdir()}
