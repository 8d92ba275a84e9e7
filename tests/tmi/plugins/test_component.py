from __future__ import annotations

import sys
import types
import warnings
from importlib import metadata
from typing import ClassVar

import pytest

import tmi
from tests.tmi.runtime.switch_changes import CHANGES, state
from tmi import PluginError
from tmi.plugins.component import KINDS, Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.registry import installed
from tmi.runtime.guard import SwitchWarning


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


@tmi.external(lambda *, statement: exec(statement, {}))
def declares(*, statement: str):
    """Declare an input."""


def run(statement):
    exec(statement, {})


class TestEveryPlaceIsGuarded:
    """What the code of a plug-in leaves changed is put back and named with its place, in every place where it runs."""

    NAMED: ClassVar = {
        **{
            kind: f"{kind} 'a' of plug-in plugin0 left" for kind in ("dataset", "network", "probe", "method", "measure", "report")
        },
        "external": "tmi.external of dataset 'a' of plug-in plugin0 left",
        "hook": "plug-in plugin0, in its hook tmi_probes, left",
        "file": "plug-in zz_left, when it was imported, left",
        "module": "probe 'a' of plug-in plugin0, when module 'zz_left_module' was imported, left",
        "package": "plug-in installed, when it was imported, left",
    }

    def leave(self, place, statement, folder, monkeypatch):
        if place == "hook":
            host_of(module(tmi_probes=lambda: run(statement) or {"a": "m:f"}))
        elif place == "external":
            component = host_of(module(tmi_dataset_generators={"a": declares})).components["dataset", "a"]
            component.function.tmi_external(statement=statement)
        elif place == "file":
            (folder / "zz_left.py").write_text(f"import tmi\n{statement}\n@tmi.hookimpl\ndef tmi_probes():\n    return {{}}\n")
            PluginHost().load_file(folder / "zz_left.py")
        elif place in ("module", "package"):
            sys.modules.pop("zz_left_module", None)
            (folder / "zz_left_module.py").write_text(f"{statement}\ndef f(): ...\n")
            monkeypatch.syspath_prepend(str(folder))
            if place == "module":
                _ = host_of(module(tmi_probes={"a": "zz_left_module:f"})).components["probe", "a"].function
            else:
                entry = metadata.EntryPoint("installed", "zz_left_module", "tmi")
                monkeypatch.setattr(metadata, "entry_points", lambda group: [entry])
                PluginHost().load_installed()
        else:
            host_of(module(**{KINDS[place]: {"a": run}})).components[place, "a"].function(statement)

    def check(self, place, statement, folder, monkeypatch):
        run("import torch; torch.use_deterministic_algorithms(False)")  # imports libraries, which set variables
        state()  # starts numba's threads
        before = state()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            inside = {**before, "filters": list(warnings.filters), "showwarning": warnings.showwarning}
            self.leave(place, statement, folder, monkeypatch)
            assert state() == inside
        texts = [str(w.message) for w in caught if w.category is SwitchWarning]
        assert len(texts) == 1, texts
        assert texts[0].startswith(f"{self.NAMED[place]} {CHANGES[statement]}"), texts

    @pytest.mark.parametrize("place", NAMED)
    @pytest.mark.parametrize("statement", list(CHANGES)[:3])
    def test_some_switches(self, place, statement, tmp_path, monkeypatch):
        self.check(place, statement, tmp_path, monkeypatch)

    @pytest.mark.slow
    @pytest.mark.parametrize("place", NAMED)
    @pytest.mark.parametrize("statement", list(CHANGES)[3:])
    def test_every_switch(self, place, statement, tmp_path, monkeypatch):
        self.check(place, statement, tmp_path, monkeypatch)


def test_the_check_of_a_network_is_guarded():
    """The code of a network's own layers runs outside the calls of its builder."""
    import torch

    class Off(torch.nn.Module):
        def forward(self, x):
            torch.set_default_dtype(torch.float64)
            return x.flatten(1)[:, :2].float()

    def off(data) -> tmi.Network:
        """Leave the default dtype."""
        return tmi.Network(torch.nn.Sequential(Off()), ["0"], "trained", task=data.task)

    data = tmi.generate("squares", samples=4, test_samples=2)
    with pytest.warns(SwitchWarning, match=r"network 'off', in the check of its network, left the default dtype changed"):
        tmi.build(off, data)
    assert torch.get_default_dtype() == torch.float32
