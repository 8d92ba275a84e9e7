"""The dial: measures of single neurons on networks of one function, from one tile a neuron to as many as a code allows.

The truth, tiles a neuron, is set by construction, so that a measure of monosemanticity can be checked: does it follow?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from tmi import statistics

from .comparison import MEASURES
from .unit_measures import Measure, change, sign

if TYPE_CHECKING:
    import tmi
    from tmi.runs.results import Entry
    from tmi.statistics import Estimate

LAYERS = {"theorem1": "hidden", "superposed": "mixed", "trained": "conv"}
"""The layer that is looked at in each network of the suite."""

MORE = (
    Measure("recovery of the tile, uniqueness", "unit-recovery", "uniqueness.tile.{layer}", topic="single neurons"),
    Measure("recovery of the tile, F1", "unit-recovery", "f1.tile.{layer}", topic="single neurons"),
    Measure("recovery of the class, MCC", "unit-recovery", "mcc.class.{layer}", topic="single neurons"),
    Measure("recovery of the class, F1", "unit-recovery", "f1.class.{layer}", topic="single neurons"),
    Measure("dimension that a tile has for itself", "superposition", "feature_dimensionality.tile.{layer}", topic="parts"),
    Measure("dimension that a class has for itself", "superposition", "feature_dimensionality.class.{layer}", topic="parts"),
    Measure("dimensions a represented feature", "superposition", "dimensions_per_feature.tile-place.{layer}", topic="parts"),
)
"""Measures that have no row in the comparison of suite ``monosemanticity``."""

LEAST_CHANGE = 0.01
"""From end to end, relative to the larger end: a smaller change counts as none, however narrow its interval."""

Verdict = Literal["follows", "in part", "opposite", "undecided", "constant"]
"""What the dial says of a measure; see `Curve.verdict`."""


@dataclass(frozen=True)
class Curve:
    """A measure along the dial.

    Attributes
    ----------
    measure : Measure
    better : str
        Which direction means more monosemantic by the probe's own word: "higher" or "lower".
    values : dict of float to (dict of int to float)
        By tiles a neuron, rising, and by seed.
    trained : dict of int to float
        The same measure on the trained network, by seed.
    ends_factor, steps_factor : float
        By how much p-values are multiplied, of the change from end to end and of the steps; see `corrected`.
    """

    measure: Measure
    better: str
    values: dict[float, dict[int, float]]
    trained: dict[int, float]
    ends_factor: float = 1.0
    steps_factor: float = 1.0

    @property
    def truth(self) -> list[float]:
        """Tiles a neuron, rising."""
        return list(self.values)

    @property
    def means(self) -> list[float]:
        """Mean over the seeds at each number of tiles a neuron."""
        return [float(np.mean(list(values.values()))) for values in self.values.values()]

    def change(self, first: int, second: int) -> Estimate | None:
        """Return the change between two places of the dial, paired by seed; None where they have fewer than two in common."""
        places = list(self.values.values())
        return change(places[first], places[second])

    @cached_property
    def whole(self) -> Estimate | None:
        """The change from end to end, its interval corrected by `ends_factor`."""
        whole = self.change(0, -1)
        return whole and whole.widened(self.ends_factor)

    @cached_property
    def steps(self) -> list[int]:
        """The direction of each step along the dial, 1 or −1; 0 where its interval, corrected by `steps_factor`, contains 0."""
        steps = [self.change(i, i + 1) for i in range(len(self.values) - 1)]
        return [sign(step and step.widened(self.steps_factor)) for step in steps]

    @cached_property
    def direction(self) -> int:
        """The direction from one end of the dial to the other, 1 or −1; 0 where none is shown, or below `LEAST_CHANGE`."""
        ends = abs(self.means[0]), abs(self.means[-1])
        return sign(self.whole) if self.whole and abs(self.whole.value) >= LEAST_CHANGE * max(ends) else 0

    @property
    def is_constant(self) -> bool:
        """Whether the measure is the same along the whole dial in every seed, to 1e-6 of its size."""
        places = list(self.values.values())
        seeds = set(places[0]).intersection(*places)
        size = max(1e-12, *(abs(v) for place in places for v in place.values()))
        return all(np.ptp([place[seed] for place in places]) <= 1e-6 * size for seed in seeds)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the measure follows the truth.

        "constant"
            It is the same at every place of the dial.
        "follows"
            From end to end and at every single step it moves as its probe says that it should, each change with a 95 % interval
            over the seeds, corrected for the number of measures, that excludes 0.
        "in part"
            It moves so from end to end; at some step the interval contains 0, or it moves back.
        "opposite"
            From end to end it moves the other way: it calls the most polysemantic network the most monosemantic.
        "undecided"
            None of these: the interval from end to end contains 0, or the change is below `LEAST_CHANGE`.
        """
        if self.is_constant:
            return "constant"
        if not self.direction:
            return "undecided"
        expected = -1 if self.better == "higher" else 1
        if self.direction != expected:
            return "opposite"
        return "follows" if all(step == expected for step in self.steps) else "in part"

    def reading(self, value: float) -> float | None:
        """Return at how many tiles a neuron the dial's means have this value; NaN beyond, None unless the measure follows."""
        if self.verdict != "follows":
            return None
        means, truth = np.array(self.means), np.array(self.truth)
        order = np.argsort(means)
        return float(np.interp(value, means[order], truth[order], left=np.nan, right=np.nan))


def corrected(found: list[Curve]) -> list[Curve]:
    """Return the curves with Holm's factors for the number of measures that are not constant.

    There are two families of comparisons: the changes from end to end, and that a measure moves at every step. For the latter the
    p-value of a measure is the largest of its steps, for it must be shown at each of them.
    """
    moving = [curve for curve in found if not curve.is_constant and curve.change(0, -1)]
    ends = [change.p for curve in moving if (change := curve.change(0, -1))]
    steps = [
        max(change.p if (change := curve.change(i, i + 1)) else 1.0 for i in range(len(curve.values) - 1)) for curve in moving
    ]
    factors = zip(statistics.holm_factors(ends), statistics.holm_factors(steps), strict=True)
    of_measure = {id(curve): pair for curve, pair in zip(moving, factors, strict=True)}
    result = []
    for curve in found:
        of_ends, of_steps = of_measure.get(id(curve), (1.0, 1.0))
        result.append(replace(curve, ends_factor=float(of_ends), steps_factor=float(of_steps)))
    return result


def tiles_a_neuron(results: tmi.Results) -> dict[str, float]:
    """Return the truth for each constructed network, by `network_of`: the tiles that a neuron answers to, mean over the seeds."""
    found: dict[str, list[float]] = {}
    for entry in results:
        name = f"features_per_neuron.{LAYERS.get(entry.network, '')}"
        if name in entry.metrics:
            found.setdefault(network_of(entry), []).append(entry.metrics[name])
    return {network: float(np.mean(values)) for network, values in sorted(found.items(), key=lambda item: np.mean(item[1]))}


def network_of(entry: Entry) -> str:
    """Name a network of the suite: its label, and its neurons a place where they are swept."""
    neurons = entry.swept.get("neurons")
    return entry.network if neurons is None else f"{entry.network} {neurons}"


def curves(results: tmi.Results, dataset: str, *, above_chance: bool = False) -> list[Curve]:
    """Return every measure that has a value on at least three constructed networks of a data set, in the order of the report.

    Parameters
    ----------
    results : Results
        Of suite ``dial``, or of a part of it.
    dataset : str
    above_chance : bool
        Whether a metric with a ``.chance`` is taken less that. What shuffled images score depends on how often units are active,
        and so on the number of tiles a neuron too.

    Returns
    -------
    list of Curve
        `corrected` for their number. Measures for which their probe calls no direction better are left out.
    """
    of_dataset = results.select(dataset=dataset)
    truth = tiles_a_neuron(of_dataset)
    found = []
    for measure in (*MEASURES, *MORE):
        entries = [
            entry for entry in of_dataset if entry.probe.removesuffix("-mixed") == measure.probe and entry.network in LAYERS
        ]
        values: dict[float, dict[int, float]] = {truth[name]: {} for name in truth}
        trained: dict[int, float] = {}
        better = ""
        for entry in entries:
            metric = measure.metric.format(layer=LAYERS[entry.network])
            if metric not in entry.metrics:
                continue
            where = trained if network_of(entry) not in truth else values[truth[network_of(entry)]]
            chance = entry.metrics.get(f"{metric}.chance", 0.0) if above_chance else 0.0
            where[entry.seed] = entry.metrics[metric] - chance
            if not better:
                info = results.load(entry).describe(metric)
                better = (info.better if info else None) or ""
        values = {x: by_seed for x, by_seed in values.items() if by_seed}
        if better and len(values) >= 3:
            found.append(Curve(measure, better, values, trained))
    return corrected(found)


def sentences(curve: Curve, less_chance: Curve | None = None) -> tuple[str, str]:
    """Say in two sentences how a measure moves along the dial, and whether it may be trusted; both follow from the numbers.

    Parameters
    ----------
    curve : Curve
    less_chance : Curve, optional
        The same measure less its value by chance; see `curves`.
    """
    first, last = curve.truth[0], curve.truth[-1]
    start, end = curve.means[0], curve.means[-1]
    ends = f"From {first:.3g} to {last:.3g} tiles a neuron"
    if curve.verdict == "constant":
        return (
            f"{ends} it stays at {start:.3g}.",
            "It is the same however many tiles share a neuron, and says nothing about that.",
        )
    whole = curve.whole
    back = [step for step in curve.steps if step != curve.direction] if curve.direction else []
    by = f"change {whole.value:.2g}, 95 % interval {whole.low:.2g} to {whole.high:.2g}" if whole else "one seed, no interval"
    moved = f"{ends} it goes from {start:.3g} to {end:.3g} ({by})"
    steady = "." if not back else f", but not at {len(back)} of the {len(curve.steps)} steps."
    beside_chance = curve.verdict if less_chance is None else less_chance.verdict
    if curve.verdict == "follows" and beside_chance != "follows":
        how = {"in part": "in part only", "opposite": "in the opposite direction"}.get(beside_chance, "not")
        return moved + steady, f"Less its value on shuffled images it follows {how}: what moves it is how often neurons fire."
    trust = {
        "follows": "It may be trusted to order networks of one function by how many tiles share a neuron.",
        "in part": "It tells the ends of the dial apart; a difference between two networks in between is no evidence.",
        "opposite": "It must not be read as monosemanticity: the network with most tiles a neuron has the better value.",
        "undecided": "It cannot be trusted: the two ends of the dial are not shown to differ.",
    }
    return moved + steady, trust[curve.verdict]


def readings(found: list[Curve]) -> Mapping[str, tuple[float, ...]]:
    """Return where the trained network is on the dial by each measure that follows: tiles a neuron, one value a seed.

    The spread of the dial's own means is not part of it.
    """
    read = {}
    for curve in found:
        values = [curve.reading(value) for value in curve.trained.values()]
        if values and None not in values:
            read[curve.measure.text] = tuple(float(value) for value in values if value is not None)
    return read
