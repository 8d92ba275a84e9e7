"""The keys of data sets, networks and results: everything that a number depends on, hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmi.errors import SuiteError, TmiError
from tmi.hashing import digest
from tmi.plugins.component import Component
from tmi.plugins.fingerprint import core_fingerprint, versions
from tmi.plugins.registry import Registry

from .suite import Cell, Choice

FORMAT = 1
"""Raised when the meaning of stored numbers changes, so that old files are not taken for new ones."""


def dataset_key(name: str, code: str, params: Mapping[str, Any], seed: int, outside: Any = None) -> str:
    """Key of a data set: its name, code, settings, seed, what it reads from outside, and the versions."""
    return _key("dataset", name, code, params, seed, outside)


def network_key(name: str, code: str, params: Mapping[str, Any], seed: int, dataset: str, outside: Any = None) -> str:
    """Key of a network: as `dataset_key`, and the key of the data set that it was built for."""
    return _key("network", name, code, params, seed, outside, dataset=dataset)


def result_key(
    name: str, code: str, params: Mapping[str, Any], seed: int, dataset: str, network: str, outside: Any = None
) -> str:
    """Key of a result: as `network_key`, and the key of the network that was probed."""
    return _key("result", name, code, params, seed, outside, dataset=dataset, network=network)


def _key(kind: str, name: str, code: str, params: Mapping[str, Any], seed: int, outside: Any, **upstream: str) -> str:
    return digest(
        {
            "format": FORMAT,
            "kind": kind,
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
    """Keys of cells; those of data sets and networks are computed once.

    Parameters
    ----------
    registry : Registry
        Where the methods and measures that settings name are found.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[object, ...], str | None] = {}
        self._kept: list[Choice] = []
        self._outside: dict[int, object] = {}
        self._code: dict[str, str | None] = {}

    def of(self, cell: Cell) -> tuple[str | None, str | None, str | None]:
        """Return the keys of a cell's data set, network and result.

        Raises
        ------
        SuiteError
            If what a data set reads from outside cannot be named.
        """
        dataset = self._key(cell.dataset, cell.seed, ())
        network = self._key(cell.network, cell.seed, (dataset,))
        return dataset, network, self._key(cell.probe, cell.seed, (dataset, network))

    def _key(self, choice: Choice, seed: int, upstream: tuple[str | None, ...]) -> str | None:
        known = (id(choice), seed, *upstream)
        if known not in self._known:
            self._kept.append(choice)  # while it lives, nothing else has its id
            self._known[known] = self._make(choice, seed, upstream)
        return self._known[known]

    def _make(self, choice: Choice, seed: int, upstream: tuple[str | None, ...]) -> str | None:
        named = self._registry.references(choice.component, choice.params)
        codes = [self._code_of(component) for component in (choice.component, *(one.component for one in named))]
        if None in codes or None in upstream:
            return None
        make: Any = {
            "dataset": dataset_key,
            "network": network_key,
            "probe": result_key,
        }[choice.kind]
        try:
            outside = self._read(choice)
            if named:  # what is named counts by its code and settings, like the rest
                uses = [[one.component.kind, one.component.name, one.params] for one in named]
                outside = {"outside": outside, "uses": uses, "code": codes[1:]}
            made: str = make(choice.component.name, codes[0], choice.params, seed, *upstream, outside=outside)
        except (TypeError, ValueError) as error:  # a date or a set, or what tmi.external returned
            raise SuiteError([f"{choice.kind} {choice}: its settings, or what it reads, are no JSON ({error})"]) from error
        return made

    def _code_of(self, component: Component) -> str | None:
        label = f"{component.kind} {component.name}"
        if label not in self._code:
            self._code[label] = component.fingerprint()
        return self._code[label]

    def _read(self, choice: Choice) -> object:
        """What the function says it reads from outside (see `tmi.external`)."""
        if id(choice) not in self._outside:
            identify = getattr(choice.component.function, "tmi_external", None)
            try:
                self._outside[id(choice)] = identify(**choice.params) if identify else None
            except TmiError as error:
                raise SuiteError([f"{choice.kind} {choice}: {error}"]) from error
            except Exception as error:
                what = f"what it reads from outside cannot be named ({type(error).__name__}: {error})"
                raise SuiteError([f"{choice.kind} {choice}: {what}"]) from error
        return self._outside[id(choice)]
