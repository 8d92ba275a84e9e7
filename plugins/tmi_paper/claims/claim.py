"""A claim of the paper with its criterion, and how samples over seeds are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmi import statistics

if TYPE_CHECKING:
    import tmi
    from tmi.runs.results import Entry


FIRES = "a neuron fires for a class on whose images it is above half its maximum more than half as often as on its best class's"
"""What counts as firing for a class in the metrics ``classes_relative`` and ``monosemantic`` of probe ``selectivity``."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, what would count as holding, and what was measured.

    Attributes
    ----------
    key : str
        Identifies it, such as "6.2 accuracy, k = 1".
    where : str
        Section, theorem or figure of the paper.
    paper : str
        The claim.
    criterion : str
        What must be measured for it to hold; stated before the verdict, and able to fail.
    here : str
        What was measured, and on what.
    holds : bool
        Whether the criterion is met.
    of_paper : bool
        Whether the paper says it. Others answer a question that the paper asks or leaves open.
    """

    key: str
    where: str
    paper: str
    criterion: str
    here: str
    holds: bool
    of_paper: bool = True

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return "holds" if self.holds else "does not hold"


def described(values: Sequence[float], unit: str = "seeds") -> str:
    """Write a sample: mean, standard deviation (n − 1), number and range; equal values as one number.

    Parameters
    ----------
    values : sequence of float
        One for each unit of inference.
    unit : str
        What they are one of, in the plural.
    """
    if not len(values):
        return "no value"
    if len(values) == 1:
        return f"{values[0]:.4g} (one of the {unit})"
    if min(values) == max(values):
        return f"{values[0]:.4g} in all {len(values)} {unit}"
    std = float(np.std(values, ddof=1))
    return (
        f"{np.mean(values):.4g} ± {f'{std:.0f}' if std >= 10 else f'{std:.2g}'} "
        f"({len(values)} {unit}, {min(values):.4g} to {max(values):.4g})"
    )


def estimated(values: Mapping[int, float] | Sequence[float], **limits: float) -> statistics.Estimate | None:
    """Return the mean over the seeds with its 95 % interval, see `tmi.statistics.over_seeds`; None for fewer than two values."""
    return statistics.over_seeds(values, **limits) if len(values) > 1 else None


def with_interval(values: Sequence[float], unit: str = "seeds", *, share: bool = False) -> str:
    """Write a sample as `described` does, with the 95 % interval of its mean.

    Parameters
    ----------
    values : sequence of float
    unit : str
    share : bool
        Whether the values are shares: the interval is cut off at 0 and 1.
    """
    found = estimated(values, **({"low": 0.0, "high": 1.0} if share else {}))
    if found is None or min(values) == max(values):
        return described(values, unit)
    return f"{described(values, unit)}, 95 % interval of the mean {found.low:.4g} to {found.high:.4g}"


def in_every(values: Sequence[float], holds: Sequence[bool], unit: str = "seeds") -> str:
    """Write in how many of the units a statement holds."""
    return f"{sum(map(bool, holds))} of {len(values)} {unit}"


def swept_values(results: tmi.Results, column: str) -> list[int]:
    """Return the values that a swept setting takes, sorted; none where it is not swept."""
    if column not in results.columns:
        return []
    return sorted({entry.swept[column] for entry in results if entry.swept.get(column) is not None})


def tiles_from(results: tmi.Results) -> str:
    """Name the images that the tiles of data set fashion are: the shipped sample, or the full Fashion-MNIST."""
    shown = [entry for entry in results if entry.dataset in ("fashion", "fashion-many", "tickets")]
    sources = {str(entry.record.get("data", {}).get("source", "")) for entry in shown} - {""}
    names = {"sample": "shipped sample of Fashion-MNIST", "full": "full Fashion-MNIST"}
    return ", ".join(names.get(source, source) for source in sorted(sources)) or "Fashion-MNIST"


def at_one_tile(results: tmi.Results, network: str, probe: str) -> tmi.Results:
    """Return the results of a probe on Fashion-MNIST tiles with one tile a class, or where that is not swept."""
    chosen = results.select(dataset="fashion", network=network, probe=probe)
    if "tiles_per_class" not in results.columns:
        return chosen
    return next(
        (part for value in (1, None) if len(part := chosen.select(tiles_per_class=value))), chosen.select(tiles_per_class=1)
    )


def epsilon_of(results: tmi.Results) -> str:
    """Write ", ε = 5" where all results have this tolerance, else nothing."""
    found = {entry.record.get("dataset", {}).get("params", {}).get("epsilon") for entry in results} - {None}
    return f", ε = {found.pop()}" if len(found) == 1 else ""


def values_by_seed(results: Iterable[Entry], metric: str) -> dict[int, float]:
    """Return a metric by seed; the last entry of a seed counts."""
    return {entry.seed: entry.metrics[metric] for entry in results if metric in entry.metrics}


def ratios(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """Return first over second for each seed that both have, where the second is not 0."""
    return [first[seed] / second[seed] for seed in first if second.get(seed)]
