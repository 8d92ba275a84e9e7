"""Dictionaries: whether directions of a layer are monosemantic where its single units are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.params import Count, Positive
from tmi.runtime.seeds import fixed_seed

from ..measures.recovery import varies
from ..measures.recovery_metrics import add_recovery
from ..pipeline.features import KINDS, Features
from ..pipeline.result import ResultBuilder, each_once
from ..pipeline.samples import Maps, Samples, samples_of
from ..pipeline.scenes import labelled
from ..pipeline.units import inner_layer
from .dictionary_methods import Dictionary, dictionary_learning, explained_variance, nmf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Method = Literal["nmf", "dictionary-learning", "sparse-autoencoder"]
ALL_METHODS: list[Method] = ["nmf", "dictionary-learning", "sparse-autoencoder"]
INFO = {
    "mcc": tmi.MetricInfo(
        "Mean |correlation| of the features with codes, matched one to one (Kuhn 1955); an unmatched feature counts 0",
        "higher",
        0,
        1,
    ),
    "uniqueness": tmi.MetricInfo("Distinct best features, by |correlation|, a code that varies", "higher", 0, 1),
    "f1": tmi.MetricInfo("Best F1 of a code over features and thresholds, mean over codes that vary", "higher", 0, 1),
    "explained": tmi.MetricInfo("Share of the test activations' variance that the dictionary restores", "higher", None, 1),
    "codes": tmi.MetricInfo("Codes that vary on the test images", None, 0),
    "active": tmi.MetricInfo("Codes that are not 0 on a test sample, mean", "lower", 0),
    "features": tmi.MetricInfo("Features that occur in the test samples", None, 1),
}


def dictionary(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    layer: str | None = None,
    methods: list[Method] = ALL_METHODS,
    atoms: Count = 128,
    active: Count = 4,
    steps: Count = 1500,
    penalty: Positive = 0.05,
    maps: Maps = "places",
    places: Count = 2,
    images: Count = 1000,
    train_images: Count = 4000,
    neurons: Count = 2000,
) -> tmi.ProbeResult:
    """Fit dictionaries to a layer, and compare their codes with its units as detectors of the exact features.

    A dictionary is fitted on the training images; units and codes are scored on test images by the measures of
    ``unit-recovery``. Two more sets of codes show what a score is worth: ``random``, as many random directions, rectified, and
    ``supervised``, one direction a feature, fitted to the truth on the training images by ridge regression.

    Parameters
    ----------
    layer : str, optional
        By default the last one before the logits.
    methods : list of {"nmf", "dictionary-learning", "sparse-autoencoder"}
        Non-negative matrix factorisation and dictionary learning with non-negative codes by scikit-learn; an autoencoder with few
        active codes (top-k, weights not tied).
    atoms : int
        How many atoms a dictionary has.
    active : int
        How many codes of the autoencoder may be active at a time.
    steps : int
        Training steps of the autoencoder, on 256 samples each.
    penalty : float
        Weight of the codes' L1 norm in dictionary learning, for activations scaled to a mean square norm of 1.
    maps : {"places", "mean"}
        Of a convolution's maps: each place's channels are a sample and the tile that covers the place its feature, or the maps'
        means over all places are one sample an image.
    places : int
        How many places of a map are drawn from an image.
    images : int
        How many test images: the first ones.
    train_images : int
        How many training images: the first ones.
    neurons : int
        How many units are used; of a layer where more vary so many are drawn without replacement.

    Returns
    -------
    ProbeResult
        For ``units``, each method, ``random`` and ``supervised`` the metrics ``mcc.<kind>.<codes>``,
        ``uniqueness.<kind>.<codes>`` and ``f1.<kind>.<codes>``, kind being tile, tile-place or class, with ``.chance`` (samples
        shuffled) and ``.oracle`` (the most that as many codes can score); ``codes.<codes>``, ``active.<codes>``, and for
        dictionaries ``explained.<codes>``. Arrays ``atoms.<method>`` (atom, unit), ``matched.<kind>.<codes>`` for each feature,
        ``correlation.<kind>.<codes>`` and ``best_feature.<kind>.<codes>`` for each code, and ``neuron_index``. Not applicable to
        a network without a layer before the logits, or to a layer without a unit that varies.

    Raises
    ------
    InputError
        If no scene shows a tile, the layer gives the logits, or a method is named twice.
    UnknownNameError
        For a layer that the network does not have.
    """
    each_once("methods", methods)
    train, test = labelled(data.train, train_images), labelled(data.test, images)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    fitted = samples_of(network, chosen, train, maps, places, seed)
    shown = samples_of(network, chosen, test, maps, places, seed + 1)
    rng = np.random.default_rng(seed)
    varying = np.flatnonzero(varies(fitted.values) & np.isfinite(shown.values).all(0))
    if not len(varying):
        return tmi.ProbeResult.not_applicable(
            f"no unit of layer {chosen} varies on the training images and is finite on the test images"
        )
    result = ResultBuilder(INFO)
    result.notes.append(_about(chosen, fitted, len(varying)))
    if not fitted.in_float64:
        result.notes.append(
            f"{chosen}: computed in the network's dtype, for it does not run in float64; fits amplify its rounding"
        )
    if len(varying) > neurons:
        result.notes.append(f"{chosen}: {neurons} of {len(varying)} units that vary are used, drawn at random")
        varying = np.sort(rng.permutation(varying)[:neurons])
    x, y = fitted.values[:, varying], shown.values[:, varying]
    scale = np.sqrt(np.square(x, dtype=np.float64).sum(1).mean())
    x, y = (x / scale).astype(np.float32), (y / scale).astype(np.float32)
    result.arrays["neuron_index"] = ("unit", varying)
    codes = {"units": y} | _fitted_codes(result, methods, x, y, Fit(atoms, active, steps, penalty, seed))
    codes["random"] = np.maximum(y @ rng.standard_normal((y.shape[1], atoms), np.float32), 0)
    for kind in KINDS:
        if kind not in shown.identity:
            result.notes.append(f"{kind}: left out, for a sample is a place of a map already")
            continue
        present = shown.features(kind)
        result.add(f"features.{kind}", len(present))
        if len(present) < 2:
            result.cannot_fail(kind, f"all samples show one {kind}")
            continue
        supervised = _supervised(x, fitted, y, present)
        for name, values in (codes | {"supervised": supervised}).items():
            scored = add_recovery(result, f"{kind}.{name}", values[:, varies(values)], present, seed)
            result.arrays |= {
                f"matched.{kind}.{name}": (f"feature.{kind}", scored.matched),
                f"correlation.{kind}.{name}": (f"code.{kind}.{name}", scored.best),
                f"best_feature.{kind}.{name}": (f"code.{kind}.{name}", scored.best_feature),
            }
    for name, values in codes.items():
        result.add(f"codes.{name}", varies(values).sum())
        result.add(f"active.{name}", (values != 0).sum(1).mean())
    return result.result()


def _about(layer: str, fitted: Samples, varying: int) -> str:
    count, units = fitted.values.shape
    what = "places, each with its channels" if fitted.by_place else "images"
    return f"{layer}: fitted on {count} samples ({what}) of {units} units; {varying} vary"


def _fitted_codes(result: ResultBuilder, methods: list[Method], x: Array, y: Array, how: Fit) -> dict[str, Array]:
    """Return the codes of the test samples y by method, fitted on x; add the atoms and the explained variance."""
    codes: dict[str, Array] = {}
    for method in methods:
        if method == "nmf" and min(x.min(), y.min()) < 0:
            result.notes.append("nmf: left out, for some activations are negative")
            continue
        with fixed_seed(how.seed):  # scikit-learn's Lasso draws from NumPy's global state
            codes[method], directions, restored = _FITS[method](x, y, how)
        if np.ptp(y, axis=0).any():
            result.add(f"explained.{method}", explained_variance(y, restored))
        else:
            result.cannot_fail(f"explained.{method}", "the test samples do not vary")
        result.arrays[f"atoms.{method}"] = ((f"atom.{method}", "unit"), directions)
    return codes


def _supervised(x: Array, fitted: Samples, y: Array, present: Features) -> Array:
    """Return one linear score a feature of the test samples; constant for one that the training samples do not show."""
    from sklearn.linear_model import Ridge

    number = {tuple(identity): i for i, identity in enumerate(present.identity.tolist())}
    target = np.zeros((len(x), len(present)), np.float32)
    for row, identity in enumerate(fitted.identity[present.kind].tolist()):
        if tuple(identity) in number:
            target[row, number[tuple(identity)]] = 1
    scores: Array = np.asarray(Ridge(alpha=0.01).fit(x, target).predict(y), np.float32).reshape(len(y), -1)
    return np.where(target.any(0), scores, 0)


@dataclass(frozen=True)
class Fit:
    """How a dictionary is fitted; see the settings of `dictionary`."""

    atoms: int
    active: int
    steps: int
    penalty: float
    seed: int


def _nmf(x: Array, y: Array, how: Fit) -> Dictionary:
    return nmf(x, y, how.atoms, how.seed, start="nndsvda" if how.atoms <= min(x.shape) else "random")


def _dictionary_learning(x: Array, y: Array, how: Fit) -> Dictionary:
    return dictionary_learning(x, y, how.atoms, how.penalty, how.seed, batch=256, epochs=10)


def _sparse_autoencoder(x: Array, y: Array, how: Fit) -> Dictionary:
    from .top_k_autoencoder import TopKAutoencoder

    model = TopKAutoencoder(how.atoms, how.active, how.seed, how.steps).fit(x)
    codes = model.transform(y)
    return Dictionary(codes, model.decoder.numpy(), model.restore(codes))


_FITS: dict[Method, Callable[[Array, Array, Fit], Dictionary]] = {
    "nmf": _nmf,
    "dictionary-learning": _dictionary_learning,
    "sparse-autoencoder": _sparse_autoencoder,
}
