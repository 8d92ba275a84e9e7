"""One attribution method under every measure: what it says of the pixels, against the exact truth about them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params
from tmi.errors import InputError
from tmi.networks.layers import flat
from tmi.params import Count
from tmi.probing.attribution import Level

from .attributor import Attributor
from .build_truth import Baseline, at_level, layer_for, references_of, truth_of
from .common import described, finite, spread_over
from .intervals import interval, mean_skill, skill_of_means
from .scoring import Measure, Score

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .truth import Truth

    Array = NDArray[np.float64]

MEASURES = [
    "mass",
    "precision",
    "pointing-game",
    "auc",
    "average-precision",
    "top-k",
    "earth-mover",
    "null-leakage",
    "deletion",
    "insertion",
    "infidelity",
    "sensitivity-max",
    "sensitivity-n",
    "relative-error",
    "signed-agreement",
    "rank-correlation",
    "contrast",
    "background-invariance",
    "null-patch-invariance",
]
"""The built-in measures, and the order in which they are reported."""

LEAST_ROOM = 0.02
"""Difference between the oracle and chance below which there is no skill: it would be noise, divided by next to nothing."""

INFO = {
    "refused": tmi.MetricInfo(
        "1 if the method is not sound for the network's module: a note says why, and nothing is scored", None, 0, 1
    ),
    "zero_map": tmi.MetricInfo(
        "Share of images whose attribution is 0 everywhere; they score what a constant map scores", "lower", 0, 1
    ),
    "skill": tmi.MetricInfo(
        "(score − chance)/(oracle − chance) of the means over the images; mean: over all localisation measures", "higher", None, 1
    ),
    "completeness_delta": tmi.MetricInfo(
        "Mean |Σa − (f(x) − f(baseline))|, f what is attributed (Sundararajan et al. 2017)", "lower", 0, None, "logit"
    ),
    "completeness_relative": tmi.MetricInfo("completeness_delta over the mean |f(x) − f(baseline)|", "lower", 0),
    "evaluations": tmi.MetricInfo(
        "Images and gradients that the module was asked for, for each image that is attributed", "lower", 0
    ),
}


def attribution_bench(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    method: params.Method,
    measures: list[params.Measure] = MEASURES,
    images: Count = 200,
    baseline: Baseline = "black",
    layer: str | None = None,
    again: Count = 200,
    keep: Count = 4,
    resamples: Count = 1000,
) -> tmi.ProbeResult:
    """Score one attribution method by every measure, against the exact truth about which pixels or neurons decide.

    The label's logit is attributed. Methods that attribute a neuron attribute the layer's most active one, and are scored against
    that neuron's own truth; those that attribute to a layer are scored on its neurons where it is known what they stand for, and
    on the image where the layer is one of maps. A method that is not sound for the network's module is refused. Measures are
    given the signed attributions, or |a| or max(a, 0) summed over the channels, as each declares.

    Parameters
    ----------
    method : str
        Which method, with settings of its own in brackets: "integrated-gradients(steps=200)"; see `tmi list method`.
    measures : list of str
        By which measures; see `tmi list measure`. By default all built-in ones.
    images : int
        How many test images: the first ones.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    layer : str, optional
        Which layer, for methods that look at one. By default the last one of maps for Grad-CAM, else ``hidden``.
    again : int
        On how many images measures that run the method again do so.
    keep : int
        How many images' maps are kept in the arrays, of as many classes as possible.
    resamples : int
        How often images are drawn for the intervals.

    Returns
    -------
    ProbeResult
        For each measure its mean with ``.low`` and ``.high`` (95 % bootstrap interval over images), ``.chance`` and ``.oracle``;
        for those of localisation the ``skill``. Arrays ``score``, ``chance`` and ``oracle`` (measure, image), NaN where a measure
        is undefined; for the kept images ``maps`` (kept, row, col), |a| summed over the channels, ``signed``, ``images`` and
        ``masks``.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a measure is named twice.
    """
    chosen = [Measure(named) for named in measures]
    names = [measure.name for measure in chosen]
    if not names or len(set(names)) < len(names):
        raise InputError(f"measures: expected at least one, each once; got {[m.named.text for m in chosen]}")
    truth = truth_of(network, data, images, baseline)
    run = Attributor(method, references_of(truth, data), seed)
    run.layer = layer_for(network, run.info.level, run.info.needs, layer, data.test.images)
    truth = at_level(truth, network, run.info.level, run.layer)
    reasons = run.problems(truth)
    if reasons:
        return tmi.ProbeResult({"refused": 1.0}, info={"refused": INFO["refused"]}, notes=[f"refused: {r}" for r in reasons])
    raw = run(truth)
    metrics = {"refused": 0.0, "evaluations": (run.evaluations.forward + run.evaluations.backward) / len(truth)}
    notes: list[str] = []
    bad = int((~np.isfinite(raw.reshape(len(raw), -1))).any(1).sum())
    if bad:
        notes.append(f"not scored, for it gave NaN or infinity on {bad} of {len(raw)} images")
        return tmi.ProbeResult(metrics, info=described(INFO, metrics), notes=notes)
    metrics |= _completeness(run, network, truth, raw, notes)
    signed = shaped(raw, truth, run.info.level)
    if signed is None:
        notes.append(
            f"not scored: what the neurons of layer {run.layer} stand for is not known, and they have no place in the image"
        )
        return tmi.ProbeResult(finite(metrics, notes), info=described(INFO, metrics), notes=notes)
    fitting = [measure for measure in chosen if measure.fits(truth)]
    found = {
        measure.name: measure.score(signed, truth, lambda asked: _again(run, asked), seed=seed, again=again)
        for measure in tmi.track(fitting, "measures")
    }
    metrics["zero_map"] = float((np.abs(signed).reshape(len(signed), -1).max(1) == 0).mean())
    metrics |= _summary(found, fitting, seed, resamples, min(again, len(truth)), notes)
    metrics = finite(metrics, notes)
    info = INFO | {m.name: tmi.MetricInfo(_meaning(m), m.info.better, m.info.low, m.info.high, m.info.unit) for m in fitting}
    arrays, coords = _arrays(found, signed, truth, keep)
    # A measure's settings may hold a dot: what is said of it goes by the part before the first one.
    said = {name.partition(".")[0]: one for name, one in info.items() if any(metric.startswith(name) for metric in metrics)}
    return tmi.ProbeResult(metrics, arrays, coords, said, notes)


def shaped(raw: Array, truth: Truth, level: Level) -> Array | None:
    """Return attributions in the shape in which they are scored.

    Parameters
    ----------
    raw : ndarray, shape (N, …)
        As the method gave them.
    truth : Truth
    level : {"input", "layer", "neuron"}
        Of the method.

    Returns
    -------
    ndarray or None
        Those of pixels as they are; a layer's as (N, neurons) where the truth is about its neurons; those of a layer of maps as
        Σ|a| over its channels, enlarged to the image by Captum (N, 1, m, n). None for a layer that is neither.
    """
    if truth.level == "layer":
        return raw.reshape(len(raw), -1)
    if level != "layer":
        return raw
    if raw.ndim != 4:
        return None
    import torch
    from captum.attr import LayerAttribution

    summed = torch.from_numpy(np.abs(raw).sum(1, keepdims=True))
    enlarged: Array = LayerAttribution.interpolate(summed, tuple(truth.images.shape[2:]), "bilinear").numpy()
    return enlarged


def _again(run: Attributor, truth: Truth) -> Array:
    found = shaped(run(truth), truth, run.info.level)
    assert found is not None
    return found


def _completeness(run: Attributor, network: tmi.Network, truth: Truth, raw: Array, notes: list[str]) -> dict[str, float]:
    """How far the attributions are from adding up to what they promise to."""
    if not run.info.complete:
        return {}
    value = partial(_value, run, network, truth)
    if run.info.complete == "baselines":
        below = value(truth.baselines)
    else:
        below = np.mean([value(one.expand_as(truth.images)) for one in run.references[:, None]], axis=0)
    change = value(truth.images) - below
    delta = float(np.abs(raw.reshape(len(raw), -1).sum(1) - change).mean())
    size = float(np.abs(change).mean())
    if size == 0:
        notes.append("completeness_relative: left out, for what is attributed is nowhere other than on the baseline")
        return {"completeness_delta": delta}
    return {"completeness_delta": delta, "completeness_relative": delta / size}


def _value(run: Attributor, network: tmi.Network, truth: Truth, images: torch.Tensor) -> Array:
    """What is attributed, on images (N, C, m, n): the label's logit, or the chosen neuron of a layer."""
    if truth.neurons is None or run.layer is None:
        return truth.logit(images)
    seen = flat(network.activations(images.cpu(), run.layer)[run.layer])
    found: Array = np.take_along_axis(seen, truth.neurons[:, None], 1)[:, 0].astype(np.float64)
    return found


def _summary(
    found: dict[str, Score], measures: list[Measure], seed: int, resamples: int, again: int, notes: list[str]
) -> dict[str, float]:
    """Means with their intervals, beside chance and the oracle, and skills."""
    metrics: dict[str, float] = {}
    localising: list[Array] = []
    draw = partial(interval, seed=seed, resamples=resamples)
    for measure in measures:
        name, score = measure.name, found[measure.name]
        defined = np.isfinite(score.scores)
        if not defined.any():
            notes.append(f"{name}: left out, for it is defined on none of the images")
            continue
        asked = again if measure.attributes_again else len(defined)
        if defined.sum() < asked:
            notes.append(f"{name}: undefined on {asked - int(defined.sum())} of {asked} images, which are left out")
        values = score.scores[defined]
        metrics |= _with_interval(name, float(values.mean()), draw((values,), _mean))
        for beside in ("chance", "oracle"):
            others = getattr(score, beside)[defined]
            if np.isfinite(others).any():
                metrics[f"{name}.{beside}"] = float(np.nanmean(others))
        if measure.info.topic != "localisation":
            continue
        known = defined & np.isfinite(score.chance) & np.isfinite(score.oracle)
        triple = (score.scores[known], score.chance[known], score.oracle[known])
        if not known.any() or abs(triple[1].mean() - triple[2].mean()) < LEAST_ROOM:
            notes.append(
                f"skill.{name}: left out, for the oracle scores hardly other than chance: the truth is nearly everything"
            )
            continue
        metrics |= _with_interval(f"skill.{name}", float(skill_of_means(*triple)), draw(triple, skill_of_means))
        if known.all():
            localising += triple
        else:
            notes.append(f"skill.mean: without {name}, which is not defined on every image")
    if localising:
        metrics |= _with_interval("skill.mean", float(mean_skill(*localising)), draw(localising, mean_skill))
    return metrics


def _with_interval(name: str, value: float, between: tuple[float, float] | None) -> dict[str, float]:
    return {name: value} | ({} if between is None else {f"{name}.low": between[0], f"{name}.high": between[1]})


def _mean(values: Array, axis: int = -1) -> Array:
    found: Array = values.mean(axis)
    return found


def _meaning(measure: Measure) -> str:
    what = {"absolute": "|a|", "positive": "max(a, 0)", "signed": "a, signed,"}[measure.info.scored]
    return f"{measure.text}; {what} is scored"


def _arrays(found: dict[str, Score], signed: Array, truth: Truth, keep: int) -> tuple[dict[str, Any], dict[str, Any]]:
    kept = spread_over(truth.scenes.labels.tolist(), keep)
    arrays: dict[str, Any] = {
        name: (("measure", "image"), np.stack([getattr(score, part) for score in found.values()]))
        for name, part in (("score", "scores"), ("chance", "chance"), ("oracle", "oracle"))
        if found
    }
    coords: dict[str, Any] = {"measure": list(found)} if found else {}
    coords["kept"] = kept
    arrays |= {"images": (("kept", "channel", "row", "col"), truth.images[kept]), "label": (("kept",), truth.targets[kept])}
    masks = truth.masks[kept]
    if truth.level == "layer":
        return arrays | {
            "signed": (("kept", "neuron"), signed[kept].astype(np.float32)),
            "masks": (("kept", "neuron"), masks),
        }, coords
    # A method may give one value for all channels of a pixel.
    full = np.broadcast_to(signed[kept], (len(kept), *truth.images.shape[1:])).astype(np.float32)
    maps = np.abs(signed[kept]).sum(1).astype(np.float32)
    arrays |= {"signed": (("kept", "channel", "row", "col"), full), "maps": (("kept", "row", "col"), maps)}
    return arrays | {"masks": (("kept", "row", "col"), masks)}, coords
