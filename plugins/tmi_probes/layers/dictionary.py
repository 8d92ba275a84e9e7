"""Dictionaries: whether directions of a layer are monosemantic where its single units are not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count, Positive
from tmi.runtime.seeds import fixed_seed

from ..measures.recovery import varies
from ..measures.recovery_metrics import RecoveryScore
from ..pipeline.designs import Sample, sampled
from ..pipeline.features import KINDS, Features, Kind
from ..pipeline.layer_scores import DRAWS, add_scores, add_untrained
from ..pipeline.result import ResultBuilder, each_once
from ..pipeline.samples import Maps, Samples, samples_of
from ..pipeline.scenes import labelled
from ..pipeline.units import inner_layer
from .dictionary_fits import METHODS, Fit, Method, fitted_by
from .dictionary_methods import EITHER_SIGN, ONE_FIT, Dictionary, explained_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MOST_METHODS: list[Method] = [method for method in METHODS if method not in ("batch-top-k", "neurons")]
SCORES = ("mcc", "uniqueness", "f1")
INFO = {
    "mcc": tmi.MetricInfo(
        "Mean |correlation| of the features with codes, matched one to one (Kuhn 1955); an unmatched feature counts 0",
        "higher",
        0,
        1,
    ),
    "uniqueness": tmi.MetricInfo("Distinct best features, by |correlation|, a code that varies", "higher", 0, 1),
    "f1": tmi.MetricInfo("Best F1 of a code over features and thresholds, mean over codes that vary", "higher", 0, 1),
    "spread": tmi.MetricInfo("Largest less least mcc over the fits, which differ in their random start", "lower", 0, 1),
    "explained": tmi.MetricInfo("Share of the test activations' variance that the dictionary restores", "higher", None, 1),
    "codes": tmi.MetricInfo("Codes that vary on the test images", None, 0),
    "active": tmi.MetricInfo("Codes that are not 0 on a test sample, mean (L0)", "lower", 0),
    "dead": tmi.MetricInfo("Share of codes that are 0 on every test sample", None, 0, 1),
    "features": tmi.MetricInfo("Features that occur in the test samples", None, 1),
}


def dictionary(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    layer: str | None = None,
    methods: list[Method] = MOST_METHODS,
    atoms: Count = 128,
    active: list[Count] = [4, 1, 16],  # noqa: B006
    penalties: list[Positive] = [0.1, 0.3, 0.6],  # noqa: B006
    fits: Count = 3,
    steps: Count = 1000,
    maps: Maps = "places",
    places: Count = 2,
    sample: Sample = "design",
    images: Count = 1000,
    train_images: Count = 2000,
    neurons: Count = 500,
) -> tmi.ProbeResult:
    """Fit dictionaries to a layer, and compare their codes with its units as detectors of the exact features.

    A dictionary is fitted on the training images; units and codes are scored on test images by the measures of
    ``unit-recovery``. What a score is worth is shown by trivial codes: ``k-means``, one code a sample; ``pca`` and ``ica``;
    ``random``, random directions with as few active codes; ``projections``, as many random directions, rectified; and by
    ``supervised``, one direction a feature, fitted to the truth on the training images by ridge regression.

    Parameters
    ----------
    layer : str, optional
        By default the last one before the logits.
    methods : list of str
        Sparse autoencoders ``top-k``, ``batch-top-k``, ``l1``, ``gated`` and ``jump-relu``; ``nmf``, ``dictionary-learning``,
        ``k-means``, ``ica`` and ``pca`` of scikit-learn; ``random``, random directions, and ``neurons``, the units themselves,
        both with codes by orthogonal matching pursuit. See `tmi_probes.layers.dictionary_fits`.
    atoms : int
        How many atoms a dictionary has. PCA and ICA have as many as the layer has dimensions at most.
    active : list of int
        Active codes of ``top-k`` and ``batch-top-k``. At the first, methods are compared: of each, the strength is reported whose
        mean number of active codes is nearest to it. Orthogonal matching pursuit takes the first.
    penalties : list of float
        Penalties of ``l1``, ``gated`` and ``dictionary-learning``, a tenth of them for ``jump-relu``, for activations scaled to a
        mean square norm of 1.
    fits : int
        Fits of each method, which differ in their random start.
    steps : int
        Training steps of an autoencoder, on 128 samples each.
    maps : {"places", "mean"}
        Of a convolution's maps: each place's channels are a sample and the tile that covers the place its feature, or the maps'
        means over all places are one sample an image.
    places : int
        How many places of a map are drawn from an image.
    sample : {"design", "test"}
        Test scenes by design, every tile at each of some places on several backgrounds, or the first test scenes, in which a tile
        at a place may occur once.
    images : int
        How many test images at most.
    train_images : int
        How many training images: the first ones.
    neurons : int
        How many units are used; of a layer where more vary so many are drawn without replacement.

    Returns
    -------
    ProbeResult
        For ``units``, each method, ``projections`` and ``supervised`` the metrics ``mcc.<kind>.<codes>``,
        ``uniqueness.<kind>.<codes>`` and ``f1.<kind>.<codes>``, means over the fits, kind being tile, tile-place or class, with
        ``.chance`` (samples shuffled 20 times, the first fit), ``.untrained`` (units and codes of the network before training,
        the same methods with one fit) and ``.oracle`` (the most that as many codes can score); ``spread.<kind>.<method>`` over
        the fits; ``codes.<codes>``, ``active.<codes>``, and for dictionaries ``explained.<codes>`` and ``dead.<codes>``. Arrays
        ``by_fit.<method>`` (measure, strength, fit), from which active codes can be drawn against any measure; ``atoms.<method>``
        (atom, unit), ``matched.<kind>.<codes>`` for each feature, ``correlation.<kind>.<codes>`` and
        ``best_feature.<kind>.<codes>`` for each code of the first fit, and ``neuron_index``. Not applicable to a network without
        a layer before the logits, or to a layer without a unit that varies.

    Raises
    ------
    InputError
        If no scene shows a tile, the layer gives the logits, or a method or a strength is named twice or there is none.
    UnknownNameError
        For a layer that the network does not have.
    """
    for name, values in (("methods", methods), ("active", active), ("penalties", penalties)):
        each_once(name, [str(value) for value in values])
    result = ResultBuilder(INFO)
    train, test = labelled(data.train, train_images), sampled(data.test, sample, images, seed, result.notes)
    chosen = inner_layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    seeds = [int(s) for s in np.random.default_rng(seed).integers(0, 2**31, fits)]
    how = Fit(atoms, active, penalties, True, steps, seeds, False)

    def measure(examined: tmi.Network, collected: ResultBuilder, draws: int = 0) -> str | None:
        fitted, shown = (samples_of(examined, chosen, scenes, maps, places, seed + i) for i, scenes in enumerate((train, test)))
        drawn = _drawn(chosen, fitted, shown, neurons, seed, collected)
        if isinstance(drawn, str):
            return drawn
        _score(collected, drawn, methods, how if draws else replace(how, seeds=seeds[:1]), seed, draws)
        return None

    reason = measure(network, result, DRAWS)
    if reason is not None:
        return tmi.ProbeResult.not_applicable(reason)
    add_untrained(result, network, lambda before, collected: measure(before, collected, 0))
    return result.result()


@dataclass(frozen=True, eq=False)
class Drawn:
    """Samples x to fit on and y to score on, scaled to a mean square norm of 1, and what they show."""

    x: Array
    y: Array
    fitted: Samples
    shown: Samples


def _drawn(layer: str, fitted: Samples, shown: Samples, neurons: int, seed: int, result: ResultBuilder) -> Drawn | str:
    """Return the samples, or why there are none."""
    varying = np.flatnonzero(varies(fitted.values) & np.isfinite(shown.values).all(0))
    if not len(varying):
        return f"no unit of layer {layer} varies on the training images and is finite on the test images"
    count, units = fitted.values.shape
    what = "places, each with its channels" if fitted.by_place else "images"
    result.notes.append(f"{layer}: fitted on {count} samples ({what}) of {units} units; {len(varying)} vary")
    if not fitted.in_float64:
        result.notes.append(
            f"{layer}: computed in the network's dtype, for it does not run in float64; fits amplify its rounding"
        )
    if len(varying) > neurons:
        result.notes.append(f"{layer}: {neurons} of {len(varying)} units that vary are used, drawn at random")
        varying = np.sort(np.random.default_rng(seed).permutation(varying)[:neurons])
    x, y = fitted.values[:, varying], shown.values[:, varying]
    scale = np.sqrt(np.square(x, dtype=np.float64).sum(1).mean())
    result.arrays["neuron_index"] = ("unit", varying)
    return Drawn((x / scale).astype(np.float32), (y / scale).astype(np.float32), fitted, shown)


def _score(result: ResultBuilder, drawn: Drawn, methods: list[Method], how: Fit, seed: int, draws: int) -> None:
    """Fit the methods, and add what units and codes score against each kind of feature."""
    present: dict[Kind, Features] = {}
    for kind in KINDS:
        if kind not in drawn.shown.identity:
            why = "a sample is a place of a map already" if drawn.shown.by_place else "the images have no tiles"
            result.notes.append(f"{kind}: left out, for {why}")
            continue
        of_kind = drawn.shown.features(kind)
        result.add(f"features.{kind}", len(of_kind))
        if len(of_kind) < 2:
            result.cannot_fail(kind, f"all samples show one {kind}")
        else:
            present[kind] = of_kind
    directions = np.random.default_rng(seed).standard_normal((drawn.y.shape[1], how.atoms), np.float32)
    for name, values in (("units", drawn.y), ("projections", np.maximum(drawn.y @ directions, 0))):
        _add_codes(result, name, [values], present, seed, draws)
    for method in methods:
        if method == "nmf" and min(drawn.x.min(), drawn.y.min()) < 0:
            result.notes.append("nmf: left out, for some activations are negative")
            continue
        with fixed_seed(how.seeds[0]):  # scikit-learn's Lasso draws from NumPy's global state
            strengths, found = fitted_by(method, drawn.x, drawn.y, how)
        _add_method(result, method, strengths, found, drawn.y, present, how.active[0], seed, draws)
    for kind, of_kind in present.items():
        _add_codes(result, "supervised", [_supervised(drawn, of_kind)], {kind: of_kind}, seed, draws)


def _add_method(
    result: ResultBuilder,
    method: Method,
    strengths: list[float],
    found: list[list[Dictionary]],
    y: Array,
    present: dict[Kind, Features],
    wanted: int,
    seed: int,
    draws: int,
) -> None:
    """Add the metrics of a method at the strength with nearly as many active codes as wanted, and the table of all."""
    names = [f"{score}.{kind}" for kind in present for score in SCORES] + ["active", "explained", "dead"]
    table = np.full((len(names), len(found), len(found[0])), np.nan)
    moves = bool(np.ptp(y, axis=0).any())
    for i, of_strength in enumerate(found):
        for j, fit in enumerate(of_strength):
            table[-3, i, j] = (fit.codes != 0).sum(1).mean()
            table[-2, i, j] = explained_variance(y, fit.restored) if moves else np.nan
            table[-1, i, j] = (fit.codes == 0).all(0).mean()
    main = int(np.abs(table[-3].mean(1) - wanted).argmin())
    for i, of_strength in enumerate(found):
        scores = [RecoveryScore(fit.codes[:, varies(fit.codes)], seed) for fit in of_strength]
        for place, (kind, score) in enumerate((kind, score) for kind in present for score in SCORES):
            table[place, i] = [s.measured(present[kind]).metrics.get(score, np.nan) for s in scores]
    best = found[main]
    _add_codes(result, method, [fit.codes for fit in best], present, seed, draws)
    for kind in present:
        of_fits = table[names.index(f"mcc.{kind}"), main]
        if method not in ONE_FIT and len(best) > 1 and np.isfinite(of_fits).all():
            result.add(f"spread.{kind}.{method}", np.ptp(of_fits))
    result.add(f"dead.{method}", table[-1, main].mean())
    if not moves:
        result.cannot_fail(f"explained.{method}", "the test samples do not vary")
    elif len(np.unique(y.round(4), axis=0)) <= len(best[0].atoms) + 1:
        result.cannot_fail(f"explained.{method}", "there are atoms for all of the few different samples")
    elif method in EITHER_SIGN and len(best[0].atoms) >= y.shape[1]:
        result.cannot_fail(f"explained.{method}", "as many components as units restore everything")
    else:
        result.add(f"explained.{method}", table[-2, main].mean())
    if strengths:
        result.coords[f"strength.{method}"] = strengths
    result.coords["measure"] = names
    result.arrays |= {
        f"by_fit.{method}": (("measure", f"strength.{method}", f"fit.{method}"), table),
        f"atoms.{method}": ((f"atom.{method}", "unit"), best[0].atoms),
    }


def _add_codes(
    result: ResultBuilder, name: str, codes: list[Array], present: dict[Kind, Features], seed: int, draws: int
) -> None:
    """Add what the codes of several fits score, as means; chance and arrays are those of the first."""
    moving = [values[:, varies(values)] for values in codes]
    scores = [RecoveryScore(values, seed) for values in moving]
    for kind, of_kind in present.items():
        add_scores(result, f"{kind}.{name}", scores[0], of_kind, np.random.default_rng(seed), draws)
        first = scores[0].last
        measured = [score.measured(of_kind).metrics for score in scores]
        for metric in measured[0]:
            result.add(f"{metric}.{kind}.{name}", np.mean([of_fit.get(metric, np.nan) for of_fit in measured]))
        result.arrays |= {
            f"matched.{kind}.{name}": (f"feature.{kind}", first.matched),
            f"correlation.{kind}.{name}": (f"code.{kind}.{name}", first.best),
            f"best_feature.{kind}.{name}": (f"code.{kind}.{name}", first.best_feature),
        }
    if name != "supervised":
        result.add(f"codes.{name}", np.mean([values.shape[1] for values in moving]))
        result.add(f"active.{name}", np.mean([(values != 0).sum(1).mean() for values in codes]))


def _supervised(drawn: Drawn, present: Features) -> Array:
    """Return one linear score a feature of the test samples; constant for one that the training samples do not show."""
    from sklearn.linear_model import Ridge

    number = {tuple(identity): i for i, identity in enumerate(present.identity.tolist())}
    target = np.zeros((len(drawn.x), len(present)), np.float32)
    for row, identity in enumerate(drawn.fitted.identity[present.kind].tolist()):
        if tuple(identity) in number:
            target[row, number[tuple(identity)]] = 1
    scores: Array = np.asarray(Ridge(alpha=0.01).fit(drawn.x, target).predict(drawn.y), np.float32).reshape(len(drawn.y), -1)
    return np.where(target.any(0), scores, 0)
