"""Kept meaning: whether units do what the hidden neurons of Theorem 1 do, and how far the weights have moved since the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.meanings import kept, standardised
from ..measures.recovery import match
from ..pipeline.designs import crossed
from ..pipeline.layer_scores import DRAWS, LayerScore, Measured, score_layers
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled, pictures
from ..pipeline.units import Units, in_parts, units_of_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

INFO = {
    "fires": tmi.MetricInfo(
        "Share of the images with its own tile at its own place on which a unit is above 0, mean", "higher", 0, 1
    ),
    "false_alarms": tmi.MetricInfo("Share of the other images on which a unit is above 0, mean", "lower", 0, 1),
    "alone": tmi.MetricInfo(
        "Units that are above 0 for their own tile at their own place, always and for nothing else", "higher", 0, 1
    ),
    "separable": tmi.MetricInfo(
        "Units that are stronger for their own tile at their own place than for anything else, so that a threshold exists",
        "higher",
        0,
        1,
    ),
    "correlation": tmi.MetricInfo("Correlation of a unit with its own hidden neuron of Theorem 1, mean", "higher", -1, 1),
    "matched": tmi.MetricInfo(
        "Mean |correlation| of Theorem 1's hidden neurons with units, matched one to one (Kuhn 1955); 0 for one without a unit",
        "higher",
        0,
        1,
    ),
    "drift": tmi.MetricInfo("‖W − W₀‖/‖W₀‖ of a layer's weights and biases, W₀ being those before training", None, 0),
    "filled": tmi.MetricInfo("Share of the weights that were 0 before training and are not now", None, 0, 1),
    "filled_norm": tmi.MetricInfo("Their share of the layer's squared weights", None, 0, 1),
}


def kept_meaning(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    backgrounds: Count = 10,
    features: Count = 500,
    neurons: Count = 5000,
) -> tmi.ProbeResult:
    """Whether units are the hidden neurons σ(ε − t(window)) of Theorem 1: each its own neuron, and one to one in any order.

    The scenes are made by design: every tile at every place on the same few backgrounds. Which neurons of Theorem 1 are active on
    them is computed by matching. A unit's own neuron is the one of the same number, in the order (tile, row, col): in a network
    that was started as Theorem 1, what the unit stood for at the start; in any other, chance.

    Parameters
    ----------
    backgrounds : int
        How many backgrounds: those of the first test scenes.
    features : int
        Tiles at places, and so neurons of Theorem 1, at most; of more so many are drawn.
    neurons : int
        How many units of a layer to match; a larger layer is sampled without replacement. Where it has as many units as Theorem 1
        has hidden neurons, the units that belong to the tiles at places are drawn first.

    Returns
    -------
    ProbeResult
        For each layer with as many units as Theorem 1 has hidden neurons ``fires.<layer>``, ``false_alarms.<layer>``,
        ``alone.<layer>``, ``separable.<layer>`` and ``correlation.<layer>``, the last three with ``.chance``, the mean over 20
        random orders of the units, and arrays of each unit. For every layer ``matched.<layer>`` with ``.chance``, the mean over
        20 shuffles of the images, and ``.oracle``, the most that as many units can score. ``.chance.low`` and ``.chance.high``
        hold 95 % of the draws; ``.untrained`` is the value before training. For a trained network, for each layer with weights
        ``drift.<layer>``, and where weights were 0 at the start ``filled.<layer>`` and ``filled_norm.<layer>``. Not applicable
        where the images are fewer than three different ones.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    result = ResultBuilder(INFO)
    rng = np.random.default_rng(seed)
    scenes, numbers, count = by_design(data, backgrounds, features, rng)
    if len(np.unique(pictures(scenes))) < 3:
        return tmi.ProbeResult.not_applicable("there are fewer than three different images of a tile at a place")
    if len(numbers) < count:
        result.notes.append(f"{len(numbers)} of {count} tiles at places examined, drawn at random")
    truth = theorem1_neurons(data.task, scenes, numbers)

    def preferred(_: str, size: int) -> NDArray[np.int64]:
        return numbers if size == count else numbers[:0]

    def read(examined: tmi.Network, notes: list[str]) -> Iterator[tuple[str, Units]]:
        return units_of_layers(examined, scenes, network.layers, neurons, np.random.default_rng([seed, 1]), notes, preferred)

    def scoring(layer: str, units: Units, collected: ResultBuilder) -> _Matched | None:
        if not np.isfinite(units.activations).all():
            collected.notes.append(f"{layer}: left out, for activations are NaN or infinite")
            return None
        if units.size == count:
            _add_kept(collected, layer, units, truth, numbers, np.random.default_rng([seed, 2]))
        return _Matched(units.activations)

    score_layers(result, network, read, scoring, {"": Meanings.of(truth)}, seed=seed)
    _add_drift(result, network)
    return result.result()


@dataclass(frozen=True, eq=False)
class Meanings:
    """Hidden neurons of Theorem 1 on N images, scaled so that a product with standardised units is a correlation.

    Attributes
    ----------
    rows : scipy.sparse.csr_array of float64, shape (features, N)
        Their activations over the norm of what these differ from their mean; of a neuron that does not vary, 0. The mean itself
        is not subtracted: that of a standardised unit is 0.
    """

    rows: csr_array

    @classmethod
    def of(cls, truth: NDArray[np.float64]) -> Meanings:
        """Scale activations (N, features)."""
        from scipy.sparse import csr_array

        spread = truth.std(0) * len(truth) ** 0.5
        return cls(csr_array((truth / np.where(spread > 0, spread, np.inf)).T))

    def shuffled(self, rng: np.random.Generator) -> Meanings:
        """Return the same for the images in random order."""
        return Meanings(self.rows[:, rng.permutation(self.rows.shape[1])])


class _Matched(LayerScore[Meanings]):
    """How well a layer's units are matched one to one with hidden neurons of Theorem 1."""

    def __init__(self, activations: NDArray[Any]) -> None:
        self._values = standardised(activations)

    def measured(self, truth: Meanings) -> Measured:
        """Return ``matched`` with the most that as many units can score."""
        features = truth.rows.shape[0]
        size = np.abs(truth.rows @ self._values)
        possible = min(features, self._values.shape[1]) / features
        return Measured({"matched": min(float(size[match(size)].sum()) / features, possible)}, {"matched": possible})


def by_design(
    data: tmi.Dataset, backgrounds: int, features: int, rng: np.random.Generator
) -> tuple[tmi.Scenes, NDArray[np.int64], int]:
    """Return scenes of every tile at every place on the same backgrounds.

    Parameters
    ----------
    data : Dataset
        The backgrounds are those of its first test scenes.
    backgrounds : int
    features : int
        Tiles at places at most.
    rng : numpy.random.Generator
        Draws them if there are more.

    Returns
    -------
    scenes : Scenes
        On each background the tiles at places in their order.
    numbers : ndarray of int64, shape (features,)
        Which neurons of Theorem 1 the tiles at places are, ascending.
    count : int
        How many there are in all.
    """
    first = labelled(data.test, backgrounds)
    windows = data.task.windows
    places = [np.indices(part).reshape(2, -1) for part in windows]
    row, col = np.concatenate(places, axis=1)
    tile = np.repeat(np.arange(len(windows)), [part.shape[1] for part in places])
    count = len(tile)
    numbers = np.sort(rng.permutation(count)[:features])
    shown = np.stack([tile, row, col], axis=1)[numbers]
    return crossed(first, np.arange(len(first)), shown), numbers, count


def theorem1_neurons(task: tmi.TemplateTask, scenes: tmi.Scenes, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the activations σ(ε − t(window)) of some hidden neurons of Theorem 1.

    Parameters
    ----------
    task : TemplateTask
    scenes : Scenes
    numbers : ndarray of int64, shape (features,)
        Which neurons, in the order (tile, row, col).

    Returns
    -------
    ndarray of float64, shape (N, features)
    """
    windows = np.array(task.windows)
    first = np.cumsum(windows.prod(1)) - windows.prod(1)
    column = np.full(int(windows.prod(1).sum()), -1)
    column[numbers] = np.arange(len(numbers))
    values = np.zeros((len(scenes), len(numbers)))
    for rows, part in in_parts(scenes):
        found = tmi.match(part.images, task.tiles)
        tile = found.tile.numpy()
        at = column[first[tile] + found.row.numpy() * windows[tile, 1] + found.col.numpy()]
        values[rows.start + found.image.numpy()[at >= 0], at[at >= 0]] = found.slack.double().numpy()[at >= 0]
    return values


def _add_kept(
    result: ResultBuilder, layer: str, units: Units, truth: NDArray[Any], numbers: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Add how far each unit is the neuron of its own number, as far as both are examined."""
    _, unit, feature = np.intersect1d(units.index, numbers, return_indices=True)
    values, meanings = units.activations[:, unit], truth[:, feature]
    own = kept(values, meanings)
    by_chance = [kept(values, meanings[:, rng.permutation(len(feature))]) for _ in range(DRAWS)]
    for name in ("fires", "false_alarms"):
        known = getattr(own, name)[np.isfinite(getattr(own, name))]
        result.add(f"{name}.{layer}", known.mean() if len(known) else np.nan)
    for name in ("alone", "separable", "correlation"):
        result.add(f"{name}.{layer}", getattr(own, name).mean(), chance=[getattr(drawn, name).mean() for drawn in by_chance])
    for name in ("fires", "false_alarms", "alone", "separable", "correlation"):
        result.arrays[f"{name}.{layer}"] = (f"neuron.{layer}", getattr(own, name))
    result.coords[f"neuron.{layer}"] = numbers[feature]


def _add_drift(result: ResultBuilder, network: tmi.Network) -> None:
    """Add how far the weights of each layer are from those before training, where these are known."""
    start = network.untrained()
    if start is None:
        return
    for layer in network.layers:
        now, before = (dict(net.module.get_submodule(layer).named_parameters()) for net in (network, start))
        pairs = [(now[name].detach().double(), before[name].detach().double()) for name in before if name in now]
        length = sum(float(old.square().sum()) for _, old in pairs)
        if not length or any(new.shape != old.shape for new, old in pairs):
            continue
        result.add(f"drift.{layer}", (sum(float((new - old).square().sum()) for new, old in pairs) / length) ** 0.5)
        weights = [(new, old == 0) for new, old in pairs if new.ndim > 1]
        zeros = sum(int(zero.sum()) for _, zero in weights)
        total = sum(float(new.square().sum()) for new, _ in weights)
        if zeros and total:
            result.add(f"filled.{layer}", sum(int((new[zero] != 0).sum()) for new, zero in weights) / zeros)
            result.add(f"filled_norm.{layer}", sum(float(new[zero].square().sum()) for new, zero in weights) / total)
