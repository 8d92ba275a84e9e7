"""Looks up registered names and calls their functions: `generate`, `build`, `probe`, `names` and `describe`."""

from __future__ import annotations

import functools
import numbers
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tmi import params as parameters
from tmi.errors import InputError, NoTilesError, PluginError, TmiError, UnknownNameError, did_you_mean
from tmi.probing import attribution
from tmi.runtime.guard import Guard
from tmi.runtime.paths import absolute

from .component import KINDS, Component, Fault, Plugin, suite_file
from .host import PluginHost, load
from .inputs import with_absolute_paths
from .references import Reference, named_in, parse

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask

Named: TypeAlias = str | Callable[..., Any] | Component
"""A registered name, a function that takes the place of a registered one, or a component itself."""

GIVEN = Plugin("<given>", "given as a function", None)
"""Stands for the plug-in of a function that was given instead of a name."""


class Registry:
    """The components that the plug-ins of a host registered, by kind and name.

    Parameters
    ----------
    host : PluginHost
    folder : Path, optional
        The folder that a relative path in a setting starts from; by default the working folder.

    Attributes
    ----------
    folder : Path or None
    """

    def __init__(self, host: PluginHost, folder: Path | None = None) -> None:
        self._host = host
        self.folder = folder
        self._references: dict[tuple[str, str], Reference] = {}

    @property
    def faults(self) -> list[Fault]:
        """Plug-ins and names that were refused, with the reasons."""
        return self._host.faults

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The loaded plug-ins, in order."""
        return self._host.plugins

    @property
    def files(self) -> tuple[Path, ...]:
        """The files from which plug-ins were loaded."""
        return self._host.files

    def extended(self, files: Iterable[str | Path]) -> Registry:
        """Return a registry with these plug-in files added; this registry itself if it already has all of them.

        Raises
        ------
        PluginError
            If a file cannot be imported.
        """
        new = [file for file in files if absolute(file).resolve() not in self.files]
        if not new:
            return self
        host = self._host.copy()
        for file in new:
            host.load_file(file)
        return Registry(host, self.folder)

    def at(self, folder: Path | None) -> Registry:
        """Return a registry with the same components, in whose settings a relative path starts from another folder."""
        return self if folder == self.folder else Registry(self._host, folder)

    def names(self, kind: str) -> list[str]:
        """Return the registered names of a kind, sorted.

        Raises
        ------
        UnknownNameError
            For an unknown kind.
        """
        if kind not in KINDS:
            raise UnknownNameError(f"kind {kind!r} is unknown{did_you_mean(kind, KINDS)}")
        return sorted(name for k, name in self._host.components if k == kind)

    def find(self, kind: str, name: Named) -> Component:
        """Look up a name; a function becomes a component of its own name, and a component is returned as it is.

        Raises
        ------
        UnknownNameError
            If it is not registered; the message suggests the nearest name.
        """
        if isinstance(name, Component):
            return name
        if callable(name):
            return Component(kind, getattr(name, "__name__", type(name).__name__), name, GIVEN)
        known = self.names(kind)
        if name not in known:
            raise UnknownNameError(f"{kind} {name!r} is unknown{did_you_mean(name, known)}")
        return self._host.components[kind, name]

    def reference(self, kind: str, target: str | Callable[..., Any]) -> Reference:
        """Look up the component that a setting names.

        Parameters
        ----------
        kind : {"method", "measure", "network", "background"}
        target : str or callable
            A name, with or without settings in brackets; or the function itself, with its defaults.

        Raises
        ------
        UnknownNameError
            If the name is not registered.
        InputError
            If the text cannot be parsed, or its settings are invalid; the message lists every problem.
        """
        if callable(target):
            return self._resolve(kind, target)
        known = self._references.get((kind, target))  # a plan looks up the same few names thousands of times
        if known is None:
            known = self._resolve(kind, target)
            if self.folder is not None or not parameters.has_path(known.params):  # the working folder may be another next time
                self._references[kind, target] = known
        return known

    def _resolve(self, kind: str, target: str | Callable[..., Any]) -> Reference:
        if callable(target):
            component = self.find(kind, target)
            name = text = component.name.replace("_", "-")
            settings: dict[str, Any] = {}
        else:
            name, settings = parse(target)
            component, text = self.find(kind, name), target
        given = attribution.GIVEN.get(kind, parameters.GIVEN)
        values, problems = parameters.check(component.function, settings, name, given)
        if problems:
            raise InputError(f"{kind} {text!r}: " + "; ".join(problems))
        try:
            values = with_absolute_paths(component.function, values, self.folder, given)
        except InputError as error:
            raise type(error)(f"{kind} {text!r}: {error}") from None
        return Reference(text, component, values)

    def references(self, component: Component, params: Mapping[str, Any]) -> list[Reference]:
        """Return the components that the settings of a component name, each followed by those that its own settings name.

        They are in the order of the function's parameters.
        """
        schema = parameters.parameters(component.function, attribution.GIVEN.get(component.kind, parameters.GIVEN))
        found = [self.reference(*named) for name, parameter in schema.items() for named in named_in(parameter, params.get(name))]
        return [each for one in found for each in (one, *self.references(one.component, one.params))]

    def reference_problems(self, parameter: parameters.Parameter, value: Any) -> list[str]:
        """Return the problems of the names in a setting; empty if there are none, or if the setting names no component."""
        problems = []
        for kind, target in named_in(parameter, value):
            try:
                if callable(target):
                    raise InputError(f"expected the name of a {kind}, got a function; a suite can only name registered functions")
                self.reference(kind, target)
            except TmiError as error:
                problems.append(str(error))
        return problems

    def with_references(self, component: Component, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the component's function: the settings, with every name replaced by its `Reference`.

        So are the names in the settings of a component that is named.
        """
        schema = parameters.parameters(component.function, attribution.GIVEN.get(component.kind, parameters.GIVEN))
        result = dict(params)
        for name, parameter in schema.items():
            named = [self.reference(*one) for one in named_in(parameter, result.get(name))]
            references = [replace(one, params=self.with_references(one.component, one.params)) for one in named]
            if references:
                result[name] = references if isinstance(result[name], list) else references[0]
        return result

    def check(self, kind: str, name: Named, settings: dict[str, Any]) -> dict[str, Any]:
        """Check settings, fill in defaults, and make paths absolute.

        Raises
        ------
        InputError
            If settings are invalid; the message lists every problem, joined by semicolons.
        """
        component = self.find(kind, name)
        values, problems = parameters.check(component.function, settings, component.name)
        if problems:
            raise InputError(f"{kind} {component.name!r}: " + "; ".join(problems))
        try:
            return with_absolute_paths(component.function, values, self.folder)
        except InputError as error:
            raise InputError(f"{kind} {component.name!r}: {error}") from None

    def generate(self, name: Named, /, *, seed: int = 0, **params: Any) -> Dataset:
        """See `tmi.generate`."""
        from tmi.runtime.seeds import fixed_seed
        from tmi.tasks.dataset import Dataset

        seed = _seed(seed)
        component = self.find("dataset", name)
        values = self.check("dataset", component, params)
        with fixed_seed(seed):
            data = component.function(**_with_seed(component, seed), **self.with_references(component, values))
        _expect(component, data, Dataset)
        result: Dataset = replace(data, name=component.name, seed=seed, params=parameters.as_text(values))
        return result

    def build(self, name: Named, data: Dataset | TemplateTask, /, *, seed: int = 0, **params: Any) -> Network:
        """See `tmi.build`."""
        from tmi.networks.network import Network
        from tmi.runtime.seeds import fixed_seed
        from tmi.tasks.dataset import Dataset
        from tmi.tasks.task import TemplateTask

        seed = _seed(seed)
        component = self.find("network", name)
        values = self.check("network", component, params)
        if not isinstance(data, Dataset | TemplateTask):
            raise InputError(f"network {component.name!r}: expected a Dataset or TemplateTask, got {type(data).__name__}")
        with fixed_seed(seed):
            arguments = self.with_references(component, values)
            try:
                network = component.function(data, **_with_seed(component, seed), **arguments)
            except NoTilesError as error:
                raise NoTilesError(f"{component}: needs tiles, and {error}") from None
        _expect(component, network, Network)
        network.module.zero_grad()  # the store does not keep gradients, so those of the last training step are cleared here too
        network.name, network.seed, network.params = component.name, seed, parameters.as_text(values)
        if isinstance(data, Dataset):
            with Guard(f"{component}, in the check of its network,"):
                _check_on(network, data)
        result: Network = network
        return result

    def probe(self, name: Named, network: Network, data: Dataset, /, *, seed: int = 0, **params: Any) -> ProbeResult:
        """See `tmi.probe`."""
        from tmi.networks.network import Network
        from tmi.probing.result import ProbeResult
        from tmi.runtime.seeds import fixed_seed
        from tmi.tasks.dataset import Dataset

        seed = _seed(seed)
        component = self.find("probe", name)
        values = self.check("probe", component, params)
        if not isinstance(network, Network):
            hint = "; make one of it by tmi.wrap(module, data, layers=[…])" if hasattr(network, "named_modules") else ""
            raise InputError(f"probe {component.name!r}: expected a Network, got {type(network).__name__}{hint}")
        if not isinstance(data, Dataset):
            raise InputError(f"probe {component.name!r}: expected a Dataset, got {type(data).__name__}")
        _check_on(network, data)
        with fixed_seed(seed):
            arguments = self.with_references(component, values)
            try:
                result = component.function(network, data, **_with_seed(component, seed), **arguments)
            except NoTilesError as error:
                return ProbeResult.not_applicable(str(error))
        _expect(component, result, ProbeResult)
        checked: ProbeResult = result
        return checked

    def describe(self, kind: str, name: str) -> str:
        """See `tmi.describe`."""
        import inspect

        component = self.find(kind, name)
        lines = [f"{kind} {name}", f"  from plug-in {component.plugin.name} [{component.plugin.origin}]"]
        if kind == "suite":
            return "\n".join([*lines, f"  in {suite_file(component)}", "", component.summary()])
        text = (inspect.getdoc(component.function) or "no description").partition("\nParameters\n")[0].strip()
        lines += ["", *text.splitlines(), ""]
        schema = parameters.parameters(component.function, attribution.GIVEN.get(kind, parameters.GIVEN))
        lines += attribution.declared(component.function, kind)
        lines.append("Parameters:" if schema else "No parameters.")
        for p in schema.values():
            default = "required" if p.required else f"default {_toml(p.default)}"
            lines += [f"  {p.name}: {p.type_text}, {default}", *([f"      {p.text}"] if p.text else [])]
        other = re.search(r"^(Args|Arguments|Parameters|Keyword Args):$|^:param ", inspect.getdoc(component.function) or "", re.M)
        if other and any(not p.text for p in schema.values()):
            lines.append(f"The docstring's {other[0].strip()!r} is not read: meanings come from a section in NumPy's style.")
        return "\n".join(lines)


@functools.cache
def installed() -> Registry:
    """Return the registry of all installed plug-ins; each broken one causes one warning."""
    registry = Registry(load())
    for fault in registry.faults:
        warnings.warn(str(fault), stacklevel=3)
    return registry


def with_files(files: str | Path | Iterable[str | Path] = ()) -> Registry:
    """Return a registry of all installed plug-ins and the given plug-in files."""
    return installed().extended([files] if isinstance(files, str | Path) else files)


def names(kind: str) -> list[str]:
    """Return the registered names of a kind.

    Parameters
    ----------
    kind : {"dataset", "background", "network", "probe", "method", "measure", "suite", "report"}

    Returns
    -------
    list of str
        Sorted.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    """
    return installed().names(kind)


def describe(kind: str, name: str) -> str:
    """Return the description of a registered name and of its parameters, with types and defaults, as text.

    Parameters
    ----------
    kind : {"dataset", "background", "network", "probe", "method", "measure", "suite", "report"}
    name : str

    Raises
    ------
    UnknownNameError
        If there is no such kind or name.
    """
    return installed().describe(kind, name)


def generate(name: str, /, *, seed: int = 0, **params: Any) -> Dataset:
    """Generate a registered data set.

    Parameters
    ----------
    name : str
        See ``tmi.names("dataset")``.
    seed : int
        From 0 to 2⁶³ − 1. The same seed and settings give the same data.
    **params
        The generator's settings; see ``tmi.describe("dataset", name)``.

    Returns
    -------
    Dataset

    Raises
    ------
    UnknownNameError
        If the name is not registered.
    InputError
        If a setting is unknown or has an invalid value.
    """
    return installed().generate(name, seed=seed, **params)


def build(name: str, data: Dataset | TemplateTask, /, *, seed: int = 0, **params: Any) -> Network:
    """Build a registered network for a data set.

    Parameters
    ----------
    name : str
        See ``tmi.names("network")``.
    data : Dataset or TemplateTask
        Constructed networks need only the task.
    seed : int
        From 0 to 2⁶³ − 1.
    **params
        The builder's settings; see ``tmi.describe("network", name)``.

    Returns
    -------
    Network

    Raises
    ------
    UnknownNameError
        If the name is not registered.
    InputError
        If a setting is unknown or has an invalid value.
    """
    return installed().build(name, data, seed=seed, **params)


def probe(name: str, network: Network, data: Dataset, /, *, seed: int = 0, **params: Any) -> ProbeResult:
    """Apply a registered probe to a network.

    Parameters
    ----------
    name : str
        See ``tmi.names("probe")``.
    network : Network
    data : Dataset
    seed : int
        From 0 to 2⁶³ − 1; for probes that draw random numbers.
    **params
        The probe's settings; see ``tmi.describe("probe", name)``.

    Returns
    -------
    ProbeResult

    Raises
    ------
    UnknownNameError
        If the name is not registered.
    InputError
        If a setting is unknown or has an invalid value.
    """
    return installed().probe(name, network, data, seed=seed, **params)


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**63:
        raise InputError(f"seed: expected a whole number from 0 to 2**63 - 1, got {seed!r}")
    return int(seed)


def _with_seed(component: Component, seed: int) -> dict[str, int]:
    return {"seed": seed} if parameters.takes_seed(component.function) else {}


def _check_on(network: Network, data: Dataset) -> None:
    """Check the network on the first image of a data set."""
    network.check((data.test if len(data.test) else data.train)[:1].images)


def _expect(component: Component, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise PluginError(
            f"{component.kind} {component.name!r} of plug-in {component.plugin.name}: "
            f"returned {type(value).__name__}, expected {kind.__name__}"
        )


def _toml(value: Any) -> str:
    import json

    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)  # a path has no type of its own


__all__ = ["Registry", "build", "describe", "generate", "installed", "names", "probe", "with_files"]
