"""Reads a suite from a TOML file and checks it: the result is a `Suite` of cells, or one error that lists every problem.

Nothing is computed and torch is not imported, so a suite of thousands of cells is read in milliseconds.
"""

from __future__ import annotations

import itertools
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import UnionType
from typing import Any

from tmi import params as parameters
from tmi.errors import InputError, MissingPathError, SuiteError, TmiError, did_you_mean
from tmi.plugins.component import Component, suite_file
from tmi.plugins.inputs import with_absolute_paths
from tmi.plugins.registry import Registry, installed
from tmi.runtime.paths import absolute

from .suite import Cell, Choice, Suite

_TABLES = {"dataset": "datasets", "network": "networks", "probe": "probes"}

_KEYS = ("name", "description", "seeds", "plugins", "report", "only", "skip", *_TABLES.values())


def load_suite(
    suite: str | Path | Mapping[str, Any], *, plugins: str | Path | Iterable[str | Path] = (), registry: Registry | None = None
) -> Suite:
    """Read and check a suite.

    Parameters
    ----------
    suite : str, Path or mapping
        A registered name, the path of a TOML file, or the content of such a file. In a mapping, ``use`` may also be a function.
        Relative paths in a file are relative to its folder, those in a mapping to the working folder.
    plugins : path or iterable of path
        Plug-in files in addition to those that the suite names.
    registry : Registry, optional
        Looks up the names in the suite. By default it holds all installed plug-ins. It is not modified: the plug-in files are
        added to a copy.

    Returns
    -------
    Suite

    Raises
    ------
    SuiteError
        Lists every problem: file, table, key, what is wrong, and the nearest right name.
    PluginError
        If a plug-in file cannot be imported.
    """
    path = absolute(suite) if isinstance(suite, str | Path) else Path().absolute()  # a plug-in may change the working folder
    registry = (registry or installed()).extended([plugins] if isinstance(plugins, str | Path) else plugins)
    content, source, folder = _read(suite, path, registry)
    files, problems = content.get("plugins", []), []
    if not _is_list_of(files, str | Path):
        alone = isinstance(files, str | Path)
        example = f', as in plugins = ["{files}"]' if alone else ""
        problems = [f"plugins: expected a list of file names{example}, got {files!r}"]
        files = [files] if alone else []  # the other problems are reported as well, those with its components if it is one file
    faults_before = len(registry.faults)
    try:
        registry = registry.extended(absolute(file, folder) for file in files)
    except TmiError as error:
        if not problems:
            raise
        problems.append(str(error))
    for fault in registry.faults[faults_before:]:
        warnings.warn(str(fault), stacklevel=3)
    return _Reader(content, source, registry.at(absolute(folder)), problems).suite()


def _read(suite: str | Path | Mapping[str, Any], path: Path, registry: Registry) -> tuple[dict[str, Any], str, Path]:
    """Return the content of a suite, its name in messages, and the folder to which its paths are relative."""
    if isinstance(suite, Mapping):
        return dict(suite), "suite", path
    if not isinstance(suite, str | Path):
        raise SuiteError([f"suite: expected a name, a path or a mapping, got {type(suite).__name__}"])
    known = registry.names("suite")
    if isinstance(suite, str) and suite in known:
        path = suite_file(registry.find("suite", suite))
    elif not path.is_file() or path.suffix == ".py":
        raise SuiteError([f"suite {str(suite)!r}: {_why_no_suite(str(suite), path, known)}"])
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name, path.parent
    except OSError as error:
        raise SuiteError([f"{path}: cannot be read ({error.strerror or error})"]) from None
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8, numbers of thousands of digits
        raise SuiteError([f"{path.name}: is not valid TOML: {error}"]) from None


def _why_no_suite(given: str, path: Path, known: Sequence[str]) -> str:
    """Say why a path names no suite, and which file or name was probably meant."""
    if path.is_dir():
        files = sorted(str(Path(given, file.name)) for file in path.glob("*.toml"))
        return "is a folder; a suite is a name or a TOML file" + (f", as {', '.join(files[:3])}" if files else "")
    if path.suffix == ".py":
        there = path.is_file()
        return (
            f"is a Python file and no suite; give plug-ins to one with --plugin {given}, or check it with tmi check {given}"
            if there
            else "there is no such file, and a suite is no Python file but a name or a TOML file"
        )
    if path.exists():
        return "is no file"
    folder = Path(given).parent
    beside = sorted(str(folder / file.name) for file in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    return f"there is no such file and no registered suite of this name{did_you_mean(given, [*known, *beside[:20]])}"


class _Reader:
    """Turns the content of a TOML file into a `Suite`. It collects all problems instead of stopping at the first."""

    def __init__(self, content: dict[str, Any], source: str, registry: Registry, problems: Iterable[str] = ()) -> None:
        self.content = content
        self.source = source
        self.registry = registry
        self.problems: list[str] = []
        for problem in problems:
            self.problem("", problem)

    def suite(self) -> Suite:
        for key in self.content:
            if key not in _KEYS:
                self.problem("", f"{key}: a suite has no such key{did_you_mean(key, _KEYS)}")
        name, description = self.text("name", Path(self.source).stem), self.text("description", "")
        seeds = self.seeds("", self.content.get("seeds", [0]))
        seeds_of: dict[str, list[int]] = {}
        choices = {kind: self.table(kind, table, seeds, seeds_of) for kind, table in _TABLES.items()}
        report = self.content.get("report")
        if report is not None and report not in self.registry.names("report"):
            self.problem("", f"report: {report!r} is unknown{did_you_mean(report, self.registry.names('report'))}")
        # Rules are checked against the labels in the file, so that an invalid table causes no second message about a rule.
        rules = {key: self.rules(key, choices) for key in ("only", "skip")}
        if self.problems:
            raise SuiteError(self.problems)
        cells = []
        for dataset in choices["dataset"]:
            # Rules do not name seeds: they are checked once for all of them.
            pairs = [
                (network, probe)
                for network, probe in itertools.product(choices["network"], choices["probe"])
                if _selected(Cell(dataset, network, probe, 0), rules["only"], rules["skip"])
            ]
            cells += [Cell(dataset, network, probe, seed) for seed in seeds_of[dataset.label] for network, probe in pairs]
        if not cells:
            raise SuiteError([f"{self.source}: [[only]] and [[skip]] leave no cell to run"])
        return Suite(name, tuple(cells), self.registry, description, report, self.source)

    def problem(self, where: str, what: str) -> None:
        self.problems.append(f"{self.source}: {where + ' ' if where else ''}{what}")

    def text(self, key: str, default: str) -> str:
        value = self.content.get(key, default)
        if not isinstance(value, str):
            self.problem("", f"{key}: expected text, got {value!r}")
        return str(value)

    def seeds(self, where: str, value: Any) -> list[int]:
        if not _is_list_of(value, int) or not value or min(value) < 0 or max(value) >= 2**63:
            self.problem(where, f"seeds: expected a list of whole numbers from 0 to 2**63 - 1, got {value!r}")
            return []
        if len(set(value)) < len(value):
            self.problem(where, "seeds: contains a number twice")
        return list(value)

    def table(self, kind: str, table: str, seeds: list[int], seeds_of: dict[str, list[int]]) -> list[Choice]:
        tables = self.content.get(table)
        if not isinstance(tables, dict) or not tables:
            self.problem("", f"[{table}.…]: at least one such table is needed")
            return []
        result: list[Choice] = []
        for label, settings in tables.items():
            where = f"[{table}.{label}]"
            if not isinstance(settings, dict):
                self.problem(where, f"expected a table, got {settings!r}")
                continue
            settings = dict(settings)
            if kind == "dataset":
                seeds_of[label] = self.seeds(where, settings.pop("seeds")) if "seeds" in settings else seeds
            component = self.component(kind, where, settings.pop("use", None))
            if component is not None:
                result += self.choices(kind, label, where, component, settings)
        return result

    def component(self, kind: str, where: str, name: Any) -> Component | None:
        if not isinstance(name, str) and not callable(name):
            self.problem(where, f"use: expected the name of a {kind}{did_you_mean(name or '', self.registry.names(kind))}")
            return None
        try:
            component = self.registry.find(kind, name)
            parameters.parameters(component.function)  # imports it, so that a failing import is reported here
            return component
        except TmiError as error:
            self.problem(where, f"use: {error}")
            return None

    def choices(self, kind: str, label: str, where: str, component: Component, settings: dict[str, Any]) -> Iterator[Choice]:
        sweep = settings.pop("sweep", {})
        if not isinstance(sweep, dict):
            self.problem(where, f"sweep: expected lists of values by setting, as in sweep.x = [1, 2]; got {sweep!r}")
            sweep = {}
        schema = parameters.parameters(component.function)
        swept: dict[str, list[Any]] = {}
        for name, values in sweep.items():
            swept[name] = self.sweep(where, name, values, component, schema)
            if name in settings:
                self.problem(where, f"{name}: is both set and swept")
        # The first value of each sweep takes the setting's place in the check; `sweep` has checked all of its values.
        first_values = {name: values[0] for name, values in swept.items() if values and name in schema}
        params, problems = parameters.check(component.function, first_values | settings, component.name)
        for problem in problems:
            if problem.partition(":")[0] not in swept:  # problems of swept settings were reported above
                self.problem(where, problem)
        for name in params.keys() - swept.keys():
            self.names(where, name, schema[name], params[name])
            self.path(where, "", component, name, params[name])
        params = parameters.as_text(params)
        for values in itertools.product(*swept.values()):
            combination = dict(zip(swept, values, strict=True))
            yield Choice(kind, label, component, params | combination, combination)

    def sweep(self, where: str, name: str, values: Any, use: Component, schema: Mapping[str, parameters.Parameter]) -> list[Any]:
        if name not in schema:
            self.problem(where, f"sweep.{name}: {use.name!r} has no such parameter{did_you_mean(name, schema)}")
            return []
        if not isinstance(values, list) or not values:
            self.problem(where, f"sweep.{name}: expected a list of values, got {values!r}")
            return []
        checked = []
        for value in values:
            try:
                checked_value = parameters.check_value(schema[name], value)
                checked.append(parameters.as_text({name: checked_value})[name])
            except InputError as error:
                self.problem(where, f"sweep.{name}: {error}")
            else:
                self.names(where, f"sweep.{name}", schema[name], checked[-1])
                self.path(where, "sweep.", use, name, checked[-1])
        if any(value in checked[:i] for i, value in enumerate(checked)):
            self.problem(where, f"sweep.{name}: contains a value twice")
        return checked

    def path(self, where: str, prefix: str, component: Component, name: str, value: Any) -> None:
        """Report a setting that names no file or folder."""
        try:
            with_absolute_paths(component.function, {name: value}, self.registry.folder)
        except MissingPathError as error:
            self.problem(where, f"{prefix}{error}")

    def names(self, where: str, name: str, parameter: parameters.Parameter, value: Any) -> None:
        for problem in self.registry.reference_problems(parameter, value):
            self.problem(where, f"{name}: {problem}")

    def rules(self, key: str, choices: Mapping[str, Sequence[Choice]]) -> list[dict[str, list[Any]]]:
        """Read [[only]] or [[skip]]: for each rule the labels of a kind, or the values of a swept setting, always as a list."""
        tables = self.content.get(key, [])
        if not _is_list_of(tables, dict):
            self.problem("", f"[[{key}]]: expected tables, got {tables!r}")
            return []
        labels = {kind: list(_dict_or_empty(self.content.get(table))) for kind, table in _TABLES.items()}
        swept: dict[str, list[Any]] = {}
        for kind, table in _TABLES.items():
            for settings in _dict_or_empty(self.content.get(table)).values():
                for name, values in _dict_or_empty(_dict_or_empty(settings).get("sweep")).items():
                    converted = [c.swept[name] for c in choices[kind] if name in c.swept]  # for a float, 1 is 1.0
                    swept.setdefault(name, []).extend([*converted, *(values if isinstance(values, list) else [])])
        rules = []
        for rule in tables:
            rules.append({name: value if isinstance(value, list) else [value] for name, value in rule.items()})
            if not rules[-1]:
                self.problem(f"[[{key}]]", "is empty: it would match every cell")
            for name, values in rules[-1].items():
                if not values:
                    self.problem(f"[[{key}]]", f"{name}: the list is empty: it would match no cell")
                if name in labels:
                    for value in values:
                        if not any(fnmatchcase(label, str(value)) for label in labels[name]):
                            hint = did_you_mean(value, labels[name])
                            self.problem(f"[[{key}]]", f"{name}: no table of the suite is called {value!r}{hint}")
                elif name not in swept:
                    hint = did_you_mean(name, {*labels, *swept})
                    self.problem(f"[[{key}]]", f"{name}: is neither dataset, network, probe nor a swept setting{hint}")
                else:
                    for value in values:
                        if value not in swept[name]:
                            hint = did_you_mean(value, map(str, swept[name]))
                            self.problem(f"[[{key}]]", f"{name}: no table of the suite sweeps it over {value!r}{hint}")
        return rules


def _selected(cell: Cell, only: list[dict[str, list[Any]]], skip: list[dict[str, list[Any]]]) -> bool:
    return (not only or any(_matches(cell, rule) for rule in only)) and not any(_matches(cell, rule) for rule in skip)


def _matches(cell: Cell, rule: Mapping[str, list[Any]]) -> bool:
    return all(
        any(fnmatchcase(getattr(cell, name).label, str(value)) for value in values)
        if name in _TABLES
        else any(name in choice.swept and choice.swept[name] in values for choice in cell.choices)
        for name, values in rule.items()
    )


def _dict_or_empty(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_list_of(value: Any, kind: type | UnionType) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)
