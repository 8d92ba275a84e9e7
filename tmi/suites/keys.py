"""The keys of data sets, networks and results: a hash of everything that a number depends on.

A key covers the name of a function, its settings with defaults, the seed, its code (see `tmi.plugins.fingerprint`), what it
declares with `tmi.external`, the same of the methods and measures that its settings name, the versions of the libraries, and the
keys of what it is computed from. Nothing else counts: not the device, the number of workers, the store, the report or the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmi.errors import SuiteError, TmiError
from tmi.hashing import digest
from tmi.plugins.component import Component
from tmi.plugins.fingerprint import core_fingerprint, versions
from tmi.plugins.registry import Registry
from tmi.stages import Stage

from .suite import Cell, Choice

FORMAT = 1
"""Raised when the meaning of stored numbers changes without a change of code, so that old files are not read as new ones."""


def make_key(
    stage: Stage, name: str, code: str, params: Mapping[str, Any], seed: int, upstream: Mapping[Stage, str], outside: Any = None
) -> str:
    """Return the key of a data set, a network or a result.

    Parameters
    ----------
    stage : Stage
    name : str
        The registered name of the function.
    code : str
        Its fingerprint.
    params : mapping
        All its settings, defaults included.
    seed : int
    upstream : mapping of Stage to str
        The keys of what it is computed from: of a network that of its data set, of a result those of both.
    outside : object
        JSON: what it reads besides, and what its settings name.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError, ValueError
        For settings that are no JSON.
    """
    return digest(
        {
            "format": FORMAT,
            "kind": stage.product,
            "name": name,
            "code": code,
            "core": core_fingerprint(),
            "versions": versions(),
            "params": dict(params),
            "seed": seed,
            "outside": outside,
            **upstream,
        }
    )


class Keys:
    """Makes the keys of cells; those of data sets and networks are made once.

    Parameters
    ----------
    registry : Registry
        Where the methods and measures that settings name are found.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._keys: dict[tuple[object, ...], str | None] = {}
        self._choices: list[Choice] = []
        self._outside: dict[int, object] = {}
        self._code: dict[tuple[str, str], str | None] = {}

    def of(self, cell: Cell) -> tuple[str | None, str | None, str | None]:
        """Return the keys of a cell's data set, network and result.

        None where the code cannot be fingerprinted, as of a function that was typed at a prompt.

        Raises
        ------
        SuiteError
            If what a function reads from outside cannot be identified.
        """
        dataset = self.key(cell.dataset, cell.seed)
        network = self.key(cell.network, cell.seed, dataset)
        return dataset, network, self.key(cell.probe, cell.seed, dataset, network)

    def key(self, choice: Choice, seed: int, *upstream: str | None) -> str | None:
        """Return the key of one choice; ``upstream`` are the keys of the stages before it, in order."""
        request = (id(choice), seed, *upstream)
        if request not in self._keys:
            self._choices.append(choice)  # kept, so that no other object gets its id
            self._keys[request] = self._make(choice, seed, upstream)
        return self._keys[request]

    def _make(self, choice: Choice, seed: int, upstream: tuple[str | None, ...]) -> str | None:
        references = self._registry.references(choice.component, choice.params)
        code = self._code_of(choice.component)
        codes = [self._code_of(reference.component) for reference in references]
        upstream_keys = {stage: key for stage, key in zip(Stage, upstream, strict=False) if key is not None}
        if code is None or None in codes or len(upstream_keys) < len(upstream):
            return None
        try:
            outside = self._read_outside(choice)
            if references:  # what the settings name counts like the function itself
                uses = [
                    [
                        r.component.kind,
                        r.component.name,
                        r.params,
                        own_code,
                        _identify(f"{r.component.kind} {r.text}", r.component, r.params),
                    ]
                    for r, own_code in zip(references, codes, strict=True)
                ]
                outside = {"outside": outside, "uses": uses}
            return make_key(Stage(choice.kind), choice.component.name, code, choice.params, seed, upstream_keys, outside)
        except (TypeError, ValueError) as error:  # a date or a set, or what `tmi.external` returned
            raise SuiteError([f"{choice.kind} {choice}: its settings, or what it reads, are no JSON ({error})"]) from error

    def _code_of(self, component: Component) -> str | None:
        name = component.kind, component.name
        if name not in self._code:
            self._code[name] = component.fingerprint()
        return self._code[name]

    def _read_outside(self, choice: Choice) -> object:
        if id(choice) not in self._outside:
            self._outside[id(choice)] = _identify(f"{choice.kind} {choice}", choice.component, choice.params)
        return self._outside[id(choice)]


def _identify(where: str, component: Component, params: Mapping[str, Any]) -> object:
    """Return what a function declares with `tmi.external`, or None."""
    identify = getattr(component.function, "tmi_external", None)
    if identify is None:
        return None
    try:
        return identify(**params)
    except TmiError as error:
        raise SuiteError([f"{where}: {error}"]) from error
    except Exception as error:
        message = f"what it reads from outside cannot be identified ({type(error).__name__}: {error})"
        raise SuiteError([f"{where}: {message}"]) from error
