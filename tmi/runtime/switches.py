"""Settings of the whole process or thread that code may change and leave changed: how each is read and put back.

`tmi.runtime.guard` compares them before and after every call of a plug-in. Those of libraries are in `library_switches`. Random
states are in none of them: `tmi.runtime.seeds.fixed_seed` restores them.
"""

from __future__ import annotations

import gc
import locale
import operator
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

UNREADABLE: Any = object()
"""The value of a switch that cannot be read at present; it is neither compared nor put back."""


def _shown(before: Any, after: Any) -> str:
    return str(after)


class Switch(NamedTuple):
    """A setting that is read before and after a call.

    Attributes
    ----------
    name : str
        What a warning calls it.
    remedy : str
        What to do instead.
    read : callable
        ``() -> value``. It takes a few microseconds at most, and copies what can change in place.
    write : callable
        ``(value) -> None``: puts it back.
    text : callable
        ``(before, after) -> str``: the change in a few words; empty where it has no short name, None where a library made it.
    changed : callable
        ``(before, after) -> bool``.
    is_quick : bool
        Whether it changes numbers and is read in a fraction of a microsecond, so that the most frequent calls can look at it.
    """

    name: str
    remedy: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    text: Callable[[Any, Any], str | None] = _shown
    changed: Callable[[Any, Any], Any] = operator.ne
    is_quick: bool = False


def nothing(before: Any, after: Any) -> str:
    """Return no text, for values that have no short name."""
    return ""


def on_off(before: Any, after: Any) -> str:
    """Return the new state of a switch."""
    return "on" if after else "off"


def differing(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    """Return the keys whose values differ."""
    return [name for name in {**before, **after} if before.get(name, UNREADABLE) != after.get(name, UNREADABLE)]


def listed(names: Sequence[str | bytes]) -> str:
    """Return the first three names as text."""
    return ", ".join(map(os.fsdecode, names[:3])) + (" …" if len(names) > 3 else "")


def names_of(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    """Return the keys whose values differ as text, without the values, which may be long."""
    return listed(differing(before, after))


def attributes(name: str, remedy: str, owner: Any, *attributes: str) -> Switch:
    """Return a switch for attributes of an object, taken together."""

    def read() -> dict[str, Any]:
        return {attribute: getattr(owner, attribute) for attribute in attributes}

    def write(before: dict[str, Any]) -> None:
        for attribute, value in before.items():
            setattr(owner, attribute, value)

    return Switch(name, remedy, read, write, names_of)


def _folder() -> Any:
    try:
        return os.getcwd()  # noqa: PTH109  # Path.cwd takes ten times as long
    except FileNotFoundError:  # it was deleted
        return UNREADABLE


def _environment() -> dict[Any, Any]:
    return dict(os.environ._data)  # type: ignore[attr-defined]  # the encoded values; os.environ.copy() takes 16 µs


_variables_of_libraries: dict[Any, Any] = {}  # what libraries set when they were imported inside a call


def _variables(before: dict[Any, Any], after: dict[Any, Any]) -> list[Any]:
    """Return the variables that differ, without those that have the value that a library gave them."""
    if before == after:
        return []
    return [n for n in differing(before, after) if n not in after or _variables_of_libraries.get(n, UNREADABLE) != after[n]]


def _set_environment(before: dict[Any, Any]) -> None:
    decode = getattr(os.environ, "decodekey", str)
    names = _variables(before, _environment())
    for name in names:
        if name in before:
            os.environ[decode(name)] = decode(before[name])
        else:
            del os.environ[decode(name)]
    if hasattr(time, "tzset") and "TZ" in map(decode, names):
        time.tzset()


try:  # signal.getsignal turns numbers into enumerations, which takes ten times as long
    from _signal import getsignal as _handler_of  # type: ignore[import-not-found]
except ImportError:
    _handler_of = signal.getsignal
_SIGNALS = [int(number) for number in signal.valid_signals() if number < 32]


def in_main_thread() -> bool:
    """Return whether this is the main thread, which alone can set signal handlers."""
    return threading.get_ident() == threading.main_thread().ident


def _handlers() -> Any:
    return {number: _handler_of(number) for number in _SIGNALS} if in_main_thread() else UNREADABLE


def _set_handlers(before: dict[int, Any]) -> None:
    for number in differing(before, _handlers()):
        if before[number] is not None:  # a handler of another language, which Python cannot put back
            signal.signal(number, before[number])


def _signals(before: dict[int, Any], after: dict[int, Any]) -> str:
    return ", ".join(signal.Signals(number).name for number in differing(before, after))


def _timer() -> Any:
    """Return when the timer of the process is due, by the monotonic clock; 0 if it is off."""
    if not hasattr(signal, "getitimer") or not in_main_thread():
        return UNREADABLE
    remaining = signal.getitimer(signal.ITIMER_REAL)[0]
    return time.monotonic() + remaining if remaining else 0


def _timer_changed(before: float, after: float) -> bool:
    if before and before <= time.monotonic():
        return False  # it has rung, and its handler may have set it again
    return bool(before) != bool(after) or abs(before - after) > 0.05  # seconds


def _set_timer(before: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(before - time.monotonic(), 1e-3) if before else 0)  # 0 turns it off


_filters_of_libraries: list[Any] = []  # those that libraries added when they were imported inside a call


def _own(filters: list[Any]) -> list[Any]:
    return [entry for entry in filters if entry not in _filters_of_libraries]


def _filters_changed(before: list[Any], after: list[Any]) -> bool:
    return before != after and _own(before) != _own(after)


def _set_filters(before: list[Any]) -> None:
    added = [entry for entry in warnings.filters if entry in _filters_of_libraries and entry not in before]
    warnings.resetwarnings()  # also makes the interpreter forget which warnings the filters have let through
    warnings.filters.extend([*added, *before])  # type: ignore[attr-defined]


@contextmanager
def importing_a_library() -> Iterator[None]:
    """Remember the variables and warning filters that are set inside the block as those of a library, which stay."""
    variables, filters = _environment(), list(warnings.filters)
    try:
        yield
    finally:
        now = _environment()
        _variables_of_libraries.update({name: now[name] for name in differing(variables, now) if name in now})
        _filters_of_libraries.extend(entry for entry in warnings.filters if entry not in filters)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_gc(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


_FINALLY = "put it back in `finally`"
_CATCH = "use `with warnings.catch_warnings():`"

ENVIRONMENT = Switch("the environment", "set variables before the program starts", _environment, _set_environment, names_of)
FILTERS = Switch("the warning filters", _CATCH, lambda: list(warnings.filters), _set_filters, nothing)
HANDLERS = Switch("the signal handlers", _FINALLY, _handlers, _set_handlers, _signals)

PROCESS = [
    Switch("the working folder", "use absolute paths, or `with contextlib.chdir(folder):`", _folder, os.chdir),
    Switch(
        "the environment",
        "set variables before the program starts",
        _environment,
        _set_environment,
        lambda before, after: listed(_variables(before, after)),
        _variables,
    ),
    Switch("the signal handlers", _FINALLY, _handlers, _set_handlers, _signals),
    Switch("the alarm timer", _FINALLY, _timer, _set_timer, on_off, _timer_changed),
    Switch("the warning filters", _CATCH, lambda: list(warnings.filters), _set_filters, nothing, _filters_changed),
    attributes("warnings.showwarning", _CATCH, warnings, "showwarning"),
    attributes("the streams of sys", "use `with contextlib.redirect_stdout(file):`", sys, "stdin", "stdout", "stderr"),
    attributes("the hooks of sys", _FINALLY, sys, "excepthook", "displayhook", "unraisablehook"),
    Switch("sys.argv", "pass the arguments to the function", lambda: list(sys.argv), lambda b: setattr(sys, "argv", b)),
    Switch("the recursion limit", _FINALLY, sys.getrecursionlimit, sys.setrecursionlimit),
    Switch("the garbage collector", _FINALLY, gc.isenabled, _set_gc, on_off),
    Switch("the umask", _FINALLY, _umask, os.umask, lambda before, after: f"{after:03o}"),
    Switch(
        "the locale",
        "format numbers without it",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda before: locale.setlocale(locale.LC_ALL, before),
    ),
]
"""The switches that every process has."""
if hasattr(os, "sched_getaffinity"):
    PROCESS.append(
        Switch("the cores of the process", _FINALLY, lambda: os.sched_getaffinity(0), lambda b: os.sched_setaffinity(0, b))
    )
