"""Checks for authors of plug-ins, also available as ``tmi check FILE``."""

from __future__ import annotations

import inspect
from pathlib import Path

from tmi import params as parameters
from tmi.errors import TmiError
from tmi.hashing import canonical
from tmi.plugins.component import Component, suite_file
from tmi.plugins.host import load
from tmi.probing import attribution
from tmi.runtime.paths import absolute

_POSITIONAL = {
    "dataset": (),
    "network": ("data",),
    "probe": ("network", "data"),
    "method": ("module", "images", "targets"),
    "measure": ("maps", "truth"),
    "report": ("results",),
}


def check_plugin(file: str | Path) -> tuple[list[str], list[str]]:
    """Check a plug-in file: its hooks, imports, signatures, settings and docstrings. Only the hooks are called.

    Parameters
    ----------
    file : str or Path

    Returns
    -------
    problems : list of str
        One line per problem; empty if there is none.
    names : list of str
        The names that the file registers, with their kind: ``"probe mean-margin"``.

    Raises
    ------
    PluginError
        If the file cannot be imported.
    """
    host = load()
    faults_before = len(host.faults)
    host.load_file(file)
    problems = [str(fault) for fault in host.faults[faults_before:]]
    path = absolute(file).resolve()
    registered = [component for component in host.components.values() if component.plugin.file == path]
    for component in registered:
        problems += [f"{component.kind} {component.name}: {problem}" for problem in check_component(component)]
    return problems, [f"{component.kind} {component.name}" for component in registered]


def check_component(component: Component) -> list[str]:
    """Check one registered function.

    Parameters
    ----------
    component : Component

    Returns
    -------
    list of str
        One line per problem; empty if there is none.
    """
    if component.kind == "suite":
        try:
            suite_file(component)
        except TmiError as error:
            return [str(error)]
        return []
    try:
        function = component.function
        schema = parameters.parameters(function, attribution.GIVEN.get(component.kind, parameters.GIVEN))
    except TmiError as error:
        return [str(error)]
    problems = []
    positional = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    expected = _POSITIONAL[component.kind]
    if len(positional) != len(expected):
        takes = f"takes {', '.join(expected)} by position" if expected else "takes nothing by position"
        problems.append(f"expected a function that {takes} and settings by keyword (after *), got ({', '.join(positional)})")
    for parameter in schema.values():
        if not parameter.required:
            try:
                canonical(parameter.default)
            except (TypeError, ValueError) as error:
                problems.append(f"the default of {parameter.name} cannot be part of a key: {error}")
    if component.kind == "dataset" and not parameters.takes_seed(function):
        problems.append("a data set must take seed, so that it can be generated again")
    if not inspect.getdoc(function):
        problems.append("has no docstring; tmi list shows its first line")
    return problems
