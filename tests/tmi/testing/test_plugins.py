from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.tmi import readers, toys
from tmi import PluginError
from tmi.plugins import host
from tmi.plugins.component import Plugin
from tmi.testing import check_plugin, imports

HEAD = "import tmi\n\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'p': 'STEM:p'}\n\n\n"
FINE = """
def p(network, data, *, x: int = 1) -> tmi.ProbeResult:
    'Fine.'
    return tmi.ProbeResult({'a': 1})
"""


@pytest.fixture(autouse=True)
def _no_process(monkeypatch):
    """Start no process for what modules import; test_imports does."""
    monkeypatch.setattr(imports, "_imported", lambda *_: {})


def check(folder, text, name="checked"):
    found = check_plugin(toys.plugin(folder, name, text))
    assert bool(found) == (not found.problems)
    return list(found.problems), list(found.names)


def test_a_good_plugin(tmp_path):
    assert check(tmp_path, HEAD + FINE) == ([], ["probe p"])
    found = check_plugin(toys.plugin(tmp_path))
    assert found
    assert len(found.names) == 6
    failing = [
        f"{kind}: not tried: ValueError: the toy is broken: raise"
        for kind in ("dataset bad-data", "network bad-net", "probe bad-probe")
    ]
    assert list(found.remarks) == failing
    strict = check_plugin(toys.plugin(tmp_path), must_run=True)
    assert not strict
    assert list(strict.problems) == [text.replace("not tried", "fails") for text in failing]
    assert repr(strict).splitlines()[0].startswith("plug-in toys: 3 problems, registers dataset bad-data, dataset toy-data, ")
    assert repr(strict).splitlines()[1:] == [f"  {text}" for text in strict.problems]


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


@pytest.mark.parametrize("hook", readers.HOOKS)
@pytest.mark.parametrize("kind", ["str", "Path"])
def test_what_each_function_reads_is_found(tmp_path, hook, kind):
    file = readers.plugin(tmp_path, "open", kind)
    (tmp_path / "input").write_text("3")
    text, default = file.read_text(), f"{str(tmp_path / 'input')!r}"
    function = text.index(f"def {hook}(")
    default = f"Path({default})" if kind == "Path" else default
    file.write_text(text[:function] + text[function:].replace("| None = None", f"= {default}", 1))
    checked = check_plugin(file)
    assert len(checked.names) == 5
    found = f"{hook} a-{hook}: opens {tmp_path}/input; its key does not cover that, so what it computes is not"
    problems = [problem for problem in checked.problems if "opens" in problem]  # the numbers of these toys have no good shape
    assert [problem.startswith(found) for problem in problems] == ([True] if kind == "str" else [])


def test_what_a_function_reads_before_it_fails_on_the_tiny_data_is_found(tmp_path):
    (tmp_path / "input").write_text("3")
    body = f"    open({str(tmp_path / 'input')!r}).read()\n    raise SystemExit\n"
    (problem,), _ = check(tmp_path, HEAD + FINE.replace("    return tmi.ProbeResult({'a': 1})\n", body), "failing")
    assert problem.startswith(f"probe p: opens {tmp_path}/input")


def test_the_own_data_sets_and_networks_are_tried_too(tmp_path):
    (tmp_path / "input").write_text("3")
    text = toys.TOYS.replace(
        'called(f"probe {network.seed} {scale}")', f"network.params['width']; open({str(tmp_path / 'input')!r})"
    )
    problems, _ = check(tmp_path, text, "own")
    assert [problem.startswith("probe toy-probe: opens") for problem in problems] == [True]


# An installed package, as importlib.metadata and the import system would give it.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one probe, installed from a folder."""
    (tmp_path / "tmi_pack.py").write_text(HEAD.replace("STEM", "tmi_pack") + FINE)
    (tmp_path / "pyproject.toml").write_text("[project.entry-points.tmi]\ntmi_pack = 'tmi_pack'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def install(file=tmp_path / "tmi_pack.py"):
        module = toys_module(file)
        installed = host.PluginHost.load_installed
        monkeypatch.setattr(
            host.PluginHost,
            "load_installed",
            lambda self: (installed(self), self.add(Plugin("tmi_pack", "tmi-pack 1.0", module))),
        )
        return tmp_path

    yield install
    sys.modules.pop("tmi_pack", None)


def toys_module(file):
    spec = importlib.util.spec_from_file_location("tmi_pack", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tmi_pack"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("named", ["tmi_pack", "tmi-pack", "Tmi_Pack", "tmi_pack.py", "."])
def test_a_package_is_checked_by_its_name_its_file_or_its_folder(package, named):
    package()
    found = check_plugin(named)
    assert found, found
    assert found.names == ("probe p",)


def test_a_package_that_is_not_installed(package, tmp_path):
    with pytest.raises(PluginError, match=r"its package is not installed; pip install -e \."):
        check_plugin(".")
    with pytest.raises(PluginError, match="'tmi_pacc': no installed package has it"):
        check_plugin("tmi_pacc")
    assert check_plugin("tmi_pack.py")  # as a file


def test_a_package_that_is_installed_from_elsewhere(package, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "pyproject.toml"
    copy.write_text((tmp_path / "pyproject.toml").read_text())
    package()
    with pytest.raises(PluginError, match=r"installed from elsewhere \(.*tmi_pack.py\)"):
        check_plugin(tmp_path / "elsewhere")
    copy.write_text("[project]\n")
    with pytest.raises(PluginError, match="expected one entry point in the group tmi, but it has none"):
        check_plugin(tmp_path / "elsewhere")
    copy.unlink()
    with pytest.raises(PluginError, match=r"elsewhere: is no package, which has a file pyproject\.toml$"):
        check_plugin(tmp_path / "elsewhere")


def test_several_plug_ins_in_one_package():
    with pytest.raises(PluginError, match="package tmi-interp has several plug-ins; name one of tmi_attribution, tmi_datasets"):
        check_plugin("tmi-interp")


def test_a_name_that_an_installed_package_has_is_refused(package, tmp_path):
    package()
    (problem,), names = check(tmp_path, HEAD + FINE, "other")
    assert "the name is taken by plug-in tmi_pack [tmi-pack 1.0]" in problem
    assert names == []
