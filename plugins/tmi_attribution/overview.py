"""Attribution methods measured against the exact truth about which pixels decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params
from tmi.errors import InputError
from tmi.params import Count

from .attributor import Attributor
from .build_truth import Baseline, layer_for, references_of, truth_of
from .common import each_once, finite, spread_over
from .intervals import skill
from .measures.localisation import chance_of_pixels, mass, precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

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
        "Mean |Σa − (f(x) − f(baseline))|, f the label's logit (Sundararajan et al. 2017)", "lower", 0, None, "logit"
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
    keep: Count = 4,
) -> tmi.ProbeResult:
    """Where several attribution methods look, scored against the support of the pasted tile.

    An overview: two measures of localisation, all methods in one result. Probe ``attribution-bench`` puts one method under every
    measure. The label's logit is attributed. Each image is scored alone, on the absolute attribution summed over the channels.
    ``chance`` is what a constant map scores. A method that is not sound for the network's module is refused, and a note says why.

    Parameters
    ----------
    methods : list of str
        Which methods, with settings of their own in brackets: "integrated-gradients(steps=200)"; see `tmi list method`.
    controls : list of str
        What runs beside them, for comparison.
    images : int
        How many test images: the first ones.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    keep : int
        How many images' maps are kept in the arrays, of as many classes as possible.

    Returns
    -------
    ProbeResult
        For each method the metrics ``mass``, ``precision``, both as ``mass_skill`` and ``precision_skill``, ``zero_map``, and for
        the methods that promise it ``completeness_delta`` and ``completeness_relative``. Arrays ``mass`` and ``precision``
        (method, image); for the kept images ``maps`` (method, kept, row, col), ``images`` and ``masks``.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a method is named twice, or does not attribute pixels.
    """
    chosen: Sequence[Reference] = [*methods, *controls]
    each_once("methods", [one.text for one in chosen])
    truth = truth_of(network, data, images, baseline)
    runs = {one.text: Attributor(one, references_of(truth, data), seed) for one in chosen}
    for name, run in runs.items():
        if run.info.level != "input":
            raise InputError(f"methods: {name} does not attribute to pixels; see probe attribution-bench")
        run.layer = layer_for(network, "input", run.info.needs, None, data.test.images)
    signed, notes = _attribute(truth, runs)
    maps = {name: np.abs(values).sum(1) for name, values in signed.items()}
    scores = {
        "mass": {n: mass(m, truth) for n, m in maps.items()},
        "precision": {n: precision(m, truth) for n, m in maps.items()},
    }
    level = chance_of_pixels(truth).mean()
    metrics: dict[str, float] = {}
    for measure, by_method in scores.items():
        metrics[f"{measure}.chance"] = level
        for name, values in by_method.items():
            metrics[f"{measure}.{name}"] = values.mean()
            if level < 1 and name != "oracle":
                metrics[f"{measure}_skill.{name}"] = skill(values.mean(), level, 1.0)
    if level == 1:
        notes.append("skill: left out, for the tiles cover the whole image")
    for name in signed:
        if not runs[name].info.control:
            metrics[f"zero_map.{name}"] = (maps[name].max((1, 2)) == 0).mean()
    metrics |= _completeness(truth, {n: values for n, values in signed.items() if runs[n].info.complete == "baselines"}, notes)
    metrics = finite(metrics, notes)
    kept = spread_over(truth.scenes.labels.tolist(), keep)
    bases = {name.partition(".")[0] for name in metrics}
    arrays: dict[str, Any] = {
        "mass": (("method", "image"), np.stack(list(scores["mass"].values()))),
        "precision": (("method", "image"), np.stack(list(scores["precision"].values()))),
        "maps": (("method", "kept", "row", "col"), np.stack([m[kept] for m in maps.values()]).astype(np.float32)),
        "images": (("kept", "channel", "row", "col"), truth.scenes.images[kept]),
        "masks": (("kept", "row", "col"), truth.masks[kept]),
        "label": (("kept",), truth.scenes.labels[kept]),
    }
    coords: dict[str, Any] = {"method": list(maps), "kept": kept}
    info = {name: info for name, info in INFO.items() if name in bases}
    return tmi.ProbeResult(metrics, arrays, coords, info, tuple(notes))


def _attribute(truth: Truth, runs: dict[str, Attributor]) -> tuple[dict[str, Array], list[str]]:
    """Run the methods that are sound for the module: signed attributions (N, C, m, n), and notes about the others."""
    signed: dict[str, Array] = {}
    notes = []
    for name, run in runs.items():
        reasons = run.problems(truth)
        if reasons:
            notes.append(f"{name}: refused: {'; '.join(reasons)}")
            continue
        values = run(truth)
        if np.isfinite(values).all():
            signed[name] = values
        else:
            bad = (~np.isfinite(values)).any((1, 2, 3)).sum()
            notes.append(f"{name}: left out, for it gave NaN or infinity on {bad} of {len(values)} images")
    return signed, notes


def _completeness(truth: Truth, signed: dict[str, Array], notes: list[str]) -> dict[str, float]:
    """How far the attributions are from adding up to the change of the label's logit since the baseline."""
    if not signed:
        return {}
    change = truth.logit(truth.images) - truth.logit(truth.baselines)
    size = np.abs(change).mean()
    delta = {name: np.abs(values.sum((1, 2, 3)) - change).mean() for name, values in signed.items()}
    metrics = {f"completeness_delta.{name}": value for name, value in delta.items()}
    if size > 0:
        metrics |= {f"completeness_relative.{name}": value / size for name, value in delta.items()}
    else:
        notes.append("completeness_relative: left out, for no label's logit differs from that of its baseline")
    return metrics
