"""A claim of the paper with its criterion, and how samples over seeds are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi
    from tmi.runs.results import Entry

CONFIDENCE = 0.95


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


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean by Student's t; NaN for a single value.

    Parameters
    ----------
    values : sequence of float
        One for each seed: the unit of inference of a trained network.
    """
    from scipy.stats import t

    if len(values) < 2:
        return np.nan, np.nan
    half = float(np.std(values, ddof=1) / np.sqrt(len(values)) * t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return `interval`; infinite for a single value, which shows nothing, and the value twice where several are all equal."""
    if len(values) < 2:
        return -np.inf, np.inf
    return (values[0], values[0]) if len(set(values)) == 1 else interval(values)


def p_value(values: Sequence[float]) -> float:
    """Return the two-sided p-value of a mean of 0 by Student's t; 1 for a single value, 0 or 1 where several are all equal.

    It is below 0.05 where `bounds` exclude 0, and nowhere else.
    """
    from scipy.stats import t

    if len(values) < 2 or len(set(values)) == 1:
        return float(len(values) < 2 or values[0] == 0)
    return float(2 * t.sf(abs(np.mean(values)) * np.sqrt(len(values)) / np.std(values, ddof=1), len(values) - 1))


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values corrected for their number by Holm's method (1979), in the given order.

    The least of n is multiplied by n, the next by n − 1, and so on; none is less than one before it, or above 1. With those below
    α taken for shown, the probability that any of them is a mean of 0 is at most α.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    return np.minimum(np.maximum.accumulate(corrected), 1)[np.argsort(order)]


def with_interval(values: Sequence[float], unit: str = "seeds", *, share: bool = False) -> str:
    """Write a sample as `described` does, with the 95 % interval of its mean.

    Parameters
    ----------
    values : sequence of float
    unit : str
    share : bool
        Whether the values are shares: the interval is cut off at 0 and 1.
    """
    if len(values) < 2 or min(values) == max(values):
        return described(values, unit)
    low, high = interval(values)
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{described(values, unit)}, 95 % interval of the mean {low:.4g} to {high:.4g}"


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


def by_seed(results: Iterable[Entry], metric: str) -> dict[int, float]:
    """Return a metric by seed; the last entry of a seed counts."""
    return {entry.seed: entry.metrics[metric] for entry in results if metric in entry.metrics}


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> list[tuple[float, float]]:
    """Return the values of the seeds that both have."""
    return [(first[seed], second[seed]) for seed in first if seed in second]
