"""Unit recovery: whether single units are the exact features, one unit a tile, a tile at a place, or a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.recovery import Recovery, varies
from ..measures.recovery_metrics import RecoveryScore
from ..pipeline.designs import Sample, sampled
from ..pipeline.features import KINDS, Features, Kind, feature_of_neurons, features_of_kinds, own_kind
from ..pipeline.layer_scores import Measured, score_layers
from ..pipeline.result import ResultBuilder
from ..pipeline.units import Units, units_of_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "mcc": tmi.MetricInfo(
        "Mean |correlation| of the features with units, matched one to one (Kuhn 1955); an unmatched feature counts 0",
        "higher",
        0,
        1,
    ),
    "uniqueness": tmi.MetricInfo("Distinct best features, by |correlation|, a unit that varies", "higher", 0, 1),
    "f1": tmi.MetricInfo("Best F1 of a unit over features and thresholds, mean over units that vary", "higher", 0, 1),
    "features": tmi.MetricInfo("Features that occur in the sample", None, 1),
    "varying": tmi.MetricInfo("Share of the examined units that are not constant on the sample", None, 0, 1),
}


def unit_recovery(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    features: list[Kind] = KINDS,
    sample: Sample = "design",
    images: Count = 1000,
    neurons: Count = 20000,
) -> tmi.ProbeResult:
    """How well the units of each layer, the logits included, match the exact features one to one, and each by itself.

    Parameters
    ----------
    features : list of {"tile", "tile-place", "class"}
        The kinds of feature: which tile an image shows, which tile at which place, which class. Only features that occur in the
        sample count.
    sample : {"design", "test"}
        Images by design, so that each tile at a place occurs often: every tile at each of a set of places, on the same ten
        backgrounds of the test scenes, fewer backgrounds where that leaves no two places a tile. Or the first test scenes.
    images : int
        How many images at most.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement, the units that are known to stand for
        a feature of the sample first.

    Returns
    -------
    ProbeResult
        For each kind and layer ``mcc.<kind>.<layer>``, ``uniqueness.<kind>.<layer>`` and ``f1.<kind>.<layer>`` over the units
        that vary on the sample, ``varying.<layer>`` and ``features.<kind>``. Under the same names with ``.chance`` what the
        same units score on average over 20 shuffles of the images, with ``.chance.low`` and ``.chance.high`` the interval that
        holds 95 % of such scores, with ``.untrained`` the score of the network before training, with ``.oracle`` the most that as
        many units can score. Arrays for each unit, 0 where it is constant: ``f1.<kind>.<layer>``, ``correlation.<kind>.<layer>``
        with its ``best_feature.<kind>.<layer>`` (−1 without one); for each feature its unit in the matching,
        ``unit.<kind>.<layer>`` (−1 without one), and their |correlation| ``matched.<kind>.<layer>``. For each layer
        ``own_kind``, the kind of feature that its neurons are known to stand for, empty where it is not known.

    Raises
    ------
    InputError
        If no test scene shows a tile, every image by design shows several classes or none, or the list of kinds is empty or names
        one twice.
    """
    result = ResultBuilder(INFO)
    shown = sampled(data.test, sample, images, seed, result.notes)
    kinds = features_of_kinds(shown, features)
    for kind, present in kinds.items():
        result.add(f"features.{kind}", len(present))
        result.coords[f"feature.{kind}"] = present.names(data.task)
        once = int((present.counts == 1).sum())
        if 2 * once > len(present) > 1:
            result.notes.append(
                f"{kind}: {once} of {len(present)} features occur once, so that chance scores high; more images lower it"
            )

    def read(examined: tmi.Network, notes: list[str]) -> Iterator[tuple[str, Units]]:
        def known(layer: str, _: int) -> NDArray[np.int64]:
            return _known_units(examined, layer, kinds)

        return units_of_layers(examined, shown, network.layers, neurons, np.random.default_rng(seed), notes, known)

    def scoring(layer: str, units: Units, collected: ResultBuilder) -> _UnitScore:
        return _UnitScore(layer, units, collected, seed)

    score_layers(result, network, read, scoring, kinds, seed=seed)
    result.arrays["own_kind"] = ("layer", np.array([own_kind(network.neurons(layer)) or "" for layer in network.layers]))
    result.coords["layer"] = list(network.layers)
    return result.result()


def _known_units(network: tmi.Network, layer: str, kinds: dict[Kind, Features]) -> NDArray[np.int64]:
    """Return the units of a layer that are known to stand for a feature that occurs, ascending."""
    table = network.neurons(layer)
    kind = own_kind(table)
    if table is None or kind not in kinds:
        return np.empty(0, np.int64)
    return np.flatnonzero(feature_of_neurons(table, kinds[kind], network.task) >= 0)


class _UnitScore(RecoveryScore):
    """The recovery of a layer's units that vary, with arrays of all that are examined."""

    def __init__(self, layer: str, units: Units, collected: ResultBuilder, seed: int) -> None:
        self._layer = layer
        self._varying = varies(units.activations)
        super().__init__(units.activations[:, self._varying], seed)
        collected.add(f"varying.{layer}", self._varying.mean())
        collected.arrays[f"neuron_index.{layer}"] = (f"neuron.{layer}", units.index)
        still = int((~self._varying).sum())
        if still:
            collected.notes.append(
                f"{layer}: {still} of {len(units.index)} examined units are constant or not finite, and left out"
                if still < len(units.index)
                else f"{layer}: no unit varies"
            )

    def measured(self, truth: Features) -> Measured:
        """Return the scores with the arrays of every examined unit."""
        found = super().measured(truth)
        return replace(found, arrays=_arrays(self.last, self._varying, truth.kind, self._layer))


def _arrays(scored: Recovery, varying: NDArray[np.bool_], kind: Kind, layer: str) -> dict[str, Any]:
    """Return the scores of all examined units: those that do not vary match nothing."""
    f1, best, feature = np.zeros(len(varying)), np.zeros(len(varying)), np.full(len(varying), -1)
    f1[varying], best[varying], feature[varying] = scored.f1, scored.best, scored.best_feature
    unit = np.append(np.flatnonzero(varying), -1)[scored.matched_unit]
    return {
        "f1": (f"neuron.{layer}", f1),
        "correlation": (f"neuron.{layer}", best),
        "best_feature": (f"neuron.{layer}", feature),
        "unit": (f"feature.{kind}", unit),
        "matched": (f"feature.{kind}", scored.matched),
    }
