"""A registered name: its kind, the function behind it, the plug-in that registered it, and the file of its code."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tmi.errors import PluginError
from tmi.runtime import reads
from tmi.runtime.guard import Guard, guarded

from . import fingerprint
from .files import file_of
from .fingerprint import Record

KINDS = {
    "dataset": "tmi_dataset_generators",
    "background": "tmi_backgrounds",
    "network": "tmi_network_builders",
    "probe": "tmi_probes",
    "method": "tmi_attribution_methods",
    "measure": "tmi_attribution_measures",
    "suite": "tmi_suites",
    "report": "tmi_reports",
}
"""The kinds of component that can be registered, with the hook that registers each."""

OWN = "tmi-interp"
"""The distribution of tmi itself; its plug-ins are registered first."""


@dataclass(frozen=True)
class Plugin:
    """A module that implements hooks, and its origin.

    Attributes
    ----------
    name : str
    origin : str
        Distribution and version, or the path of the file.
    module : module
    file : Path or None
        The file from which it was loaded; None for an installed plug-in.
    """

    name: str
    origin: str
    module: Any
    file: Path | None = None


@dataclass(frozen=True)
class Fault:
    """A plug-in that was not registered, or not completely, and the reason."""

    plugin: str
    message: str

    def __str__(self) -> str:
        return f"plug-in {self.plugin}: {self.message}"


@dataclass(frozen=True)
class Component:
    """A registered name: a data set, network, probe, method, measure, suite or report.

    Attributes
    ----------
    kind, name : str
    target : str or callable
        ``"module:function"`` (``"package:file.toml"`` for a suite), or the function.
    plugin : Plugin
        The plug-in that registered it.
    """

    kind: str
    name: str
    target: str | Callable[..., Any]
    plugin: Plugin

    @property
    def _parts(self) -> tuple[str, str]:
        if isinstance(self.target, str):
            module, _, attribute = self.target.partition(":")
            # A plug-in file may refer to itself by its stem.
            if self.plugin.file is not None and module == self.plugin.file.stem:
                module = self.plugin.module.__name__
            return module, attribute
        return self.target.__module__, getattr(self.target, "__qualname__", "<object>")  # a callable object has no source file

    def __str__(self) -> str:
        origin = f" of plug-in {self.plugin.name}" if self.plugin.module is not None else ""  # a function may be given itself
        return f"{self.kind} {self.name!r}{origin}"

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function, whose calls are guarded (`tmi.runtime.guard`). Its module is imported at the first access.

        Raises
        ------
        PluginError
            If the module cannot be imported or has no such function; the message names the plug-in.
        """
        if callable(self.target):
            return self._guarded(self.target)
        module, attribute = self._parts
        with suppress(PluginError):
            self.fingerprint()  # taken now, so that it is of the imported code: the file may change later
        own = self.plugin.module  # of an edited file, a later module has the same name
        try:
            with Guard(f"{self}, when {shown_module(module)} was imported,"), reads.watching():
                imported = own if module == getattr(own, "__name__", None) else importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self}: cannot import {module!r} ({type(error).__name__}: {error})") from error
        function = getattr(imported, attribute, None)
        if function is None:
            raise PluginError(f"{self}: {shown_module(module)} has no {attribute!r}")
        if not callable(function):
            raise PluginError(f"{self}: {self.target!r} is not a function")
        return self._guarded(function)

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return guarded(function, str(self), often=self.kind in ("method", "measure"))

    @cached_property
    def source_file(self) -> Path | None:
        """The Python file that defines the function, found without importing it; None if there is none."""
        module, _ = self._parts
        if self.plugin.file is not None and module == self.plugin.module.__name__:
            return self.plugin.file
        try:
            return fingerprint.source_of(module)
        except PluginError:
            return None

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the code (see `tmi.plugins.fingerprint`); None if there is no source file, as at a prompt."""
        return None if self._record is None else self._record.digest

    def sources(self) -> frozenset[str]:
        """Return the paths, without links, of the source files that the fingerprint covers."""
        return frozenset() if self._record is None else frozenset(map(os.path.realpath, self._record.files))

    def is_current(self) -> bool:
        """Return whether the source files still hold the code that was fingerprinted."""
        return self._record is None or not self._record.changed()

    @cached_property
    def _record(self) -> Record | None:
        # Kept: once its file has changed, the component of a later registry has another one.
        return None if self.source is None else fingerprint.record_of(*self.source)

    @property
    def source(self) -> tuple[str, Path] | None:
        """The module to fingerprint and its file; None if the code cannot be fingerprinted."""
        module, name = self._parts
        if self.source_file is None or module == "__main__" or "<" in name:
            return None
        if getattr(self.target, "__closure__", None) or hasattr(self.target, "__self__"):
            return None  # the values in a closure, and those of a method's object, are in no file
        # Only the name of a plug-in file is part of the fingerprint, not its path.
        return self.source_file.stem if self.source_file == self.plugin.file else module, self.source_file

    def summary(self) -> str:
        """Return the first line of the function's docstring, read without importing it; for a suite its description."""
        if self.kind == "suite":
            return _description(self)
        return _docstring(self.source_file, *self._parts).partition("\n")[0]


def _docstring(file: Path | None, module: str, name: str, followed: int = 0) -> str:
    """Read the docstring of a function from source; a function that the module imports from another module is followed."""
    import ast

    if file is None or followed > 5:  # a chain of imports as long as this is a cycle
        return ""
    try:
        tree = fingerprint.syntax_tree(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    with suppress(PluginError, ImportError):
                        source = importlib.util.resolve_name("." * node.level + node.module, package)
                        return _docstring(fingerprint.source_of(source), source, alias.name, followed + 1)
    return ""


def suite_file(component: Component) -> Path:
    """Return the TOML file of a registered suite.

    Raises
    ------
    PluginError
        If the package or the file is missing.
    """
    from importlib.resources import files

    where = f"suite {component.name!r} of plug-in {component.plugin.name}"
    package, _, name = str(component.target).partition(":")
    if component.plugin.file is not None and package == component.plugin.file.stem:
        path = component.plugin.file.parent / name
    else:
        try:
            path = Path(str(files(package).joinpath(name)))
        except (ImportError, TypeError) as error:
            raise PluginError(f"{where}: {error}") from error
    if not path.is_file():
        raise PluginError(f"{where}: there is no file {path}")
    return path


def shown_module(module: str) -> str:
    """Return how messages name a module: a plug-in file by its file name, any other by its dotted name."""
    file = file_of(module)
    return f"file {file.name}" if file else f"module {module!r}"


def _description(component: Component) -> str:
    import tomllib

    try:
        return str(tomllib.loads(suite_file(component).read_text(encoding="utf-8")).get("description", ""))
    except (PluginError, OSError, ValueError):  # `tmi check` reports the problem
        return ""
