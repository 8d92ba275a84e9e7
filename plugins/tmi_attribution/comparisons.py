"""Compares methods with controls and with each other, networks, and the measures that need no truth with the truth.

Each list of comparisons is corrected for its length by Holm's method: what `shown` says holds for all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tmi import statistics
from tmi.errors import InputError

from .leaderboard import MethodScores, Part, networks_of
from .rank_agreement import Better, kendall

if TYPE_CHECKING:
    import tmi

Key = TypeVar("Key", bound=Hashable)

PARTS: tuple[Part, Part] = ("absolute", "positive")
"""What can be ranked: |a|, or max(a, 0)."""

EDGES = "sobel"
"""The control to compare a method with: edges depend on the image alone, not on the network."""

CENTRE = "centre-prior"
"""The control that knows only that tiles are often in the middle of the image."""


@dataclass(frozen=True)
class FreeMeasure:
    """A measure that needs no truth.

    Attributes
    ----------
    name : str
    better : {"higher", "lower"}
    part : {"absolute", "positive"}
        Which skill it is compared with: that of |a| where it scores |a|; that of max(a, 0), the part that supports the class,
        where it scores max(a, 0) or a with its sign.
    """

    name: str
    better: Better
    part: Part


@dataclass(frozen=True)
class Trust:
    """How well a measure that needs no truth ranks the methods of one network.

    Attributes
    ----------
    measure : FreeMeasure
    network : str
    agreement : Estimate or None
        Kendall's τ, see `rank_agreement.kendall`, corrected for all measures that are compared on the network. None where the
        measure is defined on too few images, or there are too few methods to rank.
    defined : (int, int)
        On how many images it is defined, and was asked: of the seed and method with the fewest.
    """

    measure: FreeMeasure
    network: str
    agreement: statistics.Estimate | None
    defined: tuple[int, int]


def against(rows: Sequence[MethodScores], control: str) -> list[tuple[MethodScores, statistics.Estimate]]:
    """Return the difference of each method of one network from a control, corrected for the number of methods, best method first.

    Parameters
    ----------
    rows : sequence of MethodScores
        Of one network; the list is empty where the control is not among them.
    control : str
        `EDGES` or `CENTRE`.
    """
    found = next((row for row in rows if row.method == control), None)
    return [] if found is None else _compared(rows, lambda row: row.minus(found))


def against_untrained(rows: Sequence[MethodScores]) -> list[tuple[MethodScores, statistics.Estimate]]:
    """Return the skill of each method of one network minus that before training, corrected for the number of methods."""
    return _compared(rows, MethodScores.minus_untrained)


def against_best(rows: Sequence[MethodScores]) -> tuple[MethodScores | None, list[tuple[MethodScores, statistics.Estimate]]]:
    """Return the method of greatest skill on one network, and the other methods minus it, corrected for all pairs of methods.

    Which method is the best is taken from the same data, so that any pair could have been compared: with a correction for the
    n − 1 comparisons alone, some method is shown to be worse in 11 % of data sets of 8 equal methods, and in 20 % of those of 20.
    """
    methods = _best_first(rows)
    pairs = {
        (first, second): difference
        for place, first in enumerate(methods)
        for second in methods[place + 1 :]
        if (difference := second.minus(first)) is not None
    }
    corrected = dict(zip(pairs, statistics.corrected(list(pairs.values())), strict=True))
    return methods[0] if methods else None, [(second, each) for (first, second), each in corrected.items() if first is methods[0]]


def between_networks(rows: Sequence[MethodScores], method: str) -> list[tuple[str, str, statistics.Estimate]]:
    """Return the differences of one method's skill between trained networks, paired by seed and corrected for their number.

    Parameters
    ----------
    rows : sequence of MethodScores
    method : str

    Returns
    -------
    list of (str, str, Estimate)
        First network, second network, first − second; empty where two networks have fewer than two seeds in common.
    """
    found = [row for row in rows if row.method == method and row.origin == "trained" and row.skill is not None]
    pairs, differences = [], []
    for number, first in enumerate(found):
        for second in found[number + 1 :]:
            try:
                difference = statistics.difference(first.by_seed, second.by_seed)
            except InputError:
                continue
            pairs.append((first.network, second.network))
            differences.append(difference)
    return [(*pair, each) for pair, each in zip(pairs, statistics.corrected(differences), strict=True)]


def signed_rankings(rows: Sequence[MethodScores]) -> dict[str, statistics.Estimate | None]:
    """Return Kendall's τ between the rankings of the methods by the skill of |a| and of max(a, 0), corrected, by network."""
    agreements = {}
    for network, methods in networks_of(rows).items():
        both = [row for row in methods.values() if not row.control and len(row.skills) == len(row.positive) > 0]
        if both:
            absolute, positive = (np.stack([row.skills_of(part) for row in both]) for part in PARTS)
            agreements[network] = kendall(absolute, positive, both[0].seeds)
    return _all_corrected(agreements)


def trust(rows: Sequence[MethodScores], measures: Sequence[FreeMeasure]) -> list[Trust]:
    """Compare the ranking of the methods by measures that need no truth with their ranking by skill, network by network.

    Parameters
    ----------
    rows : sequence of MethodScores
        Controls are left out, for they are not methods to choose from.
    measures : sequence of FreeMeasure

    Notes
    -----
    The correction is for the number of measures on a network. That a measure ranks as the truth does on *every* network needs no
    further one: each of the networks must show it (an intersection-union test, Berger 1982).
    """
    compared: dict[tuple[str, FreeMeasure], statistics.Estimate | None] = {}
    defined: dict[tuple[str, FreeMeasure], tuple[int, int]] = {}
    for network, methods in networks_of([row for row in rows if not row.control and row.skill is not None]).items():
        for measure in measures:
            asked = [row for row in methods.values() if measure.name in row.measures]
            if not asked:
                continue
            scores = np.stack([row.measures[measure.name] for row in asked])
            skills = np.stack([row.skills_of(measure.part) for row in asked])
            compared[network, measure] = kendall(scores, skills, asked[0].seeds, better=measure.better)
            counts = [row.defined[measure.name] for row in asked if measure.name in row.defined]
            defined[network, measure] = min(counts, default=(0, 0))
    return [Trust(measure, network, found, defined[network, measure]) for (network, measure), found in _by_network(compared)]


def truth_free(results: tmi.Results, probes: Collection[str]) -> list[FreeMeasure]:
    """Return the measures that need no truth, as the results declare them."""
    measures: dict[str, FreeMeasure] = {}
    for entry in results:
        if entry.probe not in probes or entry.status != "ok" or entry.metrics.get("refused"):
            continue
        result = results.load(entry)
        if "truth_free" not in result.arrays:
            continue
        parts = (result.coords["measure"], result.arrays["truth_free"].values, result.arrays["scored"].values)
        for name, free, scored in zip(*parts, strict=True):
            info = result.describe(str(name))
            if free and info is not None and info.better:
                part: Part = "absolute" if scored == "absolute" else "positive"
                measures.setdefault(str(name), FreeMeasure(str(name), info.better, part))
    return list(measures.values())


def _compared(
    rows: Sequence[MethodScores], difference: Callable[[MethodScores], statistics.Estimate | None]
) -> list[tuple[MethodScores, statistics.Estimate]]:
    found = [(row, each) for row in _best_first(rows) if (each := difference(row)) is not None]
    corrections = statistics.corrected([each for _, each in found])
    return [(row, each) for (row, _), each in zip(found, corrections, strict=True)]


def _best_first(rows: Sequence[MethodScores]) -> list[MethodScores]:
    """Return the methods that have a skill, without controls, the greatest first."""
    return sorted((row for row in rows if not row.control and row.skill is not None), key=lambda row: -(row.skill or 0))


def _by_network(
    compared: Mapping[tuple[str, FreeMeasure], statistics.Estimate | None],
) -> Iterator[tuple[tuple[str, FreeMeasure], statistics.Estimate | None]]:
    """Yield the agreements, corrected for the number of measures on each network."""
    for network in dict.fromkeys(network for network, _ in compared):
        yield from _all_corrected({key: each for key, each in compared.items() if key[0] == network}).items()


def _all_corrected(agreements: Mapping[Key, statistics.Estimate | None]) -> dict[Key, statistics.Estimate | None]:
    """Correct those that exist."""
    known = {key: each for key, each in agreements.items() if each is not None}
    return dict.fromkeys(agreements) | dict(zip(known, statistics.corrected(list(known.values())), strict=True))
