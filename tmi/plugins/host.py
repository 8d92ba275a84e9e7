"""Finds plug-ins and registers each one separately, so that a broken plug-in is reported and the others work."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from tmi.errors import PluginError, did_you_mean
from tmi.runtime import reads
from tmi.runtime.guard import Guard, plugin_packages
from tmi.runtime.paths import absolute, shown

from . import fingerprint, hooks
from .component import KINDS, OWN, Component, Fault, Plugin
from .files import module_of

_folders: set[Path] = set()  # the folders of plug-in files; like sys.path, shared by all hosts of the process
_sources: dict[Path, set[tuple[str, Path]]] = {}  # the modules and files in which each plug-in file has its functions


class PluginHost:
    """The loaded plug-ins and the components that they registered. Hosts are independent; a test can create an empty one.

    Attributes
    ----------
    components : dict of (kind, name) to Component
    faults : list of Fault
        Plug-ins and names that were refused, with the reasons.

    Notes
    -----
    A name belongs to the first plug-in that registers it. It is refused to later ones, and the fault names both plug-ins. The
    plug-ins of tmi come first, then other distributions by name, then files in the order given.
    """

    def __init__(self) -> None:
        self.components: dict[tuple[str, str], Component] = {}
        self.faults: list[Fault] = []
        self._plugins: dict[str, Plugin] = {}
        self._manager = pluggy.PluginManager("tmi")
        self._manager.add_hookspecs(hooks)

    def copy(self) -> PluginHost:
        """Return a new host with the same plug-ins; plug-ins added to it are not added to this one."""
        host = PluginHost()
        for plugin in self._plugins.values():
            host._manager.register(plugin.module, plugin.name)
        host._plugins = dict(self._plugins)
        host.components, host.faults = dict(self.components), list(self.faults)
        return host

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The loaded plug-ins, in order."""
        return tuple(self._plugins.values())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files from which plug-ins were loaded, in order."""
        return tuple(plugin.file for plugin in self._plugins.values() if plugin.file is not None)

    def load_installed(self) -> None:
        """Register every module that an installed distribution lists in the entry-point group ``tmi``."""
        for entry, origin in _entry_points(self.faults):
            plugin_packages.add(entry.value.partition(":")[0].partition(".")[0])
            try:
                with Guard(f"plug-in {entry.name}, when it was imported,"):
                    module = entry.load()
            except (Exception, SystemExit) as error:  # a script without a guard for __main__ may exit
                self.faults.append(
                    Fault(entry.name, f"cannot import {entry.value!r} ({type(error).__name__}: {error}) [{origin}]")
                )
                continue
            self.add(Plugin(entry.name, origin, module))

    def load_file(self, file: str | Path) -> None:
        """Register a plug-in from a Python file. A file that is already registered, also as an installed package, is skipped.

        A file that was edited since this process imported it is imported again, with its helpers that were edited. The
        components that other hosts have of it stay as they are.

        Raises
        ------
        PluginError
            If the file is missing, cannot be imported, or would import the helper of another plug-in file instead of its own. It
            is an error and not a fault because the user named the file.
        """
        file = absolute(file)
        path = file.resolve()
        if any(path in (plugin.file, module_file(plugin)) for plugin in self._plugins.values()):
            return
        if not path.is_file():
            raise PluginError(f"plug-in file {shown(file)}: {'is a folder' if path.is_dir() else 'there is no such file'}")
        if path.suffix != ".py":
            raise PluginError(f"plug-in file {shown(file)}: is not a Python file, whose name ends with .py")
        name = module_of(path)
        _folders.add(path.parent)
        _forget_changed(path)
        with suppress(PluginError):  # a file with a syntax error fails below, with a better message
            fingerprint.fingerprint(path.stem, path)  # taken now, so that it is of the imported code
        try:
            with Guard(f"plug-in {path.stem}, when it was imported,"), reads.watching():
                module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise PluginError(f"plug-in file {shown(file)}: cannot be imported ({type(error).__name__}: {error})") from error
        _check_helpers(path, name)
        self.add(Plugin(path.stem, str(path), module, path))

    def add(self, plugin: Plugin) -> None:
        """Register one plug-in; its problems are appended to ``faults``."""
        if plugin.name in self._plugins:
            other = self._plugins[plugin.name].origin
            self.faults.append(Fault(plugin.name, f"another plug-in has this name already [{plugin.origin}; {other}]"))
            return
        try:
            self._manager.register(plugin.module, plugin.name)
            self._manager.check_pending()
        except Exception as error:  # a misspelt hook, or parameters that the hook does not have
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
            self.faults.append(Fault(plugin.name, f"implements no hook; mark its hooks with @tmi.hookimpl [{plugin.origin}]"))

    def _register(self, kind: str, plugin: Plugin, implementation: Callable[[], Any]) -> None:
        try:
            with Guard(f"plug-in {plugin.name}, in its hook {KINDS[kind]},"):
                targets = implementation()
            if not isinstance(targets, Mapping):
                raise TypeError(f"expected a dict of names and targets, got {type(targets).__name__}")
        except Exception as error:
            self.faults.append(Fault(plugin.name, f"{KINDS[kind]} failed ({type(error).__name__}: {error}) [{plugin.origin}]"))
            return
        for name, target in targets.items():
            problem = _problem(kind, name, target)
            existing = self.components.get((kind, name)) if isinstance(name, str) else None
            if existing is not None:
                problem = f"the name is taken by plug-in {existing.plugin.name} [{existing.plugin.origin}]"
            if problem:
                self.faults.append(Fault(plugin.name, f"{kind} {name!r} refused: {problem} [{plugin.origin}]"))
            else:
                component = self.components[kind, name] = Component(kind, name, target, plugin)
                if plugin.file is not None:
                    self._note_source(component, plugin.file)

    def _note_source(self, component: Component, file: Path) -> None:
        with suppress(PluginError):
            component.fingerprint()  # taken now: the file may be imported again after an edit
            if component.source is not None:
                _sources.setdefault(file, set()).add(component.source)


def module_file(plugin: Plugin) -> Path | None:
    """Return the file of a plug-in's module; None if it has none."""
    file = getattr(plugin.module, "__file__", None)
    return Path(file).resolve() if file else None


def _misspelt(module: Any) -> str:
    """Return a message that names the marked functions that are no hooks, with the nearest hooks; empty if there are none."""
    marked = [name for name, value in vars(module).items() if hasattr(value, "tmi_impl")]
    return "; ".join(
        f"there is no hook {name!r}{did_you_mean(name, KINDS.values())}" for name in marked if name not in KINDS.values()
    )


def _problem(kind: str, name: Any, target: Any) -> str:
    if not isinstance(name, str) or not name or any(c in name for c in "/\\[]*? \t\n"):
        return "expected a word without spaces, slashes, brackets and wildcards"
    if callable(target) and kind != "suite":
        return ""
    if not isinstance(target, str) or target.count(":") != 1 or not all(target.split(":")):
        expected = '"package:file.toml"' if kind == "suite" else '"module:function" or a function'
        return f"expected {expected}, got {target!r}"
    return ""


def _entry_points(faults: list[Fault]) -> Iterator[tuple[metadata.EntryPoint, str]]:
    """Yield entry points in a fixed order; a name that two distributions use is a fault of the second."""
    accepted: dict[str, tuple[metadata.EntryPoint, str]] = {}

    def order(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
        owner = entry.dist.name if entry.dist else ""
        return owner != OWN, owner.lower(), entry.name

    for entry in sorted(metadata.entry_points(group=hooks.GROUP), key=order):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
        if entry.name not in accepted:
            accepted[entry.name] = entry, origin
        elif accepted[entry.name][0].value != entry.value or accepted[entry.name][1] != origin:
            faults.append(Fault(entry.name, f"another plug-in has this name already [{origin}; {accepted[entry.name][1]}]"))
    yield from accepted.values()


def _forget_changed(path: Path) -> None:
    """Make Python import a plug-in file again if it or one of its helpers has changed since this process imported it.

    What was imported before stays as it is: a registry that was made from it still computes with it.
    """
    importlib.invalidate_caches()  # a helper may have been written a moment ago
    sources = _sources.setdefault(path, set()) | {(path.stem, path)}
    try:
        changed = fingerprint.forget_changed(sources)
    except PluginError:  # it cannot be read
        return
    stale = {str(path) for path in changed.values()}
    packages = tuple(str(path.parent) + os.sep for path in changed.values() if path.name == "__init__.py")
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file in stale or (packages and file.startswith(packages)):  # a package is imported again with all its modules
            del sys.modules[name]
    for file in stale:
        with suppress(OSError, NotImplementedError):  # it would hide an edit within a second that keeps the file's size
            Path(importlib.util.cache_from_source(file)).unlink()


def _check_helpers(path: Path, name: str) -> None:
    """Check that a file's helpers are those in its folder, and not modules of the same name in another plug-in's folder."""
    for helper in sorted({imported.partition(".")[0] for imported in fingerprint.imports_of(path, name)}):
        beside = path.parent / f"{helper}.py"
        spec = importlib.util.find_spec(helper) if beside.is_file() else None
        imported = Path(spec.origin).resolve() if spec and spec.has_location and spec.origin else beside
        if imported.parent in _folders and imported.parent != path.parent:
            raise PluginError(
                f"plug-in file {path}: it imports {helper!r} from {imported}, not from its own folder; rename one of the two"
            )


def load(files: Iterable[str | Path] = ()) -> PluginHost:
    """Return a host with every installed plug-in and the given files."""
    host = PluginHost()
    host.load_installed()
    for file in files:
        host.load_file(file)
    return host
