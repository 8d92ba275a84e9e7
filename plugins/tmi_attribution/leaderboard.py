"""The skill of each method on each network over all seeds, and its scores by measure.

The unit is the seed: of the data, and of the training of a trained network. With a single seed it is the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi import statistics
from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

Part = Literal["absolute", "positive"]

TRUTH = ("oracle", "exact", "exact-integrated-gradients")
"""Controls that know the truth."""


def _none() -> Array:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class MethodScores:
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
    skills, positive, untrained : ndarray, shape (images,)
        Each image's contribution to the mean skill, NaN where there is none, see `scoring.skill_by_image`: of |a|, of max(a, 0),
        and of |a| on the network before training. The images of all seeds, one seed after the other.
    seeds, tiles : ndarray, shape (images,)
        The seed that each image comes from, and its tile.
    measures : mapping of str to ndarray, shape (images,)
        Scores by measure; NaN for a seed in which the measure is defined on too few images.
    defined : mapping of str to (int, int)
        By measure: the number of images on which it is defined, and on which it was asked, in the seed with the fewest.
    evaluations, zero_map, completeness : float or None
        Evaluations of the module for each image, the share of maps that are 0 everywhere, and the relative error of completeness.
    """

    network: str
    method: str
    origin: str = ""
    control: bool = False
    refused: tuple[str, ...] = ()
    skills: Array = field(default_factory=_none)
    positive: Array = field(default_factory=_none)
    untrained: Array = field(default_factory=_none)
    seeds: NDArray[Any] = field(default_factory=_none)
    tiles: NDArray[Any] = field(default_factory=_none)
    measures: Mapping[str, Array] = field(default_factory=dict)
    defined: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    evaluations: float | None = None
    zero_map: float | None = None
    completeness: float | None = None

    @cached_property
    def skill(self) -> float | None:
        """Mean skill over the localisation measures, the images and the seeds."""
        return _mean(self.skills)

    @cached_property
    def estimate(self) -> statistics.Estimate | None:
        """`skill` with its 95 % interval over the seeds, or the tiles of a single seed; None where there is one image."""
        return self._estimated(self.skills)

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """Mean skill of each seed that has one."""
        means = {int(seed): _mean(self.skills[self.seeds == seed]) for seed in np.unique(self.seeds)}
        return {seed: mean for seed, mean in means.items() if mean is not None}

    def minus(self, other: MethodScores) -> statistics.Estimate | None:
        """Return its skill minus another's on the same images; None where they have too few images in common."""
        return self._estimated(self.skills - other.skills) if self.skills.shape == other.skills.shape else None

    def minus_untrained(self) -> statistics.Estimate | None:
        """Return its skill minus that on the same network before training; None where that was not measured."""
        return self._estimated(self.skills - self.untrained) if self.skills.shape == self.untrained.shape else None

    def skills_of(self, part: Part) -> Array:
        """Return the skills of |a| or of max(a, 0); those of |a| where the others were not measured."""
        return self.positive if part == "positive" and self.positive.shape == self.skills.shape else self.skills

    def _estimated(self, values: Array) -> statistics.Estimate | None:
        try:
            return statistics.estimate(values, seeds=self.seeds, tiles=self.tiles)
        except InputError:  # fewer than two images
            return None


def method_scores(results: tmi.Results, probes: Collection[str], networks: Mapping[str, str] | None = None) -> list[MethodScores]:
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
    list of MethodScores
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
        _method_scores(
            names.get(network, network),
            method,
            origins[network],
            by_seed[network, probe, method],
            images.get((network, probe), {}),
        )
        for network, probe, method in keys
    ]


def ranked(rows: Sequence[MethodScores]) -> list[str]:
    """Return the methods, best first by the mean of their skills over the networks; controls and methods without skill last."""
    skills: dict[str, list[float]] = {}
    for row in rows:
        skills.setdefault(row.method, []).extend([] if row.skill is None else [row.skill])
    controls = {row.method for row in rows if row.control}
    return sorted(skills, key=lambda name: (name in controls, not skills[name], -np.mean(skills[name] or [0.0])))


def networks_of(rows: Sequence[MethodScores]) -> dict[str, dict[str, MethodScores]]:
    """Return the rows by network and method."""
    by_network: dict[str, dict[str, MethodScores]] = {}
    for row in rows:
        by_network.setdefault(row.network, {})[row.method] = row
    return by_network


def _method_scores(
    network: str, method: str, origin: str, results: Mapping[int, tmi.ProbeResult], images: Mapping[int, int]
) -> MethodScores:
    scored = {seed: result for seed, result in results.items() if "score" in result.arrays}
    control = any(bool(result.arrays["control"].values[0]) for result in results.values() if "control" in result.arrays)
    if not scored:
        reasons = dict.fromkeys(note.removeprefix("refused: ") for result in results.values() for note in result.notes)
        return MethodScores(network, method, origin, control, refused=tuple(reasons) or ("no score",))
    names = dict.fromkeys(str(name) for result in scored.values() for name in result.coords["measure"])

    def aligned(part: Callable[[tmi.ProbeResult], Array]) -> Array:
        return np.concatenate([part(scored[s]) if s in scored else np.full(count, np.nan) for s, count in sorted(images.items())])

    def array(name: str) -> Array:
        if not any(name in result.arrays for result in scored.values()):
            return np.zeros(0)
        return aligned(
            lambda result: np.asarray(result.arrays[name].values, float) if name in result.arrays else _nothing(result)
        )

    def mean(metric: str) -> float | None:
        return _mean(np.array([result.metrics[metric] for result in scored.values() if metric in result.metrics]))

    skills = array("skill")
    return MethodScores(
        network,
        method,
        origin,
        control,
        skills=skills if len(skills) else aligned(_nothing),
        positive=array("skill_positive"),
        untrained=array("skill_untrained"),
        seeds=np.repeat(sorted(images), [images[seed] for seed in sorted(images)]),
        tiles=np.nan_to_num(aligned(lambda result: result.arrays["tile"].values.astype(float)), nan=-1),
        measures={name: aligned(partial(_scores, name)) for name in names},
        defined={
            name: min(_defined(result, name) for result in scored.values() if name in result.coords["measure"]) for name in names
        },
        evaluations=mean("evaluations"),
        zero_map=mean("zero_map"),
        completeness=mean("completeness_relative"),
    )


def _scores(name: str, result: tmi.ProbeResult) -> Array:
    """Return the scores of a measure, NaN for one that is defined on too few images."""
    names = [str(measure) for measure in result.coords["measure"]]
    scores: Array = result.arrays["score"].values
    return scores[names.index(name)] if name in result.metrics else _nothing(result)


def _defined(result: tmi.ProbeResult, name: str) -> tuple[int, int]:
    place = [str(measure) for measure in result.coords["measure"]].index(name)
    return int(np.isfinite(result.arrays["score"].values[place]).sum()), int(result.arrays["asked"].values[place])


def _nothing(result: tmi.ProbeResult) -> Array:
    return np.full(result.arrays["score"].shape[1], np.nan)


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
