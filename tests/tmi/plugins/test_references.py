from __future__ import annotations

import types

import pytest

import tmi
from tmi import InputError, UnknownNameError, params
from tmi.params import Count
from tmi.plugins.component import Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.references import parse
from tmi.plugins.registry import Registry


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
        ("steep(on=true, off=false, of=[true, 'true'])", ("steep", {"on": True, "off": False, "of": [True, "true"]})),
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
        "steep(on=TRUE)",
        "true(on=true)(on=true)",
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


def inner(data, *, seed: int, size: Count = 1):
    """Build nothing."""


def outer(data, *, seed: int, of: params.Builder = "inner"):
    """Build what it names."""
    outer.given.append(of)
    return of.function(data, seed=seed, **of.params)


def test_a_builder_may_name_a_builder_that_names_one_again(reg):
    host = PluginHost()
    plugin = types.ModuleType("zz_builders")
    plugin.tmi_network_builders = tmi.hookimpl(lambda: {"inner": inner, "outer": outer})
    plugin.tmi_network_builders.__name__ = "tmi_network_builders"
    host.add(Plugin("zz_builders", "here", plugin))
    of = Registry(host)
    text = "outer(of='inner(size=3)')"
    # The code of both is part of the key; its settings are text, which can be written as JSON.
    named = of.references(of.find("network", "outer"), {"of": text})
    assert [(one.component.name, one.params) for one in named] == [("outer", {"of": "inner(size=3)"}), ("inner", {"size": 3})]
    outer.given = []
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile([[1.0]], 0.1)])], (1, 2, 2))
    with pytest.raises(tmi.PluginError, match="returned NoneType"):
        of.build("outer", task, of=text)
    assert [one.text for one in outer.given] == [text, "inner(size=3)"]
    assert outer.given[1].params == {"size": 3}
    with pytest.raises(InputError, match="size"):
        of.build("outer", task, of="inner(size=0)")


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
