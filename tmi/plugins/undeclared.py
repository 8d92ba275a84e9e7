"""Files that a function reads and that its key does not cover: who reads them, and the sentence that says so."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import CodeType

from tmi.runtime import reads
from tmi.runtime.paths import shown

from .component import Component

_CONSEQUENCE = (
    "its key does not cover that, so what it computes is not kept; "
    "annotate the setting that names it as Path, or declare it with tmi.external"
)

_undeclared: dict[Hashable, str] = {}
"""The first file that a component read in this process and that nothing declares; a later call may have it in memory."""


def owners_of(components: Sequence[Component]) -> tuple[dict[str, Component], dict[CodeType, str]]:
    """Return a name for each component of a call, and the names by the code of the functions, as `reads.watching` takes them."""
    named = {str(number): component for number, component in enumerate(components)}
    codes = {_code_of(component.function): name for name, component in named.items()}
    return named, {code: name for code, name in codes.items() if code is not None}


def undeclared(watch: reads.Watch, components: Mapping[str, Component]) -> dict[str, str]:
    """Return for each component that reads what nothing declares a sentence that says so.

    Parameters
    ----------
    watch : Watch
        Of a call of the first component.
    components : mapping of str to Component
        The functions that the call may involve; see `owners_of`.

    Returns
    -------
    dict of str to str
        By the text of the component. A function with `tmi.external` is trusted to declare all that it reads.
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


def _code_of(function: Callable[..., object]) -> CodeType | None:
    """Return the code of a function, also of one that is wrapped, or of an object that can be called."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _is_trusted(component: Component) -> bool:
    return getattr(component.function, "tmi_external", None) is not None


def _identity(component: Component) -> Hashable:
    return component.kind, component.name, component.plugin.origin, component.fingerprint()


def _shown(path: str) -> str:
    return path if "://" in path else shown(path)
