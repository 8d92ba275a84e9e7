"""Direction recovery: whether dictionaries find the directions of a layer that are known to be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, NotNegative, Positive, Share
from tmi.runtime.seeds import fixed_seed

from ..measures.directions import code_recovery, direction_scores, stability
from ..measures.recovery import varies
from ..pipeline.known_samples import KnownSamples, View, added, known_samples, view_of, with_noise
from ..pipeline.layer_scores import DRAWS
from ..pipeline.result import ResultBuilder, each_once
from ..pipeline.units import inner_layer
from .dictionary_fits import METHODS, Fit, Method, fitted_by
from .dictionary_methods import EITHER_SIGN, ONE_FIT, Dictionary, explained_variance, random_directions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MEASURES = ("mmcs", "recovered", "true_atoms", "mcc", "active", "explained")
INFO = {
    "mmcs": tmi.MetricInfo("Largest cosine of a known direction with an atom, mean over directions", "higher", 0, 1),
    "recovered": tmi.MetricInfo("Known directions with an atom at a cosine above 0.9", "higher", 0, 1),
    "true_atoms": tmi.MetricInfo("Atoms in use with a known direction at a cosine above 0.9", "higher", 0, 1),
    "mcc": tmi.MetricInfo(
        "Mean |correlation| of the features' amplitudes with codes, matched one to one (Kuhn 1955)", "higher", 0, 1
    ),
    "active": tmi.MetricInfo("Codes that are not 0 on a test sample, mean; for truth: features that it shows", None, 0),
    "explained": tmi.MetricInfo("Share of the test samples' variance that the dictionary restores", "higher", None, 1),
    "stability": tmi.MetricInfo("Largest cosine of an atom in use with an atom of another fit, mean", "higher", 0, 1),
    "features": tmi.MetricInfo("Features that occur in the samples", None, 1),
    "units": tmi.MetricInfo("Units of a sample, in which the features have their directions", None, 1),
    "coherence": tmi.MetricInfo("Largest |cosine| of two known directions", "lower", 0, 1),
}


def direction_recovery(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    layer: str | None = None,
    methods: list[Method] = METHODS,
    together: Count = 1,
    vary: bool = True,
    noise: NotNegative = 0.0,
    change: Share = 0.9,
    atoms: Count | None = None,
    active: list[Count] | None = None,
    penalties: list[Positive] = [0.1, 0.3, 0.6],  # noqa: B006
    offset: bool = True,
    steps: Count = 1500,
    fits: Count = 3,
    features: Count = 100,
    images: Count = 3000,
    test_images: Count = 1000,
) -> tmi.ProbeResult:
    """Fit dictionaries to a layer whose directions are known, and score their atoms against those directions.

    Samples are activations on images with a tile that is pasted and then changed by a random amount below its ε, so that every
    feature's amplitude varies. What a sample shows is measured by `tmi.match`. Without known directions, as in trained networks,
    what needs no truth about the layer is reported: the last four measures of the list below.

    Parameters
    ----------
    layer : str, optional
        By default the last one with known directions that are not one neuron a feature, else the last one before the logits
        with known directions of tiles, else the last one before the logits.
    methods : list of str
        Sparse autoencoders ``top-k``, ``batch-top-k``, ``l1``, ``gated`` and ``jump-relu``; ``nmf``, ``dictionary-learning``,
        ``k-means``, ``ica`` and ``pca`` of scikit-learn; and as controls ``random``, random directions, and ``neurons``, the
        units themselves, both with codes by orthogonal matching pursuit.
    together : int
        How many images' activations are added to one sample on average, so that as many features are active in it. Of a map
        summed over its places this is the sample of one larger image with as many tiles. Of other layers it is no activation of
        the network.
    vary : bool
        Whether the number of images that are added is drawn for each sample, from 1 to 2 · together − 1. Otherwise every sample
        has ``together``, and dictionaries with an offset can take the mean of so many features for it.
    noise : float
        Gaussian noise that is added to the samples, relative: its mean norm over theirs, both quadratic.
    change : float
        Tiles are changed by u·ε in sum of all pixels, u uniform from 0 to this.
    atoms : int, optional
        By default twice as many as the samples show features. PCA, ICA and ``neurons`` have as many as the layer has dimensions
        at most.
    active : list of int, optional
        Active codes of ``top-k`` and ``batch-top-k``; by default the features that a sample shows on average, and twice as many.
        Orthogonal matching pursuit takes the first.
    penalties : list of float
        Penalties of ``l1``, ``gated`` and ``dictionary-learning``, a tenth of them for ``jump-relu``, for samples scaled to a
        mean square norm of 1.
    offset : bool
        Whether autoencoders have an offset, as is usual: their atoms are directions seen from it. Where a layer is 0 if it shows
        nothing, as in the constructions, none is needed.
    steps : int
        Training steps of an autoencoder, on 128 samples each.
    fits : int
        Fits of each method, which differ in their random start.
    features : int
        How many known features images are made of, drawn at random where there are more.
    images : int
        How many images samples are fitted on.
    test_images : int
        How many images codes are scored on.

    Returns
    -------
    ProbeResult
        For each method means over the fits: ``mmcs.<method>``, ``recovered.<method>`` and ``true_atoms.<method>``, with
        ``.chance``, the same of as many random directions (of absolute values where no sample is negative), drawn 20 times;
        ``mcc.<method>`` with ``.chance`` (samples shuffled 20 times); ``active.<method>``, ``explained.<method>`` and, for
        methods with a random start, ``stability.<method>``. Of a method with several penalties or numbers of active codes, those
        of the one with as many active codes as features are shown, or nearest to that. ``active.truth`` and ``explained.truth``
        are those of the features
        shown, with the amplitudes that restore the sample best. Arrays ``by_fit.<method>`` (measure, strength, fit) of all of
        them, ``atoms.<method>`` (atom, unit) of the first fit, and ``directions`` (feature, unit). Not
        applicable to a network without a layer before the logits, or to a layer that does not vary.

    Raises
    ------
    InputError
        If a method or a strength is named twice or there is none, there is no training or no test scene, or the layer gives the
        logits.
    UnknownNameError
        For a layer that the network does not have.
    """
    for name, values in (("methods", methods), ("penalties", penalties), ("active", active or [1])):
        each_once(name, [str(value) for value in values])
    for name, scenes in (("training", data.train), ("test", data.test)):
        if not len(scenes):
            raise InputError(f"data: there are no {name} scenes, on whose backgrounds tiles are pasted")
    chosen = _layer(network, layer)
    if chosen is None:
        return tmi.ProbeResult.not_applicable("the network names no layer but the logits")
    result = ResultBuilder(INFO)
    view = view_of(network, chosen)
    truth = _draw(network, chosen, view, data, (features, images, test_images), (together, vary), noise, change, seed)
    if isinstance(truth, str):
        return tmi.ProbeResult.not_applicable(f"layer {chosen}: {truth}")
    k = max(1, round(truth.shown))
    how = Fit(
        atoms or 2 * truth.amplitudes.shape[1],
        active or [k, 2 * k],
        penalties,
        offset,
        steps,
        [int(s) for s in np.random.default_rng(seed).integers(0, 2**31, fits)],
        truth.non_negative,
    )
    result.notes.append(
        f"{chosen}: {len(truth.x)} samples ({view.about}) of {truth.x.shape[1]} units, {truth.amplitudes.shape[1]} features, "
        f"{truth.shown:.3g} in a sample; {how.atoms} atoms"
    )
    if truth.directions is None:
        result.notes.append(f"{chosen}: mmcs, recovered and true_atoms left out, for no directions of tiles are known")
    result.add("features", truth.amplitudes.shape[1])
    result.add("units", truth.x.shape[1])
    result.add("active.truth", truth.shown)
    result.coords = {"measure": list(MEASURES), "feature": [_name(network.task, row) for row in truth.identity]}
    if truth.directions is not None:
        _add_truth(result, truth)
    for method in methods:
        if method == "nmf" and min(truth.x.min(), truth.y.min()) < 0 and noise == 0:
            result.notes.append("nmf: left out, for some activations are negative")
            continue
        with fixed_seed(how.seeds[0]):  # scikit-learn's Lasso draws from NumPy's global state
            _add_method(result, method, truth, how)
    return result.result()


@dataclass(frozen=True, eq=False)
class Truth:
    """Samples x to fit on and y to score on, scaled to a mean square norm of 1, and what is known about y."""

    x: Array
    y: Array
    amplitudes: NDArray[np.float64]
    directions: NDArray[np.float64] | None
    identity: NDArray[np.int64]
    shown: float
    orders: NDArray[np.int64]
    non_negative: bool


def _layer(network: tmi.Network, layer: str | None) -> str | None:
    if layer is not None:
        return inner_layer(network, layer)
    known = {name: directions for name in network.layers[:-1] if (directions := network.directions(name)) is not None}
    of_tiles = [name for name, directions in known.items() if "tile" in directions.features]
    shared = [name for name in of_tiles if not known[name].one_neuron_each]
    return (shared or of_tiles)[-1] if of_tiles else inner_layer(network, None)


def _name(task: tmi.TemplateTask, identity: NDArray[np.int64]) -> str:
    place = f" ({identity[1]}, {identity[2]})" if len(identity) == 3 else ""
    return task.tile_name(int(identity[0])) + place


def _draw(
    network: tmi.Network,
    layer: str,
    view: View,
    data: tmi.Dataset,
    counts: tuple[int, int, int],
    together: tuple[int, bool],
    noise: float,
    change: float,
    seed: int,
) -> Truth | str:
    """Return the samples, or why there are none."""
    features, images, test_images = counts
    rng = np.random.default_rng(seed)
    shown = (
        view.identity
        if len(view.identity) <= features
        else view.identity[np.sort(rng.permutation(len(view.identity))[:features])]
    )
    drawn: list[KnownSamples] = []
    for i, (scenes, count) in enumerate(((data.train, images), (data.test, test_images))):
        samples = known_samples(network, layer, view, scenes, shown, count, change, seed + 2 * i)
        drawn.append(added(samples, count, *together, seed + 2 * i + 1))
    values = [samples.values for samples in drawn]
    if not all(np.isfinite(part).all() for part in values):
        return "some activations are NaN or infinite"
    if not varies(values[0]).any() or not varies(values[1]).any():
        return "no unit varies on the images"
    non_negative = min(part.min() for part in values) >= 0
    if noise:
        values = [with_noise(part, noise, seed + 10 + i) for i, part in enumerate(values)]
    scale = np.sqrt(np.square(values[0]).sum(1).mean())
    occur = np.flatnonzero((drawn[0].amplitudes > 0).sum(0) * varies(drawn[1].amplitudes.toarray()))
    if len(occur) < 2:
        return "fewer than two features occur in the samples"
    directions = None if view.directions is None else view.directions[occur].toarray()
    if directions is not None:
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x, y = ((part / scale).astype(np.float32) for part in values)
    amplitudes = drawn[1].amplitudes[:, occur].toarray()
    return Truth(
        x,
        y,
        amplitudes,
        directions,
        view.identity[occur],
        float((amplitudes > 0).sum(1).mean()),
        np.stack([rng.permutation(len(y)) for _ in range(DRAWS)]),
        non_negative,
    )


def _add_truth(result: ResultBuilder, truth: Truth) -> None:
    assert truth.directions is not None
    restored = np.zeros_like(truth.y, np.float64)
    for row, present in enumerate(truth.amplitudes > 0):
        basis = truth.directions[present]
        restored[row] = np.linalg.lstsq(basis.T, truth.y[row], rcond=None)[0] @ basis
    result.add("explained.truth", explained_variance(truth.y, restored))
    between = truth.directions @ truth.directions.T
    result.add("coherence", np.abs(between - np.eye(len(between))).max())
    result.arrays["directions"] = (("feature", "unit"), truth.directions)


def _add_method(result: ResultBuilder, method: Method, truth: Truth, how: Fit) -> None:
    """Fit a method with every strength and seed, and add its metrics and arrays."""
    strengths, fitted = fitted_by(method, truth.x, truth.y, how)
    table = np.full((len(MEASURES), len(fitted), len(fitted[0])), np.nan)
    for i, of_strength in enumerate(fitted):
        for j, found in enumerate(of_strength):
            table[:, i, j] = _measured(method, found, truth)
    means = dict(zip(MEASURES, table.mean(2), strict=True))
    main = int(np.abs(means["active"] - truth.shown).argmin())
    chance: dict[str, list[float]] = {}
    if truth.directions is not None:
        count = len(fitted[main][0].atoms)
        seeds = np.random.default_rng(how.seeds[0] + 1).integers(0, 2**31, DRAWS).tolist()
        drawn = [random_directions(truth.x.shape[1], count, seed, truth.non_negative) for seed in seeds]
        scores = [direction_scores(atoms, truth.directions, either_sign=method in EITHER_SIGN) for atoms in drawn]
        chance = {measure: [of_draw[measure] for of_draw in scores] for measure in scores[0]}
    codes = [fitted[main][i % len(fitted[main])].codes for i in range(DRAWS)]
    chance["mcc"] = [code_recovery(values[order], truth.amplitudes) for values, order in zip(codes, truth.orders, strict=True)]
    for measure in MEASURES:
        if truth.directions is not None or measure in MEASURES[3:]:
            result.add(f"{measure}.{method}", means[measure][main], chance=chance.get(measure))
    if method not in ONE_FIT and len(how.seeds) > 1:
        used = [found.atoms[_in_use(found)] for found in fitted[main]]
        result.add(f"stability.{method}", stability(used, either_sign=method in EITHER_SIGN))
    axes = (f"strength.{method}", f"fit.{method}")
    if strengths:
        result.coords[axes[0]] = strengths
    result.arrays |= {
        f"by_fit.{method}": (("measure", *axes), table),
        f"atoms.{method}": ((f"atom.{method}", "unit"), fitted[main][0].atoms),
    }


def _measured(method: Method, found: Dictionary, truth: Truth) -> list[float]:
    scores = [np.nan] * 3
    if truth.directions is not None:
        sign = method in EITHER_SIGN
        of_all = direction_scores(found.atoms, truth.directions, either_sign=sign)
        of_used = direction_scores(found.atoms[_in_use(found)], truth.directions, either_sign=sign)
        scores = [of_all["mmcs"], of_all["recovered"], of_used["true_atoms"]]
    return [
        *scores,
        code_recovery(found.codes, truth.amplitudes),
        float((found.codes != 0).sum(1).mean()),
        explained_variance(truth.y, found.restored),
    ]


def _in_use(found: Dictionary) -> NDArray[np.bool_]:
    return np.asarray((found.codes != 0).any(0))
