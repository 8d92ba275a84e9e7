"""The units that are responsible for a feature: a small set that keeps its images right, and how far such sets overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.feature_sets import FilterTerms, NeuronTerms, Terms, jaccard, right, small_set
from ..pipeline.features import Features, feature_of_neurons, features, own_kind
from ..pipeline.logits import logits_of, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled, pictures
from ..pipeline.units import activations_in_parts, inner_layer, sizes_of
from .readout import LinearReadout, linear_form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

Unit = Literal["neuron", "filter"]

_CANDIDATES = 4000  # neurons among which the set is searched first: those that on average raise the logit most above another

INFO = {
    "size": tmi.MetricInfo("Units in the smallest set found that keeps a feature's images right, mean over features", None, 0),
    "size_share": tmi.MetricInfo("The former as a share of the units that its images change", None, 0, 1),
    "random_keeps": tmi.MetricInfo("Share of its images that as many of those units, drawn at random, keep right", None, 0, 1),
    "held_out": tmi.MetricInfo("Share of further test images of the feature that the set keeps right", "higher", 0, 1),
    "necessary": tmi.MetricInfo("Share of its images that are not right when the set is ablated", "higher", 0, 1),
    "false_alarms": tmi.MetricInfo(
        "Share of images of other classes that are predicted as the feature's class when the set alone is kept", "lower", 0, 1
    ),
    "overlap": tmi.MetricInfo("Jaccard index of the sets of two features, mean over pairs", "lower", 0, 1),
    "tpr": tmi.MetricInfo("Share of the feature's own neurons, active on its images, that are in the set", "higher", 0, 1),
    "fpr": tmi.MetricInfo("Share of the other features' neurons that are in it", "lower", 0, 1),
}


def feature_neurons(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 300,
    layer: str | None = None,
    feature: Literal["tile", "class"] = "tile",
    unit: Unit = "neuron",
    ablation: Literal["mean", "zero"] = "mean",
    share: Share = 0.99,
    draws: Count = 10,
) -> tmi.ProbeResult:
    """For each tile, how few units of a layer keep its images right while all others are ablated, and whether tiles share them.

    The sets are found by a greedy search: units are taken that add most to the margins of the images that are not right yet, and
    those that are not needed are removed. No unit of a set can be left out, but a smaller set may exist.

    Parameters
    ----------
    images : int
        How many test images: the first ones. As many further ones test the sets.
    layer : str, optional
        By default the last one before the logits.
    feature : {"tile", "class"}
        Find a set for each tile that the images show, or for each class.
    unit : {"neuron", "filter"}
        What is kept or ablated: single neurons, or all neurons of a channel.
    ablation : {"mean", "zero"}
        The value of an ablated neuron: its mean over the images without the feature, or 0.
    share : float
        The share of the feature's images, of those that the whole network predicts right, that the set keeps right.
    draws : int
        How many random sets of the same size for chance.

    Returns
    -------
    ProbeResult
        Metrics ``size``, ``size_share``, ``random_keeps``, ``held_out``, ``necessary``, ``false_alarms``, ``overlap`` with
        ``.chance`` (random sets of the same sizes); where the neurons are known ``tpr`` and ``fpr`` with ``.chance`` and
        ``.oracle``. Means over the features; all but the size over those that need a unit. Arrays of each feature: the measures
        by their names, NaN where not defined, and ``units`` (feature, rank), the numbers of the units in the order in which they
        were taken, then −1; ``jaccard`` (feature, other_feature). Not applicable where there is no layer before the logits, where
        the logits are not linear in the layer, for one class or one feature, for filters of a layer without channels, and where
        no image is predicted right.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the layer gives the logits.
    UnknownNameError
        For a layer that the network does not have.
    """
    every = labelled(data.test, 2 * images)
    picture = pictures(every)
    scenes, further = every[:images], every[np.flatnonzero(~np.isin(picture, picture[:images]))]
    shown = features(scenes, feature)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    if len(data.task.classes) == 1:
        return tmi.ProbeResult.not_applicable(ONE_CLASS)
    if len(shown) == 1:
        return tmi.ProbeResult.not_applicable(f"all images show one {feature}")
    rows, first = next(activations_in_parts(network, scenes, sizes_of(network, scenes, [chosen])))
    logits = logits_of(network, scenes)
    form = linear_form(network, chosen, first[chosen].astype(np.float64), logits[rows], scenes[:1].images)
    if form is None:
        return tmi.ProbeResult.not_applicable(f"the logits are not linear in layer {chosen}")
    shape = network.activations(scenes[:1].images, chosen)[chosen].shape[1:]
    if unit == "filter" and len(shape) != 3:
        return tmi.ProbeResult.not_applicable(f"layer {chosen} has no channels, so no filters")
    layer_units = _Layer(network, chosen, form, int(shape[0]) if unit == "filter" else None)
    found = _find(layer_units, scenes, shown, logits, ablation == "mean", share, np.random.default_rng(seed), draws)
    if not any(found):
        return tmi.ProbeResult.not_applicable("no image is predicted right")
    _try_elsewhere(layer_units, scenes, further, shown, feature, found)
    return _result(layer_units, scenes.task, shown, found, share)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer in which the logits are linear, and its units: neurons, or ``filters`` channels of equally many neurons."""

    network: tmi.Network
    name: str
    form: LinearReadout
    filters: int | None

    @property
    def neurons(self) -> int:
        neurons: int = self.form.weight.shape[1]
        return neurons

    @property
    def units(self) -> int:
        return self.filters or self.neurons

    def columns(self, units: Indices) -> Indices:
        """Return the neurons of some units."""
        per_unit = self.neurons // self.units
        return (units[:, None] * per_unit + np.arange(per_unit)).reshape(-1)

    def activations(self, scenes: tmi.Scenes) -> NDArray[Any]:
        parts = activations_in_parts(self.network, scenes, {self.name: self.neurons})
        return np.concatenate([activations[self.name] for _, activations in parts])

    def with_only(self, units: Indices, values: NDArray[Any], ablated: Array) -> Array:
        """Return the logits (n, L) with all units ablated but some, for activations (n, neurons)."""
        columns = self.columns(units)
        terms: Array = (values[:, columns] - ablated[columns]) @ self.form.weight[:, columns].T
        return terms + self.form.weight @ ablated + self.form.bias

    def small_set(self, values: NDArray[Any], ablated: Array, label: int, share: float) -> Indices | None:
        """Search a small set for the images of one feature, activations (n, neurons)."""
        weight, base = self.form.weight, self.form.weight @ ablated + self.form.bias
        terms: Terms
        if self.filters:
            by_filter, weights = (part.reshape(len(part), self.filters, -1) for part in (values - ablated, weight))
            terms = FilterTerms(np.einsum("nkp,lkp->nkl", by_filter, weights, optimize=True))
            return small_set(terms, base, label, share)
        if self.neurons > _CANDIDATES:
            gain = ((weight[label] - weight) * (values.mean(0, dtype=np.float64) - ablated)).max(0)
            few = np.sort(np.argpartition(-gain, _CANDIDATES)[:_CANDIDATES])
            among = small_set(NeuronTerms(values[:, few] - ablated[few], weight[:, few]), base, label, share)
            if among is not None:
                return few[among]
        return small_set(NeuronTerms(values - ablated, weight), base, label, share)


@dataclass(eq=False)
class _Found:
    """The set of one feature, and what was measured of it."""

    units: Indices
    label: int
    ablated: Array
    measures: dict[str, float]


def _find(
    layer: _Layer,
    scenes: tmi.Scenes,
    shown: Features,
    logits: Array,
    to_mean: bool,
    share: float,
    rng: np.random.Generator,
    draws: int,
) -> list[_Found | None]:
    """Find the set of each feature; None where none of its images is predicted right."""
    labels, predicted = scenes.labels.numpy(), predictions(logits)
    total = np.zeros(layer.neurons)
    if to_mean:
        for _, activations in activations_in_parts(layer.network, scenes, {layer.name: layer.neurons}):
            total += activations[layer.name].sum(0, dtype=np.float64)
    found: list[_Found | None] = []
    for k in range(len(shown)):
        members = np.flatnonzero(shown.of_image == k)
        values, label = layer.activations(scenes[members]), int(labels[members[0]])
        ablated = (total - values.sum(0, dtype=np.float64)) / (len(scenes) - len(members)) if to_mean else total
        values = values[predicted[members] == label]
        drawn = [rng.permutation(layer.units) for _ in range(draws)]  # always, so that one feature does not change the next one's
        chosen = layer.small_set(values, ablated, label, share) if len(values) else None
        if chosen is None:
            found.append(None)
            continue
        if not len(chosen):  # these images are predicted right whatever the units do
            found.append(_Found(chosen, label, ablated, {"size": 0, "size_share": 0}))
            continue
        changed = (values != ablated).any(0).reshape(layer.units, -1).any(1)
        others = np.ones(layer.units, bool)
        others[chosen] = False
        kept = [right(layer.with_only(order[changed[order]][: len(chosen)], values, ablated), label).mean() for order in drawn]
        without = layer.with_only(np.flatnonzero(others), values, ablated)
        measures = {
            "size": len(chosen),
            "size_share": len(chosen) / max(1, changed.sum()),
            "random_keeps": np.mean(kept),
            "necessary": 1 - right(without, label).mean(),
        }
        measures |= _rates(layer, shown, scenes.task, k, chosen, (values != 0).any(0))
        found.append(_Found(chosen, label, ablated, measures))
    return found


def _rates(
    layer: _Layer, shown: Features, task: tmi.TemplateTask, k: int, chosen: Indices, active: NDArray[np.bool_]
) -> dict[str, float]:
    """Return true and false positive rates against the neurons that stand for the feature's tiles, where they are known."""
    table = layer.network.neurons(layer.name)
    if layer.filters or table is None or own_kind(table) != "tile-place":
        return {}
    tile = table["tile"].to_numpy(np.int64)
    meant = {"tile": tile} if shown.kind == "tile" else {"class": [task.class_names[task.tile_class[t]] for t in tile]}
    own = feature_of_neurons(meant, shown, task) == k
    marked = np.zeros(layer.neurons, bool)
    marked[chosen] = True
    return {
        "tpr": marked[own & active].mean() if (own & active).any() else np.nan,
        "fpr": marked[~own].mean() if (~own).any() else np.nan,
        "rate_chance": len(chosen) / layer.neurons,
    }


def _try_elsewhere(
    layer: _Layer, scenes: tmi.Scenes, further: tmi.Scenes, shown: Features, kind: Any, found: list[_Found | None]
) -> None:
    """Measure each set on the images of other classes, and on further images of the feature."""
    number = {tuple(identity): k for k, identity in enumerate(shown.identity.tolist())}
    for part, name in ((scenes, "false_alarms"), (further, "held_out")):
        if not len(part):
            continue
        labels = part.labels.numpy()
        identity = part.tile.tolist() if kind == "tile" else labels.tolist()
        of_image = np.array([number.get((value,), -1) for value in identity])
        as_before = predictions(logits_of(layer.network, part)) == labels
        hits, count = np.zeros(len(found)), np.zeros(len(found))
        for rows, activations in activations_in_parts(layer.network, part, {layer.name: layer.neurons}):
            for k, entry in enumerate(found):
                if entry is None or not len(entry.units):
                    continue
                asked = labels[rows] != entry.label if name == "false_alarms" else (of_image[rows] == k) & as_before[rows]
                logits = layer.with_only(entry.units, activations[layer.name][asked], entry.ablated)
                hits[k] += right(logits, entry.label).sum()
                count[k] += asked.sum()
        for k, entry in enumerate(found):
            if entry is not None and count[k]:
                entry.measures[name] = hits[k] / count[k]


def _result(layer: _Layer, task: tmi.TemplateTask, shown: Features, found: list[_Found | None], share: float) -> tmi.ProbeResult:
    result = ResultBuilder(INFO)
    present = [entry for entry in found if entry is not None]
    names = shown.names(task)
    needless = [name for name, entry in zip(names, found, strict=True) if entry is not None and not len(entry.units)]
    if needless:
        result.notes.append(f"no unit is needed, for their class is predicted with all ablated: {', '.join(needless)}")
    absent = [name for name, entry in zip(names, found, strict=True) if entry is None]
    if absent:
        result.notes.append(f"left out, for none of their images is predicted right: {', '.join(absent)}")
    for name in INFO:
        values = np.array([np.nan if entry is None else entry.measures.get(name, np.nan) for entry in found])
        if not np.isfinite(values).any():
            continue
        known = name in ("tpr", "fpr")
        chance = np.mean([entry.measures["rate_chance"] for entry in present if name in entry.measures]) if known else None
        result.add(name, np.nanmean(values), chance=chance, oracle=float(name == "tpr") if known else None)
        result.arrays[name] = ("feature", values)
    if len(present) > 1:
        pairs = np.triu_indices(len(present), 1)
        overlap, random = (part[pairs] for part in jaccard([entry.units for entry in present], layer.units))
        if np.isfinite(overlap).any():
            result.add("overlap", np.nanmean(overlap), chance=np.nanmean(random))
    longest = max(len(entry.units) for entry in present)
    units = np.full((len(found), longest), -1)
    for row, entry in zip(units, found, strict=True):
        if entry is not None:
            row[: len(entry.units)] = entry.units
    sets = [np.empty(0, np.int64) if entry is None else entry.units for entry in found]
    result.arrays["units"] = (("feature", "rank"), units)
    result.arrays["jaccard"] = (("feature", "other_feature"), jaccard(sets, layer.units)[0])
    result.coords |= {"feature": names, "other_feature": names}
    return result.result()
