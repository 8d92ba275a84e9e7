from __future__ import annotations

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.report.pages import Page
from tmi.plugins.registry import with_files
from tmi.report.reproduce import _ranges, reproduce
from tmi.runs.runner import load_results


def text(results):
    return Page(reproduce(results).html).text


def test_a_file_is_named_by_its_path(ran, monkeypatch):
    monkeypatch.chdir(ran[1])
    said = text(ran[0])
    assert "tmi run suite.toml --store store --report report" in said, "the suite names its plug-in files itself"
    assert f"pip install tmi-interp=={tmi.__version__}" not in said, "what is computed with is a file"
    assert tmi.__version__ in said
    assert "seeds0, 1" in said
    assert "version of torch" in said


def test_a_registered_suite_is_named(tmp_path):
    toys.plugin(tmp_path)
    toys.plugin(tmp_path, "more", "import tmi\n\n@tmi.hookimpl\ndef tmi_suites():\n    return {'mine': 'more:suite.toml'}\n")
    toys.suite(tmp_path, toys.BASE, head='name = "mine"')
    registry = with_files([tmp_path / "toys.py", tmp_path / "more.py"])
    said = text(load_results("mine", tmp_path / "store", registry=registry))
    assert f"tmi run mine --store {tmp_path / 'store'} --plugin" in said


def test_a_suite_from_python_has_no_file(tmp_path):
    suite = {"datasets": {"d": {"use": "squares"}}, "networks": {"n": {"use": "theorem1"}}, "probes": {"p": {"use": "accuracy"}}}
    said = text(load_results(suite, tmp_path))
    assert "The suite came from Python and has no file" in said
    assert "tmi run SUITE.toml" in said


def test_other_plug_in_files_are_named(tmp_path, monkeypatch):
    toys.plugin(tmp_path)
    toys.plugin(tmp_path, "more", "import tmi\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {}\n")
    file = toys.suite(tmp_path, toys.BASE, head='plugins = ["toys.py"]')
    monkeypatch.chdir(tmp_path)
    assert " --plugin more.py --report" in text(load_results(file, "store", registry=with_files("more.py")))


@pytest.mark.parametrize(
    ("numbers", "written"), [([], ""), ([3], "3"), ([0, 1], "0, 1"), ([0, 1, 2, 4, 7, 8, 9], "0 to 2, 4, 7 to 9")]
)
def test_seeds_are_ranges(numbers, written):
    assert _ranges(numbers) == written
