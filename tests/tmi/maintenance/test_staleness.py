from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.tmi import toys
from tests.tmi.maintenance.helpers import edit, paths
from tmi import Store
from tmi.maintenance.prune import prune
from tmi.maintenance.staleness import Staleness
from tmi.plugins.registry import with_files
from tmi.store.store import FOLDERS


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_any_record(value):
    staleness = Staleness(tmi.plugins.registry.installed())
    for record in (
        {"dataset": value},
        {"seed": 0, "dataset": {"name": value, "params": value, "plugin": "", "origin": value}},
        {"seed": 0, "dataset": {"name": "squares", "params": {}, "plugin": "", "origin": "", "uses": value}},
        {"seed": 0, "dataset": {"name": "squares", "params": {}, "plugin": "", "origin": "", "uses": [value]}},
    ):
        assert staleness.status("dataset", "a" * 64, record).state in ("unclear", "unreachable")


def test_a_broken_plugin(store, tmp_path):
    from tmi.plugins.component import Fault
    from tmi.plugins.host import load
    from tmi.plugins.registry import Registry

    host = load()
    host.faults.append(Fault("toys", "cannot import"))
    record = {"seed": 0, "dataset": {"name": "toy-data", "params": {}, "plugin": "toys", "origin": "toys 1.0"}}
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unclear", "the plug-in toys is broken here")
    record["dataset"]["plugin"] = "another"
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unclear", "made with the plug-in another of toys 1.0, which is not installed here")
    record["dataset"].update(plugin="tmi_datasets", origin=f"tmi-interp {tmi.__version__}")
    status = Staleness(Registry(host)).status("dataset", "a" * 64, record)
    assert (status.state, status.why) == ("unreachable", "no dataset toy-data is registered")


BENCH = '''
from __future__ import annotations

import tmi
from tmi import params


@tmi.hookimpl
def tmi_probes():
    return {"bench": "STEM:bench"}


def bench(network, data, *, methods: list[params.Method], measure: params.Measure | None = None) -> tmi.ProbeResult:
    """Count."""
    return tmi.ProbeResult({"count": len(methods)})
'''
NAMED = '''
from __future__ import annotations

import tmi


@tmi.hookimpl
def tmi_attribution_methods():
    return {"STEM-method": "STEM:method"}


@tmi.hookimpl
def tmi_attribution_measures():
    return {"STEM-measure": "STEM:measure"}


def method(module, images, targets, *, power: int = 1):
    """Attribute."""
    return images


def measure(maps, truth):
    """Score."""
    return maps.mean((1, 2))
'''
CHANGED = NAMED.replace("return images", "return 2 * images").replace("maps.mean(", "maps.sum(")
UNREGISTERED = NAMED.replace('{"STEM-method": "STEM:method"}', "{}").replace('{"STEM-measure": "STEM:measure"}', "{}")


@pytest.fixture(scope="session")
def named_folder(tmp_path_factory):
    """A folder with a store of three results: of methods alone, of methods with a measure, and of the toys' own probe."""
    folder = tmp_path_factory.mktemp("named")
    toys.plugin(folder)
    toys.plugin(folder, "bench", BENCH)
    for name in ("first", "second"):
        toys.plugin(folder, name, NAMED)
    text = """
[probes.methods]
use = "bench"
methods = ["first-method", "second-method(power=2)"]
[probes.measure]
use = "bench"
methods = ["first-method"]
measure = "second-measure"
"""
    plugins = '["toys.py", "bench.py", "first.py", "second.py"]'
    toys.suite(folder, toys.BASE + text, head=f"plugins = {plugins}")
    run = toys.command("run", "suite.toml", "--store", "store", folder=folder)  # so that this process may load changed files
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture
def named(named_folder, tmp_path):
    """A copy of that folder, as if it had been run there."""
    folder = tmp_path / "named"
    shutil.copytree(named_folder, folder)
    store = Store(folder / "store")
    for kind in FOLDERS:
        for path in paths(store, kind):
            edit(path, lambda header: header.update(json.loads(json.dumps(header).replace(str(named_folder), str(folder)))))
    return folder


def unreachable(folder, *names):
    """Prune the store with these plug-in files; return the probes whose results are removed, and the notes."""
    registry = with_files([folder / f"{name}.py" for name in names])
    store = Store(folder / "store")
    probes = {key: stored.record["probe"] for key, stored in store.read_all(store.keys()).items()}
    pruned = prune(store, unreachable=True, registry=registry)
    assert {file.kind for file in pruned.removed} <= {"probe"}
    assert not any(file.path.exists() for file in pruned.removed)
    return sorted(label(probes[file.key]) for file in pruned.removed), pruned.notes


def label(probe):
    return "plain" if probe["name"] == "toy-probe" else "measure" if probe["params"]["measure"] else "methods"


def change_records(folder, change):
    """Change what the results' records say of their probes."""
    store = Store(folder / "store")
    for path in paths(store, "probe"):
        edit(path, lambda header: change(header["record"]["probe"]))


class TestWhatSettingsName:
    """A result came from its methods and measures too: it is removed only if all their plug-ins are here and rule it out."""

    def test_all_files_given(self, named):
        assert unreachable(named, "toys", "bench", "first", "second") == ([], [])

    @pytest.mark.parametrize("missing", ["first", "second", "bench"])
    def test_a_file_that_is_not_given(self, named, missing):
        names = [name for name in ("toys", "bench", "first", "second") if name != missing]
        hint = f"made with a plug-in file that is not loaded; give --plugin {named / missing}.py"
        assert unreachable(named, *names) == ([], [f"left alone: 2 results: {hint}"])

    @pytest.mark.parametrize("text", [CHANGED, UNREGISTERED], ids=["changed", "unregistered"])
    @pytest.mark.parametrize("name", ["first", "second"])
    def test_a_file_that_changed(self, named, name, text):
        toys.plugin(named, name, text)
        assert unreachable(named, "toys", "bench", "first", "second") == (["measure", "methods"], [])

    def test_a_setting_that_is_gone(self, named):
        toys.plugin(named, "second", NAMED.replace("*, power: int = 1", "**more"))
        removed, _ = unreachable(named, "toys", "bench", "first", "second")
        assert removed == ["measure", "methods"]

    def test_one_file_changed_and_another_not_given(self, named):
        toys.plugin(named, "first", CHANGED)
        hint = f"made with a plug-in file that is not loaded; give --plugin {named / 'second.py'}"
        assert unreachable(named, "toys", "bench", "first") == ([], [f"left alone: 2 results: {hint}"])

    def test_another_file_of_the_same_names(self, named, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        other = toys.plugin(tmp_path / "elsewhere", "second", CHANGED)
        registry = with_files([*(named / f"{name}.py" for name in ("toys", "bench", "first")), other])
        pruned = prune(Store(named / "store"), unreachable=True, registry=registry)
        assert (pruned.removed, len(pruned.notes)) == ([], 1)

    def test_a_distribution_that_is_not_installed(self, named):
        change_records(named, lambda probe: [used.update(plugin="x", origin="x 1.0") for used in probe.get("uses", ())])
        toys.plugin(named, "first", CHANGED)
        why = "made with the plug-in x of x 1.0, which is not installed here"
        assert unreachable(named, "toys", "bench", "first", "second") == ([], [f"left alone: 2 results: {why}"])

    def test_a_distribution_of_another_version(self, named):
        change_records(
            named,
            lambda probe: [used.update(plugin="tmi_probes", origin="tmi-interp 0.0.1") for used in probe.get("uses", ())],
        )
        toys.plugin(named, "first", CHANGED)
        assert unreachable(named, "toys", "bench", "first", "second") == (["measure", "methods"], [])

    def test_a_plugin_that_is_broken(self, named):
        toys.plugin(named, "first", CHANGED.replace('"STEM-measure"', '"a name with spaces"'))
        why = "the plug-in first is broken here"
        assert unreachable(named, "toys", "bench", "first", "second") == ([], [f"left alone: 2 results: {why}"])

    @pytest.mark.parametrize("given", [("first", "second"), ("first",), ()], ids=len)
    def test_an_old_record_that_does_not_say_what_it_names(self, named, given):
        change_records(named, lambda probe: probe.pop("uses", None))
        for name in given:
            toys.plugin(named, name, CHANGED)
        why = "the record does not say where the methods and measures of the probe come from"
        assert unreachable(named, "toys", "bench", *given) == ([], [f"left alone: 2 results: {why}"])

    def test_what_rules_out_the_data_set_rules_out_the_result(self, named, monkeypatch):
        change_records(named, lambda probe: probe.pop("uses", None))
        monkeypatch.setattr("tmi.suites.keys.versions", lambda: {"torch": "99"})
        registry = with_files([named / "toys.py", named / "bench.py"])
        pruned = prune(Store(named / "store"), unreachable=True, registry=registry, kinds=["result"])
        assert (len(pruned.removed), pruned.notes) == (3, [])


def test_a_result_of_the_attribution_bench(tmp_path):
    method = toys.plugin(tmp_path, "mine", NAMED)
    suite = {
        "datasets": {"squares": {"use": "squares", "samples": 4, "test_samples": 4}},
        "networks": {"constructed": {"use": "theorem1"}},
        "probes": {"bench": {"use": "attribution-bench", "images": 2, "method": "mine-method", "measures": ["mass"]}},
    }
    (entry,) = tmi.run(suite, tmp_path / "store", plugins=method)
    assert entry.status == "ok", entry.message
    pruned = prune(Store(tmp_path / "store"), unreachable=True)
    hint = f"made with a plug-in file that is not loaded; give --plugin {method}"
    assert (pruned.removed, pruned.notes) == ([], [f"left alone: 1 result: {hint}"])
    assert prune(Store(tmp_path / "store"), unreachable=True, registry=with_files(method)).notes == []
