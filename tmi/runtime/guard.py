"""A guard around every call of a plug-in: what the call left changed is put back, and a warning names the plug-in.

Warning filters and variables of the environment that a library sets when it is imported inside a call belong to the library: they
stay, and no plug-in is named for them.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import signal
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from types import GeneratorType, ModuleType, TracebackType
from typing import Any

from .library_switches import LIBRARIES
from .switches import PROCESS, UNREADABLE, Switch, importing_a_library

plugin_packages: set[str] = set()
"""The top-level packages of installed plug-ins: what these set when they are imported is theirs, and not a library's."""


class SwitchWarning(UserWarning):
    """A plug-in left a setting of the process changed."""


class _Table:
    """Switches, each with its function `read`, and its value when its library was first seen to be imported."""

    def __init__(self) -> None:
        self.switches: list[Switch] = []
        self.reads: list[Callable[[], Any]] = []
        self.initial: list[Any] = []

    def add(self, switches: Sequence[Switch], values: Sequence[Any]) -> None:
        self.initial.extend(values)  # first, so that each switch has a value
        self.switches.extend(switches)
        self.reads.extend(switch.read for switch in switches)


_all, _quick = _Table(), _Table()  # every switch; those that are read in no time and change numbers
_found: set[str] = set()
_finding = threading.Lock()
_active: list[str] = []  # whom the guards that are active are for; appending and popping are atomic


class _State(threading.local):
    imports = 0  # of libraries that are under way in this thread


_state = _State()


def _find_switches() -> None:
    """Add the switches of the libraries that were imported since the last call."""
    for module, switches_of in LIBRARIES.items():
        if module not in _found and module in sys.modules:
            if getattr(getattr(sys.modules[module], "__spec__", None), "_initializing", False):
                continue
            _add(module, list(switches_of()))


def _add(module: str, switches: list[Switch]) -> None:
    values = [switch.read() for switch in switches]
    with _finding:
        if module not in _found:
            _found.add(module)
            _all.add(switches, values)
            quick = [(switch, value) for switch, value in zip(switches, values, strict=True) if switch.is_quick]
            _quick.add([switch for switch, _ in quick], [value for _, value in quick])


class Guard:
    """A context that puts back what was changed inside it, also after an exception, and warns of each change.

    Parameters
    ----------
    who : str
        What is called: ``"probe 'accuracy' of plug-in tmi_probes"``.
    quick : bool
        Whether only the switches that are read in no time are looked at.
    report : callable, optional
        Called with the text of each warning, instead of warning.
    """

    calls_with_quick_guard = 0
    """Counts the calls that had a quick guard: what they change, the guard around them may find."""
    changes = 0
    """Counts the calls that left something changed."""

    def __init__(self, who: str, quick: bool = False, report: Callable[[str], object] | None = None) -> None:
        self._who, self._table, self._report = who, _quick if quick else _all, report

    def __enter__(self) -> Guard:
        if self._table is _quick:
            Guard.calls_with_quick_guard += 1
        else:
            if _Finder not in sys.meta_path:
                sys.meta_path.insert(0, _Finder)
            _find_switches()
        self._quick_calls = Guard.calls_with_quick_guard
        _active.append(self._who)
        self._before = [read() for read in self._table.reads]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _active.pop()
        if self._table is _all:
            _find_switches()
        now = [read() for read in self._table.reads]
        if now != self._before:
            self._put_back(now, error)

    def _put_back(self, now: list[Any], error: BaseException | None) -> None:
        # A library that was imported inside had its own defaults before.
        before_all = [*self._before, *self._table.initial[len(self._before) :]]
        changes: dict[str, str] = {}
        for switch, before, after in zip(self._table.switches, before_all, now, strict=False):
            if before is not UNREADABLE and (after is UNREADABLE or switch.changed(before, after)):
                changes.setdefault(switch.name, _put_back(switch, before, after))
        changes = {name: text for name, text in changes.items() if text}
        if not changes:
            return
        Guard.changes += 1
        who = self._who
        if Guard.calls_with_quick_guard > self._quick_calls:
            who += ", or a method or measure that it called,"
        # If warnings are made errors, that of the plug-in comes first.
        with nullcontext() if error is None else suppress(SwitchWarning):
            for text in changes.values():
                if self._report is None:
                    warnings.warn(f"{who} left {text}", SwitchWarning, stacklevel=4)
                else:
                    self._report(f"{who} left {text}")


def _put_back(switch: Switch, before: Any, after: Any) -> str:
    """Put a switch back, and return the change as text, empty if no plug-in made it."""
    text = "" if after is UNREADABLE else switch.text(before, after)
    shown = f"{switch.name} changed" + (f" ({text})" if text else "")
    try:
        switch.write(before)
    except Exception as error:
        return f"{shown}, and it could not be put back ({type(error).__name__}: {error}); {switch.remedy}"
    return "" if text is None else f"{shown}, which was put back; {switch.remedy}"


class Guarded:
    """A function whose calls are guarded. Its signature, docstring and attributes are those of the function.

    Parameters
    ----------
    function : callable
    who : str
        As for `Guard`.
    often : bool
        Whether it is called very often, by functions that are guarded themselves: after a first call that leaves nothing changed
        its guard is quick, until some guard finds a change.
    """

    def __init__(self, function: Callable[..., Any], who: str, often: bool = False) -> None:
        functools.update_wrapper(self, function)
        self._guarded_as, self._is_often_called = who, often
        self._checked_at = -1  # the value of `Guard.changes` before the last call
        identify = getattr(function, "tmi_external", None)
        if identify is not None:
            self.tmi_external = Guarded(identify, f"tmi.external of {who}")

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        quick = bool(_active) and self._is_often_called and self._checked_at == Guard.changes
        self._checked_at = Guard.changes
        with Guard(self._guarded_as, quick):
            result = self.__wrapped__(*args, **kwargs)
            return list(result) if isinstance(result, GeneratorType) else result  # its code runs inside the guard

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # while it is made
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == (other.__wrapped__ if isinstance(other, Guarded) else other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> Any:
        return Guarded, (self.__wrapped__, self._guarded_as, self._is_often_called)


def guarded(function: Callable[..., Any], who: str, often: bool = False) -> Callable[..., Any]:
    """Return a function whose calls are guarded; see `Guarded`."""
    if isinstance(function, functools.partial):  # stays one, for those who take it apart
        result = functools.partial(guarded(function.func, who, often), *function.args, **function.keywords)
        vars(result).update(vars(function))
        return result
    return Guarded(function, who, often)


_LIBRARY_FOLDERS = tuple({sysconfig.get_paths()[key] + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")})
_LOADERS = (importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader)


def _is_library(name: str, file: str) -> bool:
    installed = file.startswith(_LIBRARY_FOLDERS) or "site-packages" in file or "dist-packages" in file
    return installed and name.partition(".")[0] not in plugin_packages


class _Finder:
    """Notices imports of libraries inside a guard: the first of the finders, which leaves the finding to the others."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if not _active or (_state.imports and name not in LIBRARIES):
            return None
        finders = (finder for finder in sys.meta_path if finder is not cls and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        # Other loaders may be shared by several modules.
        if spec is not None and type(spec.loader) in _LOADERS and _is_library(name, spec.origin or ""):
            loader: Any = spec.loader
            loader.exec_module = functools.partial(_execute, loader)
        return spec


def _execute(loader: Any, module: ModuleType) -> None:
    """Execute the module of a library; what it sets is noted."""
    del loader.exec_module
    _state.imports += 1
    try:
        with importing_a_library() if _state.imports == 1 else nullcontext():
            loader.exec_module(module)
    finally:
        _state.imports -= 1
    if module.__name__ in LIBRARIES:
        _add(module.__name__, list(LIBRARIES[module.__name__]()))  # its defaults


def _in_forked_child() -> None:
    """Give a process that a plug-in forks its own way to end: SIGTERM ends it, SIGINT is left to the process that forked it."""
    if not _active:
        return
    # Both handlers may be those of the run, or of a Dask worker, which ask for an orderly end of a process that this is not.
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("stdout", "stderr"):  # a live display's lock may be held by a thread that this process does not have
        stream = getattr(sys, name)
        setattr(sys, name, getattr(stream, "rich_proxied_file", stream))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)

_add("", PROCESS)
