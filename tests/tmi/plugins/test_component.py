from __future__ import annotations

import types

import pytest

import tmi
from tmi import PluginError
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.registry import installed


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


class TestFunction:
    def component(self, target):
        return host_of(module(tmi_probes={"a": target})).components["probe", "a"]

    def test_found_when_first_used(self):
        import math

        component = self.component("math:sqrt")
        assert component.function == math.sqrt
        assert component.function(4.0) == 2.0
        assert component.fingerprint() is None
        assert component.summary() == ""

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("zz_nowhere:f", "cannot import 'zz_nowhere' .ModuleNotFoundError"),
            ("math:squirt", "module 'math' has no 'squirt'"),
            ("math:pi", "'math:pi' is not a function"),
            ("zz_raises:f", "cannot import 'zz_raises' .AttributeError: oh"),
            ("zz_leaves:f", "cannot import 'zz_leaves' .SystemExit"),
        ],
    )
    def test_cannot_be_had(self, target, message, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "zz_raises.py").write_text("raise AttributeError('oh')")
        (tmp_path / "zz_leaves.py").write_text("raise SystemExit")
        with pytest.raises(PluginError, match="^probe 'a' of plug-in plugin0: " + message):
            _ = self.component(target).function

    def test_a_syntax_error_does_not_stop_a_listing(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "zz_syntax2.py").write_text("def f(:")
        component = self.component("zz_syntax2:f")
        assert component.summary() == ""
        with pytest.raises(PluginError, match="cannot be read as Python"):
            component.fingerprint()

    def test_no_fingerprint_for_what_has_no_source(self):
        def inner(): ...

        assert self.component(inner).fingerprint() is None
        assert self.component(lambda: None).fingerprint() is None
        assert self.component(__import__("functools").partial(inner)).fingerprint() is None


class TestSummary:
    """`tmi list` shows the first line of a docstring, wherever the function is defined, without importing it."""

    FUNCTION = '"""Module."""\n\ndef f(network, data):\n    """Measure.\n\n    More.\n    """\n'

    @pytest.fixture
    def write(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(tmp_path))

        def write(**files):
            for name, text in files.items():
                path = tmp_path / f"{name.replace('__', '/')}.py".replace("INIT", "__init__")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return lambda target: host_of(module(tmi_probes={"a": target})).components["probe", "a"].summary()

        return write

    @pytest.mark.parametrize(
        ("target", "text"),
        [
            ("zz_sum.inner:f", ""),
            ("zz_sum:f", "from .inner import f"),
            ("zz_sum:f", "from zz_sum.inner import f"),
            ("zz_sum:g", "from .inner import f as g"),
            ("zz_sum:f", "from .between import f"),
            ("zz_sum.between:f", "raise SystemExit('imported')"),
        ],
    )
    def test_of_a_function_that_is_imported_from_where_it_is_defined(self, write, target, text):
        summary = write(zz_sum__INIT=text, zz_sum__between="from .inner import f", zz_sum__inner=self.FUNCTION)
        assert summary(target) == "Measure."

    @pytest.mark.parametrize(
        "text",
        [
            "from .inner import *",
            "from . import f",
            "from .nowhere import f",
            "from ... import f",
            "f = 3",
            "from . import x as f",
        ],
    )
    def test_none_where_there_is_no_such_function(self, write, text):
        assert write(zz_sum2__INIT=text, zz_sum2__inner="from . import f")("zz_sum2:f") == ""

    def test_an_import_of_one_another_ends(self, write):
        assert write(zz_sum3__INIT="from .inner import f", zz_sum3__inner="from zz_sum3 import f")("zz_sum3:f") == ""

    @pytest.mark.parametrize("kind", ["dataset", "network", "probe", "method", "measure", "suite", "report"])
    def test_every_built_in_component_has_one(self, kind):
        registry = installed()
        assert [name for name in registry.names(kind) if not registry.find(kind, name).summary()] == []
