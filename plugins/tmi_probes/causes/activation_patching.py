"""Activation patching between exact counterfactuals, and attribution patching, its estimate by the gradient, beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Index, Positive

from ..pipeline.layer_scores import add_untrained
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import inner_layer
from .downstream import Downstream
from .known import Circuit, known_circuit, strengths
from .pairs import Change, Pairs, check_task, draw_pairs, scale_of
from .scores import ORACLE, Rates, agreement, concentration, interaction, without_rounding
from .sites import EVERY, By, Sites, axes, feature_names, sites_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

Way = Literal["noising", "denoising"]
WAYS: tuple[Way, ...] = ("noising", "denoising")
PATHS = 12
"""Sites of a kept pair whose effects on all logits are stored."""

_ESTIMATE = "Attribution patching: the gradient's estimate of the effects"
INFO = {
    "top_share": tmi.MetricInfo(
        "Share of the sum of the sites' absolute effects that the largest one has, mean over pairs", None, 0, 1
    ),
    "sites_90": tmi.MetricInfo("Fewest sites that have 90 % of the sum of the absolute effects, mean over pairs", None, 1),
    "differ": tmi.MetricInfo("Sites that differ between the two scenes; all others have no effect, mean over pairs", None, 0),
    "joint": tmi.MetricInfo("Effect of all sites patched together, mean over pairs", None),
    "interaction": tmi.MetricInfo(
        "|Sum of the single effects − joint effect| over the sum of all absolute effects and of the joint one, mean over pairs: "
        "0 where effects add up",
        None,
        0,
        1,
    ),
    "tpr": tmi.MetricInfo("Share of the sites of the known circuit that have an effect, mean over pairs", "higher", 0, 1),
    "fpr": tmi.MetricInfo("Share of all other sites that have an effect, mean over pairs", "lower", 0, 1),
    "auc": tmi.MetricInfo("Area under the ROC curve of the absolute effects against the known circuit", "higher", 0, 1),
    "estimate_correlation": tmi.MetricInfo(f"{_ESTIMATE}, Pearson correlation with them, mean over pairs", "higher", -1, 1),
    "estimate_error": tmi.MetricInfo(f"{_ESTIMATE}, norm of its error over their norm, mean over pairs", "lower", 0),
    "estimate_sign": tmi.MetricInfo(
        f"{_ESTIMATE}, share of the effects of at least 1 % of the largest whose sign is right, mean over pairs", "higher", 0, 1
    ),
    "estimate_tpr": tmi.MetricInfo("As tpr, of attribution patching", "higher", 0, 1),
    "estimate_fpr": tmi.MetricInfo("As fpr, of attribution patching", "lower", 0, 1),
    "estimate_auc": tmi.MetricInfo("As auc, of attribution patching", "higher", 0, 1),
}


def activation_patching(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 100,
    layer: str | None = None,
    change: Change = "tile",
    by: list[By] = EVERY,
    direction: str | None = None,
    threshold: Positive = 0.01,
    keep: Index = 4,
) -> tmi.ProbeResult:
    """Which parts of a layer carry the answer: their activations are exchanged between a scene and its exact counterfactual.

    Noising puts the activations of the counterfactual into the run on the scene, one site at a time; denoising puts those of the
    scene into the run on the counterfactual (Vig et al. 2020; Meng et al. 2022; Heimersheim and Nanda 2024). Every effect is
    exact: the rest of the network is run with the site replaced. Sites that do not differ have none. Beside it stands
    attribution patching, change · gradient (Nanda 2023; Syed, Rager and Conmy 2023), with its error.

    Parameters
    ----------
    images : int
        How many pairs: the first test images, each with a counterfactual. Where the logits are not linear in the layer, a pair
        takes as many runs of the rest of the network as sites differ, both ways.
    layer : str, optional
        By default the last one before the logits.
    change : {"tile", "place", "background"}
        What the counterfactual changes: a tile of another class at the same place, the same tile at another place, or the
        background of another image. For "tile" what is measured is the logit of the label less that of the counterfactual's
        label, and effects are shares of its difference between the two scenes. Otherwise the label stays and that difference may
        be 0, as it is where the logits ignore the place: then what is measured is the label's logit less the mean of the others,
        and effects are shares of its size on the scene.
    by : list of {"unit", "place", "direction"}
        Single neurons; all neurons at one place of a map, or of windows with one corner; the coefficient of one known
        direction. What the layer does not have is left out, and directions of one neuron each are the units.
    direction : str, optional
        Of the known directions only this one, named by its tile, as in "shirt/0", or by tile and place, as in "shirt/0 (3, 4)".
    threshold : float
        A site has an effect, for ``tpr`` and ``fpr``, where its share is above this; and it belongs to the known circuit where
        its share by the construction is.
    keep : int
        Pairs whose images and effects are stored.

    Returns
    -------
    ProbeResult
        For each way, kind of site and layer, ``top_share.noising.unit.hidden`` and so on: ``top_share``, ``sites_90``,
        ``differ``, ``joint`` and ``interaction``; ``estimate_correlation``, ``estimate_error`` and ``estimate_sign``; with
        ``.untrained``. On networks whose circuit is known ``tpr``, ``fpr`` and ``auc``, and the same of the estimate, with
        ``.chance`` (sites drawn at random for the known ones) and ``.oracle``. Where the logits are linear in the layer the two
        ways have the same effects, noising alone is given, and there is no error of the estimate. Arrays: ``effect.WAY.BY``, the
        sum of each site's effects over the pairs over the sum of what they are shares of; ``pair_effect.WAY.BY`` and
        ``pair_estimate.WAY.BY`` of the kept pairs, with their images, tiles and places, ``clean_images`` and so on;
        ``path_site.WAY.BY`` and ``path.WAY.BY`` (pair, rank, class), the effects of the strongest sites on every logit;
        ``preferred_tile``, the tile on whose scenes each unit is most active. Not applicable without a layer before the logits,
        or a counterfactual.

    Raises
    ------
    InputError
        If the data are of another task than the network, no test scene shows a tile, the layer gives the logits, or a direction
        is named where none is known.
    UnknownNameError
        For a layer or a direction that the network does not have.
    """
    check_task(network, data)
    scenes = labelled(data.test, images)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    result = ResultBuilder(INFO)
    if change == "tile" and len(data.task.classes) == 1:
        return tmi.ProbeResult.not_applicable("there is one class only, so that no tile is of another")
    pairs = draw_pairs(scenes, change, np.random.default_rng(seed), result.notes)
    if pairs is None:
        return tmi.ProbeResult.not_applicable(f"no other {change} changes a scene and leaves its class without doubt")
    options = _Options(chosen, by, direction, threshold, seed)
    patch(network, pairs, options, result, keep)
    if not result.arrays:
        return tmi.ProbeResult.not_applicable("what effects would be shares of is 0 for every pair")
    add_untrained(result, network, lambda before, collected: patch(before, pairs, options, collected, 0))
    return result.result()


@dataclass(frozen=True)
class _Options:
    """The layer, and those settings of `activation_patching` that say how it is patched."""

    layer: str
    by: list[By]
    direction: str | None
    threshold: float
    seed: int


@dataclass(eq=False)
class _Found:
    """What is collected of one way and one kind of site."""

    sites: Sites
    rates: Rates
    estimate_rates: Rates
    scores: dict[str, list[float]] = field(default_factory=dict)
    total: Array = field(init=False)
    kept: list[dict[str, NDArray[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total = np.zeros(len(self.sites))

    def add(self, scores: dict[str, float]) -> None:
        for name, value in scores.items():
            if np.isfinite(value):
                self.scores.setdefault(name, []).append(value)


def patch(network: tmi.Network, pairs: Pairs, options: _Options, result: ResultBuilder, keep: int) -> None:
    """Patch a layer between the scenes of each pair, and add what is measured; nothing where it is 0 for every pair."""
    rest = Downstream(network, options.layer, pairs.clean)
    every = sites_of(network, options.layer, rest.shape, options.by, options.direction, result.notes)
    circuits = [known_circuit(network, options.layer, rest.shape, sites) for sites in every]
    known = [strengths(scenes) for scenes in (pairs.clean, pairs.counterfactual)] if any(circuits) else None
    ways = WAYS[:1] if rest.linear else WAYS
    found = {(way, sites.by): _Found(sites, _rates(sites, options), _rates(sites, options)) for way in ways for sites in every}
    weights, whole, left_out = pairs.measured(), 0.0, 0
    preferred = np.zeros((len(pairs.clean.task.tiles) if keep else 0, rest.neurons))
    tiles = np.stack([pairs.clean.tile.numpy(), pairs.counterfactual.tile.numpy()])
    kept: list[int] = []
    for i, (image, values, logits) in enumerate(rest.evaluated(pairs.clean, pairs.counterfactual)):
        for tile, activations in zip(tiles[:, i], values, strict=True) if keep else ():
            preferred[tile] += activations
        scale = scale_of(pairs.change, logits, weights[i])
        if scale is None:
            left_out += 1
            continue
        whole += abs(scale)
        if len(kept) < keep:
            kept.append(i)
        for number, way in enumerate(ways):
            own = image if way == "noising" else rest.images(pairs.counterfactual[i : i + 1])
            run = _Run(rest, own, values[number], values[1 - number], logits[number], weights[i], scale, way)
            for sites, circuit in zip(every, circuits, strict=True):
                change = None if known is None else known[1 - number][[i]] - known[number][[i]]
                _patch_pair(run, found[way, sites.by], circuit, change, i in kept)
    if left_out == len(pairs):
        return
    if left_out:
        result.notes.append(f"{left_out} of {len(pairs)} pairs left out: what their effects would be shares of is 0")
    if rest.linear:
        result.notes.append(
            f"the logits are linear in layer {options.layer}: effects add up, the gradient is exact, denoising is as noising"
        )
    for (way, kind), one in found.items():
        _add(result, f"{way}.{kind}", options.layer, one, whole, rest.linear)
    if keep:
        _add_scenes(result, pairs, kept, network, options.layer, preferred)


def _rates(sites: Sites, options: _Options) -> Rates:
    return Rates(len(sites), options.threshold, np.random.default_rng(options.seed))


@dataclass(frozen=True, eq=False)
class _Run:
    """One scene of a pair, whose activations are replaced by the other's.

    Attributes
    ----------
    image : Tensor, shape (1, C, m, n)
    own, other : ndarray, shape (neurons,)
    logits : ndarray, shape (L,)
        On the own image.
    weights : ndarray, shape (L,)
        What is measured.
    scale : float
        What effects are shares of.
    way : {"noising", "denoising"}
    """

    rest: Downstream
    image: Any
    own: Array
    other: Array
    logits: Array
    weights: Array
    scale: float
    way: Way

    @property
    def sign(self) -> float:
        """An effect counts above 0 where it lessens the measure of the scene, or restores it in the counterfactual."""
        return -1.0 if self.way == "noising" else 1.0

    def shares(self, change: Array) -> Array:
        """Return changes of what is measured as effects."""
        return without_rounding(self.sign * change / self.scale)

    def replaced(self, changes: csr_array) -> Array:
        """Return by how much the logits change, shape (K, L)."""
        return self.rest.logits(self.image, self.own, self.logits, changes) - self.logits

    @cached_property
    def gradient(self) -> Array | None:
        return self.rest.gradient(self.image, self.own, self.weights)

    def estimated(self, changes: csr_array) -> Array | None:
        """Return what the gradient makes of changes; None where there is none."""
        return None if self.gradient is None else self.shares(changes @ self.gradient)


def _patch_pair(run: _Run, found: _Found, circuit: Circuit | None, known: csr_array | None, keep: bool) -> None:
    """Patch one scene by one kind of site."""
    sites = found.sites
    index, changes = sites.changes(sites.values(run.own), sites.values(run.other))
    together = _sum(changes)
    logits = run.replaced(changes)
    effects = run.shares(logits @ run.weights)
    joint = float(run.shares(run.replaced(together) @ run.weights)[0])
    estimates = run.estimated(changes)
    found.add({"differ": len(index), "joint": joint, "interaction": interaction(effects, joint), **concentration(effects)})
    found.total[index] += effects * abs(run.scale)
    if estimates is not None:
        found.add({f"estimate_{name}": value for name, value in agreement(estimates, effects).items()})
    if circuit is not None and known is not None:
        by_construction = circuit.effects(known, run.weights)
        least = 0.0 if circuit.shared else found.rates.threshold
        true = np.flatnonzero(np.abs(by_construction / run.scale) > least)
        found.rates.add(index, effects, true)
        if estimates is not None:
            found.estimate_rates.add(index, estimates, true)
    if keep:
        found.kept.append(_kept(sites, index, effects, estimates, run.shares(logits)))


def _sum(changes: csr_array) -> csr_array:
    """Return the sum of all changes as one row."""
    from scipy.sparse import csr_array

    return csr_array(np.asarray(changes.sum(0)).reshape(1, -1))


def _kept(sites: Sites, index: Indices, effects: Array, estimates: Array | None, by_logit: Array) -> dict[str, NDArray[Any]]:
    """Return the arrays of one pair."""
    arrays: dict[str, NDArray[Any]] = {"pair_effect": np.zeros(len(sites), np.float32)}
    arrays["pair_effect"][index] = effects
    if estimates is not None:
        arrays["pair_estimate"] = np.zeros(len(sites), np.float32)
        arrays["pair_estimate"][index] = estimates
    ranked = np.argsort(-np.abs(effects), kind="stable")[:PATHS]
    arrays["path_site"] = np.full(PATHS, -1)
    arrays["path"] = np.full((PATHS, by_logit.shape[1]), np.nan)
    arrays["path_site"][: len(ranked)], arrays["path"][: len(ranked)] = index[ranked], by_logit[ranked]
    return arrays


def _add(result: ResultBuilder, what: str, layer: str, found: _Found, whole: float, linear: bool) -> None:
    """Add metrics and arrays of one way and one kind of site."""
    trivial = ("interaction", "estimate_correlation", "estimate_error", "estimate_sign") if linear else ()
    for name, values in found.scores.items():
        if name not in trivial:
            result.add(f"{name}.{what}.{layer}", np.mean(values))
    for prefix, rates in (("", found.rates), ("estimate_", found.estimate_rates)):
        for name, (value, chance) in rates.means().items():
            if not (prefix and linear):
                result.add(f"{prefix}{name}.{what}.{layer}", value, chance=chance, oracle=ORACLE[name])
    dims = axes(found.sites, layer)
    shape = found.sites.shape
    result.arrays[f"effect.{what}"] = dims, (found.total / whole).reshape(shape).astype(np.float32)
    for name in ("pair_effect", "pair_estimate"):
        if found.kept and name in found.kept[0]:
            stacked = np.stack([one[name] for one in found.kept])
            result.arrays[f"{name}.{what}"] = ("pair", *dims), stacked.reshape(-1, *shape)
    if found.kept:
        result.arrays[f"path_site.{what}"] = ("pair", "rank"), np.stack([one["path_site"] for one in found.kept])
        result.arrays[f"path.{what}"] = ("pair", "rank", "class"), np.stack([one["path"] for one in found.kept])


def _add_scenes(result: ResultBuilder, pairs: Pairs, kept: list[int], network: tmi.Network, layer: str, preferred: Array) -> None:
    """Add the images of the kept pairs, and what is needed to read their effects."""
    task = pairs.clean.task
    count = np.bincount(np.concatenate([pairs.clean.tile, pairs.counterfactual.tile]), minlength=len(task.tiles))
    shown = np.flatnonzero(count)
    mean = preferred[shown] / count[shown, None]
    result.arrays[f"preferred_tile.{layer}"] = f"unit.{layer}", np.where(mean.any(0), shown[mean.argmax(0)], -1)
    result.arrays["layer_shape"] = "axis", np.array(network.activations(pairs.clean[:1].images, layer)[layer].shape[1:])
    if kept:
        for name, scenes in (("clean", pairs.clean[kept]), ("counterfactual", pairs.counterfactual[kept])):
            result.arrays[f"{name}_images"] = ("pair", "channel", "row", "col"), scenes.images
            result.arrays[f"{name}_tile"] = "pair", scenes.tile.numpy()
            result.arrays[f"{name}_place"] = ("pair", "corner"), np.stack([scenes.row.numpy(), scenes.col.numpy()], 1)
    result.coords["class"] = task.class_names
    table = network.directions(layer)
    if table is not None and not table.one_neuron_each:
        result.coords[f"direction.{layer}"] = feature_names(table.features, task)
