"""Who stands where: the methods on each network, by skill, with what was refused and who does worse than Sobel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.probing.attribution import measure_info, method_info

from .intervals import interval
from .rank_agreement import Agreement, kendall, true_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi
    from tmi.plugins.registry import Registry
    from tmi.runs.results import Entry

    Array = NDArray[np.float64]

EDGES = "sobel"
"""The control that a method has to beat: edges need no network at all."""

TRUTH = ("oracle", "exact", "exact-integrated-gradients")
"""Controls that know the answer."""

_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Standing:
    """One method on one network, over all seeds.

    Attributes
    ----------
    network, method : str
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
        Evaluations of the module an image, the share of maps that are 0 everywhere, and the relative error of completeness.
    """

    network: str
    method: str
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
        """Return its skill less another's on the same images, with the interval of that; None if it cannot be said."""
        if self.skills.shape != other.skills.shape:
            return None
        difference = self.skills - other.skills
        known = difference[np.isfinite(difference)]
        return (float(known.mean()), _interval(known)) if len(known) else None


@dataclass(frozen=True)
class Trust:
    """How far a measure that needs no truth can be trusted on one network.

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
        How to call each network; by default by its label. Their order is kept.

    Returns
    -------
    list of Standing
        One for each network and method that has a result, networks and methods in the order of the suite.
    """
    registry = registry_of(results)
    calls = networks or {}
    grouped: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in results:
        if entry.probe in probes and entry.status == "ok" and "method" in entry.swept:
            grouped.setdefault((entry.network, entry.probe, entry.swept["method"]), []).append(entry)
    # All methods of a network are lined up on the same images, whatever cells are missing.
    images: dict[tuple[str, str], dict[int, int]] = {}
    loaded = {key: {entry.seed: results.load(entry) for entry in entries} for key, entries in grouped.items()}
    for (network, probe, _), found in loaded.items():
        for seed, result in found.items():
            if "score" in result.arrays:
                images.setdefault((network, probe), {})[seed] = result.arrays["score"].shape[1]
    order = {label: place for place, label in enumerate(calls)}
    keys = sorted(loaded, key=lambda key: order.get(key[0], len(order)))
    return [
        _standing(calls.get(network, network), method, loaded[network, probe, method], images.get((network, probe), {}), registry)
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
    found: dict[str, dict[str, Standing]] = {}
    for row in rows:
        found.setdefault(row.network, {})[row.method] = row
    return found


def below_edges(rows: Sequence[Standing]) -> list[tuple[Standing, bool]]:
    """Return the methods of one network that have less skill than Sobel, worst first, and whether the interval says so too.

    Parameters
    ----------
    rows : sequence of Standing
        Of one network; without Sobel among them the answer is empty.
    """
    edges = next((row for row in rows if row.method == EDGES and row.skill is not None), None)
    if edges is None:
        return []
    found = []
    for row in rows:
        difference = None if row.control or row.skill is None else row.ahead_of(edges)
        if difference is not None and difference[0] < 0:
            found.append((row, difference[1] is not None and difference[1][1] < 0))
    return sorted(found, key=lambda pair: pair[0].skill or 0.0)


def trust(rows: Sequence[Standing], measures: Mapping[str, str], seed: int = 0) -> list[Trust]:
    """Compare the ranking of the methods by measures that need no truth with their ranking by skill, network by network.

    Parameters
    ----------
    rows : sequence of Standing
        Controls are left out: they are not what one chooses among.
    measures : mapping of str to str
        Measure to the direction that is better.
    seed : int
        Of the bootstrap.
    """
    found = []
    for network, of in networks_of([row for row in rows if not row.control and row.skill is not None]).items():
        for measure, better in measures.items():
            compared = [row for row in of.values() if measure in row.measures]
            if not compared:
                continue
            free = np.stack([row.measures[measure] for row in compared])
            truth = np.stack([row.skills for row in compared])
            way: Any = better
            found.append(Trust(measure, better, network, kendall(free, truth, better=way, seed=seed)))
    return found


def truth_free(results: tmi.Results, probes: Collection[str]) -> dict[str, str]:
    """Return the measures that need no truth and which direction of each is better, as the results say."""
    registry = registry_of(results)
    declared = {_plain(name): name for name in registry.names("measure")}
    found: dict[str, str] = {}
    for entry in results:
        if entry.probe not in probes or entry.status != "ok" or entry.metrics.get("refused"):
            continue
        result = results.load(entry)
        for name in map(str, result.coords.get("measure", ())):
            info = result.describe(name)
            if name in found or _plain(name) not in declared or info is None or not info.better:
                continue
            if measure_info(registry.find("measure", declared[_plain(name)]).function).truth_free:
                found[name] = info.better
    return found


def registry_of(results: tmi.Results) -> Registry:
    """Return where the results' methods and measures are registered."""
    from tmi.plugins.registry import installed

    return results.registry or installed()


def _standing(
    network: str, method: str, found: Mapping[int, tmi.ProbeResult], images: Mapping[int, int], registry: Registry
) -> Standing:
    scored = {seed: result for seed, result in found.items() if "score" in result.arrays}
    control = _is_control(method, registry)
    if not scored:
        reasons = dict.fromkeys(note.removeprefix("refused: ") for result in found.values() for note in result.notes)
        return Standing(network, method, control, refused=tuple(reasons) or ("no score",))
    names = dict.fromkeys(str(name) for result in scored.values() for name in result.coords["measure"])

    def lined_up(part: Any) -> Array:
        return np.concatenate([part(scored[s]) if s in scored else np.full(count, np.nan) for s, count in sorted(images.items())])

    def mean(metric: str) -> float | None:
        values = [result.metrics[metric] for result in scored.values() if metric in result.metrics]
        return float(np.mean(values)) if values else None

    return Standing(
        network,
        method,
        control,
        skills=lined_up(_skills),
        measures={name: lined_up(lambda result, name=name: _scores(result, name)) for name in names},
        evaluations=mean("evaluations"),
        zero_map=mean("zero_map"),
        completeness=mean("completeness_relative"),
    )


def _skills(result: tmi.ProbeResult) -> Array:
    """What each image says about the mean skill over the localisation measures: those of which there is a skill."""
    names = [str(name) for name in result.coords["measure"]]
    rows = [row for row, name in enumerate(names) if f"skill.{name}" in result.metrics]
    parts = [result.arrays[part].values[rows] for part in ("score", "chance", "oracle")]
    if not rows:
        return np.full(result.arrays["score"].shape[1], np.nan)
    # As in the metric skill.mean: a measure counts where it is defined on every image.
    whole = np.isfinite(parts).all((0, 2))
    return true_scores(*(part[whole] for part in parts)) if whole.any() else np.full(parts[0].shape[1], np.nan)


def _scores(result: tmi.ProbeResult, name: str) -> Array:
    names = [str(one) for one in result.coords["measure"]]
    scores: Array = result.arrays["score"].values
    return scores[names.index(name)] if name in names else np.full(scores.shape[1], np.nan)


def _is_control(method: str, registry: Registry) -> bool:
    name = method.partition("(")[0].strip()
    return name in registry.names("method") and method_info(registry.find("method", name).function).control


def _plain(name: str) -> str:
    return name.partition("(")[0].strip().replace("-", "_")


def _interval(values: Array) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return interval((known,), lambda sample, axis: sample.mean(axis), seed=0, resamples=_RESAMPLES) if len(known) else None
