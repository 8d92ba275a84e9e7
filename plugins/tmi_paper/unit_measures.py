"""Measures of the units of trained networks, seed by seed, for suites ``dynamics`` and ``pressure``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .claims.claim import CONFIDENCE, bounds, holm, p_value

if TYPE_CHECKING:
    from tmi.runs.results import Entry

Key = TypeVar("Key")


@dataclass(frozen=True)
class UnitMeasure:
    """A metric of a layer's units.

    Attributes
    ----------
    text : str
        What it is called in figures and tables.
    probe, metric : str
        The probe of the suite, and its metric; ``{layer}`` is the layer that is looked at.
    sign : int
        1 if more of it is what a monosemantic layer has, −1 if less is, 0 if it says nothing of that.
    above_chance : bool
        Whether the value is the metric less its ``.chance``, which depends on how often units are active.
    """

    text: str
    probe: str
    metric: str
    sign: int = 0
    above_chance: bool = False

    def value(self, entry: Entry, layer: str) -> float | None:
        """Return the value of an entry; None where it has none."""
        name = self.metric.format(layer=layer)
        value, chance = entry.metrics.get(name), entry.metrics.get(f"{name}.chance")
        if value is None or not self.above_chance:
            return value
        return None if chance is None else value - chance


ACCURACY = UnitMeasure("accuracy", "accuracy", "accuracy")
DEAD = UnitMeasure("dead units", "activation-sparsity", "dead_share.{layer}")
ACTIVE = UnitMeasure("units active on an image", "activation-sparsity", "active_share.{layer}", -1)
MONOSEMANTIC = (
    UnitMeasure("tile: F1 above chance", "unit-recovery", "f1.tile.{layer}", 1, True),
    UnitMeasure("tile: MCC above chance", "unit-recovery", "mcc.tile.{layer}", 1, True),
    UnitMeasure("tile and place: F1 above chance", "unit-recovery", "f1.tile-place.{layer}", 1, True),
    UnitMeasure("tile and place: MCC above chance", "unit-recovery", "mcc.tile-place.{layer}", 1, True),
    UnitMeasure("class selectivity above chance", "selectivity", "class_selectivity.{layer}", 1, True),
    UnitMeasure("Monosemanticity Score above chance", "selectivity", "monosemanticity_score.{layer}", 1, True),
    UnitMeasure("units that fire for one class", "selectivity", "monosemantic.{layer}", 1),
    ACTIVE,
    UnitMeasure("Hoyer sparsity of an image", "activation-sparsity", "hoyer.{layer}", 1),
)
"""Measures that each claim to say how monosemantic units are."""


def by_seed(entries: Iterable[Entry], measure: UnitMeasure, layer: str) -> dict[int, float]:
    """Return a measure's value by seed, among entries of one network; entries of other probes are passed over."""
    values = {entry.seed: measure.value(entry, layer) for entry in entries if entry.probe == measure.probe}
    return {seed: value for seed, value in values.items() if value is not None}


@dataclass(frozen=True)
class Change:
    """A change of a measure, paired by seed.

    Attributes
    ----------
    values : tuple of float
        One for each seed that both have.
    low, high : float
        The 95 % interval of the mean by Student's t; the value itself where all are equal, infinite for one seed.
    """

    values: tuple[float, ...]
    low: float
    high: float

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def direction(self) -> int:
        """1 or −1 where the interval excludes 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def __str__(self) -> str:
        """Write the mean and the interval."""
        if self.low == self.high:
            return f"{self.mean:+.3g} in every seed"
        return f"{self.mean:+.3g} ({self.low:+.3g} to {self.high:+.3g})"


def change(before: dict[int, float], after: dict[int, float]) -> Change | None:
    """Return the change from one to the other over the seeds that both have; None where there is none."""
    values = tuple(after[seed] - before[seed] for seed in sorted(before.keys() & after.keys()))
    return Change(values, *bounds(values)) if values else None


def shown(changes: Mapping[Key, Change | None]) -> dict[Key, int]:
    """Return the direction, 1 or −1, of the changes that are shown: p below 0.05, corrected by Holm's method for all of them.

    Each has an interval that excludes 0; not each that has such an interval is shown.
    """
    known = {key: value for key, value in changes.items() if value is not None}
    corrected = holm([p_value(value.values) for value in known.values()])
    return {key: value.direction for (key, value), p in zip(known.items(), corrected, strict=True) if p < 1 - CONFIDENCE}
