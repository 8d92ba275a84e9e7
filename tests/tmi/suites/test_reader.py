from __future__ import annotations

import re
import tomllib
import types
import warnings
from pathlib import Path

import pytest

import tmi
from tests.tmi import readers, toys
from tmi import PluginError, SuiteError, load_suite
from tmi.plugins.component import Fault, Plugin
from tmi.plugins.host import PluginHost
from tmi.plugins.registry import Registry
from tmi.suites.plan import make_plan


@pytest.fixture
def toy(tmp_path):
    """Read a suite whose plug-in is the toys; a text is a TOML file beside them."""
    file = toys.plugin(tmp_path)

    def read(content, head=""):
        if isinstance(content, dict):
            return load_suite(content, plugins=[file])
        return load_suite(toys.suite(tmp_path, content, head=head), plugins=[file])

    return read


def problems(read, *arguments, **more):
    with pytest.raises(SuiteError) as caught:
        read(*arguments, **more)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def with_dataset(lines: str) -> str:
    return toys.BASE.replace('use = "toy-data"', f'use = "toy-data"\n{lines}')


def test_the_cells_come_in_the_best_order(toy):
    suite = toy(
        """
        [datasets.b]
        use = "toy-data"
        sweep.samples = [3, 1]
        [datasets.a]
        use = "toy-data"
        seeds = [7]
        [networks.n]
        use = "toy-net"
        sweep.width = [2, 1]
        [probes.q]
        use = "toy-probe"
        [probes.p]
        use = "toy-probe"
        scale = 2
        """,
        'name = "order"\ndescription = "d"\nseeds = [1, 0]',
    )
    assert (suite.name, suite.description, suite.report, suite.source) == ("order", "d", None, "suite.toml")
    expected = [
        f"b[samples={samples}]/n[width={width}]/{probe} seed {seed}"
        for samples in (3, 1)
        for seed in (1, 0)
        for width in (2, 1)
        for probe in "qp"
    ] + [f"a/n[width={width}]/{probe} seed 7" for width in (2, 1) for probe in "qp"]
    assert [str(cell) for cell in suite.cells] == expected
    assert suite.columns == {"samples": ("dataset", "samples"), "width": ("network", "width")}
    first = suite.cells[0]
    assert first.labels == "b/n/q"
    assert first.dataset.params == {"samples": 3}
    assert first.dataset.swept == {"samples": 3}
    assert first.network.params == {"width": 2, "bias": False}
    assert suite.cells[1].probe.params == {"scale": 2.0, "metric": "l1"}
    assert isinstance(suite.cells[1].probe.params["scale"], float)


def test_names_and_defaults(toy, tmp_path):
    suite = toy(toys.BASE)
    assert suite.name == "suite"
    assert [cell.seed for cell in suite.cells] == [0]
    assert toy(
        {"datasets": {"d": {"use": "toy-data"}}, "networks": {"n": {"use": "toy-net"}}, "probes": {"p": {"use": "toy-probe"}}}
    )


def test_a_mapping_is_not_changed(toy):
    content = {
        "seeds": [0],
        "datasets": {"d": {"use": "toy-data", "seeds": [1], "sweep": {"samples": [1, 2]}}},
        "networks": {"n": {"use": "toy-net"}},
        "probes": {"p": {"use": "toy-probe"}},
    }
    import copy

    before = copy.deepcopy(content)
    assert len(toy(content).cells) == 2
    assert content == before


MISTAKES = [
    ("sedes = [1]\n", 'sedes: a suite has no such key; did you mean "seeds"?'),
    ("name = 3\n", "name: expected text, got 3"),
    ("description = []\n", "description: expected text, got []"),
    ("seeds = 3\n", "seeds: expected a list of whole numbers from 0 to 2**63 - 1, got 3"),
    ("seeds = []\n", "seeds: expected a list"),
    ("seeds = [-1]\n", "seeds: expected a list"),
    ("seeds = [true]\n", "seeds: expected a list"),
    ("seeds = [1.0]\n", "seeds: expected a list"),
    ('seeds = ["1"]\n', "seeds: expected a list"),
    ("seeds = [9223372036854775808]\n", "seeds: expected a list"),
    ("seeds = [1, 1]\n", "seeds: contains a number twice"),
    ("report = 'nosuch'\n", "report: 'nosuch' is unknown"),
    ("report = 3\n", "report: 3 is unknown"),
    ("plugins = [1]\n", "plugins: expected a list of file names, got [1]"),
    ("only = 3\n", "[[only]]: expected tables, got 3"),
    ("skip = ['x']\n", "[[skip]]: expected tables, got ['x']"),
]


@pytest.mark.parametrize(("head", "message"), MISTAKES)
def test_a_mistake_at_the_top(toy, head, message):
    found = problems(toy, toys.BASE, head)
    assert len(found) == 1
    assert found[0].startswith(f"suite.toml: {message}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("sample = 3", "[datasets.d] sample: 'toy-data' has no such parameter; did you mean \"samples\"?"),
        ("samples = '3'", "[datasets.d] samples: expected int, got str (given: '3')"),
        ("samples = 3.0", "[datasets.d] samples: expected int, got float"),
        ("samples = true", "[datasets.d] samples: expected int, got bool"),
        ("samples = 0", "[datasets.d] samples: expected int >= 1 (given: 0)"),
        ("samples = [1]", "[datasets.d] samples: expected int, got array"),
        ("samples = 2020-01-01", "[datasets.d] samples: expected int, got date"),
        ("samples.x = 1", "[datasets.d] samples: expected int, got object"),
        ("seeds = 1", "[datasets.d] seeds: expected a list"),
        ("seed = 1", "[datasets.d] seed: 'toy-data' has no such parameter"),
        ("sweep = 3", "[datasets.d] sweep: expected lists of values by setting"),
        ("sweep.sample = [3]", "[datasets.d] sweep.sample: 'toy-data' has no such parameter; did you mean \"samples\"?"),
        ("sweep.samples = 3", "[datasets.d] sweep.samples: expected a list of values, got 3"),
        ("sweep.samples = []", "[datasets.d] sweep.samples: expected a list of values, got []"),
        ("sweep.samples = [0]", "[datasets.d] sweep.samples: expected int >= 1 (given: 0)"),
        ("sweep.samples = [1, 'x']", "[datasets.d] sweep.samples: expected int, got str (given: 'x')"),
        ("sweep.samples = [1, 2, 1]", "[datasets.d] sweep.samples: contains a value twice"),
        ("samples = 1\nsweep.samples = [1, 2]", "[datasets.d] samples: is both set and swept"),
    ],
)
def test_a_mistake_in_a_table(toy, lines, message):
    found = problems(toy, with_dataset(lines))
    assert len(found) == 1, found
    assert found[0].startswith(f"suite.toml: {message}")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_no_number_but_a_finite_one(toy, value):
    for line in (f"scale = {value}", f"sweep.scale = [1.0, {value}]"):
        (found,) = problems(toy, toys.BASE.replace('"toy-probe"', f'"toy-probe"\n{line}'))
        assert "finite" in found
        assert "[probes.p]" in found
        assert "scale" in found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"toy-data"', '"toy-dat"', "[datasets.d] use: dataset 'toy-dat' is unknown; did you mean \"toy-data\"?"),
        ('"toy-net"', '"toy-data"', "[networks.n] use: network 'toy-data' is unknown"),
        ('"toy-probe"', "3", "[probes.p] use: expected the name of a probe"),
        ('use = "toy-probe"', "", "[probes.p] use: expected the name of a probe"),
        ('[probes.p]\nuse = "toy-probe"', "", "[probes.…]: at least one such table is needed"),
        ('[probes.p]\nuse = "toy-probe"', "[probes]", "[probes.…]: at least one such table is needed"),
        ('[probes.p]\nuse = "toy-probe"', "[probes]\np = 3", "[probes.p] expected a table, got 3"),
        ('[probes.p]\nuse = "toy-probe"', "[[probes]]\nuse = 'toy-probe'", "[probes.…]: at least one such table is needed"),
    ],
)
def test_a_mistake_in_a_tables_name(toy, old, new, message):
    found = problems(toy, toys.BASE.replace(old, new))
    assert len(found) == 1, found
    assert found[0].startswith(f"suite.toml: {message}")


@pytest.mark.parametrize("value", ["3", "'d'", "[1]", "true"])
@pytest.mark.parametrize("kind", ["datasets", "networks", "probes"])
def test_a_kind_that_is_no_table(toy, kind, value):
    content = re.sub(rf"\[{kind}\..\]\nuse = .*\n", "", toys.BASE)
    assert problems(toy, content, f"{kind} = {value}") == [f"suite.toml: [{kind}.…]: at least one such table is needed"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("dataset = 'e'", "dataset: no table of the suite is called 'e'; known: d"),
        ("network = ['n', 'm*']", "network: no table of the suite is called 'm*'"),
        ("probe = 3", "probe: no table of the suite is called 3"),
        ("sample = 1", 'sample: is neither dataset, network, probe nor a swept setting; did you mean "samples"?'),
        ("seed = 1", "seed: is neither dataset, network, probe nor a swept setting"),
        ("samples = 5", "samples: no table of the suite sweeps it over 5; known: 1, 2"),
        ("samples = '1'", "samples: no table of the suite sweeps it over '1'"),
        ("dataset = []", "dataset: the list is empty: it would match no cell"),
        ("", "is empty: it would match every cell"),
    ],
)
@pytest.mark.parametrize("key", ["only", "skip"])
def test_a_mistake_in_a_rule(toy, key, rule, message):
    found = problems(toy, with_dataset("sweep.samples = [1, 2]") + f"[[{key}]]\n{rule}\n")
    assert len(found) == 1, found
    assert found[0].startswith(f"suite.toml: [[{key}]] {message}")


def test_a_rule_is_not_blamed_for_its_tables_mistake(toy):
    found = problems(
        toy, with_dataset("sweep.samples = [1, 2]").replace("toy-data", "toy-dada") + "[[skip]]\nsamples = 1\ndataset = 'd'"
    )
    assert len(found) == 1
    assert "toy-dada" in found[0]


def test_everything_at_once(toy):
    found = problems(
        toy,
        """
        [datasets.d]
        use = "toy-dada"
        sweep.samples = [1]
        [datasets.e]
        use = "toy-data"
        smaples = 3
        samples = "x"
        seeds = [-1]
        [networks]
        n = 3
        [probes.p]
        use = "toy-probe"
        scale = "1"
        sweep.scale = ["2", nan]
        [[skip]]
        dataset = "f"
        [[only]]
        depth = 3
        """,
        "naem = 'x'\nseeds = 0.5\nreport = 'none'",
    )
    expected = [
        "naem:", "seeds:", "[datasets.d] use:", "[datasets.e] seeds:", "[datasets.e] smaples:", "[datasets.e] samples:",
        "[networks.n] ", "[probes.p] sweep.scale: expected float", "[probes.p] sweep.scale:", "[probes.p] scale: is both",
        "report:", "[[only]] depth:", "[[skip]] dataset:",
    ]  # fmt: skip
    assert len(found) == len(expected), found
    for message in expected:
        assert any(line.startswith(f"suite.toml: {message}") for line in found), message


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("[[only]]\ndataset = 'a'", {"a[samples=1]", "a[samples=2]"}),
        ("[[only]]\ndataset = ['a', 'b']", {"a[samples=1]", "a[samples=2]", "b"}),
        ("[[only]]\nsamples = 1", {"a[samples=1]"}),
        ("[[only]]\nsamples = [1, 2]", {"a[samples=1]", "a[samples=2]"}),
        ("[[skip]]\nsamples = 1", {"a[samples=2]", "b", "c"}),
        ("[[skip]]\ndataset = '[ab]'", {"c"}),
        ("[[skip]]\ndataset = '*'\nsamples = 2", {"a[samples=1]", "b", "c"}),
        ("[[skip]]\ndataset = 'b'\n[[skip]]\ndataset = 'c'", {"a[samples=1]", "a[samples=2]"}),
        ("[[only]]\ndataset = 'a'\n[[only]]\ndataset = 'b'\n[[skip]]\nsamples = 2", {"a[samples=1]", "b"}),
        ("[[only]]\ndataset = 'a'\nnetwork = 'n'\nprobe = 'p'\nsamples = 2", {"a[samples=2]"}),
    ],
)
def test_rules_narrow(toy, rules, left):
    content = toys.BASE.replace("datasets.d", "datasets.b").replace(
        "[networks.n]",
        "[datasets.a]\nuse = 'toy-data'\nsweep.samples = [1, 2]\n[datasets.c]\nuse = 'toy-data'\n[networks.n]",
    )
    assert {str(cell.dataset) for cell in toy(content + rules).cells} == left


def test_rules_that_leave_nothing(toy):
    (found,) = problems(toy, toys.BASE + "[[skip]]\nnetwork = 'n'")
    assert found == "suite.toml: [[only]] and [[skip]] leave no cell to run"


def test_a_rule_with_a_whole_number_for_a_float(toy):
    content = toys.BASE.replace('"toy-probe"', '"toy-probe"\nsweep.scale = [1, 2.5]')
    assert [c.probe.swept for c in toy(content + "[[skip]]\nscale = 1").cells] == [{"scale": 2.5}]


def test_plugins_lie_beside_the_suite(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir("/")
    toys.plugin(tmp_path / "deep")
    toys.plugin(tmp_path, "upper", toys.TOYS.replace('"toy-', '"upper-').replace('"bad-', '"upper-bad-'))
    file = toys.suite(
        tmp_path / "deep", toys.BASE.replace("toy-probe", "upper-probe"), head='plugins = ["./toys.py", "../upper.py"]'
    )
    suite = load_suite(file)
    assert suite.cells[0].probe.component.plugin.file == tmp_path / "upper.py"
    assert "upper-probe" not in tmi.names("probe")


def test_a_missing_plugin(tmp_path):
    with pytest.raises(PluginError, match=r"plug-in file .*nosuch.py: there is no such file"):
        load_suite(toys.suite(tmp_path, head='plugins = ["nosuch.py"]'))


def test_a_clashing_plugin_of_a_suite_is_reported(tmp_path):
    toys.plugin(tmp_path, text=toys.TOYS.replace('"toy-probe": ', '"accuracy": "STEM:toy_probe", "toy-probe": '))
    with pytest.warns(UserWarning, match="probe 'accuracy' refused: the name is taken by plug-in tmi_probes"):
        suite = load_suite(toys.suite(tmp_path))
    assert suite.registry.find("probe", "accuracy").plugin.name == "tmi_probes"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seeds = [1", "is not valid TOML: "),
        (b"seeds = 1\nseeds = 2", "is not valid TOML: Cannot overwrite a value"),
        (b"\xff\xfe", "is not valid TOML: 'utf-8' codec"),
        (b"x = " + b"[" * 100_000, "is not valid TOML: "),
        (b"x = " + b"1" * 10_000, "is not valid TOML: "),
        (b"\0", "is not valid TOML: "),
    ],
    ids=["open", "twice", "bytes", "deep", "digits", "nul"],
)
def test_what_is_not_toml(tmp_path, content, message):
    file = tmp_path / "s.toml"
    file.write_bytes(content)
    (found,) = problems(load_suite, file)
    assert found.startswith(f"s.toml: {message}")


def test_an_empty_file(tmp_path):
    (tmp_path / "s.toml").write_text("")
    assert len(problems(load_suite, tmp_path / "s.toml")) == 3


@pytest.mark.parametrize("suite", ["nosuch", "nosuch.toml", "pa\0per", Path("/nosuch/s.toml")])
def test_a_missing_suite(suite):
    with pytest.raises(SuiteError, match="there is no such file and no registered suite"):
        load_suite(suite)


def test_a_plugin_that_is_no_list_hides_no_other_problem(toy, tmp_path):
    """A single file is read all the same, so that its components are known."""
    found = problems(
        toy, toys.BASE.replace("[probes.p]", "[probes.q]\nuse = 'acuracy'\n[probes.p]"), "plugins = 'toys.py'\nsedes = 1\n"
    )
    assert [problem.removeprefix("suite.toml: ") for problem in found] == [
        "plugins: expected a list of file names, as in plugins = [\"toys.py\"], got 'toys.py'",
        'sedes: a suite has no such key; did you mean "seeds"?',
        "[probes.q] use: probe 'acuracy' is unknown; did you mean \"accuracy\"?",
    ]
    found = problems(toy, toys.BASE, "plugins = 'a.py'\n")
    assert len(found) == 2
    assert found[1].endswith("a.py: there is no such file")


def test_a_path_that_is_no_suite(tmp_path, monkeypatch):
    """It says what is there instead, and which file was meant."""
    monkeypatch.chdir(tmp_path)
    toys.plugin(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("first.toml", "sub/second.toml"):
        toys.suite(tmp_path, name=name)
    for given, message in (
        ("frist.toml", 'no registered suite of this name; did you mean "first.toml"?'),
        ("sub/secnd.toml", 'did you mean "sub/second.toml"?'),
        ("sub", "is a folder; a suite is a name or a TOML file, as sub/second.toml"),
        ("/", "is a folder; a suite is a name or a TOML file"),
        ("toys.py", "is a Python file and no suite; give plug-ins to one with --plugin toys.py"),
        ("/dev/null", "is no file"),
    ):
        with pytest.raises(SuiteError) as caught:
            load_suite(given)
        assert message in str(caught.value)


def test_the_nearest_registered_suite():
    with pytest.raises(SuiteError, match='did you mean "paper"'):
        load_suite("papier")


@pytest.mark.parametrize("suite", [3, None, [], b"paper"])
def test_what_is_no_suite(suite):
    with pytest.raises(SuiteError, match="expected a name, a path or a mapping"):
        load_suite(suite)


def test_the_registered_suite():
    suite = load_suite("paper")
    assert (suite.name, suite.report) == ("paper", "paper")
    plan = make_plan(suite)
    assert len({p.key for p in plan}) == len(plan) > 100


def test_hostile_text_is_only_text(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = [
        "../../etc/passwd",
        "__import__('os').mkdir('owned')",
        "$(touch owned)",
        "{0.__class__}",
        "<script>",
        "[/]",
        "a b",
        "",
    ]
    tables = "".join(f"[datasets.{tmi.plugins.registry._toml(label)}]\nuse = 'toy-data'\n" for label in labels)
    suite = toy(tables + toys.BASE, 'name = "../../x"\ndescription = "{{ 7 * 7 }}"')
    assert [cell.dataset.label for cell in suite.cells] == [*labels, "d"]
    found = tmi.run(suite, tmp_path / "store")
    assert not found.failed
    assert {entry.dataset for entry in found} == {*labels, "d"}
    assert {p.name for p in tmp_path.iterdir()} - {"__pycache__"} == {"suite.toml", "toys.py", "store"}
    files = [p.name for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert [name for name in files if not re.fullmatch(r"[0-9a-f]{64}\.h5|index\.sqlite|\.gitignore", name)] == []


EXTRA = """
import tmi

@tmi.hookimpl
def tmi_probes():
    return {"extra": "STEM:extra"}

def extra(network, data) -> tmi.ProbeResult:
    "Measure."
    return tmi.ProbeResult({"a": 1.0})
"""


def given_data(*, seed: int):
    """Never called."""


def given_network(data, *, seed: int):
    """Never called."""


class TestRegistry:
    """A given registry is the base: files that the suite or the caller names are added to it, and it does not change."""

    @pytest.fixture
    def given(self):
        host = PluginHost()
        plugin = types.ModuleType("zz_given")
        targets_of = {"tmi_dataset_generators": {"given-data": given_data}, "tmi_network_builders": {"toy-net": given_network}}
        for hook, targets in targets_of.items():
            function = lambda targets=targets: targets  # noqa: E731
            function.__name__ = hook
            setattr(plugin, hook, tmi.hookimpl(function))
        host.add(Plugin("given", "test", plugin))
        assert not host.faults
        return Registry(host)

    CONTENT = '[datasets.d]\nuse = "given-data"\n[networks.n]\nuse = "toy-net"\n[probes.p]\nuse = "extra"\n'

    @pytest.mark.parametrize("by", ["suite", "caller", "both", "mapping"])
    def test_it_is_kept(self, given, tmp_path, by):
        file = tmp_path / "extra.py"
        file.write_text(EXTRA.replace("STEM", "extra"))
        suite = tmp_path / "suite.toml"
        suite.write_text(('plugins = ["extra.py"]\n' if by in ("suite", "both") else "") + self.CONTENT)
        content = tomllib.loads(self.CONTENT) | {"plugins": [str(file)]} if by == "mapping" else suite
        loaded = load_suite(content, plugins=[file] if by in ("caller", "both") else [], registry=given)
        assert loaded.registry.find("dataset", "given-data").plugin.name == "given"
        assert loaded.registry.find("probe", "extra").plugin.file == file
        assert loaded.registry.names("dataset") == ["given-data"], "the installed ones were not asked for"
        assert given.names("probe") == []

    def test_it_is_returned_itself_where_nothing_is_added(self, given):
        assert given.extended([]) is given

    def test_its_faults_are_not_repeated(self, given, tmp_path):
        file = tmp_path / "extra.py"
        file.write_text(EXTRA.replace("STEM", "extra"))
        given.faults.append(Fault("zz", "an old fault"))
        suite = tmp_path / "suite.toml"
        suite.write_text('plugins = ["extra.py"]\n' + self.CONTENT)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded = load_suite(suite, registry=given)
        assert [fault.plugin for fault in loaded.registry.faults] == ["zz"]
        file.write_text(EXTRA.replace("STEM", "extra").replace('"extra"', '"given data"') + "\n\n")
        other = tmp_path / "other.py"
        other.write_text(EXTRA.replace("STEM", "other"))
        suite.write_text('plugins = ["extra.py", "other.py"]\n' + self.CONTENT)
        with pytest.warns(UserWarning, match="plug-in other: probe 'extra' refused: the name is taken") as caught:
            load_suite(suite, registry=loaded.registry)
        assert len(caught) == 1


def test_every_missing_path_is_reported(tmp_path):
    suite = readers.suite(readers.plugin(tmp_path, "open", "Path"), "measure", "nosuch")
    suite.write_text(
        suite.read_text()
        + '[datasets.y]\nuse = "a-dataset"\nfile = "no-y"\n[networks.z]\nuse = "a-network"\nsweep.file = ["reading.py", "no-z"]\n'
    )
    with pytest.raises(SuiteError) as error:
        load_suite(suite)
    assert error.value.problems == [
        f"reading.toml: [datasets.y] file: there is no file or folder {tmp_path}/no-y",
        f"reading.toml: [networks.z] sweep.file: there is no file or folder {tmp_path}/no-z",
        "reading.toml: [probes.x] measure: measure \"a-measure(file='nosuch')\": "
        f"file: there is no file or folder {tmp_path}/nosuch",
    ]


def test_a_suite_given_as_a_dict_may_hold_functions(tmp_path):
    def given(network, data, *, x: int = 1) -> tmi.ProbeResult: ...

    tables = {"datasets": {"d": {"use": "squares"}}, "networks": {"n": {"use": "theorem1"}}}
    (cell,) = load_suite(tables | {"probes": {"p": {"use": given, "x": 2}}}).cells
    assert (cell.probe.component.name, cell.probe.params) == ("given", {"x": 2})
    with pytest.raises(SuiteError, match=r"^suite: \[probes.p\] y: 'given' has no such parameter; known: x$"):
        load_suite(tables | {"probes": {"p": {"use": given, "y": 2}}})
    with pytest.raises(SuiteError, match=r"^suite: \[probes.p\] use: .* parameter 'x' needs an annotation"):
        load_suite(tables | {"probes": {"p": {"use": lambda network, data, *, x: None}}})
