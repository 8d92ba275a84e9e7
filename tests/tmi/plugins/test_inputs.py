from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

import tmi
from tests.tmi import readers
from tmi import InputError
from tmi.errors import MissingPathError
from tmi.plugins.inputs import with_absolute_paths
from tmi.plugins.registry import with_files


def function(*, one: Path | None, many: list[Path], either: str | Path | Literal["auto"] = "auto", other: str = "x"): ...


def test_paths_are_absolute_and_other_settings_are_as_they_were(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "~b").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    values = {"one": "a", "many": ["~/a", Path("a/../a"), tmp_path / "a"], "either": "auto", "other": "a"}
    expected = {
        "one": tmp_path / "a",
        "many": [tmp_path / "a", tmp_path / "a/../a", tmp_path / "a"],
        "either": "auto",
        "other": "a",
    }
    assert with_absolute_paths(function, values, tmp_path) == expected
    monkeypatch.chdir(tmp_path)
    assert with_absolute_paths(function, values) == expected
    assert with_absolute_paths(function, {"either": "a", "one": None}) == {"either": tmp_path / "a", "one": None}


@pytest.mark.parametrize("path", ["nosuch", "file/below", "~/nosuch"])
def test_a_missing_path(tmp_path, path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(MissingPathError, match=rf"^many: there is no file or folder {tmp_path}/{path.removeprefix('~/')}$"):
        with_absolute_paths(function, {"many": [path]}, tmp_path)
    assert with_absolute_paths(function, {"many": [path]}, tmp_path, must_exist=False)


def test_by_hand_paths_start_from_the_working_folder_of_that_moment(tmp_path, monkeypatch):
    registry = with_files(readers.plugin(tmp_path, "open", "Path"))
    for name in ("1", "2"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "input").write_text(name)
        monkeypatch.chdir(folder)
        data = registry.generate("a-dataset", file="input")
        network = registry.build("a-network", data, file=Path("input"))
        result = registry.probe("a-probe", network, data, file="input", method="a-method(file='input')")
        assert result.metrics == dict.fromkeys(("dataset", "network", "probe", "method"), float(name)) | {"measure": -1}
        assert data.params == network.params == {"file": str(folder / "input")}, "JSON"
    for call in (
        lambda: registry.generate("a-dataset", file="nosuch"),
        lambda: registry.build("a-network", data, file="nosuch"),
        lambda: registry.probe("a-probe", network, data, file="nosuch"),
        lambda: registry.probe("a-probe", network, data, method="a-method(file='nosuch')"),
    ):
        with pytest.raises(InputError, match=rf"a-.*: file: there is no file or folder {folder}/nosuch"):
            call()


def test_paths_are_shown_as_they_were_given(tmp_path):
    text = (
        readers.plugin(tmp_path, "open", "Path").read_text().replace("file: Path | None = None", 'file: Path = Path("input")', 1)
    )
    (tmp_path / "reading.py").write_text(text)
    assert 'file: path, default "input"' in with_files(tmp_path / "reading.py").describe("dataset", "a-dataset")
    assert "file: path | none" in with_files(tmp_path / "reading.py").describe("method", "a-method")
    (tmp_path / "input").write_text("3")
    suite = tmp_path / "reading.toml"
    suite.write_text(
        'plugins = ["reading.py"]\n[datasets.d]\nuse = "a-dataset"\n'
        '[networks.n]\nuse = "a-network"\nsweep.file = ["input", "reading.toml"]\n'
        '[probes.p]\nuse = "a-probe"\nmeasure = "a-measure(file=\'input\')"\n'
        '[[only]]\nfile = "input"\n'
    )
    (entry,) = tmi.run(suite, store=tmp_path / "store")
    assert str(entry) == "d/n[file=input]/p seed 0"
    assert entry.swept == {"file": "input"}
    assert entry.record["dataset"]["params"] == entry.record["network"]["params"] == {"file": "input"}
    assert entry.record["folder"] == str(tmp_path)
    assert entry.record["probe"]["uses"][1]["params"] == {"file": str(tmp_path / "input")}
