"""Whether a run can still ask for a file: its key is computed again from its record, with the plug-ins and versions of now.

Nothing is loaded for it: what a record names is looked up among the registered plug-ins, and a path in a record is only shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import SuiteError, TmiError, UnknownNameError
from tmi.hashing import canonical
from tmi.runtime.formatting import counted, shown
from tmi.stages import Stage
from tmi.store.store import Store
from tmi.suites.keys import Keys
from tmi.suites.suite import Choice

from .inventory import Found

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry

STAGES = ("dataset", "network", "probe")
"""What a result comes from, in order; a data set has the first of them, a network the first two."""

State = Literal["current", "changed", "unknown", "unclear"]
"""A run asks for it; code or versions changed; nothing of that name is registered any more; it cannot be told."""


@dataclass(frozen=True)
class Verdict:
    """What became of a file's key.

    Attributes
    ----------
    state : {"current", "changed", "unknown", "unclear"}
        Only what is changed or unknown can be asked for by no run.
    why : str
        In words, the same for all files that share the reason; empty if it is current.
    choices : tuple of Choice
        What made it, if it is current.
    """

    state: State
    why: str = ""
    choices: tuple[Choice, ...] = ()


class Judge:
    """Tells which files a run can still ask for.

    Parameters
    ----------
    registry : Registry
        The plug-ins that there are, files included.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._files = {str(file) for file in registry.files}
        self._broken = {fault.plugin for fault in registry.faults}
        self._keys = Keys(registry)
        self._choices: dict[tuple[str, str, str], Choice] = {}  # kept, for `Keys` knows a choice by its identity

    def verdict(self, kind: str, key: str, record: Mapping[str, Any]) -> Verdict:
        """Judge a file.

        Parameters
        ----------
        kind : {"result", "dataset", "network"}
        key : str
        record : mapping
            Its provenance.
        """
        stages = Stage(kind).so_far
        choices: tuple[Choice, ...] = ()
        made: tuple[str, ...] = ()
        for stage in stages:
            try:
                wanted = key if stage == stages[-1] else record["keys"][stage]
                seed, given = record["seed"], record[stage]
                name, params, plugin, origin = given["name"], given["params"], str(given["plugin"]), str(given["origin"])
                marker = canonical(params)
                if type(seed) is not int or not isinstance(name, str) or not isinstance(params, dict):
                    raise TypeError
            except (KeyError, TypeError, ValueError, RecursionError):
                return Verdict("unclear", "without a record of what made it")
            other = self._other_file(origin)
            try:
                choice = self._choice(stage, name, params, marker)
                now = self._keys._key(choice, seed, made)
            except UnknownNameError:
                if plugin in self._broken:
                    return Verdict("unclear", f"the plug-in {shown(plugin)} is broken here")
                return Verdict("unclear", other) if other else Verdict("unknown", f"no {stage} {shown(name)} is registered")
            except (SuiteError, TmiError) as error:
                return Verdict("unclear", shown(" ".join(str(error).split())))
            if now is None or now != wanted:
                return Verdict("unclear", other) if other else Verdict("changed", "code or versions changed")
            choices += (choice,)
            made += (now,)
        return Verdict("current", choices=choices)

    def _other_file(self, origin: str) -> str:
        """Say so if something comes from a plug-in file that is not loaded: another one may carry its names."""
        if not (PurePath(origin).is_absolute() and origin.endswith(".py")) or origin in self._files:
            return ""
        return f"made with a plug-in file that is not loaded; give --plugin {shown(origin)}"

    def _choice(self, stage: str, name: str, params: dict[str, Any], marker: str) -> Choice:
        known = stage, name, marker
        if known not in self._choices:
            self._choices[known] = Choice(stage, name, self._registry.find(stage, name), params, {})
        return self._choices[known]


def records(store: Store, found: Iterable[Found]) -> Iterator[tuple[Found, Mapping[str, Any] | None]]:
    """Yield the provenance of each file, from the index where it knows the file, else from it; None where it is unreadable."""
    from .read import read_file

    files = list(found)
    for kind in dict.fromkeys(one.kind for one in files):
        of_kind = [one for one in files if one.kind == kind]
        rows = store.index.read(kind, {one.key: one.stamp for one in of_kind})
        for one in of_kind:
            try:
                record = json.loads(rows[one.key].content)["record"] if one.key in rows else read_file(one).record
            except (TmiError, OSError, ValueError, KeyError, TypeError, MemoryError):
                record = None
            yield one, record


def reasons(verdicts: Iterable[tuple[Found, Verdict]]) -> list[str]:
    """Return one line a reason: how many of what, and why."""
    counts = Counter((found.kind, verdict.why) for found, verdict in verdicts)
    return [f"{counted(count, kind)}: {why}" for (kind, why), count in sorted(counts.items())]
