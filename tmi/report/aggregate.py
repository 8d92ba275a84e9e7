"""Mean, spread and interval of a metric over seeds, for each data set, network and probe."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tmi.runs.results import Entry


@dataclass(frozen=True)
class Group:
    """The values of one metric over the seeds of one cell.

    Attributes
    ----------
    dataset, network, probe, metric : str
    swept : dict
    values : tuple of float
        One a seed.
    """

    dataset: str
    network: str
    probe: str
    metric: str
    swept: dict[str, Any]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean, exact where all values are equal."""
        first = self.values[0]
        return first + sum(value - first for value in self.values) / len(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds (n − 1); exactly 0 where all values are equal, None for a single value."""
        from math import fsum, sqrt

        if len(self.values) < 2:
            return None
        first = self.values[0]
        shifted = [value - first for value in self.values]
        mean = fsum(shifted) / len(shifted)
        return sqrt(fsum((value - mean) ** 2 for value in shifted) / (len(shifted) - 1))

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % interval of the mean by Student's t, the seeds being the units; None for a single value."""
        from tmi.statistics import over_seeds

        if len(self.values) < 2:
            return None
        interval = over_seeds(self.values)
        return (interval.high - interval.low) / 2

    @property
    def low(self) -> float:
        """Least value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Greatest value."""
        return max(self.values)

    @property
    def where(self) -> str:
        """Data set and network with the swept settings."""
        swept = ", ".join(f"{name}={value}" for name, value in self.swept.items() if value is not None)
        return f"{self.dataset} / {self.network}" + (f" ({swept})" if swept else "")


def groups(results: Iterable[Entry], metrics: Collection[str] = ()) -> list[Group]:
    """Gather the values of each metric over the seeds.

    Parameters
    ----------
    results : Results or iterable of Entry
    metrics : collection of str
        Only these; by default all.

    Returns
    -------
    list of Group
        In the order of the results.
    """
    values: dict[tuple[Any, ...], list[float]] = {}
    first: dict[tuple[Any, ...], Entry] = {}
    for entry in results:
        head = (entry.dataset, entry.network, entry.probe, *(repr(v) for v in entry.swept.values()))
        for metric, value in entry.metrics.items():
            if not metrics or metric in metrics:
                values.setdefault((*head, metric), []).append(value)
                first.setdefault((*head, metric), entry)
    return [
        Group(entry.dataset, entry.network, entry.probe, key[-1], entry.swept, tuple(values[key])) for key, entry in first.items()
    ]
