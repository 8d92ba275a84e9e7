"""Finds a plug-in by its file, its name or its folder, and checks all that it registers."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi.errors import PluginError, TmiError, did_you_mean
from tmi.plugins.component import Component, Plugin
from tmi.plugins.host import PluginHost, load, module_file
from tmi.plugins.registry import Registry
from tmi.runtime.paths import absolute, shown

from .checks import CHECKS, WITHOUT_CALL, Check, check_runs
from .trial import KINDS, Trial, Trials

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset


@dataclass(frozen=True, repr=False)
class PluginCheck:
    """What `check_plugin` found. It is true if there is no problem: ``assert check_plugin("tmi_demo")``.

    Attributes
    ----------
    name : str
        Of the plug-in.
    names : tuple of str
        What it registers, each with its kind: ``"probe mean-margin"``.
    problems : tuple of str
        One sentence per problem.
    remarks : tuple of str
        What could not be checked, because the function cannot be called with its defaults on the toy, and why.
    trials : tuple of Trial
        The calls on the toy.
    """

    name: str
    names: tuple[str, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __repr__(self) -> str:
        lines = [f"plug-in {self.name}: {'ok' if self else f'{len(self.problems)} problems'}, registers {', '.join(self.names)}"]
        return "\n".join([*lines, *(f"  {text}" for text in (*self.problems, *self.remarks))])


def check_plugin(
    plugin: str | Path, *, settings: Mapping[str, Mapping[str, Any]] | None = None, on: Sequence[tuple[Network, Dataset]] = (),
    must_run: bool = False,
) -> PluginCheck:  # fmt: skip
    """Check all that a plug-in registers, by the checks of its kind: see `tmi.testing.CHECKS`.

    Every data set, network, probe, method and measure is called twice with its default settings: a network on a tiny data set,
    the others on a tiny data set and network, or on those of the plug-in itself where nothing can be computed on the tiny ones.

    Parameters
    ----------
    plugin : str or Path
        The path of a Python file; the name of an installed package, of its entry point or of its module; or the folder of a
        package that is installed from there.
    settings : mapping of str to dict, optional
        Settings other than the defaults: ``{"probe demo": {"steps": 3}}``.
    on : sequence of (Network, Dataset), optional
        What to try its probes, methods and measures on, before the toy.
    must_run : bool
        Whether a function that raises an error on the toy is a problem, and not a remark. One that returns something of a wrong
        type or form always is.

    Returns
    -------
    PluginCheck
        True if there is no problem.

    Raises
    ------
    PluginError
        If there is no such plug-in, or it cannot be imported.
    """
    found, registry, faults = _found(plugin)
    trials = Trials(_components(registry, found), registry, settings, on)
    problems, remarks = [str(fault) for fault in faults], []
    for trial, check in checks_of(trials):
        if check is check_runs and trial.fault and trial.fault not in (("wrong", "failed") if must_run else ("wrong",)):
            remarks.append(f"{trial}: not tried: {trial.why_not}")
        else:
            problems += [f"{trial}: {problem}" for problem in problems_of(trial, check)]
    return PluginCheck(found.name, tuple(map(str, trials)), tuple(problems), tuple(remarks), tuple(trials))


def checks_of(trials: Trials) -> Iterator[tuple[Trial, Check]]:
    """Yield each check of each registered function; those that look at calls only where a call succeeded."""
    for trial in trials:
        checks = CHECKS[trial.component.kind]
        unsound = checks[0](trial)
        for check in checks[:1] if unsound else checks:
            if check in WITHOUT_CALL or trial.answered:
                yield trial, check


def problems_of(trial: Trial, check: Check) -> list[str]:
    """Return the problems that a check finds; an error of tmi about what the function made is one."""
    try:
        return check(trial)
    except TmiError as error:
        return [str(error)]


def plugin_trials(plugin: str | Path, **options: Any) -> Trials:
    """Return the trials of all that a plug-in registers; see `check_plugin` for the options.

    Raises
    ------
    PluginError
        Also if something that it registers is refused.
    """
    found, registry, faults = _found(plugin)
    if faults:
        raise PluginError("; ".join(map(str, faults)))
    return Trials(_components(registry, found), registry, **options)


def _components(registry: Registry, plugin: Plugin) -> list[Component]:
    components = (registry.find(kind, name) for kind in (*KINDS, "suite", "report") for name in registry.names(kind))
    return [component for component in components if component.plugin == plugin]


def _found(plugin: str | Path) -> tuple[Plugin, Registry, Sequence[object]]:
    """Return a plug-in, the registry that it is in, and the reasons for which it or names of it were refused."""
    host = load()
    if os.fspath(plugin).endswith(".py"):
        before = len(host.faults)
        host.load_file(plugin)
        path = absolute(plugin).resolve()
        found = next((p for p in host.plugins if path in (p.file, module_file(p))), None)
        if found is None:  # it was refused as a whole
            found = Plugin(path.stem, str(path), None, path)
        faults = host.faults[before:]
        if found.file is None:
            faults = [fault for fault in host.faults if fault.plugin == found.name]
        return found, Registry(host), faults
    found = _of_folder(host, absolute(plugin)) if absolute(plugin).is_dir() else _installed(host, str(plugin))
    return found, Registry(host), [fault for fault in host.faults if fault.plugin == found.name]


def _installed(host: PluginHost, name: str) -> Plugin:
    """Return the installed plug-in whose entry point, module or distribution has a name."""
    found = [plugin for plugin in host.plugins if _normal(name) in _names(plugin)]
    if len(found) == 1:
        return found[0]
    if found:
        raise PluginError(f"package {name} has several plug-ins; name one of {', '.join(plugin.name for plugin in found)}")
    for fault in host.faults:
        if _normal(fault.plugin) == _normal(name):
            raise PluginError(str(fault))
    known = [plugin.name for plugin in host.plugins]
    raise PluginError(f"plug-in {name!r}: no installed package has it{did_you_mean(name, known)}")


def _of_folder(host: PluginHost, folder: Path) -> Plugin:
    """Return the plug-in of the package in a folder."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
        names = list(project.get("entry-points", {}).get("tmi", {}))
    except FileNotFoundError:
        raise PluginError(f"{shown(folder)}: is no package, which has a file pyproject.toml") from None
    except (OSError, ValueError) as error:
        raise PluginError(f"{shown(folder)}: is no package ({error})") from None
    if len(names) != 1:
        found = f"it has {', '.join(names)}; name one of them" if names else "it has none"
        raise PluginError(f"{shown(folder)}: expected one entry point in the group tmi, but {found}")
    try:
        plugin = _installed(host, names[0])
    except PluginError as error:
        if names[0] in {fault.plugin for fault in host.faults}:
            raise
        raise PluginError(f"{shown(folder)}: its package is not installed; pip install -e {shown(folder)}") from error
    file = module_file(plugin)
    if file is None or folder.resolve() not in file.parents:
        raise PluginError(f"{shown(folder)}: its package is installed from elsewhere ({file}); pip install -e {shown(folder)}")
    return plugin


def has_plugin(registry: Registry, name: str) -> bool:
    """Return whether a name is that of a plug-in in a registry, or of one that was refused."""
    refused = {_normal(fault.plugin) for fault in registry.faults}
    return _normal(name) in refused.union(*map(_names, registry.plugins))


def _names(plugin: Plugin) -> set[str]:
    """Return the names of a plug-in: of its entry point, its module and its distribution."""
    return {_normal(name) for name in (plugin.name, plugin.module.__name__.partition(".")[0], plugin.origin.partition(" ")[0])}


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
