"""Mean and spread of a metric over seeds: one line for each data set, network and metric."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from tmi.runs.results import Entry, Results


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


def groups(results: Results, metrics: Collection[str] = ()) -> list[Group]:
    """Gather the values of each metric over the seeds.

    Parameters
    ----------
    results : Results
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


def lines(results: Results, metrics: Collection[str] = ()) -> Iterator[str]:
    """Write `groups` as text, a heading for each data set, network and probe."""
    heading = ""
    selected = groups(results, metrics)
    width = max((len(group.metric) for group in selected), default=0)
    for group in selected:
        title = f"{group.where} / {group.probe}"
        if title != heading:
            heading = title
            yield f"{title}, {len(group.values)} seed{'s' if len(group.values) > 1 else ''}"
        spread = "" if group.std is None else f" ± {group.std:.3g} [{group.low:.4g}, {group.high:.4g}]"
        yield f"  {group.metric:<{width}}  {group.mean:.6g}{spread}"
