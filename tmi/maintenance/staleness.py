"""Whether a run can still ask for a file: its key is computed again from its record, with the plug-ins and versions of now.

No code is loaded for it: the names in a record are looked up among the registered plug-ins, and a path in a record is only shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tmi.errors import InputError, MissingPathError, TmiError, UnknownNameError
from tmi.hashing import canonical
from tmi.plugins.component import KINDS
from tmi.runtime.formatting import printable
from tmi.stages import Stage
from tmi.suites.keys import Keys
from tmi.suites.suite import Choice

from .inventory import StoreFile, format_files

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry


@dataclass(frozen=True)
class Status:
    """Whether a run can ask for a file.

    Attributes
    ----------
    state : {"current", "unreachable", "unclear"}
        "unreachable" only if it is certain: all plug-ins that the file came from are loaded here without a fault, and give
        another key or no longer register a name. "unclear" if one of them is not loaded or is broken, or if the record does not
        name them all.
    why : str
        The reason, the same for all files that share it; empty if it is current.
    choices : tuple of Choice
        Data set, network and probe as far as the file depends on them, if it is current.
    """

    state: Literal["current", "unreachable", "unclear"]
    why: str = ""
    choices: tuple[Choice, ...] = ()


class _Component(msgspec.Struct):
    """A data set, network, probe, method or measure as a record names it; see `tmi.engines.provenance`."""

    name: str
    params: dict[str, Any]
    plugin: str
    origin: str
    uses: list[_Component] | None = None


class Staleness:
    """Computes keys again, to compare them with those of files.

    Parameters
    ----------
    registry : Registry
        The plug-ins that are loaded, files included.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._keys: dict[str | None, Keys] = {}  # by the folder that relative paths in settings start from
        self._choices: dict[tuple[Stage, str, str], Choice] = {}  # `Keys` caches by the identity of a choice
        self._loaded = {_source(registry.find(kind, name).plugin.origin) for kind in KINDS for name in registry.names(kind)}
        self._loaded |= {str(file) for file in registry.files}
        self._broken = {fault.plugin for fault in registry.faults}

    def status(self, kind: Stage | str, key: str, record: Mapping[str, Any]) -> Status:
        """Return whether a run can ask for a file.

        Parameters
        ----------
        kind : Stage or {"result", "dataset", "network"}
        key : str
        record : mapping
            Its provenance.
        """
        stages = Stage(kind).so_far
        choices: tuple[Choice, ...] = ()
        upstream: tuple[str, ...] = ()
        try:
            recorded = [msgspec.convert(record[stage], _Component) for stage in stages]
            known_as = [canonical(component.params) for component in recorded]
            keys = [*(record["keys"][stage] for stage in stages[:-1]), key]
            seed = record["seed"]
            folder = record.get("folder")
            if type(seed) is not int or not isinstance(folder, str | None):
                raise TypeError
        except (msgspec.ValidationError, KeyError, TypeError, ValueError, RecursionError):
            return Status("unclear", "without a record of what made it")
        for stage, component, params, wanted in zip(stages, recorded, known_as, keys, strict=True):
            now, why = None, "code or versions changed"
            try:
                choice = self._choice(stage, component, params)
                now = self._keys_at(folder).key(choice, seed, *upstream)
            except UnknownNameError as error:
                is_known = component.name in self._registry.names(stage)  # then its settings name what is unknown
                why = _one_line(error) if is_known else f"no {stage} {printable(component.name)} is registered"
            except MissingPathError as error:
                return Status("unclear", _one_line(error))
            except InputError as error:  # a method or measure has other settings now
                why = _one_line(error)
            except TmiError as error:
                return Status("unclear", _one_line(error))
            if now is None or now != wanted:
                unclear = self._why_unclear(stage, component)
                return Status("unclear", unclear) if unclear else Status("unreachable", why)
            choices += (choice,)
            upstream += (now,)
        return Status("current", choices=choices)

    def _keys_at(self, folder: str | None) -> Keys:
        if folder not in self._keys:
            self._keys[folder] = Keys(self._registry if folder is None else self._registry.at(Path(folder)))
        return self._keys[folder]

    def _choice(self, stage: Stage, component: _Component, params: str) -> Choice:
        known = stage, component.name, params
        if known not in self._choices:
            registered = self._registry.find(stage, component.name)
            self._choices[known] = Choice(stage, component.name, registered, component.params, {})
        return self._choices[known]

    def _why_unclear(self, stage: Stage, component: _Component) -> str:
        """Say which plug-in of a component is not here as it was; empty if all are."""
        for used in (component, *(component.uses or ())):
            if used.plugin in self._broken:
                return f"the plug-in {printable(used.plugin)} is broken here"
            if _source(used.origin) not in self._loaded:
                if _is_file(used.origin):
                    return f"made with a plug-in file that is not loaded; give --plugin {printable(used.origin)}"
                return f"made with the plug-in {printable(used.plugin)} of {printable(used.origin)}, which is not installed here"
        if component.uses is None and self._names_others(stage, component):
            return f"the record does not say where the methods and measures of the {stage} come from"
        return ""

    def _names_others(self, stage: Stage, component: _Component) -> bool:
        """Whether the settings of a component name methods or measures."""
        if component.name not in self._registry.names(stage):
            return False
        try:
            return bool(self._registry.references(self._registry.find(stage, component.name), component.params))
        except (UnknownNameError, InputError):
            return True


def reasons(statuses: Iterable[tuple[StoreFile, Status]]) -> list[str]:
    """Return one line for each reason: how many files of which kind, and why."""
    counts = Counter((file.kind, status.why) for file, status in statuses)
    return [f"{format_files(count, kind)}: {why}" for (kind, why), count in sorted(counts.items())]


def _one_line(error: TmiError) -> str:
    return printable(" ".join(str(error).split()))


def _is_file(origin: str) -> bool:
    return PurePath(origin).is_absolute() and origin.endswith(".py")


def _source(origin: str) -> str:
    """Return the file or the distribution that a plug-in comes from; of a distribution any version."""
    return origin if _is_file(origin) else origin.rpartition(" ")[0]
