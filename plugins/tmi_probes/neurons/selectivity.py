"""The selectivity panel: what single neurons say about the class, by the measures in common use.

Such measures can mislead (Gale et al. 2019), so there are several, each beside chance, the untrained network and an oracle. Which
of them follow how many tiles share a neuron is checked where that is set by construction, in suite ``dial``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.monosemanticity import scaled_to_one, score_of_scaled, tile_purity
from ..measures.recovery import varies
from ..measures.selectivity import (
    auc_of_ranks,
    class_selectivity,
    classes_fired,
    classes_relative,
    firing_curve,
    group_means,
    mutual_information,
    one_hot,
    ranks_of,
    shares_above,
)
from ..pipeline.features import feature_of_neurons, features
from ..pipeline.layer_scores import DRAWS, LayerScore, Measured, score_layers
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled, pictures
from ..pipeline.units import Units, units_of_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


INFO = {
    "class_selectivity": tmi.MetricInfo(
        "(μ_max − μ_rest)/(μ_max + μ_rest) of class means, mean over live neurons (Morcos et al. 2018)", "higher", 0, 1
    ),
    "auc": tmi.MetricInfo("Best one-against-rest ROC AUC over the classes, mean over live neurons", "higher", 0, 1),
    "mutual_information": tmi.MetricInfo(
        "Mutual information of 'is active' with the label, mean over live neurons", "higher", 0, None, "nat"
    ),
    "label_entropy": tmi.MetricInfo("Entropy of the labels, which no mutual information exceeds", None, 0, None, "nat"),
    "classes_per_neuron": tmi.MetricInfo(
        "Classes on over half of whose images a live neuron is above half its maximum, mean; shares as set", None, 0
    ),
    "classes_relative": tmi.MetricInfo(
        "Classes on whose images a live neuron is above half its maximum more than half as often as on those of its best class, "
        "mean; shares as set",
        "lower",
        1,
    ),
    "monosemantic": tmi.MetricInfo("Share of live neurons for which that is one class", "higher", 0, 1),
    "monosemanticity_score": tmi.MetricInfo(
        "Σ ã_i ã_j cos(e_i, e_j) / Σ ã_i ã_j over pairs of images, e = one-hot tile and class, mean over live neurons",
        "higher",
        0,
        1,
    ),
    "live": tmi.MetricInfo("Share of the examined neurons that are not 0 on some image, and finite on all", None, 0, 1),
    "tile_purity": tmi.MetricInfo(
        "Largest share of a neuron's mean activation that one tile has, mean over live neurons", "higher", 0, 1
    ),
    "known_tile": tmi.MetricInfo(
        "Share of live neurons whose purest tile is the one that they are known to stand for", "higher", 0, 1
    ),
}
MEASURES = (
    "class_selectivity",
    "auc",
    "mutual_information",
    "classes_per_neuron",
    "classes_relative",
    "monosemanticity_score",
    "tile_purity",
)
"""The panel. For all but the numbers of classes, more is more selective."""

HEIGHTS = tuple(i / 10 for i in range(10))
"""Shares of a neuron's maximum, for the curve of the classes that a neuron fires for."""

SHARES = HEIGHTS
"""Shares of a class's images, for the same curve; more than 0 is "on any one image"."""


def selectivity(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 500,
    neurons: Count = 2000,
    height: Share = 0.5,
    firing: Share = 0.5,
) -> tmi.ProbeResult:
    """How much single neurons say about the class, in every layer but the logits.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    neurons : int
        How many neurons of a layer to examine; a larger layer is sampled without replacement.
    height : float
        A neuron counts as firing on an image if it is above this share of its maximum.
    firing : float
        It fires for a class if it does so on more than this share of the class's images.

    Returns
    -------
    ProbeResult
        For each layer, over the neurons that are active (not 0) on some image and finite on all: ``class_selectivity``, ``auc``,
        ``mutual_information``, ``classes_per_neuron``, ``classes_relative``, ``monosemantic``, ``monosemanticity_score``,
        ``tile_purity``, and the share ``live``; ``label_entropy``. Each measure of the panel, as ``auc.<layer>``, has controls:
        ``.chance``, its mean over 20 shuffles of the images, with ``.chance.low`` and ``.chance.high``, which hold 95 % of them;
        ``.untrained``, its value for the same neurons before training; ``.oracle``, its value for neurons that respond to one
        tile each, at any place. Arrays of the same names for each examined neuron, NaN where a measure is not defined, and
        ``neuron_index.<layer>``. ``firing_curve.<layer>`` (height, firing) is the number of classes a live neuron fires for by
        both thresholds, mean over neurons, and ``firing_curve_chance.<layer>`` the same on shuffled images.

        A neuron that sees a part of the image only, as those of Theorem 1, fires on few images of any class, and by
        ``classes_per_neuron`` for none; ``classes_relative`` and ``monosemantic`` compare with the neuron's best class.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    shown = Shown(scenes.labels.numpy(), scenes.tile.numpy())
    share = np.bincount(shown.label) / len(shown.label)
    share = share[share > 0]
    result = ResultBuilder(INFO)
    if len(network.layers) == 1:
        result.notes.append("the network names no layer but the logits")
        result.add("label_entropy", max(0.0, -(share * np.log(share)).sum()))
        return result.result()
    vacuous = _vacuous(result, shown, pictures(scenes))
    result.add("label_entropy", max(0.0, -(share * np.log(share)).sum()))
    result.coords |= {"height": list(HEIGHTS), "firing": list(SHARES)}
    best = _means(_Panel(one_hot(shown.tile).T, height, firing).measures(shown), vacuous)

    def read(examined: tmi.Network, notes: list[str]) -> Iterator[tuple[str, Units]]:
        return units_of_layers(examined, scenes, network.layers[:-1], neurons, np.random.default_rng(seed), notes)

    def scoring(layer: str, units: Units, collected: ResultBuilder) -> _LayerPanel | None:
        live = _live(layer, units, collected)
        if not live.any():
            return None
        values = _without_rounding(units.activations[:, live])
        table = network.neurons(layer)
        if table is not None and "tile" in table and "known_tile" not in vacuous:
            known = feature_of_neurons(table, features(scenes, "tile"), data.task)[units.index[live]]
            collected.add(f"known_tile.{layer}", (group_means(np.abs(values), shown.tile).argmax(0) == known).mean())
        return _LayerPanel(layer, _Panel(values, height, firing), live, best, vacuous, collected)

    score_layers(result, network, read, scoring, {"": shown}, seed=seed)
    return result.result()


@dataclass(frozen=True, eq=False)
class Shown:
    """The class and the tile that each of N images shows, int64 (N,) both."""

    label: NDArray[np.int64]
    tile: NDArray[np.int64]

    def shuffled(self, rng: np.random.Generator) -> Shown:
        """Return the same for the images in random order."""
        order = rng.permutation(len(self.label))
        return Shown(self.label[order], self.tile[order])


class _Panel:
    """The measures of some neurons, float64 (N, neurons): what does not depend on what the images show is computed once."""

    def __init__(self, values: Array, height: float, firing: float) -> None:
        self.values, self._height, self._firing = values, height, firing
        self._active, self._ranks, self._scaled = values != 0, ranks_of(values), scaled_to_one(values)

    def measures(self, shown: Shown) -> dict[str, Array]:
        """Return every measure of the panel for every neuron, NaN where it is not defined."""
        shares = shares_above(self.values, shown.label, self._height)
        found = (
            class_selectivity(self.values, shown.label),
            auc_of_ranks(self._ranks, shown.label).max(0, initial=-np.inf),
            mutual_information(self._active, shown.label),
            classes_fired(shares, self._firing),
            classes_relative(shares, self._firing),
            score_of_scaled(self._scaled, shown.label, shown.tile),
            tile_purity(self.values, shown.tile),
        )
        return {name: np.where(np.isfinite(value), value, np.nan) for name, value in zip(MEASURES, found, strict=True)}


class _LayerPanel(LayerScore[Shown]):
    """The panel of a layer's live neurons: its means, and arrays of all that are examined."""

    def __init__(
        self,
        layer: str,
        measured: _Panel,
        live: NDArray[np.bool_],
        oracle: Mapping[str, float],
        vacuous: set[str],
        collected: ResultBuilder,
    ) -> None:
        self._layer, self._panel, self._live, self._vacuous = layer, measured, live, vacuous
        self._oracle, self._notes = oracle, collected.notes

    def measured(self, truth: Shown) -> Measured:
        """Return the means with the arrays of every examined neuron."""
        found = self._panel.measures(truth)
        arrays: dict[str, Any] = {}
        for name, of_neurons in found.items():
            every = np.full(len(self._live), np.nan)
            every[self._live] = of_neurons
            arrays[name] = (f"neuron.{self._layer}", every)
            undefined = int(np.isnan(of_neurons).sum())
            if undefined:
                self._notes.append(
                    f"{name}.{self._layer}: not defined for {undefined} of {len(of_neurons)} live neurons, left out"
                )
        rng = np.random.default_rng(0)
        shuffles = [rng.permutation(truth.label) for _ in range(DRAWS)]
        own, by_chance = firing_curve(self._panel.values, truth.label, HEIGHTS, SHARES, shuffles)
        arrays |= {"firing_curve": (("height", "firing"), own), "firing_curve_chance": (("height", "firing"), by_chance)}
        return Measured(_means(found, self._vacuous), self._oracle, arrays)

    def by_chance(self, shuffled: Shown) -> Mapping[str, float]:
        """Return the means on shuffled images."""
        return _means(self._panel.measures(shuffled), self._vacuous)


def _means(found: Mapping[str, Array], vacuous: set[str]) -> dict[str, float]:
    """Return the mean of each measure over the neurons for which it is defined; those never defined or vacuous are left out."""
    means = {name: float(values[~np.isnan(values)].mean()) for name, values in found.items() if not np.isnan(values).all()}
    classes = found["classes_relative"]
    if "classes_relative" in means:
        means["monosemantic"] = float((classes == 1).mean())
    return {name: mean for name, mean in means.items() if name not in vacuous}


def _live(layer: str, units: Units, collected: ResultBuilder) -> NDArray[np.bool_]:
    """Return which examined neurons are not 0 on all images and finite on all; add their share, and notes on the others."""
    live: NDArray[np.bool_] = (units.activations != 0).any(0)
    if not live.all():
        collected.notes.append(f"{layer}: {int((~live).sum())} of {len(live)} examined neurons are 0 on all images and left out")
    defined = np.isfinite(units.activations).all(0)
    if not defined.all():
        collected.notes.append(
            f"{layer}: {int((~defined).sum())} of {len(live)} examined neurons are left out: NaN or infinite somewhere"
        )
        live &= defined
    axis = f"neuron.{layer}"
    collected.arrays |= {f"neuron_index.{layer}": (axis, units.index), f"is_live.{layer}": (axis, live)}
    collected.add(f"live.{layer}", live.mean())
    return live


def _vacuous(result: ResultBuilder, shown: Shown, picture: NDArray[np.int64]) -> set[str]:
    """Return the measures that cannot fail on images of these labels, tiles and numbers of pictures, and note them."""
    classes, tiles, different = (len(np.unique(seen)) for seen in (shown.label, shown.tile, picture))
    about_class = "class_selectivity", "auc", "mutual_information", "classes_per_neuron", "classes_relative", "monosemantic"
    one_tile = "the images have no tiles" if (shown.tile < 0).all() else "all images show one tile"
    cases = (
        (classes == 1, about_class, "all images show one class"),
        (tiles == 1, ("monosemanticity_score", "tile_purity", "known_tile"), one_tile),
        (different == 2, ("monosemanticity_score",), "there are two different images"),
        (classes > 1 and different == classes, ("auc",), "all images of a class are equal"),
    )
    names: set[str] = set()
    for holds, alike, reason in cases:
        if holds:
            result.cannot_fail(", ".join(alike), reason)
            names.update(alike)
    return names


def _without_rounding(activations: NDArray[Any]) -> Array:
    """Return the activations in float64, constant where they vary by rounding alone: ranks would see the difference."""
    values = activations.astype(np.float64)
    still = ~varies(activations) & np.isfinite(values).all(0)
    values[:, still] = values[0, still]
    return values
