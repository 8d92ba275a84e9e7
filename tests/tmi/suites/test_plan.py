from __future__ import annotations

import inspect
import json
import types

import pytest

import tmi
from tests.tmi import toys
from tmi import SuiteError, load_suite
from tmi.plugins import host as plugins
from tmi.plugins.registry import Registry
from tmi.suites.plan import make_plan


def plan(folder, content=toys.BASE, head="", only=(), file="toys.py"):
    return make_plan(load_suite(toys.suite(folder, content, head=head), plugins=[folder / file]), only)


@pytest.fixture
def folder(tmp_path):
    toys.plugin(tmp_path)
    return tmp_path


SWEPT = """
[datasets.d]
use = "toy-data"
sweep.samples = [1, 2]
[datasets.e]
use = "toy-data"
[networks.n]
use = "toy-net"
sweep.width = [1, 2]
[probes.p]
use = "toy-probe"
sweep.scale = [1.0, 2.0]
"""


def test_keys_tell_cells_apart(folder):
    cells = plan(folder, SWEPT, "seeds = [0, 1]")
    assert len(cells) == 24
    assert len({p.key for p in cells}) == 24
    assert len({p.network_key for p in cells}) == 12
    assert len({p.dataset_key for p in cells}) == 6
    assert all(len(p.key) == 64 for p in cells)


def key(folder, *arguments, **more):
    (planned,) = plan(folder, *arguments, **more)
    return planned.key, planned.network_key, planned.dataset_key


def changed(before, after):
    return [a != b for a, b in zip(before, after, strict=True)]


@pytest.mark.parametrize(
    ("use", "lines", "expected"),
    [
        ('"toy-data"', "samples = 5", [True, True, True]),
        ('"toy-net"', "width = 5", [True, True, False]),
        ('"toy-probe"', "scale = 5", [True, False, False]),
        ('"toy-data"', "samples = 4", [False, False, False]),
        ('"toy-net"', "width = 1\nbias = false", [False, False, False]),
        ('"toy-probe"', "scale = 1", [False, False, False]),
        ('"toy-probe"', "scale = 1.0", [False, False, False]),
        ('"toy-probe"', "scale = -0.0", [True, False, False]),
        ('"toy-data"', "sweep.samples = [4]", [False, False, False]),
        ('"toy-data"', "seeds = [0]", [False, False, False]),
        ('"toy-data"', "seeds = [1]", [True, True, True]),
    ],
)
def test_what_a_key_depends_on(folder, use, lines, expected):
    assert changed(key(folder), key(folder, toys.BASE.replace(use, f"{use}\n{lines}"))) == expected


def test_labels_order_and_names_of_suites_are_not_in_a_key(folder):
    other = toys.BASE.replace("datasets.d", "datasets.x").replace("networks.n", "networks.y").replace("probes.p", "probes.z")
    assert key(folder) == key(folder, other, 'name = "another"\ndescription = "other"')


def test_another_function_is_another_key(folder):
    twin = toys.TOYS.replace('"toy-probe": ', '"twin-probe": "STEM:toy_probe", "toy-probe": ')
    toys.plugin(folder, "twins", twin)
    first = key(folder, file="twins.py")
    assert changed(first, key(folder, toys.BASE.replace("toy-probe", "twin-probe"), file="twins.py")) == [True, False, False]


def test_the_code_is_in_the_key(folder):
    toys.plugin(folder, "changed", toys.TOYS.replace("scale * float", "2 * scale * float"))
    toys.plugin(folder, "same")
    same, new = (key(folder, file=f"{name}.py") for name in ("same", "changed"))
    assert changed(same, new) == [True, True, True]


def test_keys_are_the_same_in_every_process(folder):
    toys.suite(folder, SWEPT, head='plugins = ["toys.py"]')
    code = """
import json, sys
from tmi.suites.plan import make_plan
from tmi.suites.reader import load_suite
print(json.dumps([p.key for p in make_plan(load_suite("suite.toml"))]))
print(json.dumps([p.key for p in make_plan(load_suite("paper"))]))
print(sorted({"torch", "captum", "sklearn", "h5py", "matplotlib", "pandas", "numba", "scipy"} & set(sys.modules)))
"""
    runs = [toys.python("-c", code, folder=folder, PYTHONHASHSEED=seed) for seed in (1, 2)]
    assert [run.stderr for run in runs] == ["", ""]
    assert runs[0].stdout == runs[1].stdout
    mine, paper, heavy = runs[0].stdout.splitlines()
    assert json.loads(mine) == [p.key for p in plan(folder, SWEPT)]
    assert json.loads(paper) == [p.key for p in make_plan(load_suite("paper"))]
    assert heavy == "[]"


# Patterns.

ALL = {f"d[samples={s}]/n[width={w}]/p[scale={x}]" for s in (1, 2) for w in (1, 2) for x in (1.0, 2.0)} | {
    f"e/n[width={w}]/p[scale={x}]" for w in (1, 2) for x in (1.0, 2.0)
}


@pytest.mark.parametrize(
    ("only", "fits"),
    [
        ([], ALL),
        (["*"], ALL),
        (["d"], {n for n in ALL if "d" in n}),
        (["e/n/p"], {n for n in ALL if n[0] == "e"}),
        (["e/*"], {n for n in ALL if n[0] == "e"}),
        (["e/*/p"], {n for n in ALL if n[0] == "e"}),
        (["*/p"], ALL),
        (["d*/n*/p*"], {n for n in ALL if n[0] == "d"}),
        (["?/n/p"], ALL),
        (["samples=1"], {n for n in ALL if "samples=1" in n}),
        (["d[samples=1]/*"], {n for n in ALL if "samples=1" in n}),
        (["*[width=2]*scale=2.0]"], {n for n in ALL if "width=2]" in n and "scale=2.0" in n}),
        (["e/n[width=1]/p[scale=1.0] seed 0"], {"e/n[width=1]/p[scale=1.0]"}),
        (["e/n[width=1]/p[scale=1.0] seed ?"], {"e/n[width=1]/p[scale=1.0]"}),
        (["samples=1", "e/n"], {n for n in ALL if "samples=2" not in n}),
    ],
)
def test_patterns(folder, only, fits):
    assert {str(p.cell).removesuffix(" seed 0") for p in plan(folder, SWEPT, only=only)} == fits


def test_a_pattern_that_fits_nothing(folder):
    with pytest.raises(SuiteError, match=r"--only nosuch, x\*: matches no cell; known: d/n/p, e/n/p"):
        plan(folder, SWEPT, only=["nosuch", "x*"])


# What is read from outside.

OUTSIDE = """
import datetime
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"reader": "STEM:reader", "dated": "STEM:dated"}


def identify(*, how):
    if how == "raise":
        raise KeyError("no such thing")
    if how == "tmi":
        raise tmi.DataFileError("the file is gone")
    return {"file": object() if how == "object" else float("nan") if how == "nan" else how}


@tmi.external(identify)
def reader(network, data, *, how: str = "a") -> tmi.ProbeResult:
    \"\"\"Read.\"\"\"


def dated(network, data, *, day: datetime.date) -> tmi.ProbeResult:
    \"\"\"Take what JSON does not have.\"\"\"
"""


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ('"reader"\nhow = "raise"', "its external inputs cannot be identified .KeyError: 'no such thing'"),
        ('"reader"\nhow = "tmi"', "the file is gone"),
        ('"reader"\nhow = "object"', "cannot be written as JSON"),
        ('"reader"\nhow = "nan"', "cannot be written as JSON"),
        ('"dated"\nday = "2020-01-01"', "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_part_of_a_key(folder, probe, message):
    outside = toys.plugin(folder, "outside", OUTSIDE)
    suite = load_suite(toys.suite(folder, toys.BASE.replace('"toy-probe"', probe)), plugins=[outside])
    with pytest.raises(SuiteError, match=f"probe p: .*{message}"):
        make_plan(suite)


def test_what_is_read_from_outside_is_in_the_key(folder):
    outside = toys.plugin(folder, "outside2", OUTSIDE)

    def made():
        suite = load_suite(toys.suite(folder, toys.BASE.replace('"toy-probe"', '"reader"')), plugins=[outside])
        return make_plan(suite)[0].key, inspect.unwrap(suite.registry.find("probe", "reader").function)

    first, function = made()
    function.tmi_external = lambda *, how: {"file": f"{how}, changed"}
    assert made()[0] != first


def test_without_source_there_is_no_key(folder):
    content = toys.BASE.replace("toy-probe", "typed-probe")
    space = {"__name__": "__main__"}
    exec("def typed(network, data): ...", space)
    nameless = types.ModuleType("nameless")
    nameless.tmi_probes = tmi.hookimpl(lambda: {"typed-probe": space["typed"]})
    nameless.tmi_probes.__name__ = "tmi_probes"
    host = plugins.load([folder / "toys.py"])
    host.add(plugins.Plugin("nameless", "a test", nameless))
    (planned,) = make_plan(load_suite(toys.suite(folder, content, head=""), registry=Registry(host)))
    assert planned.key is None
    assert planned.dataset_key
    assert planned.network_key


def test_where_a_plugin_file_lies_is_not_in_the_key(tmp_path):
    found = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        toys.plugin(tmp_path / place)
        found.append(key(tmp_path / place))
    assert found[0] == found[1]


def test_a_plugin_file_named_twice(folder):
    (planned,) = plan(folder, head='plugins = ["toys.py", "./toys.py", "../' + folder.name + '/toys.py"]')
    assert planned.key == key(folder)[0]
