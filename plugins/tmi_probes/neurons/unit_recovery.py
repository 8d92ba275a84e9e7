"""Unit recovery: whether single units are the exact features, one unit a tile, a tile at a place, or a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.recovery import Recovery, varies
from ..measures.recovery_metrics import add_recovery
from ..pipeline.features import KINDS, Kind, features_of_kinds, own_kind
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import units_of_layers

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
    images: Count = 1000,
    neurons: Count = 20000,
) -> tmi.ProbeResult:
    """How well the units of each layer, the logits included, match the exact features one to one, and each by itself.

    Parameters
    ----------
    features : list of {"tile", "tile-place", "class"}
        The kinds of feature: which tile an image shows, which tile at which place, which class. Only features that occur in the
        sample count.
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.

    Returns
    -------
    ProbeResult
        For each kind and layer ``mcc.<kind>.<layer>``, ``uniqueness.<kind>.<layer>`` and ``f1.<kind>.<layer>`` over the units
        that vary on the sample, ``varying.<layer>`` and ``features.<kind>``. Under the same names with ``.chance`` what the
        same units score on shuffled images, with ``.oracle`` the most that as many units can score. Arrays for each unit, 0 where
        it is constant: ``f1.<kind>.<layer>``, ``correlation.<kind>.<layer>`` with its ``best_feature.<kind>.<layer>`` (−1
        without one); for each feature its unit in the matching, ``unit.<kind>.<layer>`` (−1 without one), and their
        |correlation| ``matched.<kind>.<layer>``. For each layer ``own_kind``, the kind of feature that its neurons are known to
        stand for, empty where it is not known.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the list of kinds is empty or names one twice.
    """
    scenes = labelled(data.test, images)
    kinds = features_of_kinds(scenes, features)
    result = ResultBuilder(INFO)
    rng = np.random.default_rng(seed)
    for kind, present in kinds.items():
        result.add(f"features.{kind}", len(present))
        result.coords[f"feature.{kind}"] = present.names(data.task)
        once = int((present.counts == 1).sum())
        if 2 * once > len(present) > 1:
            result.notes.append(
                f"{kind}: {once} of {len(present)} features occur once, so that chance scores high; more images lower it"
            )
    for layer, units in units_of_layers(network, scenes, network.layers, neurons, rng, result.notes):
        varying = varies(units.activations)
        result.add(f"varying.{layer}", varying.mean())
        if not varying.all():
            result.notes.append(
                f"{layer}: {int((~varying).sum())} of {len(varying)} examined units are constant or not finite, and left out"
            )
        result.arrays[f"neuron_index.{layer}"] = (f"neuron.{layer}", units.index)
        values = units.activations[:, varying]
        for kind, present in kinds.items():
            scored = add_recovery(result, f"{kind}.{layer}", values, present, rng.permutation(len(values)))
            if not varying.any():
                result.notes.append(f"{kind}.{layer}: no unit varies")
            result.arrays |= _arrays(scored, varying, kind, layer)
    result.arrays["own_kind"] = ("layer", np.array([own_kind(network.neurons(layer)) or "" for layer in network.layers]))
    result.coords["layer"] = list(network.layers)
    return result.result()


def _arrays(scored: Recovery, varying: NDArray[np.bool_], kind: Kind, layer: str) -> dict[str, Any]:
    """Return the scores of all examined units: those that do not vary match nothing."""
    f1, best, feature = np.zeros(len(varying)), np.zeros(len(varying)), np.full(len(varying), -1)
    f1[varying], best[varying], feature[varying] = scored.f1, scored.best, scored.best_feature
    unit = np.append(np.flatnonzero(varying), -1)[scored.matched_unit]
    return {
        f"f1.{kind}.{layer}": (f"neuron.{layer}", f1),
        f"correlation.{kind}.{layer}": (f"neuron.{layer}", best),
        f"best_feature.{kind}.{layer}": (f"neuron.{layer}", feature),
        f"unit.{kind}.{layer}": (f"feature.{kind}", unit),
        f"matched.{kind}.{layer}": (f"feature.{kind}", scored.matched),
    }
