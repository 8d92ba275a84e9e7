"""Ranks the methods on each network by skill, and the measures that need no truth by how well they reproduce that ranking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .intervals import interval
from .rank_agreement import Agreement, kendall, true_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

EDGES = "sobel"
"""The control to compare a method with: edges depend on the image alone, not on the network."""

TRUTH = ("oracle", "exact", "exact-integrated-gradients")
"""Controls that know the truth."""

_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Standing:
    """One method on one network, over all seeds.

    Attributes
    ----------
    network, method : str
    origin : str
        How the network's weights came about, see `tmi.Network`; empty where the record does not say.
    control : bool
        Whether the method ignores the network, or knows the truth.
    refused : tuple of str
        Why it was refused or not scored; empty if it was scored.
    skills : ndarray, shape (images,)
        Each image's contribution to the mean skill, NaN where there is none; see `rank_agreement.true_scores`. The images of all
        seeds, one seed after the other.
    measures : mapping of str to ndarray, shape (images,)
        Scores by measure.
    evaluations, zero_map, completeness : float or None
        Evaluations of the module for each image, the share of maps that are 0 everywhere, and the relative error of completeness.
    """

    network: str
    method: str
    origin: str = ""
    control: bool = False
    refused: tuple[str, ...] = ()
    skills: Array = field(default_factory=lambda: np.zeros(0))
    measures: Mapping[str, Array] = field(default_factory=dict)
    evaluations: float | None = None
    zero_map: float | None = None
    completeness: float | None = None

    @cached_property
    def skill(self) -> float | None:
        """Mean skill over the localisation measures, the images and the seeds."""
        known = self.skills[np.isfinite(self.skills)]
        return float(known.mean()) if len(known) else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of `skill` over the images."""
        return _interval(self.skills)

    def ahead_of(self, other: Standing) -> tuple[float, tuple[float, float] | None] | None:
        """Return its skill minus another's on the same images, with the interval of that; None where no image has both."""
        if self.skills.shape != other.skills.shape:
            return None
        difference = self.skills - other.skills
        known = difference[np.isfinite(difference)]
        return (float(known.mean()), _interval(known)) if len(known) else None


@dataclass(frozen=True)
class Trust:
    """How well a measure that needs no truth ranks the methods of one network.

    Attributes
    ----------
    measure : str
    better : {"higher", "lower"}
    network : str
    agreement : Agreement or None
        None where there are too few methods to rank.
    """

    measure: str
    better: str
    network: str
    agreement: Agreement | None


def standings(results: tmi.Results, probes: Collection[str], networks: Mapping[str, str] | None = None) -> list[Standing]:
    """Gather the results of probe ``attribution-bench``.

    Parameters
    ----------
    results : Results
    probes : collection of str
        Labels of the suite's probes that belong together.
    networks : mapping of str to str, optional
        Display names by label; by default the labels. Their order is kept.

    Returns
    -------
    list of Standing
        One for each network and method that has a result, networks and methods in the order of the suite.
    """
    names = networks or {}
    origins: dict[str, str] = {}
    by_seed: dict[tuple[str, str, str], dict[int, tmi.ProbeResult]] = {}
    for entry in results:
        if entry.probe in probes and entry.status == "ok" and "method" in entry.swept:
            origins.setdefault(entry.network, entry.record.get("network_origin", ""))
            by_seed.setdefault((entry.network, entry.probe, entry.swept["method"]), {})[entry.seed] = results.load(entry)
    # The images of all methods of a network are aligned, also where cells are missing.
    images: dict[tuple[str, str], dict[int, int]] = {}
    for (network, probe, _), seeds in by_seed.items():
        for seed, result in seeds.items():
            if "score" in result.arrays:
                images.setdefault((network, probe), {})[seed] = result.arrays["score"].shape[1]
    order = {label: place for place, label in enumerate(names)}
    keys = sorted(by_seed, key=lambda key: order.get(key[0], len(order)))
    return [
        _standing(
            names.get(network, network),
            method,
            origins[network],
            by_seed[network, probe, method],
            images.get((network, probe), {}),
        )
        for network, probe, method in keys
    ]


def ranked(rows: Sequence[Standing]) -> list[str]:
    """Return the methods, best first by the mean of their skills over the networks; controls and methods without skill last."""
    skills: dict[str, list[float]] = {}
    for row in rows:
        skills.setdefault(row.method, []).extend([] if row.skill is None else [row.skill])
    controls = {row.method for row in rows if row.control}
    return sorted(skills, key=lambda name: (name in controls, not skills[name], -np.mean(skills[name] or [0.0])))


def networks_of(rows: Sequence[Standing]) -> dict[str, dict[str, Standing]]:
    """Return the rows by network and method."""
    by_network: dict[str, dict[str, Standing]] = {}
    for row in rows:
        by_network.setdefault(row.network, {})[row.method] = row
    return by_network


def below_edges(rows: Sequence[Standing]) -> list[tuple[Standing, bool]]:
    """Return the methods of one network that have less skill than Sobel, worst first, and whether the interval is below 0 too.

    Parameters
    ----------
    rows : sequence of Standing
        Of one network; the list is empty where Sobel is not among them.
    """
    edges = next((row for row in rows if row.method == EDGES and row.skill is not None), None)
    if edges is None:
        return []
    below = []
    for row in rows:
        difference = None if row.control or row.skill is None else row.ahead_of(edges)
        if difference is not None and difference[0] < 0:
            below.append((row, difference[1] is not None and difference[1][1] < 0))
    return sorted(below, key=lambda pair: pair[0].skill or 0.0)


def trust(rows: Sequence[Standing], measures: Mapping[str, str], seed: int = 0) -> list[Trust]:
    """Compare the ranking of the methods by measures that need no truth with their ranking by skill, network by network.

    Parameters
    ----------
    rows : sequence of Standing
        Controls are left out, for they are not methods to choose from.
    measures : mapping of str to str
        Measure to the direction that is better.
    seed : int
        Of the bootstrap.
    """
    trusts = []
    for network, methods in networks_of([row for row in rows if not row.control and row.skill is not None]).items():
        for measure, better in measures.items():
            compared = [row for row in methods.values() if measure in row.measures]
            if not compared:
                continue
            scores = np.stack([row.measures[measure] for row in compared])
            skills = np.stack([row.skills for row in compared])
            direction: Any = better
            trusts.append(Trust(measure, better, network, kendall(scores, skills, better=direction, seed=seed)))
    return trusts


def truth_free(results: tmi.Results, probes: Collection[str]) -> dict[str, str]:
    """Return the measures that need no truth, and which direction of each is better, as the results declare."""
    measures: dict[str, str] = {}
    for entry in results:
        if entry.probe not in probes or entry.status != "ok" or entry.metrics.get("refused"):
            continue
        result = results.load(entry)
        if "truth_free" not in result.arrays:
            continue
        for name, free in zip(map(str, result.coords["measure"]), result.arrays["truth_free"].values, strict=True):
            info = result.describe(name)
            if free and info is not None and info.better:
                measures.setdefault(name, info.better)
    return measures


def _standing(
    network: str, method: str, origin: str, results: Mapping[int, tmi.ProbeResult], images: Mapping[int, int]
) -> Standing:
    scored = {seed: result for seed, result in results.items() if "score" in result.arrays}
    control = any(bool(result.arrays["control"].values[0]) for result in results.values() if "control" in result.arrays)
    if not scored:
        reasons = dict.fromkeys(note.removeprefix("refused: ") for result in results.values() for note in result.notes)
        return Standing(network, method, origin, control, refused=tuple(reasons) or ("no score",))
    names = dict.fromkeys(str(name) for result in scored.values() for name in result.coords["measure"])

    def aligned(part: Any) -> Array:
        return np.concatenate([part(scored[s]) if s in scored else np.full(count, np.nan) for s, count in sorted(images.items())])

    def mean(metric: str) -> float | None:
        values = [result.metrics[metric] for result in scored.values() if metric in result.metrics]
        return float(np.mean(values)) if values else None

    return Standing(
        network,
        method,
        origin,
        control,
        skills=aligned(_skills),
        measures={name: aligned(lambda result, name=name: _scores(result, name)) for name in names},
        evaluations=mean("evaluations"),
        zero_map=mean("zero_map"),
        completeness=mean("completeness_relative"),
    )


def _skills(result: tmi.ProbeResult) -> Array:
    """Return each image's contribution to the mean skill over the localisation measures that have a skill."""
    names = [str(name) for name in result.coords["measure"]]
    rows = [row for row, name in enumerate(names) if f"skill.{name}" in result.metrics]
    parts = [result.arrays[part].values[rows] for part in ("score", "chance", "oracle")]
    if not rows:
        return np.full(result.arrays["score"].shape[1], np.nan)
    # As in the metric skill.mean: a measure counts where it is defined on every image.
    whole = np.isfinite(parts).all((0, 2))
    return true_scores(*(part[whole] for part in parts)) if whole.any() else np.full(parts[0].shape[1], np.nan)


def _scores(result: tmi.ProbeResult, name: str) -> Array:
    names = [str(measure) for measure in result.coords["measure"]]
    scores: Array = result.arrays["score"].values
    return scores[names.index(name)] if name in names else np.full(scores.shape[1], np.nan)


def _interval(values: Array) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return interval((known,), lambda sample, axis: sample.mean(axis), seed=0, resamples=_RESAMPLES) if len(known) else None
