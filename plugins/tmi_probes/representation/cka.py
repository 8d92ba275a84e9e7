"""Centred kernel alignment: how alike layers of one network, or of two, represent the same images."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

import tmi
from tmi.params import Builder

from ..measures.alignment import FEWEST, centred, cka
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import in_parts, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    Array = NDArray[np.float64]

INFO = {
    "cka": tmi.MetricInfo("Linear CKA of two layers of the network, by the unbiased HSIC", None, -1, 1),
    "cka_other": tmi.MetricInfo("Linear CKA of a layer with one of the other network, by the unbiased HSIC", None, -1, 1),
}
_AT_ONCE = 25_000_000  # activations of all images that are held together, in float64: 200 MB


def similarity(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    other: Builder = "theorem1",
    images: Annotated[int, msgspec.Meta(ge=FEWEST)] = 1000,
    draws: Annotated[int, msgspec.Meta(ge=20)] = 100,
) -> tmi.ProbeResult:
    """Linear CKA between all layers of the network, and between its layers and those of another network on the same images.

    CKA (Kornblith et al. 2019) compares which images two layers hold to be alike. It does not change when the units of a layer
    are rotated, or all multiplied by one number, so that it says nothing about single units. With the unbiased estimator of HSIC
    (Nguyen et al. 2021) it does not rise with the number of units, and its expectation for unrelated layers is near 0.

    Parameters
    ----------
    other : str
        A builder, with settings of its own in brackets as in "cnn(filters=48)": the other network is built on the same data with
        the same seed. By default the construction of Theorem 1.
    images : int
        How many test images: the first ones that show a tile. Gram matrices take 8 · images² bytes a layer.
    draws : int
        How often the images of one of the layers are permuted, for the distribution of chance.

    Returns
    -------
    ProbeResult
        ``cka.<layer>.<later layer>`` and ``cka_other.<layer>.<layer of the other network>``, with ``.chance`` over permuted
        images and ``.untrained``: the same for the network before training (beside the same other network). ``.oracle`` of the
        latter is the other layer with itself: 1. Arrays ``cka`` (layer, with) and ``untrained`` (layer, with) for the layers of
        the network, and with them those of the other one, whose names begin with the builder's; ``within_other`` (with, with).
        NaN where a layer does not tell the images apart. Not applicable to fewer than 4 images.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    if len(scenes) < FEWEST:
        return tmi.ProbeResult.not_applicable(
            f"the unbiased estimator needs at least {FEWEST} images, and {len(scenes)} show a tile"
        )
    result = ResultBuilder(INFO)
    label, others = other.component.name, {}
    try:
        second = built(other, data, seed)[0]
    except tmi.NoTilesError as error:
        result.notes.append(f"cka_other: left out, for {label} cannot be built: {error}")
    else:
        others = {f"{label}: {layer}": gram for layer, gram in grams(second, scenes).items()}
    before = network.untrained()
    own = grams(network, scenes)
    initial = grams(before, scenes) if before else {}
    both = own | others
    rng = np.random.default_rng(seed)
    result.notes += [f"{layer}: left out, for it does not tell the images apart" for layer in both if np.isnan(both[layer]).any()]
    pairs = {(a, b): f"cka.{a}.{b}" for i, a in enumerate(own) for b in [*own][i + 1 :]}
    pairs |= {(a, b): f"cka_other.{a}.{b.removeprefix(f'{label}: ')}" for a in own for b in others}
    chance = _permuted(both, list(pairs), draws, rng)
    for (a, b), name in pairs.items():
        early = cka(initial[a], initial.get(b, both[b])) if initial else None
        drawn = None if np.isnan(chance[a, b]).any() else chance[a, b]
        result.add(
            name, cka(both[a], both[b]), chance=drawn, untrained=early, oracle=cka(both[b], both[b]) if b in others else None
        )
    result.arrays["cka"] = (("layer", "with"), _matrix(own, both))
    if others:
        result.arrays["within_other"] = (("of_other", "of_other_too"), _matrix(others, others))
        result.coords |= {"of_other": list(others), "of_other_too": list(others)}
    if initial:
        result.arrays["untrained"] = (("layer", "with"), _matrix(initial, initial | others))
    result.coords |= {"layer": list(own), "with": list(both)}
    return result.result()


def built(reference: Reference, data: tmi.Dataset, seed: int) -> tuple[tmi.Network, str]:
    """Return the network that a setting names, built on the data, and its name."""
    seeded = {"seed": seed} if "seed" in inspect.signature(reference.function).parameters else {}
    return reference.function(data, **seeded, **reference.params), reference.component.name


def grams(network: tmi.Network, scenes: tmi.Scenes) -> dict[str, Array]:
    """Return the centred Gram matrix of each layer, see `tmi_probes.measures.alignment.centred`.

    The network is evaluated once for each few units of a layer, so that memory does not grow with the layer's width.
    """
    sums = {}
    for layer, units in sizes_of(network, scenes, network.layers).items():
        sums[layer] = np.zeros((len(scenes), len(scenes)))
        step = max(1, _AT_ONCE // len(scenes))
        for first in range(0, units, step):
            held = np.empty((len(scenes), min(step, units - first)))
            for rows, part in in_parts(scenes, units):
                held[rows] = network.activations(part.images, layer)[layer].flatten(1)[:, first : first + step].numpy()
            sums[layer] += held @ held.T
    return {layer: centred(gram) for layer, gram in sums.items()}


def _permuted(
    matrices: dict[str, Array], pairs: list[tuple[str, str]], draws: int, rng: np.random.Generator
) -> dict[tuple[str, str], Array]:
    """Return the CKA of each pair (draws,) after the images of the second layer are permuted."""
    images = len(next(iter(matrices.values())))
    scores = {pair: np.empty(draws) for pair in pairs}
    for draw in range(draws):
        order = rng.permutation(images)
        for second in dict.fromkeys(b for _, b in pairs):
            permuted = matrices[second][np.ix_(order, order)]
            for pair in pairs:
                if pair[1] == second:
                    scores[pair][draw] = cka(matrices[pair[0]], permuted)
    return scores


def _matrix(rows: dict[str, Array], columns: dict[str, Array]) -> Array:
    """Return the CKA of each layer of one network with each of others."""
    return np.array([[cka(a, b) for b in columns.values()] for a in rows.values()])
