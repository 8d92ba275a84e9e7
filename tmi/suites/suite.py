"""A checked suite: its choices of data set, network and probe, and the cells that combine them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tmi.plugins.component import Component
from tmi.plugins.registry import Registry
from tmi.runtime.formatting import format_count

COLUMNS = ("dataset", "network", "probe", "seed", "metric", "value", "status", "key", "message")
"""Columns of every table of results; the swept settings stand between ``seed`` and ``metric``."""


@dataclass(frozen=True)
class Choice:
    """One data set, network or probe with its settings.

    Attributes
    ----------
    kind : {"dataset", "network", "probe"}
    label : str
        The name of its table in the suite.
    component : Component
        The one that the table's ``use`` names.
    params : dict
        All settings, defaults included.
    swept : dict
        The settings that the table's ``sweep`` varies.
    """

    kind: str
    label: str
    component: Component
    params: dict[str, Any]
    swept: dict[str, Any]

    def __str__(self) -> str:
        swept = ",".join(f"{name}={value}" for name, value in self.swept.items())
        return f"{self.label}[{swept}]" if swept else self.label

    def __repr__(self) -> str:
        return f"Choice({self.kind} {self}: {self.component.name})"


@dataclass(frozen=True)
class Cell:
    """One result of a suite: a data set, a network, a probe and a seed."""

    dataset: Choice
    network: Choice
    probe: Choice
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.network}/{self.probe} seed {self.seed}"

    def __repr__(self) -> str:
        return f"Cell({self})"

    @property
    def labels(self) -> str:
        """Data set, network and probe without their settings: ``"fashion/constructed/accuracy"``."""
        return "/".join(choice.label for choice in self.choices)

    @property
    def choices(self) -> tuple[Choice, Choice, Choice]:
        """Data set, network and probe."""
        return self.dataset, self.network, self.probe


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    Attributes
    ----------
    name, description : str
    cells : tuple of Cell
        In the order of execution: cells that share a data set are adjacent, and among them those that share a network.
    registry : Registry
        Looks up plug-ins, including those that the suite names.
    report : str or None
        The registered report for the suite's page.
    source : str
        The suite's file name, for messages.
    """

    name: str
    cells: tuple[Cell, ...]
    registry: Registry
    description: str = ""
    report: str | None = None
    source: str = field(default="", compare=False)

    def __repr__(self) -> str:
        of_kind = ((kind, len({str(getattr(cell, kind)) for cell in self.cells})) for kind in ("dataset", "network", "probe"))
        counts = ", ".join(format_count(count, {"dataset": "data set"}.get(kind, kind)) for kind, count in of_kind)
        seeds = format_count(len({cell.seed for cell in self.cells}), "seed")
        return f"Suite({self.name}: {format_count(len(self.cells), 'cell')}; {counts}, {seeds})"

    @cached_property
    def columns(self) -> dict[str, tuple[str, str]]:
        """The swept settings as columns of a table: column name to (kind, setting).

        A column has the setting's name, or ``kind.setting`` if two kinds sweep settings of the same name or every table of
        results has a column of that name (`COLUMNS`).
        """
        swept = dict.fromkeys((c.kind, name) for cell in self.cells for c in cell.choices for name in c.swept)
        names = [name for _, name in swept]
        plain = {name for name in names if names.count(name) == 1 and name not in COLUMNS}
        return {name if name in plain else f"{kind}.{name}": (kind, name) for kind, name in swept}
