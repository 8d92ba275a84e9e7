from __future__ import annotations

import types

import pytest

import tmi
from tests.tmi import toys
from tmi import InputError, PluginError, SuiteError, UnknownNameError, load_suite, params
from tmi.params import Count
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.references import parse
from tmi.plugins.registry import Registry
from tmi.probing import attribution
from tmi.suites.plan import make_plan


@tmi.attribution_method(needs=["gradient"])
def steep(module, images, targets, *, baselines, seed: int, steps: Count = 3):
    """Attribute."""


def share(maps, truth, *, attribute, k: Count = 1):
    """Score."""


def bench(network, data, *, method: params.Method, measures: list[params.Measure] = ["share"], other: str = "steep"):  # noqa: B006
    """Say what was handed over."""
    return tmi.ProbeResult({f"{m.text} {m.params['k']}": 1.0 for m in measures} | {method.text: method.params.get("steps", 0)})


@pytest.fixture
def reg():
    host = PluginHost()
    plugin = types.ModuleType("zz_references")
    for hook, targets in {
        "tmi_probes": {"bench": bench},
        "tmi_attribution_methods": {"steep": steep},
        "tmi_attribution_measures": {"share": share},
    }.items():
        setattr(plugin, hook, tmi.hookimpl(lambda targets=targets: targets))
        getattr(plugin, hook).__name__ = hook
    host.add(Plugin("zz_references", "here", plugin))
    return Registry(host)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steep", ("steep", {})),
        ("steep()", ("steep", {})),
        ("steep(steps=20)", ("steep", {"steps": 20})),
        (" steep ( steps = 2, of = [1, 2.5], on=True, word='a, (b)', no=None) ", ("steep", "more")),
    ],
)
def test_parse(text, expected):
    name, settings = parse(text)
    more = {"steps": 2, "of": [1, 2.5], "on": True, "word": "a, (b)", "no": None}
    assert (name, settings) == (expected[0], more if expected[1] == "more" else expected[1])


@pytest.mark.parametrize(
    "text",
    [
        "steep(",
        "steep(20)",
        "steep(steps=)",
        "steep(steps=x)",
        "steep(steps=1)2",
        "steep(steps=1)(on=True)",
        "steep(steps=1).more(on=True)",
        "steep(steps=1)[0](on=True)",
        "steep(steps=1, steps=2)",
        "steep(**{'steps': 1})",
        "steep(steps=1)  # and more",
        "steep(steps=1\n)#)",
        "steep(steps=1",
        "a(b)(c)",
        "a(b={[]: 1})",
        "a(b=" + "[" * 999,
    ],
)
def test_what_is_no_name_with_settings(text):
    with pytest.raises(InputError, match=r'expected a name, or a name with settings as in "name\(steps=200\)"'):
        parse(text)


def test_defaults_are_filled_in_and_what_is_handed_over_is_no_setting(reg):
    found = reg.reference("method", "steep")
    assert (found.text, found.params, found.function) == ("steep", {"steps": 3}, steep)
    assert reg.reference("method", "steep(steps=5)").params == {"steps": 5}
    assert reg.reference("measure", "share").params == {"k": 1}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("step", UnknownNameError, "method 'step' is unknown; did you mean .steep"),
        ("steep(step=2)", InputError, "step: 'steep' has no such parameter; did you mean .steps"),
        ("steep(steps=0)", InputError, "steps: expected int >= 1"),
        ("steep(seed=0)", InputError, "seed: 'steep' has no such parameter"),
        ("steep(baselines=0)", InputError, "baselines: 'steep' has no such parameter"),
    ],
)
def test_wrong_names_and_settings(reg, text, error, message):
    with pytest.raises(error, match=message):
        reg.reference("method", text)


def probed(reg, **settings):
    data = tmi.generate("squares", samples=4, test_samples=4)
    return dict(reg.probe("bench", tmi.build("theorem1", data), data, **settings).metrics)


def test_a_probe_is_given_what_its_settings_name(reg):
    assert probed(reg, method="steep(steps=7)", measures=["share(k=2)"]) == {"share(k=2) 2": 1, "steep(steps=7)": 7}


def test_a_function_stands_for_itself(reg):
    def my_own(module, images, targets, *, steps: int = 4):
        """Attribute."""

    def half_of_it(maps, truth, *, k: int = 8):
        """Score."""

    assert probed(reg, method=my_own, measures=["share", half_of_it]) == {"share 1": 1, "half-of-it 8": 1, "my-own": 4}


def test_the_order_in_which_settings_are_given_does_not_count(reg):
    """A worker is told them in another order, and must find the same key."""
    component, given = reg.find("probe", "bench"), {"method": "steep", "measures": ["share"], "other": "steep"}
    found = [reg.references(component, dict(items)) for items in (given.items(), sorted(given.items()))]
    assert [one.text for one in found[0]] == [one.text for one in found[1]] == ["steep", "share"]


def test_a_wrong_name_in_a_setting(reg):
    with pytest.raises(UnknownNameError, match=r"did you mean .steep"):
        probed(reg, method="steap")
    with pytest.raises(InputError, match="method"):
        probed(reg, method=3)


def test_describe(reg):
    text = reg.describe("probe", "bench")
    assert "method: name of a method, required" in text
    assert 'measures: list[name of a measure], default ["share"]' in text
    text = reg.describe("method", "steep")
    assert "Attributes a logit to pixels.\nNeeds: the logits depend differentiably on the image." in text
    assert "baselines" not in text
    assert "steps: int ≥ 1, default 3" in text
    assert "A measure of absolute attributions: higher is better, from … to …." in reg.describe("measure", "share")


def test_declarations_are_checked():
    with pytest.raises(PluginError, match=r"need 'gradients' is unknown; did you mean .gradient"):
        attribution.attribution_method(needs=["gradients"])
    with pytest.raises(PluginError, match=r"topic 'localization' is unknown; did you mean .localisation"):
        attribution.attribution_measure(topic="localization")


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
