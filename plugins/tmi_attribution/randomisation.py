"""Probe ``randomisation``: does an attribution method depend on the weights? The sanity checks of Adebayo et al. (2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params, statistics
from tmi.errors import InputError
from tmi.params import Count, Positive

from .attributor import Attributor, not_finite
from .build_truth import layer_for, references_of, truth_of
from .common import described
from .measures.correlation import pearson
from .random_weights import randomised, weighted_layers, with_parameters
from .receptive import most_active
from .targets import LABEL
from .truth import Baseline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .truth import Truth

    Array = NDArray[np.float64]

SCHEMES = ("cascading", "independent")
"""Layers are made random from the logits down, each beside all above it; or each alone."""

KINDS = {"similarity": "|a|, summed over the channels", "signed_similarity": "a, signed"}
"""Metrics of similarity, and what is ranked."""

_PAIRINGS = 100  # of images with other images, for chance
_NOISE = 1e-6  # of the largest attribution: what is less counts as 0, so that rounding has no ranks

_OF = "Spearman's rank correlation of a map before and after layers get random weights, mean over images and draws"
INFO = {
    "similarity": tmi.MetricInfo(
        f"{_OF}, of |a|; cascading: this layer and all above it, independent: it alone; chance: of maps of other images",
        None,
        -1,
        1,
    ),
    "signed_similarity": tmi.MetricInfo(f"The same of a, with its sign: {_OF}", None, -1, 1),
    "dependence": tmi.MetricInfo(
        "1 − similarity where all layers have random weights: 0 for a method that ignores the weights; chance: what maps of "
        "other images have",
        "higher",
        0,
        2,
    ),
    "signed_dependence": tmi.MetricInfo("1 − signed_similarity where all layers have random weights", "higher", 0, 2),
}


def randomisation(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    method: params.Method = "saliency",
    images: Count = 50,
    draws: Count = 5,
    baseline: Baseline = "black",
    target: str = LABEL,
    layer: str | None = None,
    memory: Positive = 1.0,
) -> tmi.ProbeResult:
    """How similar a method's maps stay when layers of the network get random weights (Adebayo et al. 2018).

    Layers are randomised from the logits down, one more at each step ("cascading"), and each alone ("independent"). A method
    whose maps stay the same does not show what the network has learnt, as an edge detector does not. The check is necessary and
    not sufficient: it says nothing about whether the maps are right.

    Parameters
    ----------
    method : str
        Which method, with settings of its own in brackets; see `tmi list method`. A method that attributes a neuron attributes
        the one that is most active before the weights are changed.
    images : int
        The number of test images: the first ones are taken.
    draws : int
        How often random weights are drawn.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    target : str
        Whose logit is attributed, as in probe ``attribution-bench``; of the network before its weights are changed.
    layer : str, optional
        Which layer, for methods that look at one. By default the last one of maps for Grad-CAM, else ``hidden``.
    memory : float
        Gigabytes that the dense weights of a constructed network may take: its own layers have no weights to draw, so that it is
        written in torch's layers first.

    Returns
    -------
    ProbeResult
        Metrics ``similarity.<scheme>.<layer>`` and ``signed_similarity.<scheme>.<layer>``, with ``.chance`` and its ``.low`` and
        ``.high``: the maps of other images; ``dependence`` and ``signed_dependence``, with a 95 % interval over tiles and with
        chance. Arrays ``similarity`` and ``signed_similarity`` (scheme, layer, draw, image), layers from the logits down, and
        ``chance`` and ``signed_chance`` (pairing). Not applicable without weights, to a refused method, and where all maps are 0.

    Raises
    ------
    InputError
        If no test scene shows a tile, or there is no such target or layer.

    Notes
    -----
    A map in which all numbers are equal has no order. Its correlation with another map is 1 where that one is constant too, else
    0: the expectation over random orders.
    """
    try:
        weighted = with_parameters(network, memory=memory)
    except InputError as error:
        return tmi.ProbeResult.not_applicable(str(error))
    truth = truth_of(weighted, data, images, baseline, target, masks=False)
    run = Attributor(method, references_of(truth, data), seed)
    run.layer = layer_for(weighted, run.info.level, run.info.needs, layer, data.test.images)
    asked = truth.replaced(level=run.info.level)
    if run.info.level == "neuron" and run.layer is not None:
        asked = asked.replaced(neurons=most_active(weighted, run.layer, truth.scenes))
    if reasons := run.problems(asked):
        return tmi.ProbeResult.not_applicable(f"refused: {'; '.join(reasons)}")
    before = run(asked)
    if invalid := not_finite(before):
        return tmi.ProbeResult.not_applicable(f"the method gave {invalid}")
    used = np.abs(before.reshape(len(before), -1)).max(1, initial=0) > 0
    if not used.any():
        return tmi.ProbeResult.not_applicable("the method's maps are 0 everywhere")
    if before[0].size == 1:
        return tmi.ProbeResult.not_applicable("a map of one number has no order")
    groups = weighted_layers(weighted, truth.images)
    ranks = {kind: _ranks(before, kind) for kind in KINDS}
    found = np.full((len(KINDS), len(SCHEMES), len(groups), draws, len(truth)), np.nan)
    down = list(groups)[::-1]
    for draw in tmi.track(range(draws), "random weights"):
        for place, name in enumerate(down):
            for scheme, chosen in enumerate((down[: place + 1], [name])):
                if scheme and not place:  # the first step of the cascade
                    found[:, 1, 0, draw] = found[:, 0, 0, draw]
                    continue
                module = randomised(truth.module, groups, chosen, (seed, draw))
                after = run(asked.replaced(module=module))
                known = used & np.isfinite(after.reshape(len(after), -1)).all(1)
                for number, kind in enumerate(KINDS):
                    found[number, scheme, place, draw, known] = _correlation(ranks[kind][known], _ranks(after[known], kind))
    notes = [] if used.all() else [f"{int((~used).sum())} of {len(used)} images left out: the method's map is 0 everywhere"]
    return _result(found, {kind: part[used] for kind, part in ranks.items()}, truth, down, seed, notes)


def _result(
    found: Array, ranks: dict[str, Array], truth: Truth, layers: list[str], seed: int, notes: list[str]
) -> tmi.ProbeResult:
    """Return the metrics of similarities (kind, scheme, layer, draw, image) of ranked maps, and their controls."""
    metrics: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    if undefined := int(np.isnan(found).sum() - np.isnan(found).all((0, 1, 2, 3)).sum() * found[..., 0].size):
        notes.append(f"{undefined} of {found.size} similarities are undefined, for a map was not finite")
    for (kind, ranked), values in zip(ranks.items(), found, strict=True):
        arrays[kind] = (("scheme", "layer", "draw", "image"), values)
        for scheme, by_layer in zip(SCHEMES, values, strict=True):
            for name, of_layer in zip(layers, by_layer, strict=True):
                if np.isfinite(of_layer).any():
                    metrics[f"{kind}.{scheme}.{name}"] = float(np.nanmean(of_layer))
        drawn = _chance(ranked, seed)
        score = kind.replace("similarity", "dependence")
        last = 1 - values[0, -1]
        if np.isfinite(last).any():
            metrics[score] = float(np.nanmean(last))
            by_image = np.array([np.nanmean(of_image) if np.isfinite(of_image).any() else np.nan for of_image in last.T])
            if np.isfinite(by_image).sum() > 1:
                tiles = truth.scenes.tile.numpy() if truth.scenes.task.has_tiles else np.arange(len(by_image))
                interval = statistics.estimate(by_image, tiles=tiles, low=0, high=2)
                metrics |= {f"{score}.low": interval.low, f"{score}.high": interval.high}
        if drawn is None:
            continue
        arrays[kind.replace("similarity", "chance")] = (("pairing",), drawn)
        for metric, values_by_chance in ((kind, drawn), (score, 1 - drawn)):
            chance = statistics.of_chance(values_by_chance)
            ends = {"chance": chance.mean, "chance.low": chance.low, "chance.high": chance.high}
            metrics |= {f"{metric}.{end}": value for end, value in ends.items()}
    if "chance" not in arrays:
        notes.append("chance: left out, for it needs the maps of two images")
    coords = {"scheme": list(SCHEMES), "layer": layers}
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), notes)


def _ranks(maps: Array, kind: str) -> Array:
    """Return the ranks of each image's attributions (N, …), equal numbers sharing theirs: (N, pixels) or (N, numbers)."""
    from scipy.stats import rankdata

    flat = maps.reshape(len(maps), -1)
    largest = np.abs(flat).max(1, initial=0, keepdims=True)
    kept = np.where(np.abs(flat) > _NOISE * largest, flat, 0)
    if kind == "similarity":
        kept = np.abs(kept)
        kept = kept.reshape(maps.shape).sum(1).reshape(len(maps), -1) if maps.ndim == 4 else kept
    ranks: Array = rankdata(kept, axis=1)
    return ranks


def _correlation(before: Array, after: Array) -> Array:
    """Return Spearman's correlation of ranked maps, (N, k) each: 1 where the orders are equal, 0 where one map is constant."""
    return np.where((before == after).all(1), 1.0, np.nan_to_num(pearson(after, before)))


def _chance(ranks: Array, seed: int) -> Array | None:
    """Return the mean similarity of each image's map with that of another image, for random pairings; None for one image."""
    if len(ranks) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = np.empty(_PAIRINGS)
    for number in range(_PAIRINGS):
        order = rng.permutation(len(ranks))
        drawn[number] = _correlation(ranks[order], ranks[np.roll(order, 1)]).mean()  # no image is paired with itself
    return drawn
