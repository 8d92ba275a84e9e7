"""Probe ``attribution-bench``: one attribution method scored by every measure against the exact truth about the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params
from tmi.params import Count

from .attributor import Attributor, not_finite
from .build_truth import at_level, layer_for, references_of, truth_of
from .common import described, each_once, finite, spread_over
from .measures.arrays import flat
from .measures.replacing import logits_of_baselines, logits_of_images
from .scoring import Measure, Score
from .summary import Summary, kept_arrays, score_arrays
from .targets import LABEL, remarks
from .truth import Baseline
from .untrained import untrained

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .truth import Level, Truth

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
    "road-morf",
    "road-lerf",
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

INFO = {
    "refused": tmi.MetricInfo(
        "1 if the method is not sound for the network's module: a note says why, and nothing is scored", None, 0, 1
    ),
    "zero_map": tmi.MetricInfo(
        "Share of images whose attribution is 0 everywhere; they score what a constant map scores", "lower", 0, 1
    ),
    "defined": tmi.MetricInfo("Number of images on which the measure is defined; on too few it has no score", None, 0),
    "skill": tmi.MetricInfo(
        "(score − chance)/(oracle − chance) of the means over the images; mean: over all localisation measures", "higher", None, 1
    ),
    "skill_positive": tmi.MetricInfo("skill.mean where max(a, 0) is scored instead of |a|", "higher", None, 1),
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
    target: str = LABEL,
    layer: str | None = None,
    again: Count = 200,
    keep: Count = 4,
    before_training: bool = True,
    positive: bool = True,
) -> tmi.ProbeResult:
    """Score one attribution method by every measure, against the exact truth about which pixels or neurons decide.

    The logit of ``target`` is attributed, and the truth is about it. Where it is not the label's, the pixels that decide are
    known for constructed networks alone: the supports of its active windows. A method that attributes a neuron attributes the
    layer's most active one, and is scored against that neuron's own truth. A method that attributes to a layer is scored on the
    layer's neurons where it is known what they stand for, and on the image where the layer is one of maps. A method that is not
    sound for the network's module is refused. A measure is given the signed attributions, or |a| or max(a, 0) summed over the
    channels, as it declares.

    Parameters
    ----------
    method : str
        Which method, with settings of its own in brackets: "integrated-gradients(steps=200)"; see `tmi list method`.
    measures : list of str
        Which measures; see `tmi list measure`. By default all built-in ones.
    images : int
        The number of test images: the first ones are taken.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    target : str
        Whose logit is attributed: "label", the shown class; "predicted", the class of the greatest logit; "runner-up", that of
        the greatest logit other than the label's; or the name of a class, the same on every image.
    layer : str, optional
        Which layer, for methods that look at one. By default the last one of maps for Grad-CAM, else ``hidden``.
    again : int
        The number of images on which measures that run the method again do so.
    keep : int
        The number of images whose maps are kept in the arrays, of as many classes as possible.
    before_training : bool
        Whether the method is also run on the network as it was before training, for measures of localisation: a method whose map
        is as good there shows what the architecture prefers, not what was learnt. Not for constructed networks or controls.
    positive : bool
        Whether max(a, 0) is scored by localisation too, which tells a map from its negation.

    Returns
    -------
    ProbeResult
        For each measure its mean with ``.low`` and ``.high`` (95 % interval over the tiles, or over the images of one tile),
        ``.chance`` and ``.oracle``; where chance is drawn ``.chance.low`` and ``.chance.high``, between which 95 % of such means
        are; for measures of localisation ``.untrained`` and the ``skill``. ``defined.<measure>`` is the number of images on which
        it is defined: a measure that is defined on fewer than half of the images, or on fewer than 10, has no score.
        ``skill_positive`` is ``skill.mean`` of max(a, 0). Arrays ``score``, ``chance`` and ``oracle`` (measure, image), NaN where
        a measure is undefined; ``skill``, ``skill_positive`` and ``skill_untrained`` (image), whose means are the metrics;
        ``tile`` (image); ``asked``, ``truth_free`` and ``scored`` (measure) and ``control`` (method), what measures and method
        declare; for the kept images ``maps`` (kept, row, col), |a| summed over the channels, ``signed``, ``images`` and
        ``masks``.

    Raises
    ------
    InputError
        If no test scene shows a tile, there is no such target, or a measure is named twice.
    """
    chosen = [Measure(reference) for reference in measures]
    each_once("measures", [measure.name for measure in chosen])
    truth = truth_of(network, data, images, baseline, target)
    run = Attributor(method, references_of(truth, data), seed)
    run.layer = layer_for(network, run.info.level, run.info.needs, layer, data.test.images)
    pixels, truth = truth, at_level(truth, network, run.info.level, run.layer)
    notes = remarks(target, truth, network.task.class_names)
    arrays: dict[str, Any] = {"control": (("method",), [run.info.control])}
    coords: dict[str, Any] = {"method": [method.text]}

    def unscored(metrics: dict[str, float]) -> tmi.ProbeResult:
        metrics = finite(metrics, notes)
        return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), notes)

    reasons = run.problems(truth)
    if reasons:
        notes += [f"refused: {reason}" for reason in reasons]
        return unscored({"refused": 1.0})
    raw = run(truth)
    metrics = {"refused": 0.0, "evaluations": (run.evaluations.forward + run.evaluations.backward) / len(truth)}
    if invalid := not_finite(raw):
        notes.append(f"not scored, for it gave {invalid}")
        return unscored(metrics)
    metrics |= completeness(run, network, truth, raw, notes)
    signed = shaped(raw, truth, run.info.level)
    if signed is None:
        notes.append(
            f"not scored: what the neurons of layer {run.layer} stand for is not known, and they have no place in the image"
        )
        return unscored(metrics)
    fitting = [measure for measure in chosen if measure.fits(truth)]
    scores = {
        measure.name: measure.score(signed, truth, lambda changed: _run_again(run, changed), seed=seed, again=again)
        for measure in tmi.track(fitting, "measures")
    }
    metrics["zero_map"] = float((np.abs(flat(signed)).max(1) == 0).mean())
    summary = Summary(truth, notes)
    defined = [measure for measure in fitting if summary.add(measure, scores[measure.name])]
    localising = [measure for measure in defined if measure.info.topic == "localisation"]
    summary.skills(
        {measure.name: scores[measure.name] for measure in localising},
        _positive(signed, truth, scores, localising) if positive else {},
        _of_untrained(run, network, pixels, localising) if before_training else {},
    )
    metrics |= summary.metrics
    metrics = finite(metrics, notes)
    info = INFO | {m.name: tmi.MetricInfo(_meaning(m), m.info.better, m.info.low, m.info.high, m.info.unit) for m in fitting}
    # A metric is described by the part of its name before the first dot; a measure's settings may hold a dot.
    info = {name.partition(".")[0]: text for name, text in info.items() if any(metric.startswith(name) for metric in metrics)}
    kept = spread_over(truth.scenes.labels.tolist(), keep)
    arrays |= score_arrays(scores, fitting, truth) | summary.arrays | kept_arrays(signed, truth, kept)
    coords |= ({"measure": list(scores)} if scores else {}) | {"kept": kept}
    return tmi.ProbeResult(metrics, arrays, coords, info, notes)


def shaped(raw: Array, truth: Truth, level: Level) -> Array | None:
    """Return attributions in the shape in which they are scored.

    Parameters
    ----------
    raw : ndarray, shape (N, …)
        As the method returned them.
    truth : Truth
    level : {"input", "layer", "neuron"}
        The method's level.

    Returns
    -------
    ndarray or None
        Attributions of pixels as they are. Those of a layer as (N, neurons) where the truth is about its neurons; those of a
        layer of maps as Σ|a| over its channels, enlarged to the image by Captum, (N, 1, m, n); None for any other layer.
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


def _run_again(run: Attributor, truth: Truth) -> Array:
    signed = shaped(run(truth), truth, run.info.level)
    assert signed is not None
    return signed


def completeness(run: Attributor, network: tmi.Network, truth: Truth, raw: Array, notes: list[str]) -> dict[str, float]:
    """Return how far a method's attributions are from the sum that it promises.

    Parameters
    ----------
    run : Attributor
    network : Network
    truth : Truth
    raw : ndarray, shape (N, …)
        The attributions as the method returned them.
    notes : list of str
        A note is appended where the relative error is left out.

    Returns
    -------
    dict of str to float
        ``completeness_delta`` and ``completeness_relative``; empty for a method that promises nothing.
    """
    if not run.info.complete:
        return {}
    value = partial(_attributed, run, network, truth)
    if run.info.complete == "baselines":
        below = value(truth.baselines)
    else:
        below = np.mean([value(reference.expand_as(truth.images)) for reference in run.references[:, None]], axis=0)
    change = value(truth.images) - below
    delta = float(np.abs(flat(raw).sum(1) - change).mean())
    size = float(np.abs(change).mean())
    if size == 0:
        notes.append("completeness_relative: left out, for what is attributed is the same on every image and its baseline")
        return {"completeness_delta": delta}
    return {"completeness_delta": delta, "completeness_relative": delta / size}


def _attributed(run: Attributor, network: tmi.Network, truth: Truth, images: torch.Tensor) -> Array:
    """Return the attributed output on images (N, C, m, n): the target's logit, or the chosen neuron of a layer."""
    if truth.neurons is not None and run.layer is not None:
        activations = network.activations(images.cpu(), run.layer)[run.layer].flatten(1).numpy()
        neurons: Array = np.take_along_axis(activations, truth.neurons[:, None], 1)[:, 0].astype(np.float64)
        return neurons
    if images is truth.images:
        return logits_of_images(truth)
    return logits_of_baselines(truth) if images is truth.baselines else truth.logit(images)


def _positive(signed: Array, truth: Truth, scores: Mapping[str, Score], measures: Sequence[Measure]) -> dict[str, Array]:
    """Return the scores of max(a, 0) by the measures of localisation that have a score."""
    if (signed >= 0).all():
        return {measure.name: scores[measure.name].scores for measure in measures}
    positive = np.maximum(signed, 0)
    return {measure.name: measure.of_maps(positive, truth) for measure in measures}


def _of_untrained(run: Attributor, network: tmi.Network, truth: Truth, measures: Sequence[Measure]) -> dict[str, Array]:
    """Return the localisation scores of the method on the network as it was before training; none where there is no such."""
    found = untrained(network, truth) if measures and not run.info.control else None
    if found is None:
        return {}
    before, about = found
    about = at_level(about, before, run.info.level, run.layer)
    maps = Attributor(run.method, run.references, run.seed, run.layer)(about)
    signed = None if not_finite(maps) else shaped(maps, about, run.info.level)
    return {} if signed is None else {measure.name: measure.of_maps(signed, about) for measure in measures}


def _meaning(measure: Measure) -> str:
    part = {"absolute": "|a|", "positive": "max(a, 0)", "signed": "a, signed,"}[measure.info.scored]
    return f"{measure.text}; {part} is scored"
