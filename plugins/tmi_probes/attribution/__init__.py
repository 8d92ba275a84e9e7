"""Attribution methods measured against the exact truth about which pixels decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..common import finite, labelled, spread_over
from .localisation import chance, mass, precision, skill
from .methods import COMPLETE, CONTROLS, METHODS, Work, controls
from .preflight import HOOKED, preflight, without_gradient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Method = Literal["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradient-shap", "occlusion"]

_ALL: list[Method] = ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradient-shap", "occlusion"]

_SCORED = "|a| summed over the channels is scored"
INFO = {
    "mass": tmi.MetricInfo(f"Share of the attribution that lies in the tile's support; {_SCORED}", "higher", 0, 1),
    "precision": tmi.MetricInfo(
        f"Share of the |G| strongest pixels that lie in the tile's support G, ties shared fairly; {_SCORED}", "higher", 0, 1
    ),
    "mass_skill": tmi.MetricInfo("mass as (score − chance)/(oracle − chance)", "higher", None, 1),
    "precision_skill": tmi.MetricInfo("precision as (score − chance)/(oracle − chance)", "higher", None, 1),
    "zero_map": tmi.MetricInfo("Share of images whose attribution is 0 everywhere; they score 0", "lower", 0, 1),
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
    methods: list[Method] = _ALL,
    images: Count = 32,
    baseline: Literal["black", "background"] = "black",
    steps: Count = 50,
    draws: Count = 20,
    window: Count | None = None,
    stride: Count | None = None,
    keep: Count = 4,
) -> tmi.ProbeResult:
    """Where Captum's attribution methods look, scored against the support of the pasted tile.

    The label's logit is attributed. Each image is scored alone, on the absolute attribution summed over the channels. Beside
    the methods run ``random`` (uniform noise), ``sobel`` (edges), the ``oracle`` (the mask itself) and ``chance`` (what a
    constant map is expected to score). A method that is not sound for the network's module is refused, and a note says why.

    Parameters
    ----------
    methods : list of str
        Which methods; by default all six.
    images : int
        How many test images: the first ones.
    baseline : {"black", "background"}
        What an image is compared with by every method but saliency and input-x-gradient: a black image, or the same scene without
        its tile.
    steps : int
        Points on the path of integrated-gradients.
    draws : int
        Points that gradient-shap draws an image.
    window : int, optional
        Side of the square that occlusion covers; by default an eighth of the image's smaller side.
    stride : int, optional
        Steps of that square; by default half its side, rounded up. Not larger than the window, or pixels would be left out.
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
        If no test scene shows a tile, a method is named twice, or the window or stride does not fit.
    """
    methods = list(methods)
    twice = sorted({name for name in methods if methods.count(name) > 1})
    if not methods or twice:
        raise InputError(f"methods: named more than once: {', '.join(twice)}" if twice else "methods: expected at least one")
    scenes = labelled(data.test, images)
    work = Work(network.module, scenes, baseline, seed=seed, steps=steps, draws=draws, window=window, stride=stride)
    masks = scenes.masks.numpy()
    signed, notes = _attribute(work, methods)
    maps = {name: np.abs(values).sum(1) for name, values in signed.items()} | controls(scenes, seed)
    scores = {
        "mass": {n: mass(m, masks) for n, m in maps.items()},
        "precision": {n: precision(m, masks) for n, m in maps.items()},
    }
    level = chance(masks).mean()
    metrics: dict[str, float] = {}
    for measure, by_method in scores.items():
        metrics[f"{measure}.chance"] = level
        for name, values in by_method.items():
            metrics[f"{measure}.{name}"] = values.mean()
        if level < 1:
            for name in (*signed, *(c for c in CONTROLS if c != "oracle")):
                metrics[f"{measure}_skill.{name}"] = skill(by_method[name].mean(), level, by_method["oracle"].mean())
    if level == 1:
        notes.append("skill: left out, for the tiles cover the whole image")
    for name in signed:
        metrics[f"zero_map.{name}"] = (maps[name].max((1, 2)) == 0).mean()
    metrics |= _completeness(work, signed, notes)
    metrics = finite(metrics, notes)
    kept = spread_over(scenes.labels.tolist(), keep)
    bases = {name.partition(".")[0] for name in metrics}
    arrays: dict[str, Any] = {
        "mass": (("method", "image"), np.stack(list(scores["mass"].values()))),
        "precision": (("method", "image"), np.stack(list(scores["precision"].values()))),
        "maps": (("method", "kept", "row", "col"), np.stack([m[kept] for m in maps.values()]).astype(np.float32)),
        "images": (("kept", "channel", "row", "col"), scenes.images[kept]),
        "masks": (("kept", "row", "col"), masks[kept]),
        "label": (("kept",), scenes.labels[kept]),
    }
    coords: dict[str, Any] = {"method": list(maps), "kept": kept}
    info = {name: info for name, info in INFO.items() if name in bases}
    return tmi.ProbeResult(metrics, arrays, coords, info, tuple(notes))


def _attribute(work: Work, methods: list[Method]) -> tuple[dict[str, Array], list[str]]:
    """Run the methods that are sound for the module: signed attributions (N, C, m, n), and notes about the others."""
    signed: dict[str, Array] = {}
    notes = []
    flat = without_gradient(work.module, work.images)
    for name in methods:
        reasons = [] if name == "occlusion" else flat
        if name in HOOKED:
            reasons = reasons or preflight(work.module, work.images)
        if reasons:
            notes.append(f"{name}: refused: {'; '.join(reasons)}")
            continue
        values = METHODS[name](work)
        if np.isfinite(values).all():
            signed[name] = values
        else:
            bad = (~np.isfinite(values)).any((1, 2, 3)).sum()
            notes.append(f"{name}: left out, for it gave NaN or infinity on {bad} of {len(values)} images")
    return signed, notes


def _completeness(work: Work, signed: dict[str, Array], notes: list[str]) -> dict[str, float]:
    """How far the attributions are from adding up to the change of the label's logit since the baseline."""
    promised = [name for name in COMPLETE if name in signed]
    if not promised:
        return {}
    change = work.change()
    size = np.abs(change).mean()
    delta = {name: np.abs(signed[name].sum((1, 2, 3)) - change).mean() for name in promised}
    metrics = {f"completeness_delta.{name}": value for name, value in delta.items()}
    if size > 0:
        metrics |= {f"completeness_relative.{name}": value / size for name, value in delta.items()}
    else:
        notes.append("completeness_relative: left out, for no label's logit differs from that of its baseline")
    return metrics


__all__ = ["INFO", "attribution", "preflight"]
