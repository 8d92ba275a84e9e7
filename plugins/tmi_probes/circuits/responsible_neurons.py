"""Responsible neurons: the few that keep a logit or a prediction, and whether they are the ones that should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.sufficient import ROUNDING, breaks_margin, first_prefix, keeps_margins, keeps_value
from ..pipeline.features import own_kind
from ..pipeline.scenes import NO_CLASS, activations_in_parts, described, labelled, logits_of, predictions, sizes_of
from .readout import Linear, inner_layer, linear_form, logits_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

_ELEMENTS = 4_000_000  # activations replaced at a time

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
    ablation: Literal["zero", "mean"] = "zero",
    share: Share = 1.0,
) -> tmi.ProbeResult:
    """How few neurons of a layer keep what the network says, and on constructed networks whether they are the right ones.

    Where the logits are linear in the layer the sets are smallest ones. Elsewhere they are greedy: neurons are taken in the order
    of what ablating each alone takes from the logit, or from the margin over the next class, until they suffice.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    layer : str, optional
        By default the last one before the logits.
    ablation : {"zero", "mean"}
        What an ablated neuron is set to: 0, or its mean over the same images.
    share : float
        How much of the label's logit is to be kept, of what the layer adds to it over the layer with every neuron ablated.

    Returns
    -------
    ProbeResult
        For the layer ``sufficient``, ``sufficient_logit``, ``sufficient_share``, ``random_keeps``, ``critical``, ``necessary``,
        ``active`` and ``proven``; where the neurons are known ``tpr`` and ``fpr`` of the set that keeps the logit, beside
        ``.oracle`` and ``.chance`` (a random set of that size). Arrays of each image's ``sufficient``, ``sufficient_logit``,
        ``critical`` (−1 where nothing is), ``active`` and ``label``, and for each neuron ``responsible``: the share of images
        whose logit it helps to keep.

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
        return tmi.ProbeResult({}, notes="left out, for the network names no layer but the logits")
    size = sizes_of(network, scenes, [chosen])
    ablated = _mean(network, scenes, size) if ablation == "mean" else np.zeros(size[chosen])
    rng = np.random.default_rng(seed)
    label, logits = scenes.labels.numpy(), logits_of(network, scenes)
    table = network.neurons(chosen)
    known = _known(table, scenes) if own_kind(table) == "tile-place" else None
    form, looked, sets = None, False, []
    for rows, activations in activations_in_parts(network, scenes, size):
        values = activations[chosen].astype(np.float64)
        if not looked:
            form, looked = linear_form(network, chosen, values, logits[rows]), True
        for i, one in enumerate(values, rows.start):
            circuit: _Circuit = (
                _Weights(form, one, ablated)
                if form is not None
                else _Ablations(network, chosen, scenes.images[[i]], one, ablated)
            )
            sets.append(circuit.find(int(label[i]), share, rng))
    notes = [] if form is not None else [f"{chosen}: the logits are not linear in it; the sets are greedy, not proven smallest"]
    return _result(chosen, size[chosen], sets, label, known, notes)


@dataclass(frozen=True)
class Found:
    """The sets of one image.

    Attributes
    ----------
    active : int
        Neurons that differ from their ablated value.
    logit : ndarray of int64
        Neurons that keep the label's logit.
    prediction : ndarray of int64 or None
        Neurons that keep the prediction; None where there is none.
    proven : bool
    necessary, random_keeps : bool
        Whether the prediction changes without them; whether as many random ones keep it.
    critical : int
        −1 where no neurons' ablation changes the prediction.
    """

    active: int
    logit: Indices
    prediction: Indices | None = None
    proven: bool = False
    necessary: bool = False
    random_keeps: bool = False
    critical: int = -1


class _Circuit:
    """One image's layer: which neurons differ from their ablated value, and what the network says with some of them."""

    def __init__(self, values: Array, ablated: Array) -> None:
        self.values, self.ablated = values, ablated
        self.neurons = np.flatnonzero(values != ablated)

    def with_only(self, kept: NDArray[np.bool_]) -> Array:
        """Return the logits (K, L) where of the neurons only those marked in (K, n) are not ablated."""
        raise NotImplementedError

    def logit_set(self, label: int, share: float) -> Indices:
        raise NotImplementedError

    def prediction_sets(self, predicted: int) -> tuple[Indices, bool, int]:
        """Return the sufficient set, whether it is proven smallest, and the size of the critical one."""
        raise NotImplementedError

    def find(self, label: int, share: float, rng: np.random.Generator) -> Found:
        n = len(self.neurons)
        logit = self.neurons[self.logit_set(label, share)]
        predicted = int(predictions(self.with_only(np.ones((1, n), bool)))[0])
        drawn = rng.permutation(n)  # always, so that one image's tie does not change the next one's draw
        if predicted == NO_CLASS:
            return Found(n, logit)
        chosen, proven, critical = self.prediction_sets(predicted)
        kept = np.zeros((2, n), bool)
        kept[0] = True
        kept[0, chosen] = False
        kept[1, drawn[: len(chosen)]] = True
        without, random = predictions(self.with_only(kept)) == predicted
        return Found(n, logit, self.neurons[chosen], proven, not without, bool(random), critical)


class _Weights(_Circuit):
    """Logits that are linear in the layer: a neuron's share of them is a product."""

    def __init__(self, form: Linear, values: Array, ablated: Array) -> None:
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


class _Ablations(_Circuit):
    """Any other tail: neurons are ablated one by one, and then in that order."""

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
        """Return the logits of sets 0, 1, …, which are marked a few at a time: as many as neurons, their marks are n² numbers."""
        step = max(1, _ELEMENTS // len(self.values))
        parts = [np.arange(start, min(start + step, count)) for start in range(0, count, step)]
        return np.concatenate([self.with_only(kept(part)) for part in parts] or [np.empty((0, len(self.whole)))])

    def _prefixes(self, order: Indices, kept: bool) -> Array:
        """Return the logits where the first 0, 1, …, n of an order alone are kept, or alone are ablated."""
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return self._of_sets(len(order) + 1, lambda length: (rank < length[:, None]) == kept)

    def logit_set(self, label: int, share: float) -> Indices:
        rise = self.whole[label] - self.none[label]
        if rise <= ROUNDING * (np.abs(self.whole[label]) + np.abs(self.none[label])):
            return np.empty(0, np.int64)
        order = np.argsort(self.without_each[:, label], kind="stable")
        logit = self._prefixes(order, kept=True)[:, label]
        found = first_prefix(order, lambda length: logit[length] >= self.none[label] + (share - ROUNDING) * rise)
        return order if found is None else found

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


def _known(table: Any, scenes: tmi.Scenes) -> list[Indices]:
    """For each image the neurons that φ of its class sums up: those whose window is within ε of their tile."""
    _, m, n = scenes.task.image_shape
    key = (table["tile"].to_numpy(np.int64) * m + table["row"].to_numpy(np.int64)) * n + table["col"].to_numpy(np.int64)
    order = np.argsort(key)
    found = tmi.match(scenes.images, scenes.task.tiles)
    image, tile, row, col = (part.cpu().numpy().astype(np.int64) for part in (found.image, found.tile, found.row, found.col))
    own = np.asarray(scenes.task.tile_class)[tile] == scenes.labels.numpy()[image]
    neuron = order[np.searchsorted(key, (tile * m + row) * n + col, sorter=order)]
    return [neuron[own & (image == i)] for i in range(len(scenes))]


def _result(
    layer: str, neurons: int, sets: list[Found], label: Indices, known: list[Indices] | None, notes: list[str]
) -> tmi.ProbeResult:
    predicted = [one for one in sets if one.prediction is not None]
    metrics: dict[str, Any] = {
        "sufficient_logit": np.mean([len(one.logit) for one in sets]),
        "active": np.mean([one.active for one in sets]),
    }
    if predicted:
        count = np.array([len(one.prediction) for one in predicted if one.prediction is not None])
        active = np.array([one.active for one in predicted])
        critical = np.array([one.critical for one in predicted])
        metrics |= {
            "sufficient": count.mean(),
            "sufficient_share": (count / np.maximum(active, 1)).mean(),
            "random_keeps": np.mean([one.random_keeps for one in predicted]),
            "necessary": np.mean([one.necessary for one in predicted]),
            "proven": np.mean([one.proven for one in predicted]),
        }
        if (critical >= 0).any():
            metrics["critical"] = critical[critical >= 0].mean()
        if (critical < 0).any():
            notes.append(f"critical: {int((critical < 0).sum())} images are left out, whose prediction no ablation found changes")
    if len(predicted) < len(sets):
        notes.append(f"{len(sets) - len(predicted)} of {len(sets)} images have no single prediction to keep")
    metrics = {f"{name}.{layer}": float(value) for name, value in metrics.items()}
    if known is not None:
        metrics |= _rates(layer, neurons, sets, known)
    else:
        notes.append("tpr, fpr: left out, for it is not known which neurons should be responsible")
    often = np.zeros(neurons)
    for one in sets:
        often[one.logit] += 1 / len(sets)
    arrays: dict[str, Any] = {
        "sufficient": (("image",), np.array([-1 if one.prediction is None else len(one.prediction) for one in sets])),
        "sufficient_logit": (("image",), np.array([len(one.logit) for one in sets])),
        "critical": (("image",), np.array([one.critical for one in sets])),
        "active": (("image",), np.array([one.active for one in sets])),
        "label": (("image",), label),
        f"responsible.{layer}": ((f"neuron.{layer}",), often.astype(np.float32)),
    }
    return tmi.ProbeResult(metrics, arrays, {}, described(INFO, metrics), tuple(notes))


def _rates(layer: str, neurons: int, sets: list[Found], known: list[Indices]) -> dict[str, float]:
    """True and false positive rates, mean over images; every labelled image has a neuron that is right."""
    tpr, fpr, chance = [], [], []
    for one, right in zip(sets, known, strict=True):
        hits = len(np.intersect1d(one.logit, right))
        chance.append(len(one.logit) / neurons)
        if len(right):
            tpr.append(hits / len(right))
        if len(right) < neurons:
            fpr.append((len(one.logit) - hits) / (neurons - len(right)))
    rates = {"tpr": (tpr, 1.0), "fpr": (fpr, 0.0)}
    return {
        f"{name}.{layer}{suffix}": float(value)
        for name, (values, oracle) in rates.items()
        if values
        for suffix, value in (("", np.mean(values)), (".chance", np.mean(chance)), (".oracle", oracle))
    }
