from __future__ import annotations

import pytest

from tests.tmi import toys
from tmi import PluginError
from tmi.testing import check_plugin

HEAD = "import tmi\n\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'p': 'STEM:p'}\n\n\n"
FINE = 'def p(network, data, *, x: int = 1) -> tmi.ProbeResult:\n    """Fine."""\n'


def check(folder, text, name="checked"):
    return check_plugin(toys.plugin(folder, name, text))


def test_a_good_plugin(tmp_path):
    assert check(tmp_path, HEAD + FINE) == ([], ["probe p"])
    problems, names = check_plugin(toys.plugin(tmp_path))
    assert problems == []
    assert len(names) == 6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD, "probe p: probe 'p' of plug-in checked: file checked.py has no 'p'"),
        (HEAD + "p = 3\n", "is not a function"),
        (HEAD + "def p(network, data):\n    pass\n", "probe p: has no docstring"),
        (HEAD + 'def p(network):\n    """x"""\n', r"takes network, data by position .* got \(network\)"),
        (HEAD + 'def p(network, data, x):\n    """x"""\n', r"got \(network, data, x\)"),
        (HEAD + 'def p(network, data, *args):\n    """x"""\n', r"got \(network, data, args\)"),
        (HEAD + 'def p(*, network, data):\n    """x"""\n', "needs an annotation"),
        (HEAD + 'def p(network, data, *, x):\n    """x"""\n', "parameter 'x' needs an annotation"),
        (HEAD + 'def p(network, data, *, x: int = "a"):\n    """x"""\n', "default .*x.* not .*of its.* type"),
        (HEAD + 'def p(network, data, *, x: "Nosuch" = 1):\n    """x"""\n', "annotation of a parameter cannot be resolved"),
        (HEAD.replace("tmi_probes", "tmi_probez") + FINE, "tmi_probez"),
        (HEAD.replace("@tmi.hookimpl\n", "") + FINE, "implements no hook"),
        (HEAD.replace("'STEM:p'", "'STEM'") + FINE, 'expected "module:function"'),
        (HEAD.replace("STEM:p", "nosuch.module:p") + FINE, "cannot import 'nosuch.module'"),
        (HEAD.replace("tmi_probes", "tmi_dataset_generators") + 'def p():\n    """x"""\n', "a data set must take seed"),
        (HEAD.replace("tmi_probes", "tmi_dataset_generators") + 'def p(seed):\n    """x"""\n', "takes nothing by position"),
        (HEAD.replace("tmi_probes", "tmi_network_builders") + 'def p():\n    """x"""\n', "takes data by position"),
        (HEAD.replace("tmi_probes", "tmi_reports") + 'def p():\n    """x"""\n', "takes results by position"),
        (HEAD.replace("tmi_probes", "tmi_suites"), "there is no file"),
        (HEAD.replace("tmi_probes", "tmi_suites").replace("STEM:p", "nosuch_package:s.toml"), "nosuch_package"),
    ],
)
def test_a_bad_plugin(tmp_path, text, problem):
    problems, _ = check(tmp_path, text)
    assert len(problems) == 1, problems
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(problems[0])


def test_everything_at_once(tmp_path):
    text = HEAD.replace("{'p': 'STEM:p'}", "{'p': 'STEM:p', 'q': 'STEM:q', 'r s': 'STEM:p'}") + "def p(a, *, b): ...\n"
    problems, names = check(tmp_path, text)
    assert len(problems) == 3
    assert names == ["probe p", "probe q"]


@pytest.mark.parametrize("text", ["1 / 0\n", "def f(:\n", "import nosuch\n", "raise SystemExit(3)\n", "\0"])
def test_a_file_that_cannot_be_imported(tmp_path, text):
    with pytest.raises(PluginError, match=r"plug-in file .*checked.py: cannot be imported"):
        check(tmp_path, text)


def test_no_file(tmp_path):
    with pytest.raises(PluginError, match="there is no such file"):
        check_plugin(tmp_path / "nosuch.py")


def test_a_suite_beside_the_file(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    assert check(tmp_path, HEAD.replace("tmi_probes", "tmi_suites").replace("STEM:p", "STEM:mine.toml")) == ([], ["suite p"])
