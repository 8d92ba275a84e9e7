from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from importlib import metadata

import pytest

import tmi
from tmi import PluginError, UnknownNameError
from tmi.plugins import host as plugins
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.registry import Registry

PLUGIN = '''
"""A probe in a file of its own."""

from __future__ import annotations

import tmi
from zz_helper import value


@tmi.hookimpl
def tmi_probes():
    return {"by-name": "STEM:margin", "by-function": other, "elsewhere": "zz_helper:third"}


def margin(network: tmi.Network, data: tmi.Dataset, *, quantile: float = 0.5) -> tmi.ProbeResult:
    """Margin between two logits."""
    return tmi.ProbeResult({"value": value * quantile})


def other(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    return tmi.ProbeResult({"value": value})
'''


HELPER = '''
import tmi

value = 2.0


def third(network, data, *, seed: int):
    """The third."""
    return tmi.ProbeResult({"seed": seed})
'''


def module(name="zz_module", **hooks):
    """A plug-in module whose hooks return the given values, or call the given functions."""
    made = types.ModuleType(name)
    for hook, value in hooks.items():
        exec(f"def {hook}():\n    return value() if callable(value) else value", space := {"value": value})
        setattr(made, hook, tmi.hookimpl(space[hook]))
    return made


def host_of(*modules) -> PluginHost:
    host = PluginHost()
    for i, one in enumerate(modules):
        host.add(Plugin(f"plugin{i}", f"origin{i}", one))
    return host


@pytest.fixture
def plugin_file(tmp_path):
    yield from _plugin_file(tmp_path, PLUGIN)


def _plugin_file(folder, text, name="zz_margin.py"):
    path, modules = list(sys.path), set(sys.modules)
    (folder / "zz_helper.py").write_text(HELPER)
    file = folder / name
    file.write_text(textwrap.dedent(text).replace("STEM", file.stem))
    yield file
    sys.path[:] = path
    for new in set(sys.modules) - modules:
        if new.startswith(("zz_", "tmi.plugins.files.")):
            del sys.modules[new]


def test_an_empty_host():
    registry = Registry(PluginHost())
    assert [registry.names(kind) for kind in plugins.KINDS] == [[]] * len(plugins.KINDS)
    assert registry.faults == []
    with pytest.raises(UnknownNameError, match="probe 'accuracy' is unknown; there is none"):
        registry.find("probe", "accuracy")
    with pytest.raises(UnknownNameError, match="kind 'probes' is unknown; did you mean \"probe\""):
        registry.names("probes")


def test_every_kind_has_its_hook():
    host = host_of(module(**{hook: {"one": "package:thing"} for hook in plugins.KINDS.values()}))
    assert set(host.components) == {(kind, "one") for kind in plugins.KINDS}
    assert host.faults == []


def test_the_first_keeps_a_name_and_both_owners_are_named():
    host = host_of(module(tmi_probes={"a": "one:f"}), module(tmi_probes={"a": "two:f", "b": "two:g"}))
    assert host.components["probe", "a"].target == "one:f"
    assert host.components["probe", "b"].target == "two:g"
    assert [str(f) for f in host.faults] == [
        "plug-in plugin1: probe 'a' refused: the name is taken by plug-in plugin0 [origin0] [origin1]"
    ]


def test_one_name_may_stand_for_two_kinds():
    host = host_of(module(tmi_probes={"a": "one:f"}), module(tmi_network_builders={"a": "two:f"}))
    assert set(host.components) == {("probe", "a"), ("network", "a")}
    assert host.faults == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (module(tmi_probez={"a": "m:f"}), "tmi_probez"),
        (module(tmi_probes=lambda: 1 / 0), r"tmi_probes failed \(ZeroDivisionError: division by zero\)"),
        (module(tmi_probes=None), r"tmi_probes failed \(TypeError"),
        (module(tmi_probes=3), r"tmi_probes failed \(TypeError"),
        (module(tmi_probes="a"), r"tmi_probes failed \(TypeError: expected a dict of names and targets, got str"),
        (module(tmi_probes={"a": 3}), 'expected "module:function" or a function, got 3'),
        (module(tmi_probes={"a": "no colon"}), 'expected "module:function"'),
        (module(tmi_probes={"a": "m:"}), 'expected "module:function"'),
        (module(tmi_probes={"a": "m:f:g"}), 'expected "module:function"'),
        (module(tmi_probes={3: "m:f"}), "expected a word without"),
        (module(tmi_probes={"": "m:f"}), "expected a word without"),
        (module(tmi_probes={"a b": "m:f"}), "expected a word without"),
        (module(tmi_probes={"a/b": "m:f"}), "expected a word without"),
        (module(tmi_suites={"a": print}), 'expected "package:file.toml"'),
        (module(), "implements no hook"),
        (types.SimpleNamespace(), "implements no hook"),
    ],
)
def test_a_bad_plugin_is_named_and_hurts_nobody(bad, message):
    good = module(tmi_probes={"good": "m:f"}), module(tmi_probes={"better": "m:g"})
    host = host_of(good[0], bad, good[1])
    assert Registry(host).names("probe") == ["better", "good"]
    assert len(host.faults) == 1
    assert host.faults[0].plugin == "plugin1"
    assert "[origin1]" in str(host.faults[0])
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(host.faults[0]))


def test_a_hook_with_arguments():
    bad = types.ModuleType("zz_bad")

    @tmi.hookimpl
    def tmi_probes(something):
        return {}

    bad.tmi_probes = tmi_probes
    host = host_of(bad, module(tmi_probes={"good": "m:f"}))
    assert list(host.components) == [("probe", "good")]
    assert "something" in host.faults[0].message


def test_one_module_by_two_names():
    one = module(tmi_probes={"a": "m:f"})
    host = host_of(one, one, module(tmi_probes={"b": "m:f"}))
    assert Registry(host).names("probe") == ["a", "b"]
    assert [fault.plugin for fault in host.faults] == ["plugin1"]


class TestInstalled:
    @staticmethod
    def entries(monkeypatch, *given):
        """Pretend that distributions with these entry points are installed."""
        found = []
        for dist, name, value in given:
            owner = types.SimpleNamespace(name=dist, version="1.0")
            entry = metadata.EntryPoint(name, value, "tmi")
            vars(entry)["dist"] = owner
            found.append(entry)
        monkeypatch.setattr(metadata, "entry_points", lambda group: found)
        host = PluginHost()
        host.load_installed()
        return host

    @pytest.fixture(autouse=True)
    def _modules(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "zz_one", module("zz_one", tmi_probes={"one": "m:f"}))
        monkeypatch.setitem(sys.modules, "zz_two", module("zz_two", tmi_probes={"two": "m:f"}))

    def test_a_broken_import_is_reported(self, monkeypatch, tmp_path):
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "zz_syntax.py").write_text("def f(:")
        (tmp_path / "zz_exit.py").write_text("raise SystemExit(3)")
        host = self.entries(
            monkeypatch,
            ("a", "gone", "zz_nowhere"),
            ("b", "syntax", "zz_syntax"),
            ("c", "exit", "zz_exit"),
            ("d", "one", "zz_one"),
        )
        assert Registry(host).names("probe") == ["one"]
        assert [f.plugin for f in host.faults] == ["gone", "syntax", "exit"]
        assert "cannot import 'zz_nowhere' (ModuleNotFoundError" in str(host.faults[0])
        assert "[a 1.0]" in str(host.faults[0])
        assert "SyntaxError" in str(host.faults[1])
        assert "SystemExit: 3" in str(host.faults[2])

    def test_two_distributions_with_one_name(self, monkeypatch):
        host = self.entries(monkeypatch, ("later", "same", "zz_two"), ("early", "same", "zz_one"))
        assert Registry(host).names("probe") == ["one"]
        assert [str(f) for f in host.faults] == ["plug-in same: another plug-in has this name already [later 1.0; early 1.0]"]

    def test_own_plugins_come_first(self, monkeypatch):
        host = self.entries(monkeypatch, ("aaa", "same", "zz_two"), ("tmi-interp", "same", "zz_one"))
        assert Registry(host).names("probe") == ["one"]
        assert "[aaa 1.0; tmi-interp 1.0]" in str(host.faults[0])

    def test_seen_twice_is_no_fault(self, monkeypatch):
        host = self.entries(monkeypatch, ("a", "one", "zz_one"), ("a", "one", "zz_one"))
        assert Registry(host).names("probe") == ["one"]
        assert host.faults == []

    def test_an_object_in_a_module(self, monkeypatch):
        holder = types.ModuleType("zz_holder")
        holder.plugin = module(tmi_probes={"held": "m:f"})
        monkeypatch.setitem(sys.modules, "zz_holder", holder)
        assert Registry(self.entries(monkeypatch, ("a", "one", "zz_holder:plugin"))).names("probe") == ["held"]


def pair(task):
    from torch import nn

    scenes = tmi.Scenes.draw(task, 2, rng=__import__("numpy").random.default_rng(0))
    return tmi.Network(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), ["1"], "trained", task=task), tmi.Dataset(
        task, scenes, scenes
    )


class TestFile:
    def test_every_way_to_name_a_function(self, plugin_file, squares):
        registry = Registry(plugins.PluginHost())
        registry._host.load_file(plugin_file)
        assert registry.faults == []
        assert registry.names("probe") == ["by-function", "by-name", "elsewhere"]
        network, data = pair(squares)
        assert registry.probe("by-name", network, data, quantile=0.25).metrics == {"value": 0.5}
        assert registry.probe("by-function", network, data).metrics == {"value": 2.0}
        assert registry.probe("elsewhere", network, data, seed=7).metrics == {"seed": 7.0}
        assert registry.find("probe", "by-name").summary() == "Margin between two logits."
        assert registry.find("probe", "elsewhere").summary() == "The third."
        assert registry.find("probe", "by-function").summary() == ""
        assert str(plugin_file) in registry.describe("probe", "by-name")
        assert "quantile: float, default 0.5" in registry.describe("probe", "by-name")

    def test_its_helper_is_part_of_its_fingerprint(self, plugin_file):
        def fingerprints():
            from tests.tmi.plugins.test_fingerprint import clear

            clear()
            host = PluginHost()
            host.load_file(plugin_file)
            return {name: component.fingerprint() for (_, name), component in host.components.items()}

        before = fingerprints()
        assert all(before.values())
        helper = plugin_file.parent / "zz_helper.py"
        helper.write_text("# comment\n" + HELPER)
        assert fingerprints() == before
        helper.write_text(HELPER.replace("2.0", "3.0"))
        after = fingerprints()
        assert all(after[name] != before[name] for name in before)

    def test_twice_is_once(self, plugin_file, monkeypatch):
        host = PluginHost()
        host.load_file(plugin_file)
        monkeypatch.chdir(plugin_file.parent)
        host.load_file(plugin_file.name)
        assert host.faults == []

    @pytest.mark.parametrize("statement", ["from zz_helper import value", "def f():\n    import zz_helper"])
    def test_another_plugins_helper_of_the_same_name_is_refused(self, plugin_file, statement):
        host = PluginHost()
        host.load_file(plugin_file)
        second = plugin_file.parent / "second/zz_second.py"
        second.parent.mkdir()
        second.write_text(statement)
        (second.parent / "zz_helper.py").write_text("value = 5")
        with pytest.raises(PluginError, match=r"it imports 'zz_helper' from .*/zz_helper.py, not from its own folder"):
            host.load_file(second)

    def test_a_file_named_like_an_installed_package_does_no_harm(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in ("json", "numpy", "tmi"):
            (tmp_path / f"{name}.py").write_text("1 / 0")
        file = tmp_path / "zz_named.py"
        file.write_text("import json, numpy, tmi\n@tmi.hookimpl\ndef tmi_probes():\n    return {'a': 'zz_named:f'}\n")
        host = PluginHost()
        host.load_file(file)
        assert list(host.components) == [("probe", "a")]

    def test_missing(self, tmp_path):
        for wrong, what in ((tmp_path / "gone.py", "there is no such file"), (tmp_path, "is a folder")):
            with pytest.raises(PluginError, match=f"plug-in file {wrong}: {what}"):
                PluginHost().load_file(wrong)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("def f(:", "SyntaxError"),
            ("import zz_nowhere", "ModuleNotFoundError: No module named 'zz_nowhere'"),
            ("1 / 0", "ZeroDivisionError"),
            ("raise SystemExit", "SystemExit"),
        ],
    )
    def test_broken(self, tmp_path, text, message):
        file = tmp_path / "zz_broken.py"
        file.write_text(text)
        before = set(sys.modules)
        with pytest.raises(PluginError, match=f"zz_broken.py: cannot be imported .{message}"):
            PluginHost().load_file(file)
        assert not {name for name in set(sys.modules) - before if "zz_broken" in name}
        sys.path.remove(str(tmp_path))

    def test_not_python(self, tmp_path):
        file = tmp_path / "plugin.txt"
        file.write_text("import tmi")
        with pytest.raises(PluginError, match="is not a Python file"):
            PluginHost().load_file(file)


def test_built_in_plugins_are_installed_without_fault():
    host = plugins.load()
    assert host.faults == []
    assert {p.origin.split()[0] for p in host._plugins.values()} >= {"tmi-interp"}


HEAVY = ("torch", "numpy", "captum", "sklearn", "matplotlib", "h5py", "pandas", "scipy", "numba", "xarray", "rich")


@pytest.mark.parametrize("code", ["import tmi", "import tmi; tmi.hookimpl", "import tmi; tmi.names('probe')"])
def test_planning_imports_nothing_heavy(code):
    check = f"import sys; {code}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert done.stderr == ""


def test_all_names_exist():
    missing = [name for name in tmi.__all__ if not hasattr(tmi, name)]
    assert missing == []
    assert set(dir(tmi)) >= set(tmi.__all__)
    with pytest.raises(AttributeError, match="module 'tmi' has no attribute 'nonsense'"):
        tmi.nonsense  # noqa: B018
