"""Why what a plug-in made is not kept: its key does not cover everything that it depends on.

A function read a file that nothing declares, its code cannot be fingerprinted, or a file that a setting names changed during the
run. The product is used, and so is everything that depends on it, but nothing of it is written to the store.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from tmi.errors import MissingPathError
from tmi.plugins.component import Component
from tmi.plugins.registry import Registry
from tmi.runtime import reads
from tmi.runtime.paths import shown
from tmi.stages import Stage
from tmi.suites.content import content_of
from tmi.suites.keys import paths_of
from tmi.suites.plan import Planned
from tmi.suites.suite import Choice

_CONSEQUENCE = (
    "its key does not cover that, so what it computes is not kept; "
    "annotate the setting that names it as Path, or declare it with tmi.external"
)

_undeclared: dict[Hashable, str] = {}
"""The first file that a component read in this process and that nothing declares; a later call may have it in memory."""


class _Call:
    """A choice with the components that its function calls, and the paths in its settings."""

    def __init__(self, registry: Registry, choice: Choice) -> None:
        self.choice = choice  # a reference is kept, so that no other object gets its id
        used = [choice.component, *(used.component for used in registry.references(choice.component, choice.params))]
        self.components = {str(number): component for number, component in enumerate(used)}
        self.owners: dict[CodeType, str] = {}
        for number, component in self.components.items():
            code = code_of(component.function)
            if code is not None:
                self.owners[code] = number
        self.paths = paths_of(registry, choice)


class Calls:
    """Watches the calls of plug-ins, and finds why their products are not kept.

    Parameters
    ----------
    store : Path
        The folder of the run's store, which does not count as read.
    """

    def __init__(self, store: Path) -> None:
        self._ignored = [str(store.absolute())]
        self._calls: dict[tuple[int, Path | None], _Call] = {}

    @contextmanager
    def watched(self, planned: Planned, stage: Stage) -> Iterator[dict[str, str]]:
        """Watch the call of a plug-in's function.

        Yields
        ------
        dict of str to str
            Filled at the end: for each component, or path, the sentence that says why the product is not kept; empty if it is.
        """
        calls = [self._call(planned.registry, choice) for choice in planned.cell.choices[: len(stage.so_far)]]
        call, reasons = calls[-1], dict[str, str]()
        with reads.watching(call.owners, [path for each in calls for path in each.paths], self._ignored) as watch:
            yield reasons
        if planned.keys[stage] is None:
            reasons |= {str(used): _without_fingerprint(used) for used in call.components.values() if not used.fingerprint()}
        reasons |= undeclared(watch, call.components)
        for path in {*call.paths, *watch.declared_reads}:
            if planned.contents.get(path, "") not in ("", _content_or_none(path)):
                text = f"{shown(path)} changed during the run, so what was computed from it is not kept"
                reasons[path] = f"{call.choice.kind} {call.choice}: {text}"

    def _call(self, registry: Registry, choice: Choice) -> _Call:
        wanted = id(choice), registry.folder
        if wanted not in self._calls:
            self._calls[wanted] = _Call(registry, choice)
        return self._calls[wanted]


def undeclared(watch: reads.Watch, components: Mapping[str, Component]) -> dict[str, str]:
    """Return for each component that reads what nothing declares a sentence that says so.

    Parameters
    ----------
    watch : Watch
        Of a call of the first component.
    components : mapping of str to Component
        The functions that the call may involve, by their names in ``watch``.
    """
    first = next(iter(components.values()))
    for read in watch.reads:
        component = components.get(read.owner, first)
        if not _is_trusted(component) and os.path.realpath(read.path) not in component.sources():
            _undeclared.setdefault(_identity(component), read.path)
    if not (_undeclared or reads.at_import):
        return {}
    reasons = {}
    for component in components.values():
        if _is_trusted(component):
            continue
        path = _undeclared.get(_identity(component))
        if path is not None:
            reasons[str(component)] = f"{component} opens {_shown(path)}; {_CONSEQUENCE}"
        for source in component.sources() & reads.at_import.keys():
            path, time = reads.at_import[source]
            if time == reads.modified(source):  # else it was imported again, or will be
                text = f"{Path(source).name} opens {_shown(path)} when it is imported"
                reasons.setdefault(str(component), f"{component}: {text}; {_CONSEQUENCE}")
    return reasons


def code_of(function: Callable[..., Any]) -> CodeType | None:
    """Return the code of a function, also of one that is wrapped, or of an object that can be called."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _without_fingerprint(component: Component) -> str:
    where = "functions in files and packages can be, those typed into an interpreter or closing over values cannot"
    return f"{component}: its code cannot be fingerprinted, so what it computes is not kept; {where}"


def _is_trusted(component: Component) -> bool:
    return getattr(component.function, "tmi_external", None) is not None


def _identity(component: Component) -> Hashable:
    return component.kind, component.name, component.plugin.origin, component.fingerprint()


def _shown(path: str) -> str:
    return path if "://" in path else shown(path)


def _content_or_none(path: str) -> str | None:
    try:
        return content_of(Path(path))
    except MissingPathError:
        return None
