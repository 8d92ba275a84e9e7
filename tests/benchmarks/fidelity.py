"""Whether measures of fidelity tell a map from its negation, its absolute value and noise.

The map is integrated gradients against the measure's own baseline. On Theorem 1 it has no negative values, so it is its own
absolute value. A verdict is that of the paired difference of the scores, over the seeds where there are several and else over the
images, corrected by Holm over all cells of a table: "worse", "better", "not shown to differ" where the interval contains 0,
"equal" where no score differs. ``docs/make_fidelity.py`` writes the table of docs/attribution.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

import tmi
from tmi import statistics
from tmi.probing.attribution import measure_info
from tmi_attribution.build_truth import truth_of
from tmi_attribution.measures.curves import deletion, insertion
from tmi_attribution.measures.infidelity import infidelity
from tmi_attribution.measures.road import Fill, road_lerf, road_morf
from tmi_attribution.measures.sensitivity import sensitivity_max, sensitivity_n
from tmi_attribution.methods.path import integrated_gradients
from tmi_attribution.truth import Baseline, Truth

OTHERS = ("negation", "absolute", "noise")

CANNOT = {
    "road_lerf": "noise: pixels that are left at random all over the image impute the others, so the accuracy stays high",
    "sensitivity_max": "all three: a norm has no sign, and noise that ignores the image does not move with it",
}
"""What a measure cannot tell from the map on a trained network by its definition, and why."""


class Row(NamedTuple):
    """Scores of one measure on one baseline: the mean of each map, and how the others do beside the map itself."""

    measure: str
    baseline: Baseline
    undefined: int  # images, of those on which it was asked
    means: dict[str, float]
    verdicts: dict[str, str]


def maps_of(truth: Truth) -> dict[str, Callable[[Truth], Any]]:
    """Return the methods whose maps are compared: each gives signed maps (N, C, m, n) for a truth."""

    def map_itself(asked: Truth) -> Any:
        images = asked.images.clone().requires_grad_(True)
        steps = [  # a part at a time, for Captum holds all steps of all images
            integrated_gradients(
                asked.module, images[part : part + 8], asked.targets[part : part + 8], baselines=asked.baselines[part : part + 8]
            )
            for part in range(0, len(images), 8)
        ]
        return torch.cat(steps).detach().double().numpy()

    drawn = np.random.default_rng(0).uniform(-1, 1, truth.images.shape)
    return {
        "map": map_itself,
        "negation": lambda asked: -map_itself(asked),
        "absolute": lambda asked: np.abs(map_itself(asked)),
        "noise": lambda asked: drawn[: len(asked)],
    }


def measures_on(baseline: Baseline) -> dict[str, Callable[..., Any]]:
    """Return the measures of fidelity with the given baseline; ROAD imputes where the baseline is black."""
    fill: Fill = "neighbours" if baseline == "black" else "background"
    road = {measure.__name__: partial(measure, seed=0, fill=fill) for measure in (road_morf, road_lerf)}
    return {
        "deletion": deletion,
        "insertion": insertion,
        **road,
        "infidelity": partial(infidelity, seed=0),
        "sensitivity_n": partial(sensitivity_n, seed=0),
        "sensitivity_max": partial(sensitivity_max, seed=0, images=20, draws=5),
    }


def rows(cases: Sequence[tuple[tmi.Network, tmi.Dataset]], images: int = 60) -> list[Row]:
    """Score every map by every measure of fidelity, on both baselines; cases that differ in their seed alone."""
    scores: dict[tuple[str, Baseline], list[dict[str, Any]]] = {}
    for network, data in cases:
        for baseline in ("black", "background"):
            truth = truth_of(network, data, images, "black").against(baseline)
            methods = maps_of(truth)
            maps = {name: method(truth) for name, method in methods.items()}
            for name, measure in measures_on(baseline).items():
                again = "attribute" in inspect.signature(measure).parameters
                given = {each: {"attribute": methods[each]} if again else {} for each in maps}
                found = {each: measure(maps[each], truth, **given[each]) for each in maps}
                scores.setdefault((name, baseline), []).append(found)
    joined = {key: {each: np.concatenate([part[each] for part in parts]) for each in parts[0]} for key, parts in scores.items()}
    worse = [_worse(name, cell, other, len(cases)) for (name, _), cell in joined.items() for other in OTHERS]
    verdicts = iter([_verdict(estimate) for estimate in _corrected(worse)])
    return [
        Row(
            *key,
            int(np.isnan(cell["map"]).sum()) if key[0] != "sensitivity_max" else 0,
            {each: float(np.nanmean(values)) for each, values in cell.items()},
            {other: next(verdicts) for other in OTHERS},
        )
        for key, cell in joined.items()
    ]


def _worse(name: str, scores: dict[str, Any], other: str, seeds: int) -> statistics.Estimate | None:
    """Return by how much another map scores worse than the map itself; None where all scores are equal up to rounding."""
    sign = 1 if measure_info(globals()[name]).better == "higher" else -1
    worse = sign * (scores["map"] - scores[other])
    if np.nanmax(np.abs(worse)) < 1e-9:
        return None
    return statistics.estimate(worse, seeds=np.repeat(np.arange(seeds), len(worse) // seeds) if seeds > 1 else None)


def _corrected(estimates: list[statistics.Estimate | None]) -> list[statistics.Estimate | None]:
    corrected = iter(statistics.corrected([estimate for estimate in estimates if estimate is not None]))
    return [None if estimate is None else next(corrected) for estimate in estimates]


def _verdict(worse: statistics.Estimate | None) -> str:
    if worse is None:
        return "equal"
    return {"higher": "worse", "lower": "better"}.get(worse.direction, worse.direction)


def cases_of(seeds: Sequence[int]) -> dict[str, list[tuple[tmi.Network, tmi.Dataset]]]:
    """Return Theorem 1 and the bench's trained network, of each seed with its own data of section 6.2."""
    of_seed = {seed: tmi.generate("fashion", seed=seed, tiles_per_class=1, samples=2000, test_samples=100) for seed in seeds}
    settings = {"epochs": 10, "hidden": 64, "lr": 0.1, "batch_size": 50}
    return {
        "Theorem 1": [(tmi.build("theorem1", data), data) for data in of_seed.values()],
        "trained": [(tmi.build("cnn", data, seed=seed, **settings), data) for seed, data in of_seed.items()],
    }
