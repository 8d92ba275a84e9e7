"""Suites: a TOML file becomes a plan of cells, or a list of everything that is wrong with it.

Nothing here computes a number, and torch is not imported: a plan of thousands of cells is made in milliseconds.
"""

from __future__ import annotations

import itertools
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tmi import params as parameters
from tmi.errors import InputError, SuiteError, TmiError, did_you_mean
from tmi.plugins.component import Component, suite_file
from tmi.plugins.registry import Registry, installed

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
        A registered name, the path of a TOML file, or what such a file holds.
    plugins : path or iterable of path
        Plug-in files beside those that the suite names.
    registry : Registry, optional
        By default all installed plug-ins. The files of ``plugins`` and of the suite are added to it.

    Returns
    -------
    Suite

    Raises
    ------
    SuiteError
        With every problem at once: file, table, key, what is wrong, and the nearest right name.
    PluginError
        For a plug-in file that cannot be imported.
    """
    registry = (registry or installed()).extended([plugins] if isinstance(plugins, str | Path) else plugins)
    content, source, folder = _read(suite, registry)
    files = content.get("plugins", [])
    if not _is_list_of(files, str):
        raise SuiteError([f"{source}: plugins: expected a list of file names, got {files!r}"])
    warned = len(registry.faults)
    registry = registry.extended(folder / file for file in files)
    for fault in registry.faults[warned:]:
        warnings.warn(str(fault), stacklevel=3)
    return _Reader(content, source, registry).suite()


def _read(suite: str | Path | Mapping[str, Any], registry: Registry) -> tuple[dict[str, Any], str, Path]:
    """Return what the suite holds, what to call it in messages, and the folder that its paths start from."""
    if isinstance(suite, Mapping):
        return dict(suite), "suite", Path()
    if not isinstance(suite, str | Path):
        raise SuiteError([f"suite: expected a name, a path or a mapping, got {type(suite).__name__}"])
    known = registry.names("suite")
    if isinstance(suite, str) and suite in known:
        path = suite_file(registry.find("suite", suite))
    else:
        path = Path(suite)
        if not path.is_file():
            raise SuiteError([f"suite {str(suite)!r}: no file of this path, no registered suite{did_you_mean(suite, known)}"])
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name, path.parent
    except OSError as error:
        raise SuiteError([f"{path}: cannot be read ({error.strerror or error})"]) from None
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8, numbers of thousands of digits
        raise SuiteError([f"{path.name}: is not TOML: {error}"]) from None


class _Reader:
    """Turns what a TOML file holds into a `Suite`, collecting problems instead of stopping at the first."""

    def __init__(self, content: dict[str, Any], source: str, registry: Registry) -> None:
        self.content = content
        self.source = source
        self.registry = registry
        self.problems: list[str] = []

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
        # Rules are checked against the labels that are written, whatever else is wrong with their tables.
        rules = {key: self.rules(key, choices) for key in ("only", "skip")}
        if self.problems:
            raise SuiteError(self.problems)
        cells = [
            cell
            for dataset in choices["dataset"]
            for seed in seeds_of[dataset.label]
            for network, probe in itertools.product(choices["network"], choices["probe"])
            if _wanted(cell := Cell(dataset, network, probe, seed), rules["only"], rules["skip"])
        ]
        if not cells:
            raise SuiteError([f"{self.source}: nothing is left to run: [[only]] and [[skip]] leave no cell"])
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
            self.problem(where, "seeds: holds a number twice")
        return list(value)

    def table(self, kind: str, table: str, seeds: list[int], seeds_of: dict[str, list[int]]) -> list[Choice]:
        found = self.content.get(table)
        if not isinstance(found, dict) or not found:
            self.problem("", f"[{table}.…]: at least one such table is needed")
            return []
        result: list[Choice] = []
        for label, settings in found.items():
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
        if not isinstance(name, str):
            self.problem(where, f"use: expected the name of a {kind}{did_you_mean(name or '', self.registry.names(kind))}")
            return None
        try:
            component = self.registry.find(kind, name)
            parameters.parameters(component.function)  # imports it: what cannot be imported is said now
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
            swept[name] = self.sweep(where, name, values, component.name, schema)
            if name in settings:
                self.problem(where, f"{name}: is both set and swept")
        stand_in = {name: values[0] for name, values in swept.items() if values and name in schema}
        params, problems = parameters.check(
            component.function, {**settings, **{n: v for n, v in stand_in.items() if n not in settings}}, component.name
        )
        for problem in problems:
            if problem.partition(":")[0] not in swept:  # those were named above
                self.problem(where, problem)
        for name in params.keys() - swept.keys():
            self.names(where, name, schema[name], params[name])
        for values in itertools.product(*swept.values()):
            chosen = dict(zip(swept, values, strict=True))
            yield Choice(kind, label, component, params | chosen, chosen)

    def sweep(self, where: str, name: str, values: Any, use: str, schema: Mapping[str, parameters.Parameter]) -> list[Any]:
        if name not in schema:
            self.problem(where, f"sweep.{name}: {use!r} has no such parameter{did_you_mean(name, schema)}")
            return []
        if not isinstance(values, list) or not values:
            self.problem(where, f"sweep.{name}: expected a list of values, got {values!r}")
            return []
        checked = []
        for value in values:
            try:
                checked.append(parameters.check_value(schema[name], value))
            except InputError as error:
                self.problem(where, f"sweep.{name}: {error}")
            else:
                self.names(where, f"sweep.{name}", schema[name], checked[-1])
        if any(value in checked[:i] for i, value in enumerate(checked)):
            self.problem(where, f"sweep.{name}: holds a value twice")
        return checked

    def names(self, where: str, name: str, parameter: parameters.Parameter, value: Any) -> None:
        for problem in self.registry.reference_problems(parameter, value):
            self.problem(where, f"{name}: {problem}")

    def rules(self, key: str, choices: Mapping[str, Sequence[Choice]]) -> list[dict[str, list[Any]]]:
        """Read [[only]] or [[skip]]: labels by kind, values by swept setting; each a single one or a list."""
        found = self.content.get(key, [])
        if not _is_list_of(found, dict):
            self.problem("", f"[[{key}]]: expected tables, got {found!r}")
            return []
        labels = {kind: list(_table(self.content.get(table))) for kind, table in _TABLES.items()}
        swept: dict[str, list[Any]] = {}
        for kind, table in _TABLES.items():
            for settings in _table(self.content.get(table)).values():
                for name, values in _table(_table(settings).get("sweep")).items():
                    of_choices = [c.swept[name] for c in choices[kind] if name in c.swept]  # converted: 1 is 1.0 for a float
                    swept.setdefault(name, []).extend([*of_choices, *(values if isinstance(values, list) else [])])
        rules = []
        for rule in found:
            rules.append({name: value if isinstance(value, list) else [value] for name, value in rule.items()})
            if not rules[-1]:
                self.problem(f"[[{key}]]", "is empty: it would fit every cell")
            for name, values in rules[-1].items():
                if not values:
                    self.problem(f"[[{key}]]", f"{name}: the list is empty: it would fit no cell")
                if name in labels:
                    for value in values:
                        if not any(fnmatchcase(label, str(value)) for label in labels[name]):
                            hint = did_you_mean(value, labels[name])
                            self.problem(f"[[{key}]]", f"{name}: no table of the suite is called {value!r}{hint}")
                elif name not in swept:
                    self.problem(f"[[{key}]]", f"{name}: is no kind and no swept setting{did_you_mean(name, {*labels, *swept})}")
                else:
                    for value in values:
                        if value not in swept[name]:
                            hint = did_you_mean(value, map(str, swept[name]))
                            self.problem(f"[[{key}]]", f"{name}: no table of the suite sweeps it over {value!r}{hint}")
        return rules


def _wanted(cell: Cell, only: list[dict[str, list[Any]]], skip: list[dict[str, list[Any]]]) -> bool:
    return (not only or any(_fits(cell, rule) for rule in only)) and not any(_fits(cell, rule) for rule in skip)


def _fits(cell: Cell, rule: Mapping[str, list[Any]]) -> bool:
    return all(
        any(fnmatchcase(getattr(cell, name).label, str(value)) for value in values)
        if name in _TABLES
        else any(name in choice.swept and choice.swept[name] in values for choice in cell.choices)
        for name, values in rule.items()
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)
