"""Finds plug-ins and registers each by itself, so that a broken one is reported and the others work."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from tmi.errors import PluginError, did_you_mean

from . import fingerprint, hooks
from .component import KINDS, OWN, Component, Fault, Plugin

_folders: set[Path] = set()  # of plug-in files; as sys.path, one for the process


class PluginHost:
    """The plug-ins that were loaded, and what they registered. Nothing is global, so a test can build an empty host.

    Attributes
    ----------
    components : dict of (kind, name) to Component
    faults : list of Fault
        What was refused, and why.

    Notes
    -----
    A name belongs to the plug-in that registers it first; a later one is refused it, and both are named. tmi's own plug-ins
    come first, then distributions by name, then files in the order given.
    """

    def __init__(self) -> None:
        self.components: dict[tuple[str, str], Component] = {}
        self.faults: list[Fault] = []
        self._plugins: dict[str, Plugin] = {}
        self._manager = pluggy.PluginManager("tmi")
        self._manager.add_hookspecs(hooks)

    def copy(self) -> PluginHost:
        """Return a host with the same plug-ins, to which others can be added."""
        host = PluginHost()
        for plugin in self._plugins.values():
            host._manager.register(plugin.module, plugin.name)
        host._plugins = dict(self._plugins)
        host.components, host.faults = dict(self.components), list(self.faults)
        return host

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that plug-ins were loaded from, in order."""
        return tuple(plugin.file for plugin in self._plugins.values() if plugin.file is not None)

    def load_installed(self) -> None:
        """Register every module that an installed distribution names in the entry-point group ``tmi``."""
        for entry, origin in _entry_points(self.faults):
            try:
                module = entry.load()
            except (Exception, SystemExit) as error:  # a script without a main guard may exit
                self.faults.append(
                    Fault(entry.name, f"cannot import {entry.value!r} ({type(error).__name__}: {error}) [{origin}]")
                )
                continue
            self.add(Plugin(entry.name, origin, module))

    def load_file(self, file: str | Path) -> None:
        """Register a plug-in from a Python file; one that is registered already changes nothing.

        Raises
        ------
        PluginError
            If the file is missing, cannot be imported, or would import a helper of another plug-in file instead of its own. It is
            an error and no fault, for the file was asked for by name.
        """
        path = Path(file).resolve()
        if any(plugin.file == path for plugin in self._plugins.values()):
            return
        if not path.is_file():
            raise PluginError(f"plug-in file {file}: there is no such file")
        # A unique name in sys.modules, so that it shadows nothing; its folder comes last on the path, for its helpers.
        name = f"tmi_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        _folders.add(path.parent)
        if name in sys.modules and not fingerprint.is_current(path.stem, path):
            raise PluginError(f"plug-in file {file}: it changed since this process loaded it; start a new one")
        with suppress(PluginError):  # a file that is no Python fails below, with a better message
            fingerprint.fingerprint(path.stem, path)  # now, of the code that is imported
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        try:
            module = sys.modules.get(name) or _import_file(name, path)
        except (Exception, SystemExit) as error:
            raise PluginError(f"plug-in file {file}: cannot be imported ({type(error).__name__}: {error})") from error
        _check_helpers(path, name)
        self.add(Plugin(path.stem, str(path), module, path))

    def add(self, plugin: Plugin) -> None:
        """Register one plug-in; what is wrong with it goes to ``faults``."""
        if plugin.name in self._plugins:
            other = self._plugins[plugin.name].origin
            self.faults.append(Fault(plugin.name, f"another plug-in has this name already [{plugin.origin}; {other}]"))
            return
        try:
            self._manager.register(plugin.module, plugin.name)
            self._manager.check_pending()
        except Exception as error:  # a misspelt hook, or arguments that the hook does not have
            self._manager.unregister(name=plugin.name)
            text = _misspelt(plugin.module) or " ".join(str(error).split())
            self.faults.append(Fault(plugin.name, f"{text} [{plugin.origin}]"))
            return
        self._plugins[plugin.name] = plugin
        implemented = 0
        for kind, hook in KINDS.items():
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin_name == plugin.name:
                    implemented += 1
                    self._register(kind, plugin, implementation.function)
        if not implemented:
            self.faults.append(Fault(plugin.name, f"implements no hook; mark one with @tmi.hookimpl [{plugin.origin}]"))

    def _register(self, kind: str, plugin: Plugin, implementation: Callable[[], Any]) -> None:
        try:
            targets = implementation()
            if not isinstance(targets, Mapping):
                raise TypeError(f"expected names and targets, as a dict; got {type(targets).__name__}")
        except Exception as error:
            self.faults.append(Fault(plugin.name, f"{KINDS[kind]} failed ({type(error).__name__}: {error}) [{plugin.origin}]"))
            return
        for name, target in targets.items():
            problem = _problem(kind, name, target)
            taken = self.components.get((kind, name)) if isinstance(name, str) else None
            if taken is not None:
                problem = f"the name is taken by plug-in {taken.plugin.name} [{taken.plugin.origin}]"
            if problem:
                self.faults.append(Fault(plugin.name, f"{kind} {name!r} refused: {problem} [{plugin.origin}]"))
            else:
                self.components[kind, name] = Component(kind, name, target, plugin)


def _misspelt(module: Any) -> str:
    """Name the marked functions that are no hook, and the nearest hooks."""
    marked = [name for name, value in vars(module).items() if hasattr(value, "tmi_impl")]
    return "; ".join(
        f"there is no hook {name!r}{did_you_mean(name, KINDS.values())}" for name in marked if name not in KINDS.values()
    )


def _problem(kind: str, name: Any, target: Any) -> str:
    if not isinstance(name, str) or not name or any(c in name for c in "/\\[]*? \t\n"):
        return "a name is a word without spaces, slashes, brackets and wildcards"
    if callable(target) and kind != "suite":
        return ""
    if not isinstance(target, str) or target.count(":") != 1 or not all(target.split(":")):
        wanted = '"package:file.toml"' if kind == "suite" else '"module:function" or a function'
        return f"expected {wanted}, got {target!r}"
    return ""


def _entry_points(faults: list[Fault]) -> Iterator[tuple[metadata.EntryPoint, str]]:
    """Yield entry points in a fixed order; where two distributions use one name, the second is a fault."""
    chosen: dict[str, tuple[metadata.EntryPoint, str]] = {}

    def order(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
        owner = entry.dist.name if entry.dist else ""
        return owner != OWN, owner.lower(), entry.name

    for entry in sorted(metadata.entry_points(group=hooks.GROUP), key=order):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
        if entry.name not in chosen:
            chosen[entry.name] = entry, origin
        elif chosen[entry.name][0].value != entry.value or chosen[entry.name][1] != origin:
            faults.append(Fault(entry.name, f"another plug-in has this name already [{origin}; {chosen[entry.name][1]}]"))
    yield from chosen.values()


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_helpers(path: Path, name: str) -> None:
    """Refuse a file that imports a helper beside it, if Python would import the helper of another plug-in's folder instead."""
    for helper in sorted({imported.partition(".")[0] for imported in fingerprint.imports_of(path, name)}):
        beside = path.parent / f"{helper}.py"
        spec = importlib.util.find_spec(helper) if beside.is_file() else None
        imported = Path(spec.origin).resolve() if spec and spec.has_location and spec.origin else beside
        if imported.parent in _folders and imported.parent != path.parent:
            raise PluginError(
                f"plug-in file {path}: its import of {helper!r} gives {imported}, not the file beside it; rename one of them"
            )


def load(files: Iterable[str | Path] = ()) -> PluginHost:
    """Return a host with every installed plug-in and the given files."""
    host = PluginHost()
    host.load_installed()
    for file in files:
        host.load_file(file)
    return host
