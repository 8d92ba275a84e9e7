"""Probe ``attribution``: several attribution methods in one result, by two measures of localisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params, statistics
from tmi.errors import InputError
from tmi.params import Count

from .attributor import Attributor, not_finite
from .bench import completeness
from .build_truth import layer_for, references_of, truth_of
from .common import described, each_once, finite, spread_over
from .measures.localisation import chance_of_pixels, mass, precision
from .scoring import skill
from .targets import LABEL, remarks
from .truth import Baseline
from .untrained import untrained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .truth import Truth

    Array = NDArray[np.float64]

_METHODS = ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradient-shap", "occlusion"]
_CONTROLS = ["random", "sobel", "oracle"]

_SCORED = "|a| summed over the channels is scored"
INFO = {
    "mass": tmi.MetricInfo(f"Share of the attribution that lies in the tile's support; {_SCORED}", "higher", 0, 1),
    "precision": tmi.MetricInfo(
        f"Share of the |G| strongest pixels that lie in the tile's support G, ties shared fairly; {_SCORED}", "higher", 0, 1
    ),
    "mass_skill": tmi.MetricInfo("mass as (score − chance)/(oracle − chance)", "higher", None, 1),
    "precision_skill": tmi.MetricInfo("precision as (score − chance)/(oracle − chance)", "higher", None, 1),
    "zero_map": tmi.MetricInfo("Share of images whose attribution is 0 everywhere; they score chance", "lower", 0, 1),
    "completeness_delta": tmi.MetricInfo(
        "Mean |Σa − (f(x) − f(baseline))|, f the attributed logit (Sundararajan et al. 2017)", "lower", 0, None, "logit"
    ),
    "completeness_relative": tmi.MetricInfo("completeness_delta over the mean |f(x) − f(baseline)|", "lower", 0),
}


def attribution(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    methods: list[params.Method] = _METHODS,
    controls: list[params.Method] = _CONTROLS,
    images: Count = 32,
    baseline: Baseline = "black",
    target: str = LABEL,
    keep: Count = 4,
) -> tmi.ProbeResult:
    """Where several attribution methods look, scored against the support of the pasted tile.

    An overview: two measures of localisation, all methods in one result. Probe ``attribution-bench`` scores one method by every
    measure. The logit of ``target`` is attributed. Each image is scored alone, on the absolute attribution summed over the
    channels. ``chance`` is the score of a constant map, which random maps have on average. A method that is not sound for the
    network's module is refused; a note says why.

    Parameters
    ----------
    methods : list of str
        Which methods, with settings of their own in brackets: "integrated-gradients(steps=200)"; see `tmi list method`.
    controls : list of str
        Methods to compare them with.
    images : int
        The number of test images: the first ones are taken.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    target : str
        Whose logit is attributed: "label", the shown class; "predicted", the class of the greatest logit; "runner-up", that of
        the greatest logit other than the label's; or the name of a class, the same on every image.
    keep : int
        The number of images whose maps are kept in the arrays, of as many classes as possible.

    Returns
    -------
    ProbeResult
        For each method the metrics ``mass``, ``precision``, both as ``mass_skill`` and ``precision_skill``, ``zero_map``, and for
        the methods that promise it ``completeness_delta`` and ``completeness_relative``. ``mass.<method>.untrained``, and so for
        the other scores: the same method on the network as it was before training. ``mass.chance.low`` and ``.high``: 95 % of
        random maps' means are between them. Arrays ``mass`` and ``precision`` (method, image); for the kept images ``maps``
        (method, kept, row, col), ``images`` and ``masks``. Not applicable where no method gives an attribution.

    Raises
    ------
    InputError
        If no test scene shows a tile, there is no such target, or a method is named twice, or does not attribute pixels.
    """
    names = [reference.text for reference in (*methods, *controls)]
    each_once("methods", names)
    truth = truth_of(network, data, images, baseline, target)
    references = references_of(truth, data)
    runs = {reference.text: Attributor(reference, references, seed) for reference in (*methods, *controls)}
    for name, run in runs.items():
        if run.info.level != "input":
            raise InputError(f"methods: {name} does not attribute to pixels; see probe attribution-bench")
        run.layer = layer_for(network, "input", run.info.needs, None, data.test.images)
    maps: dict[str, Array] = {}
    sums: dict[str, dict[str, float]] = {}
    notes = remarks(target, truth, network.task.class_names)
    for name, run in runs.items():
        if reasons := run.problems(truth):
            notes.append(f"{name}: refused: {'; '.join(reasons)}")
            continue
        signed = run(truth)
        if invalid := not_finite(signed):
            notes.append(f"{name}: left out, for it gave {invalid}")
            continue
        maps[name] = np.abs(signed).sum(1)
        if run.info.complete == "baselines":
            sums[name] = completeness(run, network, truth, signed, notes)
    if not maps:
        return tmi.ProbeResult.not_applicable("; ".join(notes))
    scored_by = {"mass": mass, "precision": precision}
    scores = {measure: {name: score(values, truth) for name, values in maps.items()} for measure, score in scored_by.items()}
    before = _before_training(network, truth, {name: run for name, run in runs.items() if name in maps and not run.info.control})
    chance = chance_of_pixels(truth)
    scored = np.isfinite(chance)
    level = chance[scored].mean() if scored.any() else np.nan
    metrics: dict[str, float] = {}
    for measure, by_method in scores.items():
        if not scored.any():
            continue
        score = scored_by[measure]
        noise = (np.random.default_rng([seed, draw]).random(truth.masks.shape) for draw in range(statistics.FEWEST_DRAWS))
        drawn = statistics.of_chance([score(values, truth)[scored].mean() for values in noise])
        metrics |= {f"{measure}.chance": level, f"{measure}.chance.low": drawn.low, f"{measure}.chance.high": drawn.high}
        means = {name: values[scored].mean() for name, values in by_method.items()}
        means |= {f"{name}.untrained": score(values, truth)[scored].mean() for name, values in before.items()}
        metrics |= {f"{measure}.{name}": mean for name, mean in means.items()}
        metrics |= {f"{measure}_skill.{name}": skill(mean, level, 1.0) for name, mean in means.items() if name != "oracle"}
    if not scored.any() and truth.masks.any():
        notes.append("mass, precision: not applicable, for the tile's support is the whole image, in which every map lies")
    for name, values in maps.items():
        if not runs[name].info.control:
            metrics[f"zero_map.{name}"] = (values.max((1, 2)) == 0).mean()
    for part in ("completeness_delta", "completeness_relative"):
        metrics |= {f"{part}.{name}": errors[part] for name, errors in sums.items() if part in errors}
    notes = list(dict.fromkeys(notes))
    metrics = finite(metrics, notes)
    kept = spread_over(truth.scenes.labels.tolist(), keep)
    arrays: dict[str, Any] = {
        "mass": (("method", "image"), np.stack(list(scores["mass"].values()))),
        "precision": (("method", "image"), np.stack(list(scores["precision"].values()))),
        "maps": (("method", "kept", "row", "col"), np.stack([values[kept] for values in maps.values()]).astype(np.float32)),
        "images": (("kept", "channel", "row", "col"), truth.scenes.images[kept]),
        "masks": (("kept", "row", "col"), truth.masks[kept]),
        "label": (("kept",), truth.scenes.labels[kept]),
    }
    if not truth.of_label.all():
        arrays["target"] = (("kept",), truth.targets[kept])
    coords: dict[str, Any] = {"method": list(maps), "kept": kept}
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), notes)


def _before_training(network: tmi.Network, truth: Truth, runs: Mapping[str, Attributor]) -> dict[str, Array]:
    """Return |a|, (N, m, n), of methods on the network as it was before training; empty where nothing was trained."""
    found = untrained(network, truth)
    if found is None:
        return {}
    signed = {name: Attributor(run.method, run.references, run.seed, run.layer)(found[1]) for name, run in runs.items()}
    return {name: np.abs(maps).sum(1) for name, maps in signed.items() if not not_finite(maps)}
