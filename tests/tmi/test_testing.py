from __future__ import annotations

import pytest

from tests.tmi import readers, toys
from tmi import PluginError, testing
from tmi.plugins.registry import installed
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


@pytest.mark.parametrize("hook", readers.HOOKS)
@pytest.mark.parametrize("kind", ["str", "Path"])
def test_what_each_function_reads_is_found(tmp_path, hook, kind):
    file = readers.plugin(tmp_path, "open", kind)
    (tmp_path / "input").write_text("3")
    text, default = file.read_text(), f"{str(tmp_path / 'input')!r}"
    function = text.index(f"def {hook}(")
    default = f"Path({default})" if kind == "Path" else default
    file.write_text(text[:function] + text[function:].replace("| None = None", f"= {default}", 1))
    problems, names = check_plugin(file)
    assert len(names) == 5
    found = (
        f"{hook} 'a-{hook}' of plug-in reading opens {tmp_path}/input; its key does not cover that, so what it computes is not"
    )
    assert [problem.startswith(found) for problem in problems] == ([True] if kind == "str" else [])


def test_what_a_function_reads_before_it_fails_on_the_tiny_data_is_found(tmp_path):
    (tmp_path / "input").write_text("3")
    body = f"    open({str(tmp_path / 'input')!r}).read()\n    raise SystemExit\n"
    (problem,), _ = check(tmp_path, HEAD + FINE + body, "failing")
    assert problem.startswith(f"probe 'p' of plug-in failing opens {tmp_path}/input")


def test_the_own_data_sets_and_networks_are_tried_too(tmp_path):
    (tmp_path / "input").write_text("3")
    text = toys.TOYS.replace(
        'called(f"probe {network.seed} {scale}")', f"network.params['width']; open({str(tmp_path / 'input')!r})"
    )
    problems, _ = check_plugin(toys.plugin(tmp_path, "own", text))
    assert [problem.startswith("probe 'toy-probe' of plug-in own opens") for problem in problems] == [True]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it calls every function
def test_no_built_in_function_reads_what_nothing_declares(monkeypatch):
    called, computed = [], set()
    calls_of, result_of = testing._calls, testing._result_of

    def recorded_calls(component, *rest):
        called.append(component.name)
        return calls_of(component, *rest)

    def recorded_result(call):
        result = result_of(call)
        if result is not None:
            computed.add(called[-1])
        return result

    monkeypatch.setattr(testing, "_calls", recorded_calls)
    monkeypatch.setattr(testing, "_result_of", recorded_result)
    monkeypatch.setattr(testing, "_SECONDS", 120.0)  # a busy machine takes longer than an author's
    registry = installed()
    found = [
        registry.find(kind, name)
        for kind in ("dataset", "network", "probe", "method", "measure")
        for name in registry.names(kind)
    ]
    assert testing.undeclared_reads(found, registry) == []
    # Some have a setting without a default: the pictures of folder, the network that disguised changes, the module that imported
    # reads, the method that attribution-bench scores.
    assert set(called) - computed == {"folder", "disguised", "imported", "attribution-bench"}
