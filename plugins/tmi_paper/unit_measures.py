"""Measures that reports compare, by seed, and their changes, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tmi import statistics

if TYPE_CHECKING:
    from tmi.runs.results import Entry
    from tmi.statistics import Estimate

Key = TypeVar("Key")


@dataclass(frozen=True)
class Measure:
    """A metric that reports compare.

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
    topic : str
        Of a row in the report of suite ``monosemanticity``.
    headline : bool
        Whether it is a share, from 0 to 1, that the first picture of that report shows.
    """

    text: str
    probe: str
    metric: str
    sign: int = 0
    above_chance: bool = False
    topic: str = ""
    headline: bool = False

    def value(self, entry: Entry, layer: str) -> float | None:
        """Return the value of an entry; None where it has none."""
        name = self.metric.format(layer=layer)
        value, chance = entry.metrics.get(name), entry.metrics.get(f"{name}.chance")
        if value is None or not self.above_chance:
            return value
        return None if chance is None else value - chance


ACCURACY = Measure("accuracy", "accuracy", "accuracy")
DEAD = Measure("dead units", "activation-sparsity", "dead_share.{layer}")
ACTIVE = Measure("units active on an image", "activation-sparsity", "active_share.{layer}", -1)
MONOSEMANTIC = (
    Measure("tile: F1 above chance", "unit-recovery", "f1.tile.{layer}", 1, True),
    Measure("tile: MCC above chance", "unit-recovery", "mcc.tile.{layer}", 1, True),
    Measure("tile and place: F1 above chance", "unit-recovery", "f1.tile-place.{layer}", 1, True),
    Measure("tile and place: MCC above chance", "unit-recovery", "mcc.tile-place.{layer}", 1, True),
    Measure("class selectivity above chance", "selectivity", "class_selectivity.{layer}", 1, True),
    Measure("Monosemanticity Score above chance", "selectivity", "monosemanticity_score.{layer}", 1, True),
    Measure("units that fire for one class", "selectivity", "monosemantic.{layer}", 1),
    ACTIVE,
    Measure("Hoyer sparsity of an image", "activation-sparsity", "hoyer.{layer}", 1),
)
"""Measures that each claim to say how monosemantic units are."""


def by_seed(entries: Iterable[Entry], measure: Measure, layer: str) -> dict[int, float]:
    """Return a measure's value by seed, among entries of one network; entries of other probes are passed over."""
    values = {entry.seed: measure.value(entry, layer) for entry in entries if entry.probe == measure.probe}
    return {seed: value for seed, value in values.items() if value is not None}


def change(before: Mapping[int, float], after: Mapping[int, float]) -> Estimate | None:
    """Return the change over the seeds that both have, paired by seed; None for fewer than two: one seed shows no change."""
    return statistics.difference(after, before) if len(before.keys() & after.keys()) > 1 else None


def sign(change: Estimate | None) -> int:
    """Return 1 or −1, the direction of a change whose interval excludes 0, else 0."""
    return 0 if change is None else {"higher": 1, "lower": -1}.get(change.direction, 0)


def written(change: Estimate | None) -> str:
    """Write a change with its interval."""
    if change is None:
        return "unknown for one seed"
    if change.low == change.high:
        return f"{change.value:+.3g} in every seed"
    return f"{change.value:+.3g} ({change.low:+.3g} to {change.high:+.3g})"


def shown(changes: Mapping[Key, Estimate | None]) -> dict[Key, int]:
    """Return the direction, 1 or −1, of the changes that are shown when corrected for their number by Holm's method.

    Each has an interval that excludes 0; not each that has such an interval is shown.
    """
    known = {key: value for key, value in changes.items() if value is not None}
    signs = {key: sign(each) for key, each in zip(known, statistics.corrected([*known.values()]), strict=True)}
    return {key: direction for key, direction in signs.items() if direction}
