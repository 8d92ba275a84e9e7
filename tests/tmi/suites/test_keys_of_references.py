from __future__ import annotations

import pytest

import tmi
from tests.tmi import toys
from tmi import SuiteError, load_suite
from tmi.suites.plan import make_plan

METHODS = """
import tmi
from tmi import params

@tmi.hookimpl
def tmi_attribution_methods():
    return {"steep": "methods:steep"}

@tmi.hookimpl
def tmi_probes():
    return {"bench": "probe_file:bench"}

def steep(module, images, targets, *, steps: int = 3):
    "Attribute."
    return images * steps
"""


PROBE = """
import tmi
from tmi import params

def bench(network, data, *, method: params.Method) -> tmi.ProbeResult:
    "Score."
    return tmi.ProbeResult({"steps": method.params["steps"]})
"""


SUITE = """
[datasets.d]
use = "toy-data"
[networks.n]
use = "toy-net"
[probes.bench]
use = "bench"
sweep.method = [METHODS]
"""


def plan(folder, methods='"steep", "steep(steps=5)"'):
    suite = toys.suite(folder, SUITE.replace("METHODS", methods))
    return make_plan(load_suite(suite, plugins=[folder / "toys.py", folder / "methods.py"]))


@pytest.fixture
def folder(tmp_path):
    toys.plugin(tmp_path)
    (tmp_path / "methods.py").write_text(METHODS)
    (tmp_path / "probe_file.py").write_text(PROBE)
    return tmp_path


def test_a_suite_sweeps_methods_and_their_names_are_checked(folder):
    assert [p.cell.probe.swept for p in plan(folder)] == [{"method": "steep"}, {"method": "steep(steps=5)"}]
    with pytest.raises(SuiteError) as caught:
        plan(folder, '"steep", "steap", "steep(step=1)"')
    assert len(caught.value.problems) == 2
    assert "sweep.method: method 'steap' is unknown; did you mean \"steep\"?" in caught.value.problems[0]


def test_the_settings_of_what_is_named_are_part_of_the_key(folder):
    before = [p.key for p in plan(folder)]
    assert len(set(before)) == 2
    assert [p.key for p in plan(folder, '"steep(steps=5)", "steep"')] == before[::-1]


def test_the_code_of_what_is_named_is_part_of_the_key(folder):
    """In processes of their own: in one, a file that changed is not loaded again."""
    toys.suite(folder, SUITE.replace("METHODS", '"steep"'), head='plugins = ["toys.py", "methods.py"]')
    code = 'import tmi\nfrom tmi.suites.plan import make_plan\nprint(make_plan(tmi.load_suite("suite.toml"))[0].key)'
    keys = []
    for text in (METHODS, METHODS.replace("images * steps", "images + steps"), METHODS + "\n# a remark\n"):
        (folder / "methods.py").write_text(text)
        run = toys.python("-c", code, folder=folder)
        assert run.stderr == ""
        keys.append(run.stdout)
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_hands_over_what_is_named(folder, workers):
    suite = toys.suite(folder, SUITE.replace("METHODS", '"steep", "steep(steps=5)"'))
    runs = tmi.run(suite, store=folder / "store", plugins=[folder / "toys.py", folder / "methods.py"], workers=workers)
    assert sorted(runs.values("steps")) == [3, 5]
    again = tmi.run(suite, store=folder / "store", plugins=[folder / "toys.py", folder / "methods.py"])
    assert all(entry.cached for entry in again)


READS = """
import json
from pathlib import Path
import tmi
from tmi import params

HERE = Path(__file__).parent

def weights(*, weights: str = "weights.json", **_):
    return json.loads((HERE / weights).read_text())

@tmi.hookimpl
def tmi_attribution_methods():
    return {"reading-method": "methods:reading_method"}

@tmi.hookimpl
def tmi_attribution_measures():
    return {"reading-measure": "methods:reading_measure", "plain-measure": "methods:plain_measure"}

@tmi.hookimpl
def tmi_probes():
    return {"bench": "methods:bench"}

@tmi.external(weights)
def reading_method(module, images, targets, *, weights: str = "weights.json"):
    "Attribute."

@tmi.external(weights)
def reading_measure(maps, truth, *, weights: str = "weights.json"):
    "Score."

def plain_measure(maps, truth):
    "Score."

def bench(network, data, *, method: params.Method, measures: list[params.Measure] = ["plain-measure"]) -> tmi.ProbeResult:
    "Score."
    return tmi.ProbeResult({})
"""


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ('method = "reading-method"', True),
        ("method = 'reading-method(weights=\"other.json\")'", False),
        ('method = "steep"', False),
        ('method = "steep"\nmeasures = ["plain-measure", "reading-measure"]', True),
        ('method = "steep"\nmeasures = ["plain-measure"]', False),
        ("method = 'steep'\nmeasures = ['reading-measure(weights=\"other.json\")', 'reading-measure']", True),
    ],
)
def test_what_a_named_function_reads_is_part_of_the_key(tmp_path, settings, changes):
    """`tmi.external` counts on methods and measures as it does on probes, with the settings of each."""
    toys.plugin(tmp_path)
    (tmp_path / "methods.py").write_text(READS)
    (tmp_path / "steep.py").write_text(METHODS.replace("methods:", "steep:").replace('"bench": "probe_file:bench"', ""))
    (tmp_path / "other.json").write_text("[0]")
    suite = toys.suite(
        tmp_path, f'[datasets.d]\nuse = "toy-data"\n[networks.n]\nuse = "toy-net"\n[probes.bench]\nuse = "bench"\n{settings}\n'
    )
    keys = []
    for content in ("[1]", "[2]", "[1]"):
        (tmp_path / "weights.json").write_text(content)
        keys.append(
            make_plan(load_suite(suite, plugins=[tmp_path / f"{name}.py" for name in ("toys", "methods", "steep")]))[0].keys
        )
    assert keys[0] == keys[2]
    assert (keys[0]["probe"] != keys[1]["probe"]) == changes
    assert (keys[0]["dataset"], keys[0]["network"]) == (keys[1]["dataset"], keys[1]["network"])


def test_a_named_function_whose_file_is_missing_is_a_problem_of_the_suite(tmp_path):
    toys.plugin(tmp_path)
    (tmp_path / "methods.py").write_text(READS)
    settings = 'method = "reading-method"'
    suite = toys.suite(
        tmp_path, f'[datasets.d]\nuse = "toy-data"\n[networks.n]\nuse = "toy-net"\n[probes.bench]\nuse = "bench"\n{settings}\n'
    )
    with pytest.raises(SuiteError, match=r"method reading-method: its external inputs cannot be identified .FileNotFound"):
        make_plan(load_suite(suite, plugins=[tmp_path / "toys.py", tmp_path / "methods.py"]))
