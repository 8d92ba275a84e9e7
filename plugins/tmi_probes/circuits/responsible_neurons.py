"""Responsible neurons: the few that keep a logit or a prediction, and whether they are the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.sufficient import ROUNDING, breaks_margin, first_prefix, keeps_margins, keeps_value
from ..pipeline.features import own_kind
from ..pipeline.logits import NO_CLASS, logits_of, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import activations_in_parts, in_parts, inner_layer, sizes_of
from .readout import LinearReadout, linear_form, logits_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

_AT_ONCE = 4_000_000  # activations replaced at a time

Ablation = Literal["resample", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = ("resample", "mean", "zero")
"""What an ablated neuron is set to."""

INFO = {
    "sufficient": tmi.MetricInfo(
        "Smallest number of neurons that keep the prediction while all others are ablated, mean over images", "lower", 0
    ),
    "sufficient_logit": tmi.MetricInfo(
        "Smallest number of neurons that keep the label's logit while all others are ablated, mean over images", "lower", 0
    ),
    "sufficient_share": tmi.MetricInfo("The former as a share of the neurons that differ from their ablated value", None, 0, 1),
    "random_keeps": tmi.MetricInfo(
        "Share of images whose prediction as many neurons keep, drawn at random from those: chance", None, 0, 1
    ),
    "critical": tmi.MetricInfo(
        "Smallest number of neurons whose ablation changes the prediction, mean over the images where some do", None, 1
    ),
    "necessary": tmi.MetricInfo(
        "Share of images whose prediction changes when the smallest sufficient set is ablated", "higher", 0, 1
    ),
    "active": tmi.MetricInfo("Neurons that differ from their ablated value, mean over images", None, 0),
    "proven": tmi.MetricInfo("Share of images whose smallest sufficient set is proven to be smallest", "higher", 0, 1),
    "tpr": tmi.MetricInfo(
        "Share of the neurons that make up the label's logit by Proposition 1 that are in the set that keeps it", "higher", 0, 1
    ),
    "fpr": tmi.MetricInfo("Share of all other neurons of the layer that are in it", "lower", 0, 1),
}


def responsible_neurons(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    layer: str | None = None,
    ablation: Ablation = "resample",
    share: Share = 1.0,
) -> tmi.ProbeResult:
    """How few neurons of a layer keep the label's logit and the prediction, and on constructed networks whether they are right.

    Where the logits are linear in the layer the sets are smallest ones. Elsewhere they are greedy: neurons are taken in the order
    of how much ablating each alone lowers the logit, or the margin over the next class, until they suffice. What suffices
    depends on what the other neurons are set to, so that all three ablations are computed.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    layer : str, optional
        By default the last one before the logits.
    ablation : {"resample", "mean", "zero"}
        The value of an ablated neuron in the metrics without an ablation in their name: its value on another image, drawn for
        each image among those of other classes, the same one for all neurons; its mean over the same images; or 0. Values of
        another image are the only ones that occur together (Chan et al. 2022, "Causal scrubbing").
    share : float
        The share of the label's logit to keep, of its rise above the logit with every neuron ablated.

    Returns
    -------
    ProbeResult
        For the layer ``sufficient``, ``sufficient_logit``, ``sufficient_share``, ``random_keeps``, ``critical``, ``necessary``,
        ``active`` and ``proven``; where the neurons are known ``tpr`` and ``fpr`` of the set that keeps the logit, beside
        ``.oracle`` and ``.chance`` (a random set of that size). ``sufficient``, ``sufficient_logit``, ``critical``, ``necessary``
        and ``active`` by each ablation too: ``sufficient.<layer>.zero``, ``.mean`` and ``.resample``. Arrays of each image's
        ``sufficient``, ``sufficient_logit``, ``critical`` (−1 where no ablation changes the prediction), ``active``, ``label``
        and ``donor`` (the image whose values are taken; −1 where there is none), and for each neuron ``responsible``: the share
        of images whose logit it helps to keep. Not applicable to a network without a layer before the logits.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the layer gives the logits.
    UnknownNameError
        For a layer that the network does not have.
    """
    scenes = labelled(data.test, images)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    size = sizes_of(network, scenes, [chosen])
    label, logits = scenes.labels.numpy(), logits_of(network, scenes)
    known = _known(network, chosen, scenes)
    result = ResultBuilder(INFO)
    donors = _donors(label, np.random.default_rng([seed, 1]))
    kinds: tuple[Ablation, ...] = ABLATIONS if donors is not None else ("zero",)
    if donors is None:
        result.notes.append("resample, mean: left out, for there is no other image; ablated neurons are 0")
        ablation = "zero"
    mean = _mean(network, scenes, size)
    rngs = {kind: np.random.default_rng(seed) for kind in kinds}
    sets: dict[Ablation, list[ResponsibleSets]] = {kind: [] for kind in kinds}
    form: LinearReadout | None = None
    for rows, activations in activations_in_parts(network, scenes, size):
        values = activations[chosen].astype(np.float64)
        if rows.start == 0:
            form = linear_form(network, chosen, values, logits[rows], scenes[:1].images)
        ablated = {"zero": np.zeros_like(values), "mean": np.broadcast_to(mean, values.shape)}
        if donors is not None:
            of_donors = network.activations(scenes[donors[rows].tolist()].images, chosen)[chosen]
            ablated["resample"] = of_donors.flatten(1).numpy().astype(np.float64)
        for i, of_image in enumerate(values, rows.start):
            for kind in kinds:
                others = ablated[kind][i - rows.start]
                circuit: _Circuit = (
                    _LinearCircuit(form, of_image, others)
                    if form is not None
                    else _AblatedCircuit(network, chosen, scenes[i : i + 1].images, of_image, others)
                )
                sets[kind].append(circuit.sets(int(label[i]), share, rngs[kind]))
    if form is None:
        result.notes.append(f"{chosen}: the logits are not linear in it; the sets are greedy, not proven smallest")
    _add_sets(result, chosen, size[chosen], sets[ablation], logits.shape[1])
    for kind in kinds:
        for name, value in _sizes(sets[kind], logits.shape[1]).items():
            result.add(f"{name}.{chosen}.{kind}", value)
    if known is None:
        result.notes.append("tpr, fpr: left out, for it is not known which neurons should be responsible")
    else:
        _add_rates(result, chosen, size[chosen], sets[ablation], known)
    result.arrays |= {"label": ("image", label), "donor": ("image", np.full(len(label), -1) if donors is None else donors)}
    return result.result()


def _donors(label: Indices, rng: np.random.Generator) -> Indices | None:
    """Draw for each image another one, of another class where there is any; None for a single image."""
    if len(label) == 1:
        return None
    drawn = []
    for number, own in enumerate(label):
        others = np.flatnonzero(label != own)
        drawn.append(int(rng.choice(others if len(others) else np.delete(np.arange(len(label)), number))))
    return np.array(drawn)


@dataclass(frozen=True)
class ResponsibleSets:
    """The sets of one image.

    Attributes
    ----------
    active : int
        Neurons that differ from their ablated value.
    logit : ndarray of int64
        Neurons that keep the label's logit.
    prediction : ndarray of int64 or None
        Neurons that keep the prediction; None where no single class is predicted.
    proven : bool
        Whether no smaller set keeps the prediction.
    necessary, random_keeps : bool
        Whether the prediction changes without them; whether as many random neurons keep it.
    critical : int
        Size of the smallest set found whose ablation changes the prediction; −1 where there is none.
    """

    active: int
    logit: Indices
    prediction: Indices | None = None
    proven: bool = False
    necessary: bool = False
    random_keeps: bool = False
    critical: int = -1


class _Circuit:
    """A layer on one image: which neurons differ from their ablated value, and the logits with some of them kept."""

    def __init__(self, values: Array, ablated: Array) -> None:
        self.values, self.ablated = values, ablated
        self.neurons = np.flatnonzero(values != ablated)

    def with_only(self, kept: NDArray[np.bool_]) -> Array:
        """Return the logits (K, L) with all neurons ablated but those marked in ``kept``, (K, n)."""
        raise NotImplementedError

    def logit_set(self, label: int, share: float) -> Indices:
        """Return the neurons that keep a share of the label's logit, as positions in ``neurons``."""
        raise NotImplementedError

    def prediction_sets(self, predicted: int) -> tuple[Indices, bool, int]:
        """Return the sufficient set, whether it is proven smallest, and the size of the critical one."""
        raise NotImplementedError

    def sets(self, label: int, share: float, rng: np.random.Generator) -> ResponsibleSets:
        n = len(self.neurons)
        logit = self.neurons[self.logit_set(label, share)]
        predicted = int(predictions(self.with_only(np.ones((1, n), bool)))[0])
        drawn = rng.permutation(n)  # always, so that one image's tie does not change the next one's draw
        if predicted == NO_CLASS:
            return ResponsibleSets(n, logit)
        chosen, proven, critical = self.prediction_sets(predicted)
        kept = np.zeros((2, n), bool)
        kept[0] = True
        kept[0, chosen] = False
        kept[1, drawn[: len(chosen)]] = True
        without, random = predictions(self.with_only(kept)) == predicted
        return ResponsibleSets(n, logit, self.neurons[chosen], proven, not without, bool(random), critical)


class _LinearCircuit(_Circuit):
    """A linear readout: a neuron's contribution to the logits is a product."""

    def __init__(self, form: LinearReadout, values: Array, ablated: Array) -> None:
        super().__init__(values, ablated)
        self.base = form.weight @ ablated + form.bias
        self.terms = form.weight[:, self.neurons] * (values - ablated)[self.neurons]

    def with_only(self, kept: NDArray[np.bool_]) -> Array:
        logits: Array = self.base + kept.astype(np.float64) @ self.terms.T
        return logits

    def logit_set(self, label: int, share: float) -> Indices:
        return keeps_value(self.terms[label], share)

    def prediction_sets(self, predicted: int) -> tuple[Indices, bool, int]:
        rivals = np.arange(len(self.base)) != predicted
        start = self.base[predicted] - self.base[rivals]
        gains = self.terms[predicted] - self.terms[rivals]
        chosen, proven = keeps_margins(start, gains)
        critical = breaks_margin(start + gains.sum(1), gains)
        return chosen, proven, -1 if critical is None else len(critical)


class _AblatedCircuit(_Circuit):
    """Any other readout: neurons are ablated one by one, and then in the order of their effect."""

    def __init__(self, network: tmi.Network, layer: str, image: Any, values: Array, ablated: Array) -> None:
        super().__init__(values, ablated)
        self.network, self.layer, self.image = network, layer, image
        n = len(self.neurons)
        self.whole = self.with_only(np.ones((1, n), bool))[0]
        self.none = self.with_only(np.zeros((1, n), bool))[0]
        self.without_each = self._of_sets(n, lambda number: number[:, None] != np.arange(n))

    def with_only(self, kept: NDArray[np.bool_]) -> Array:
        replaced = np.tile(self.ablated, (len(kept), 1))
        replaced[:, self.neurons] = np.where(kept, self.values[self.neurons], self.ablated[self.neurons])
        return logits_from(self.network, self.layer, self.image, replaced)

    def _of_sets(self, count: int, kept: Callable[[Indices], NDArray[np.bool_]]) -> Array:
        """Return the logits of sets 0, 1, …, marked a few at a time: the marks of n sets are n² numbers."""
        step = max(1, _AT_ONCE // len(self.values))
        parts = [np.arange(start, min(start + step, count)) for start in range(0, count, step)]
        return np.concatenate([self.with_only(kept(part)) for part in parts] or [np.empty((0, len(self.whole)))])

    def _prefixes(self, order: Indices, kept: bool) -> Array:
        """Return the logits with only the first 0, 1, …, n neurons of an order kept, or only those ablated."""
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return self._of_sets(len(order) + 1, lambda length: (rank < length[:, None]) == kept)

    def logit_set(self, label: int, share: float) -> Indices:
        rise = self.whole[label] - self.none[label]
        if rise <= ROUNDING * (np.abs(self.whole[label]) + np.abs(self.none[label])):
            return np.empty(0, np.int64)
        order = np.argsort(self.without_each[:, label], kind="stable")
        logit = self._prefixes(order, kept=True)[:, label]
        kept = first_prefix(order, lambda length: logit[length] >= self.none[label] + (share - ROUNDING) * rise)
        return order if kept is None else kept

    def prediction_sets(self, predicted: int) -> tuple[Indices, bool, int]:
        rivals = np.arange(len(self.whole)) != predicted
        margin = self.without_each[:, [predicted]] - self.without_each[:, rivals]
        order = np.argsort(margin.min(1, initial=np.inf), kind="stable")
        kept = predictions(self._prefixes(order, kept=True)) == predicted
        lost = predictions(self._prefixes(order, kept=False)) != predicted
        chosen = first_prefix(order, lambda length: kept[length])
        critical = first_prefix(order, lambda length: lost[length])
        chosen = order if chosen is None else chosen
        return chosen, len(chosen) == 0, -1 if critical is None else len(critical)


def _mean(network: tmi.Network, scenes: tmi.Scenes, size: dict[str, int]) -> Array:
    ((layer, neurons),) = size.items()
    total = np.zeros(neurons)
    for _, activations in activations_in_parts(network, scenes, size):
        total += activations[layer].sum(0, dtype=np.float64)
    return total / len(scenes)


def _known(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> list[Indices] | None:
    """Return for each image the neurons of the tiles that φ of its class sums: those whose window is within ε of their tile.

    They are the neurons that the directions of these tiles use; None where no directions of tiles at places are known.
    """
    directions = network.directions(layer)
    kind = None if directions is None else own_kind(directions.features)
    if directions is None or kind != ("tile" if directions.by_place else "tile-place"):
        return None
    shape = network.activations(scenes[:1].images, layer)[layer].shape[1:]
    columns = ("tile",) if directions.by_place else ("tile", "row", "col")
    feature = {what: number for number, what in enumerate(zip(*(directions.features[c].tolist() for c in columns), strict=True))}
    starts, used = directions.sparse.indptr, directions.sparse.indices
    of_images: list[list[Indices]] = [[] for _ in range(len(scenes))]
    first = 0
    for _, part in in_parts(scenes):
        matches = tmi.match(part.images, scenes.task.tiles)
        found = (column.tolist() for column in (matches.image, matches.tile, matches.row, matches.col))
        for image, tile, row, col in zip(*found, strict=True):
            if scenes.task.tile_class[tile] == part.labels[image]:
                number = feature[(tile, row, col)[: len(columns)]]
                neurons = used[starts[number] : starts[number + 1]]
                place = (neurons * shape[1] + row) * shape[2] + col if directions.by_place else neurons
                of_images[first + image].append(place)
        first += len(part)
    return [np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64) for parts in of_images]


def _sizes(sets: list[ResponsibleSets], classes: int) -> dict[str, float]:
    """Return the means over the images that every ablation is compared by."""
    sizes = {
        "sufficient_logit": np.mean([len(found.logit) for found in sets]),
        "active": np.mean([found.active for found in sets]),
    }
    predicted = [found for found in sets if found.prediction is not None]
    if classes > 1 and predicted:
        sizes["sufficient"] = np.mean([len(found.prediction) for found in predicted if found.prediction is not None])
        sizes["necessary"] = np.mean([found.necessary for found in predicted])
        critical = [found.critical for found in predicted if found.critical >= 0]
        if critical:
            sizes["critical"] = np.mean(critical)
    return {name: float(size) for name, size in sizes.items()}


def _add_sets(result: ResultBuilder, layer: str, neurons: int, sets: list[ResponsibleSets], classes: int) -> None:
    """Add the sizes of the sets: means over the images, and arrays by image and by neuron."""
    for name, mean in _sizes(sets, classes).items():
        result.add(f"{name}.{layer}", mean)
    predicted = [found for found in sets if found.prediction is not None]
    sizes = np.array([-1 if found.prediction is None else len(found.prediction) for found in sets])
    if classes == 1:
        result.cannot_fail("sufficient, random_keeps, critical, necessary, proven", ONE_CLASS)
    elif predicted:
        active = np.array([found.active for found in predicted])
        result.add(f"sufficient_share.{layer}", (sizes[sizes >= 0] / np.maximum(active, 1)).mean())
        result.add(f"random_keeps.{layer}", np.mean([found.random_keeps for found in predicted]))
        result.add(f"proven.{layer}", np.mean([found.proven for found in predicted]))
        without = sum(found.critical < 0 for found in predicted)
        if without:
            result.notes.append(f"critical: {without} images are left out, whose prediction no ablation found changes")
    if len(predicted) < len(sets):
        result.notes.append(f"{len(sets) - len(predicted)} of {len(sets)} images have no single prediction to keep")
    often = np.zeros(neurons)
    for found in sets:
        often[found.logit] += 1 / len(sets)
    result.arrays |= {
        "sufficient": ("image", sizes),
        "sufficient_logit": ("image", np.array([len(found.logit) for found in sets])),
        "critical": ("image", np.array([found.critical for found in sets])),
        "active": ("image", np.array([found.active for found in sets])),
        f"responsible.{layer}": (f"neuron.{layer}", often.astype(np.float32)),
    }


def _add_rates(result: ResultBuilder, layer: str, neurons: int, sets: list[ResponsibleSets], known: list[Indices]) -> None:
    """Add true and false positive rates, means over the images; on every labelled image some neuron is right."""
    tpr, fpr, chance = [], [], []
    for found, right in zip(sets, known, strict=True):
        hits = len(np.intersect1d(found.logit, right))
        chance.append(len(found.logit) / neurons)
        if len(right):
            tpr.append(hits / len(right))
        if len(right) < neurons:
            fpr.append((len(found.logit) - hits) / (neurons - len(right)))
    for name, rates, oracle in (("tpr", tpr, 1.0), ("fpr", fpr, 0.0)):
        if rates:
            result.add(f"{name}.{layer}", np.mean(rates), chance=np.mean(chance), oracle=oracle)
