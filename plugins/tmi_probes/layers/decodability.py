"""Decodability: whether a linear model can read class, tile and place from a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Positive

from ..measures.decoding import coordinates, folds_of, predictions
from ..pipeline.layer_scores import LayerScore, Measured, score_layers
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from ..pipeline.units import Units, units_of_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

INFO = {
    "decodability": tmi.MetricInfo(
        "Share of held-out images whose class, tile, row, column or place a linear model on the layer predicts right",
        "higher",
        0,
        1,
    )
}
TARGETS = ("class", "tile", "row", "col", "place")
TOLERANCE, TOLERANCE_OF_CHANCE = 1e-4, 1e-2
"""At which a fit stops: scikit-learn's default, and that of the many fits to shuffled labels."""


def decodability(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    neurons: Count = 20000,
    folds: Annotated[int, msgspec.Meta(ge=2)] = 5,
    strength: Positive = 1.0,
) -> tmi.ProbeResult:
    """How well linear models read class, tile and place from each layer, the logits included, and from the pixels.

    Multinomial logistic regression on standardised units, cross-validated: the scores are those of scikit-learn's
    ``cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), …)``. A wide layer is not cut: its images'
    coordinates in the space that they span take the place of its units, which changes no prediction.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    neurons : int
        How many units of a layer to examine; a larger layer is sampled without replacement.
    folds : int
        Into how many parts the images are divided, each with its share of every tile; each part is predicted by models fitted on
        the others.
    strength : float
        The inverse of the L2 penalty, C of scikit-learn's LogisticRegression.

    Returns
    -------
    ProbeResult
        For each layer, and ``pixels`` for the images themselves, ``decodability.<target>.<layer>`` of the targets ``class``,
        ``tile``, ``row`` and ``col`` of the tile's top left corner, and ``place``, for which both have to be right; with
        ``.chance`` the same of shuffled labels, each shuffle fitted and scored on one of the folds; with ``.untrained`` what is
        read from the network before training, and with ``.oracle`` what the same models read from the exact features one-hot:
        tile, row and column side by side. Arrays ``right.<layer>`` (target, image): 1 where the label is predicted.

    Raises
    ------
    InputError
        If fewer test scenes than folds show a tile.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    scenes = labelled(data.test, images)
    if len(scenes) < folds:
        raise InputError(f"folds: {folds} of {len(scenes)} labelled test images")
    result = ResultBuilder(INFO)
    columns = {"class": scenes.labels}
    if data.task.has_tiles:
        columns |= {"tile": scenes.tile, "row": scenes.row, "col": scenes.col}
    else:
        result.cannot_fail("decodability.tile, decodability.place", "the images have no tiles")
    shown = {name: column.numpy().astype(np.int64) for name, column in columns.items()}
    labels = Labels({name: label for name, label in shown.items() if (label != label[0]).any()})
    for name in shown.keys() - labels.of.keys():
        result.cannot_fail(f"decodability.{name}", f"all images have one {name}")
    if not labels.of:
        return result.result()
    divided = folds_of(shown["tile" if data.task.has_tiles else "class"], folds, seed)
    oracle: Mapping[str, float] = {}
    if data.task.has_tiles:
        one_hot = np.concatenate([np.eye(shown[name].max() + 1)[shown[name]] for name in ("tile", "row", "col")], axis=1)
        oracle = Decoding(one_hot, divided, strength, {}).measured(labels).metrics
    result.coords["target"] = list(labels.targets)

    def read(examined: tmi.Network, notes: list[str]) -> Iterator[tuple[str, Units]]:
        if examined is network and "pixels" not in network.layers:
            pixels = scenes.images.flatten(1).numpy()
            yield "pixels", Units(np.arange(pixels.shape[1]), pixels.shape[1], pixels)
        yield from units_of_layers(examined, scenes, examined.layers, neurons, np.random.default_rng(seed), notes)

    def scoring(layer: str, units: Units, collected: ResultBuilder) -> Decoding | None:
        if not np.isfinite(units.activations).all():
            collected.notes.append(f"{layer}: left out, for activations are NaN or infinite")
            return None
        if (units.activations == units.activations[:1]).all():
            collected.notes.append(f"{layer}: is the same on all images, so that nothing can be read from it")
        return Decoding(units.activations, divided, strength, oracle)

    with threadpool_limits(1):  # for matrices this small, two threads on a busy machine are slower than one
        score_layers(result, network, read, scoring, {"": labels}, seed=seed)
    return result.result()


@dataclass(frozen=True, eq=False)
class Labels:
    """What N images show: a label of each image for each target, int64 (N,)."""

    of: Mapping[str, Indices]

    def __len__(self) -> int:
        return len(next(iter(self.of.values())))

    @property
    def targets(self) -> list[str]:
        """The targets in their order, with the place where its row or its column varies."""
        return [name for name in TARGETS if name in self.of or (name == "place" and {"row", "col"} & set(self.of))]

    def shuffled(self, rng: np.random.Generator) -> Labels:
        """Return the labels of the images in random order, in which each image keeps its labels together."""
        order = rng.permutation(len(self))
        return Labels({name: label[order] for name, label in self.of.items()})


class Decoding(LayerScore[Labels]):
    """What linear models read from one layer.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
    folds : list of (fitted, held)
    strength : float
    oracle : mapping of str to float
        By metric.
    """

    def __init__(
        self, activations: NDArray[Any], folds: list[tuple[Indices, Indices]], strength: float, oracle: Mapping[str, float]
    ) -> None:
        self._activations, self._folds, self._strength, self._oracle = activations, folds, strength, dict(oracle)
        self._next = cycle(range(len(folds)))

    def measured(self, truth: Labels) -> Measured:
        """Return the share of images predicted right, each by the model of its fold."""
        right = np.zeros((len(truth.targets), len(truth)))
        for fold, (_, held) in enumerate(self._folds):
            right[:, held] = self._right(truth, fold, TOLERANCE)
        return Measured(_named(truth, right), self._oracle, {"right": (("target", "image"), right)})

    def by_chance(self, shuffled: Labels) -> Mapping[str, float]:
        """Return the share predicted right in one fold, for each shuffle the next one."""
        return _named(shuffled, self._right(shuffled, next(self._next), TOLERANCE_OF_CHANCE))

    @cached_property
    def _points(self) -> list[Array]:
        return [coordinates(self._activations, fitted) for fitted, _ in self._folds]

    def _right(self, truth: Labels, fold: int, tolerance: float) -> Array:
        fitted, held = self._folds[fold]
        right = {
            name: predictions(self._points[fold], label, fitted, held, self._strength, tolerance) == label[held]
            for name, label in truth.of.items()
        }
        right["place"] = np.all([right[name] for name in ("row", "col") if name in right], axis=0)
        return np.stack([right[name] for name in truth.targets]).astype(np.float64)


def _named(truth: Labels, right: Array) -> dict[str, float]:
    return {f"decodability.{target}": float(of.mean()) for target, of in zip(truth.targets, right, strict=True)}
