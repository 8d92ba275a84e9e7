"""A plan: the cells of a suite with the keys of their data sets, networks and results. torch is not imported."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tmi.errors import SuiteError
from tmi.plugins.registry import Registry
from tmi.plugins.together import declared_by
from tmi.stages import Stage

from .keys import Keys
from .suite import Cell, Choice, Suite


@dataclass(frozen=True)
class Planned:
    """A cell and the keys of its data set, network and result.

    Attributes
    ----------
    cell : Cell
    registry : Registry
        Looks up its plug-ins.
    dataset_key, network_key, key : str or None
        None if the code cannot be fingerprinted. The result is then computed and not stored.
    contents : mapping of str to str
        Of the files and folders that settings of the plan name: the digest of the content that the keys are made of, by path.
    """

    cell: Cell
    registry: Registry
    dataset_key: str | None
    network_key: str | None
    key: str | None
    contents: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def keys(self) -> dict[Stage, str | None]:
        """The keys by stage."""
        return {Stage.DATASET: self.dataset_key, Stage.NETWORK: self.network_key, Stage.PROBE: self.key}

    @property
    def dataset_id(self) -> Hashable:
        """An identifier that is equal for cells that share a data set."""
        return self.dataset_key or _id(self.cell.dataset, self.cell.seed)

    @property
    def network_id(self) -> Hashable:
        """An identifier that is equal for cells that share a network."""
        return self.network_key or (self.dataset_id, _id(self.cell.network, self.cell.seed))

    @property
    def group_id(self) -> Hashable | None:
        """An identifier that is equal for cells whose networks may be trained in one call; None for one that is trained alone."""
        component = self.cell.network.component
        if self.network_key is None or declared_by(component.function) is None:
            return None
        return _id(self.cell.dataset, 0), component.name


def _id(choice: Choice, seed: int) -> Hashable:
    target = choice.component.target
    return choice.component.name, target if isinstance(target, str) else id(target), repr(choice.params), seed


def make_plan(suite: Suite, only: str | Iterable[str] = ()) -> list[Planned]:
    """Return the cells of a suite with their keys.

    Parameters
    ----------
    suite : Suite
    only : str or iterable of str
        Patterns for the names of cells, such as ``"fashion*/constructed/*"``. A cell is kept if its name matches one of them. A
        pattern without wildcards matches every name that contains it. By default all cells are kept.

    Returns
    -------
    list of Planned

    Raises
    ------
    SuiteError
        If the patterns match no cell, the external inputs of a function cannot be identified, or a file is missing that a
        setting names.
    """
    patterns = [only] if isinstance(only, str) else list(only)
    cells = [cell for cell in suite.cells if not patterns or any(_matches(cell, p) for p in patterns)]
    if not cells:
        names = sorted({cell.labels for cell in suite.cells})
        raise SuiteError([f"--only {', '.join(patterns)}: matches no cell; known: {', '.join(names)}"])
    keys = Keys(suite.registry)
    return [Planned(cell, suite.registry, *keys.of(cell), keys.contents) for cell in cells]


def _matches(cell: Cell, pattern: str) -> bool:
    if not any(c in pattern for c in "*?"):
        return pattern in str(cell) or pattern in cell.labels
    # Brackets enclose swept settings and are no wildcard; a pattern may leave out the seed, or settings and seed.
    pattern = pattern.replace("[", "[[]")
    return any(fnmatchcase(name, pattern) for name in (str(cell), str(cell).rpartition(" seed ")[0], cell.labels))
