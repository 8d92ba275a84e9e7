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

from .leaderboard import Part, Standing, networks_of
from .rank_agreement import Agreement, Better, corrected, kendall

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
        Which skill it is compared with: that of |a| where it scores |a|, else that of max(a, 0).
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
    agreement : Agreement or None
        Corrected for all measures that are compared on the network. None where the measure is defined on too few images, or there
        are too few methods to rank.
    defined : (int, int)
        On how many images it is defined, and was asked: of the seed and method with the fewest.
    """

    measure: FreeMeasure
    network: str
    agreement: Agreement | None
    defined: tuple[int, int]


def against(rows: Sequence[Standing], control: str) -> list[tuple[Standing, statistics.Estimate]]:
    """Return the difference of each method of one network from a control, corrected for the number of methods, best method first.

    Parameters
    ----------
    rows : sequence of Standing
        Of one network; the list is empty where the control is not among them.
    control : str
        `EDGES` or `CENTRE`.
    """
    found = next((row for row in rows if row.method == control), None)
    return [] if found is None else _compared(rows, lambda row: row.ahead_of(found))


def against_untrained(rows: Sequence[Standing]) -> list[tuple[Standing, statistics.Estimate]]:
    """Return the skill of each method of one network minus that before training, corrected for the number of methods."""
    return _compared(rows, Standing.learnt)


def against_best(rows: Sequence[Standing]) -> tuple[Standing | None, list[tuple[Standing, statistics.Estimate]]]:
    """Return the method of greatest skill on one network, and the other methods minus it, corrected for their number."""
    methods = sorted((row for row in rows if not row.control and row.skill is not None), key=lambda row: -(row.skill or 0))
    return (methods[0], _compared(methods[1:], lambda row: row.ahead_of(methods[0]))) if methods else (None, [])


def between_networks(rows: Sequence[Standing], method: str) -> list[tuple[str, str, statistics.Estimate]]:
    """Return the differences of one method's skill between trained networks, paired by seed and corrected for their number.

    Parameters
    ----------
    rows : sequence of Standing
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


def signed_rankings(rows: Sequence[Standing]) -> dict[str, Agreement | None]:
    """Return Kendall's τ between the rankings of the methods by the skill of |a| and of max(a, 0), corrected, by network."""
    agreements = {}
    for network, methods in networks_of(rows).items():
        both = [row for row in methods.values() if not row.control and len(row.skills) == len(row.positive) > 0]
        if both:
            absolute, positive = (np.stack([row.skills_of(part) for row in both]) for part in PARTS)
            agreements[network] = kendall(absolute, positive, both[0].seeds)
    return _all_corrected(agreements)


def trust(rows: Sequence[Standing], measures: Sequence[FreeMeasure]) -> list[Trust]:
    """Compare the ranking of the methods by measures that need no truth with their ranking by skill, network by network.

    Parameters
    ----------
    rows : sequence of Standing
        Controls are left out, for they are not methods to choose from.
    measures : sequence of FreeMeasure

    Notes
    -----
    The correction is for the number of measures on a network. That a measure ranks as the truth does on *every* network needs no
    further one: each of the networks must show it (an intersection-union test, Berger 1982).
    """
    compared: dict[tuple[str, FreeMeasure], Agreement | None] = {}
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
    rows: Sequence[Standing], difference: Callable[[Standing], statistics.Estimate | None]
) -> list[tuple[Standing, statistics.Estimate]]:
    methods = sorted((row for row in rows if not row.control and row.skill is not None), key=lambda row: -(row.skill or 0))
    found = [(row, each) for row in methods if (each := difference(row)) is not None]
    corrections = statistics.corrected([each for _, each in found])
    return [(row, each) for (row, _), each in zip(found, corrections, strict=True)]


def _by_network(
    compared: Mapping[tuple[str, FreeMeasure], Agreement | None],
) -> Iterator[tuple[tuple[str, FreeMeasure], Agreement | None]]:
    """Yield the agreements, corrected for the number of measures on each network."""
    for network in dict.fromkeys(network for network, _ in compared):
        yield from _all_corrected({key: each for key, each in compared.items() if key[0] == network}).items()


def _all_corrected(agreements: Mapping[Key, Agreement | None]) -> dict[Key, Agreement | None]:
    """Correct those that exist."""
    known = {key: each for key, each in agreements.items() if each is not None}
    return dict.fromkeys(agreements) | dict(zip(known, corrected(list(known.values())), strict=True))
