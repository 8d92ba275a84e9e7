"""Unit recovery: whether single units are the exact features, one unit a tile, a tile at a place, or a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.recovery import Recovery, recovery, varies
from ..pipeline import features as truth
from ..pipeline.features import KINDS, Features, Kind, own_kind
from ..pipeline.scenes import described, each_once, labelled
from ..pipeline.units import examined

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL_KINDS: list[Kind] = [*KINDS]
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
    features: list[Kind] = ALL_KINDS,
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
        same units score on shuffled images, with ``.oracle`` what as many units can score at most. Arrays for each unit, 0 where
        it is constant: ``f1.<kind>.<layer>``, ``correlation.<kind>.<layer>`` with its ``best_feature.<kind>.<layer>`` (−1
        without one); for each feature the unit that the matching gives it, ``unit.<kind>.<layer>`` (−1 without one), and
        their |correlation| ``matched.<kind>.<layer>``. Of each layer ``own_kind``, the kind that its neurons are known to stand
        for, empty where none is.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the kinds are none or repeated.
    """
    scenes = labelled(data.test, images)
    kinds = chosen_kinds(features, scenes)
    notes: list[str] = []
    rng = np.random.default_rng(seed)
    metrics: dict[str, float] = {f"features.{kind}": len(found) for kind, found in kinds.items()}
    arrays: dict[str, Any] = {}
    for kind, found in kinds.items():
        once = int((found.counts == 1).sum())
        if 2 * once > len(found) > 1:
            notes.append(f"{kind}: {once} of {len(found)} features occur once, so that chance scores high; more images lower it")
    coords = {f"feature.{kind}": found.names(data.task) for kind, found in kinds.items()}
    for layer, units in examined(network, scenes, network.layers, neurons, rng, notes):
        moving = varies(units.activations)
        metrics[f"varying.{layer}"] = moving.mean()
        if not moving.all():
            notes.append(
                f"{layer}: {int((~moving).sum())} of {len(moving)} examined units are constant or not finite, and left out"
            )
        arrays[f"neuron_index.{layer}"] = ((f"neuron.{layer}",), units.index)
        values = units.activations[:, moving]
        for kind, found in kinds.items():
            name = f"{kind}.{layer}"
            scored = recovery(values, found)
            shuffled = recovery(values[rng.permutation(len(values))], found)
            metrics |= _scores(scored, name) | _scores(shuffled, name, ".chance")
            if f"mcc.{name}" in metrics:
                possible = min(len(found), values.shape[1])
                metrics[f"mcc.{name}.oracle"] = possible / len(found)
            if f"uniqueness.{name}" in metrics:
                metrics |= {f"uniqueness.{name}.oracle": possible / values.shape[1], f"f1.{name}.oracle": 1.0}
            else:
                notes.append(f"{name}: no unit varies" if len(found) > 1 else f"{name}: one feature only, which all images show")
            arrays |= _arrays(scored, moving, kind, layer)
    own = [own_kind(network.neurons(layer)) or "" for layer in network.layers]
    arrays["own_kind"] = (("layer",), np.array(own))
    coords["layer"] = list(network.layers)
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), tuple(notes))


def chosen_kinds(kinds: list[Kind], scenes: tmi.Scenes) -> dict[Kind, Features]:
    """Return the features of each kind that is asked for.

    Raises
    ------
    InputError
        If there is no kind, or one twice.
    """
    each_once("features", kinds)
    return {kind: truth.features(scenes, kind) for kind in kinds}


def _scores(scored: Recovery, name: str, suffix: str = "") -> dict[str, float]:
    means = {"mcc": scored.mcc, "uniqueness": scored.uniqueness, "f1": scored.f1.mean() if len(scored.f1) else np.nan}
    if np.isnan(scored.mcc):  # of one feature, which all images show, there is nothing to recover
        return {}
    return {f"{measure}.{name}{suffix}": float(value) for measure, value in means.items() if np.isfinite(value)}


def _arrays(scored: Recovery, moving: NDArray[np.bool_], kind: Kind, layer: str) -> dict[str, Any]:
    """Spread what was found over all examined units: those that do not vary match nothing."""
    f1, best, feature = np.zeros(len(moving)), np.zeros(len(moving)), np.full(len(moving), -1)
    f1[moving], best[moving], feature[moving] = scored.f1, scored.best, scored.best_feature
    unit = np.append(np.flatnonzero(moving), -1)[scored.matched_unit]
    of_unit, of_feature = (f"neuron.{layer}",), (f"feature.{kind}",)
    return {
        f"f1.{kind}.{layer}": (of_unit, f1),
        f"correlation.{kind}.{layer}": (of_unit, best),
        f"best_feature.{kind}.{layer}": (of_unit, feature),
        f"unit.{kind}.{layer}": (of_feature, unit),
        f"matched.{kind}.{layer}": (of_feature, scored.matched),
    }
