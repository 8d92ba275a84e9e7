"""Collecting what a probe measures: metrics beside their controls, arrays, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import tmi
from tmi import statistics
from tmi.errors import InputError

ONE_CLASS = "there is one class only, so that every prediction is right"
"""Why no share of right or unchanged predictions is given."""


class ResultBuilder:
    """Collects the metrics, arrays, coordinates and notes of one probe for its `ProbeResult`.

    Parameters
    ----------
    info : mapping of str to MetricInfo
        What each metric means, by the part of its name before the first dot.

    Attributes
    ----------
    metrics : dict of str to float
    arrays : dict of str to (dims, array)
    coords : dict of str to sequence
        Labels of axes; those of an axis that no array has are left out of the result.
    notes : list of str
    """

    def __init__(self, info: Mapping[str, tmi.MetricInfo]) -> None:
        self.info = info
        self.metrics: dict[str, float] = {}
        self.arrays: dict[str, Any] = {}
        self.coords: dict[str, Any] = {}
        self.notes: list[str] = []
        self._reasons: list[str] = []

    def add(self, metric: str, value: Any, *, chance: Any = None, untrained: Any = None, oracle: Any = None) -> None:
        """Add a metric with its controls.

        Parameters
        ----------
        metric : str
        value : float
        chance : float or sequence of float, optional
            The expected score by chance, or the scores of 20 draws or more: then ``<metric>.chance`` is their mean, and
            ``<metric>.chance.low`` and ``<metric>.chance.high`` are their 2.5 % and 97.5 % quantiles.
        untrained : float, optional
            The score of the same network before training: ``<metric>.untrained``.
        oracle : float, optional
            The score of a method that knows the truth, or the most that is possible: ``<metric>.oracle``.
        """
        added = {metric: value}
        if chance is not None and np.ndim(chance):
            drawn = statistics.of_chance(chance)
            added |= {f"{metric}.chance": drawn.mean, f"{metric}.chance.low": drawn.low, f"{metric}.chance.high": drawn.high}
        else:
            added[f"{metric}.chance"] = chance
        added |= {f"{metric}.untrained": untrained, f"{metric}.oracle": oracle}
        self.metrics |= {name: float(number) for name, number in added.items() if number is not None}

    def cannot_fail(self, what: str, reason: str) -> None:
        """Leave out metrics that every network would score alike on this data: their value would say nothing.

        Parameters
        ----------
        what : str
            Names of metrics, separated by commas.
        reason : str
            Completes "…: not applicable, for ".
        """
        self.notes.append(f"{what}: not applicable, for {reason}")
        self._reasons.append(reason)

    def result(self) -> tmi.ProbeResult:
        """Return the result; a note names the metrics that are not finite, which are left out.

        Where `cannot_fail` left no metric, the whole result is not applicable.
        """
        if not self.metrics and self._reasons:
            return tmi.ProbeResult.not_applicable("; ".join(dict.fromkeys(self._reasons)))
        metrics = {name: value for name, value in self.metrics.items() if np.isfinite(value)}
        left_out = [name for name in self.metrics if name not in metrics]
        notes = [*self.notes, *([f"left out, for they are not finite numbers: {', '.join(left_out)}"] if left_out else [])]
        axes = {axis for dims, _ in self.arrays.values() for axis in ((dims,) if isinstance(dims, str) else dims)}
        coords = {axis: labels for axis, labels in self.coords.items() if axis in axes}
        measured = {name.partition(".")[0] for name in metrics}
        info = {name: meaning for name, meaning in self.info.items() if name in measured}
        return tmi.ProbeResult(metrics, self.arrays, coords, info, notes)


def each_once(setting: str, values: Sequence[str]) -> None:
    """Check a setting that lists several things.

    Raises
    ------
    InputError
        If the list is empty, or holds a value twice.
    """
    if not values or len(set(values)) < len(values):
        raise InputError(f"{setting}: expected at least one, each once; got {list(values)}")
