"""A plan: the cells of a suite with the keys of their results, made without importing torch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from . import keys
from .errors import SuiteError, TmiError
from .plugins import Component
from .references import references
from .registry import Registry
from .suite import Cell, Choice, Suite


@dataclass(frozen=True)
class Planned:
    """A cell and the keys of its data set, network and result.

    Attributes
    ----------
    cell : Cell
    registry : Registry
        Where its plug-ins are found.
    dataset_key, network_key, key : str or None
        None where the code, or what it reads from outside, cannot be fingerprinted: then the result is computed and not kept.
    """

    cell: Cell
    registry: Registry
    dataset_key: str | None
    network_key: str | None
    key: str | None

    @property
    def keys(self) -> dict[str, str | None]:
        """The keys by what is made on the way: ``"dataset"``, ``"network"``, ``"probe"``."""
        return {"dataset": self.dataset_key, "network": self.network_key, "probe": self.key}

    @property
    def dataset_id(self) -> Hashable:
        """The same for cells that share a data set."""
        return self.dataset_key or _id(self.cell.dataset, self.cell.seed)

    @property
    def network_id(self) -> Hashable:
        """The same for cells that share a network."""
        return self.network_key or (self.dataset_id, _id(self.cell.network, self.cell.seed))


def _id(choice: Choice, seed: int) -> Hashable:
    return choice.component.name, repr(choice.params), seed


def make_plan(suite: Suite, only: str | Iterable[str] = ()) -> list[Planned]:
    """Return the cells of a suite with their keys.

    Parameters
    ----------
    suite : Suite
    only : str or iterable of str
        Patterns over the cells' names, such as ``"fashion*/constructed/*"``; a cell that fits one of them stays. A pattern
        without wildcards fits wherever it occurs in the name.

    Raises
    ------
    SuiteError
        If the patterns leave nothing, or what a data set reads from outside cannot be named.
    """
    patterns = [only] if isinstance(only, str) else list(only)
    cells = [cell for cell in suite.cells if not patterns or any(_fits(cell, p) for p in patterns)]
    if not cells:
        names = sorted({cell.labels for cell in suite.cells})
        raise SuiteError([f"--only {', '.join(patterns)}: fits no cell; there are: {', '.join(names)}"])
    makers = Keys(suite.registry)
    return [Planned(cell, suite.registry, *makers.of(cell)) for cell in cells]


def _fits(cell: Cell, pattern: str) -> bool:
    if not any(c in pattern for c in "*?"):
        return pattern in str(cell) or pattern in cell.labels
    # A bracket is one of a swept setting; a name fits with its settings and seed, or without.
    pattern = pattern.replace("[", "[[]")
    return any(fnmatchcase(name, pattern) for name in (str(cell), str(cell).rpartition(" seed ")[0], cell.labels))


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
        named = references(self._registry, choice.component, choice.params)
        codes = [self._code_of(component) for component in (choice.component, *(one.component for one in named))]
        if None in codes or None in upstream:
            return None
        make: Any = {
            "dataset": keys.dataset_key,
            "network": keys.network_key,
            "probe": keys.result_key,
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
