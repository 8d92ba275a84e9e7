"""Ablation: what becomes of the logits when a unit, place or known direction is replaced by 0, a mean or a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, Positive

from ..pipeline.layer_scores import add_untrained
from ..pipeline.logits import margins, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import inner_layer
from .downstream import Downstream
from .known import Circuit, known_circuit, strengths
from .pairs import check_task
from .scores import ORACLE, Rates, concentration, without_rounding
from .sites import EVERY, By, Sites, Together, axes, feature_names, sites_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

Value = Literal["resample", "mean", "zero"]

INFO = {
    "logit_fall": tmi.MetricInfo(
        "Fall of the label's logit by the ablation that lowers it most, mean over images", None, None, None, "logit"
    ),
    "margin_fall": tmi.MetricInfo(
        "Fall of the label's logit less the largest other by the ablation that lowers it most, mean over images", unit="logit"
    ),
    "made_wrong": tmi.MetricInfo("Share of the images predicted right that a single ablation makes wrong", None, 0, 1),
    "accuracy_fall": tmi.MetricInfo("Fall of the accuracy by the ablation, one for all images, that lowers it most", None, -1, 1),
    "top_share": tmi.MetricInfo(
        "Share of the sum of the absolute changes of the label's logit that the largest one has, mean over images", None, 0, 1
    ),
    "sites_90": tmi.MetricInfo("Fewest sites that have 90 % of that sum, mean over images", None, 1),
    "logit_share": tmi.MetricInfo(
        "Path to the logits: share of a site's mean absolute effects on all logits that its largest has, weighted by their sum; "
        "1 where each site reaches one logit",
        None,
        0,
        1,
    ),
    "tpr": tmi.MetricInfo("Share of the sites of the known circuit that have an effect, mean over images", "higher", 0, 1),
    "fpr": tmi.MetricInfo("Share of all other sites that have an effect, mean over images", "lower", 0, 1),
    "auc": tmi.MetricInfo("Area under the ROC curve of the absolute effects against the known circuit", "higher", 0, 1),
}


def ablation(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 100,
    layer: str | None = None,
    ablation: Value = "resample",
    by: list[By] = EVERY,
    direction: str | None = None,
    units: list[Index] | None = None,
    threshold: Positive = 0.01,
) -> tmi.ProbeResult:
    """What becomes of the label's logit, the margin and the accuracy when one site of a layer is ablated, and of every logit.

    The rest of the network is run with the site replaced, so that the effects are exact. A site that has its ablated value anyway
    has none.

    Parameters
    ----------
    images : int
        How many test images: the first ones. Where the logits are not linear in the layer, an image takes as many runs of the
        rest of the network as sites change.
    layer : str, optional
        By default the last one before the logits.
    ablation : {"resample", "mean", "zero"}
        The value of an ablated site: that on another of the images, drawn at random for each image; its mean over the images;
        or 0. The mean and 0 may be values that the site never has (Chan et al. 2022; Zhang and Nanda 2024).
    by : list of {"unit", "place", "direction"}
        Single neurons; all neurons at one place of a map, or of windows with one corner; the coefficient of one known
        direction. What the layer does not have is left out, and directions of one neuron each are the units.
    direction : str, optional
        Of the known directions only this one, named by its tile, as in "shirt/0", or by tile and place, as in "shirt/0 (3, 4)".
    units : list of int, optional
        Ablate these units of the flattened layer together, and measure nothing else: ``by`` is not used.
    threshold : float
        A site has an effect, for ``tpr`` and ``fpr``, where it changes the label's logit by more than this share of its size, and
        belongs to the known circuit where by the construction it does.

    Returns
    -------
    ProbeResult
        For each kind of site and layer, ``logit_fall.unit.hidden`` and so on: ``logit_fall``, ``margin_fall``, ``made_wrong``,
        ``accuracy_fall``, ``top_share``, ``sites_90`` and ``logit_share``, with ``.untrained``; on networks whose circuit is
        known ``tpr``, ``fpr`` and ``auc`` of the effects on the label's logit, with ``.chance`` (sites drawn at random for the
        known ones) and ``.oracle``. Of ``units`` together ``logit_fall.set.hidden``, ``margin_fall`` and ``accuracy_fall``.
        Arrays by site: ``label_fall.BY``, ``accuracy.BY`` with the site ablated, and ``path.BY`` (site, class), by how much each
        logit changes, mean size. Not applicable without a layer before the logits, to a layer of one unit, and where only one
        image would give the ablated values.

    Raises
    ------
    InputError
        If the data are of another task than the network, no test scene shows a tile, the layer gives the logits, a direction is
        named where none is known, or beside ``units``, or these are none, all, or name one that the layer does not have.
    UnknownNameError
        For a layer or a direction that the network does not have.
    """
    check_task(network, data)
    if units is not None and direction is not None:
        raise InputError(f"units beside direction {direction!r}: units are ablated together and nothing else is; leave one out")
    scenes = labelled(data.test, images)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    if len(scenes) == 1 and ablation != "zero":
        return tmi.ProbeResult.not_applicable("there is one image only, so that an ablated value would be its own")
    result = ResultBuilder(INFO)
    options = _Options(chosen, ablation, by, direction, units, threshold, seed)
    _ablate(network, scenes, options, result)
    if not result.arrays:
        return tmi.ProbeResult.not_applicable(f"layer {chosen} has one unit only, and to ablate it is to ablate everything")
    add_untrained(result, network, lambda before, collected: _ablate(before, scenes, options, collected))
    return result.result()


@dataclass(frozen=True)
class _Options:
    """The settings of `ablation`."""

    layer: str
    ablation: Value
    by: list[By]
    direction: str | None
    units: list[int] | None
    threshold: float
    seed: int


@dataclass(eq=False)
class _Found:
    """What is collected of one kind of site."""

    sites: Sites
    rates: Rates
    classes: int
    scores: dict[str, list[float]] = field(default_factory=dict)
    paths: Array = field(init=False)
    """By how much each logit changes, sizes summed over images, (sites, L)."""
    of_label: Array = field(init=False)
    right: Array = field(init=False)
    """Images right with the site ablated less images right, (sites,)."""

    def __post_init__(self) -> None:
        self.paths = np.zeros((len(self.sites), self.classes))
        self.of_label, self.right = np.zeros(len(self.sites)), np.zeros(len(self.sites))

    def add(self, index: Indices, logits: Array, ablated: Array, label: int) -> None:
        """Add an image: its logits (L,) and those with each site of the index ablated (K, L)."""
        falls = without_rounding(logits - ablated, np.abs(logits).max())
        self.paths[index] += np.abs(falls)
        self.of_label[index] += falls[:, label]
        scores = {"logit_fall": falls[:, label].max(initial=0.0), **concentration(falls[:, label])}
        if self.classes > 1:
            before, after = (predictions(one) == label for one in (logits[None], ablated))
            self.right[index] += after.astype(float) - float(before[0])
            labels = np.full(len(ablated) + 1, label)
            margin = margins(np.concatenate([logits[None], ablated]), labels)
            scores["margin_fall"] = (margin[0] - margin[1:]).max(initial=0.0)
            if before[0]:
                scores["made_wrong"] = float(not after.all())
        for name, value in scores.items():
            self.scores.setdefault(name, []).append(float(value))


def _ablate(network: tmi.Network, scenes: tmi.Scenes, options: _Options, result: ResultBuilder) -> None:
    """Ablate a layer on every image, and add what is measured; nothing where its only unit would be all there is."""
    rest = Downstream(network, options.layer, scenes)
    if options.units is not None:
        every: list[Sites] = [Together(_checked(options.units, rest.neurons, options.layer), rest.neurons)]
    elif rest.neurons == 1:
        return
    else:
        every = sites_of(network, options.layer, rest.shape, options.by, options.direction, result.notes)
    order = np.random.default_rng(options.seed).permutation(len(scenes))
    partner = np.empty(len(scenes), np.int64)
    partner[order] = np.roll(order, 1)  # every image once, and none its own
    circuits = [None if sites.by == "set" else known_circuit(network, options.layer, rest.shape, sites) for sites in every]
    known = _known_changes(scenes, options.ablation, partner) if any(circuits) else None
    classes = len(scenes.task.classes)
    found = [_Found(sites, Rates(len(sites), options.threshold, np.random.default_rng(options.seed)), classes) for sites in every]
    labels, base = scenes.labels.numpy(), 0
    for i, (image, values, logits, references) in enumerate(_references(rest, scenes, every, options.ablation, partner)):
        label = int(labels[i])
        base += int(predictions(logits[None])[0] == label)
        for one, circuit, reference in zip(found, circuits, references, strict=True):
            index, changes = one.sites.changes(one.sites.values(values), reference)
            ablated = rest.logits(image, values, logits, changes)
            one.add(index, logits, ablated, label)
            if circuit is not None and known is not None and logits[label] != 0:
                effects = (logits[label] - ablated[:, label]) / abs(logits[label])
                one.rates.add(index, effects, _true(circuit, known[[i]], label, abs(logits[label]), options.threshold))
    for one in found:
        _add(result, options.layer, one, base, len(scenes))
    _add_names(result, network, options.layer)


def _checked(units: list[int], neurons: int, layer: str) -> Indices:
    """Return the units to ablate together."""
    chosen = np.unique(np.array(units, np.int64))
    if not len(chosen):
        raise InputError("units: an empty list ablates nothing; name some, or leave the setting out")
    if chosen[-1] >= neurons:
        raise InputError(f"units: layer {layer!r} has the units 0 to {neurons - 1}, got {int(chosen[-1])}")
    if len(chosen) == neurons:
        raise InputError(f"units: an ablation of everything: these are all {neurons} units of layer {layer!r}; leave some out")
    return chosen


def _references(
    rest: Downstream, scenes: tmi.Scenes, every: list[Sites], ablation: Value, partner: Indices
) -> Iterator[tuple[Any, Array, Array, list[Array]]]:
    """Yield each image, its activations and logits, and for each kind of site the ablated values."""
    if ablation == "resample":
        for image, values, logits in rest.evaluated(scenes, scenes[partner]):
            yield image, values[0], logits[0], [sites.values(values[1]) for sites in every]
        return
    zero = np.zeros(rest.neurons)
    ablated = [sites.values(zero) for sites in every]
    if ablation == "mean":
        for _, values, _ in rest.evaluated(scenes):
            ablated = [total + sites.values(values[0]) for total, sites in zip(ablated, every, strict=True)]
        ablated = [total / len(scenes) for total in ablated]
    for image, values, logits in rest.evaluated(scenes):
        yield image, values[0], logits[0], ablated


def _known_changes(scenes: tmi.Scenes, ablation: Value, partner: Indices) -> csr_array:
    """Return how the strengths of all windows change by their ablation, sparse (N, windows)."""
    from scipy.sparse import csr_array

    own = strengths(scenes)
    if ablation == "resample":
        return own[partner] - own
    if ablation == "zero":
        return -own
    return csr_array(np.ones((len(scenes), 1))) @ csr_array(own.mean(0).reshape(1, -1)) - own


def _true(circuit: Circuit, change: csr_array, label: int, size: float, threshold: float) -> Indices:
    """Return the sites whose ablation changes the label's logit by the construction."""
    weights = np.zeros(int(circuit.logit.max()) + 1)
    weights[label] = 1.0
    effects = circuit.effects(change, weights) / size
    return np.flatnonzero(np.abs(effects) > (0.0 if circuit.shared else threshold))


def _add(result: ResultBuilder, layer: str, found: _Found, right: int, images: int) -> None:
    """Add metrics and arrays of one kind of site."""
    by, of_set = found.sites.by, found.sites.by == "set"
    for name, values in found.scores.items():
        if not of_set or name in ("logit_fall", "margin_fall"):
            result.add(f"{name}.{by}.{layer}", np.mean(values))
    if found.classes > 1:
        result.add(f"accuracy_fall.{by}.{layer}", -found.right.min() / images)
        if found.paths.any() and not of_set:
            result.add(f"logit_share.{by}.{layer}", found.paths.max(1).sum() / found.paths.sum())
    elif not any(ONE_CLASS in note for note in result.notes):
        result.cannot_fail("margin_fall, made_wrong, accuracy_fall, logit_share", ONE_CLASS)
    for name, (value, chance) in found.rates.means().items():
        result.add(f"{name}.{by}.{layer}", value, chance=chance, oracle=ORACLE[name])
    dims, shape = axes(found.sites, layer), found.sites.shape
    result.arrays[f"label_fall.{by}"] = dims, (found.of_label / images).reshape(shape).astype(np.float32)
    if found.classes > 1:
        result.arrays[f"accuracy.{by}"] = dims, ((right + found.right) / images).reshape(shape)
    result.arrays[f"path.{by}"] = (*dims, "class"), (found.paths / images).reshape(*shape, -1).astype(np.float32)


def _add_names(result: ResultBuilder, network: tmi.Network, layer: str) -> None:
    result.coords["class"] = network.task.class_names
    table = network.directions(layer)
    if table is not None and not table.one_neuron_each:
        result.coords[f"direction.{layer}"] = feature_names(table.features, network.task)
