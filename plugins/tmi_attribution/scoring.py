"""Scores maps by a measure, together with the scores of chance and of the oracle on the same images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi.errors import PluginError
from tmi.probing.attribution import MeasureInfo, measure_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    from .truth import Truth

    Array = NDArray[np.float64]
    Attribute = Callable[[Truth], Array]
    Which = Literal["absolute", "positive", "signed"]

_DRAWS = 2  # random maps for each image where chance has no closed form; the mean over the images varies little


@dataclass(frozen=True, eq=False)
class Score:
    """The scores of N images by one measure; NaN where it is undefined, or was not computed.

    Attributes
    ----------
    scores, chance, oracle : ndarray of float64, shape (N,)
        The scores of the maps, of random maps (expected or drawn), and of the mask itself.
    """

    scores: Array
    chance: Array
    oracle: Array


class Measure:
    """A measure with its settings.

    Parameters
    ----------
    reference : Reference
        Names the function and its settings.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.info: MeasureInfo = measure_info(reference.function)
        self.text = (inspect.getdoc(reference.function) or reference.text).partition("\n")[0].rstrip(".")
        self._parameters = set(inspect.signature(reference.function).parameters)

    @property
    def name(self) -> str:
        """Its name in metrics."""
        return self.reference.text.replace("-", "_")

    @property
    def attributes_again(self) -> bool:
        """Whether it runs the method again, on changed images."""
        return "attribute" in self._parameters

    def fits(self, truth: Truth) -> bool:
        """Return whether it can score attributions of the truth's level."""
        if truth.level == "input":
            return True
        localises = self.info.topic == "localisation" or (truth.level == "neuron" and self.info.topic == "leakage")
        return localises and not (truth.level == "layer" and self.info.spatial)

    def score(self, signed: Array, truth: Truth, attribute: Attribute, *, seed: int, again: int) -> Score:
        """Score signed attributions.

        Parameters
        ----------
        signed : ndarray, shape (N, C, m, n); of a layer (N, neurons)
        truth : Truth
        attribute : callable
            ``(truth) -> signed``: runs the method again.
        seed : int
        again : int
            A measure that runs the method again is given the first so many images.

        Raises
        ------
        PluginError
            If the measure does not return one finite number or NaN for each image.
        """
        count = min(again, len(truth)) if self.attributes_again else len(truth)
        asked = truth if count == len(truth) else truth.once(("first", count), lambda: truth[:count])
        settings = repr(sorted(self.reference.params.items()))  # with the function itself: two may share a name
        limits = asked.once(("limits", self.reference.function, settings, seed), lambda: self._limits(asked, seed))
        scores = self._call(signed[:count], asked, attribute, seed)
        return Score(*(_padded(part, len(truth)) for part in (scores, *limits)))

    def _limits(self, truth: Truth, seed: int) -> tuple[Array, Array]:
        """Return the scores of chance and of the oracle, which are the same for every method."""

        def draw(number: int) -> Attribute:
            return lambda asked: _random(asked, self.info.scored, [seed, number])

        if self.info.chance is not None:
            chance = np.asarray(self.info.chance(truth), float)
        else:
            draws = _DRAWS if self.info.topic == "localisation" else 1
            chance = np.mean([self._call(draw(i)(truth), truth, draw(i), seed) for i in range(draws)], axis=0)
        # The mask is empty where it is not known which pixels decide the logit of another class than the label.
        known = truth.of_label | truth.masks.reshape(len(truth), -1).any(1)
        return chance, np.where(known, self._call(_oracle(truth), truth, _oracle, seed), np.nan)

    def _call(self, signed: Array, truth: Truth, attribute: Attribute, seed: int) -> Array:
        given: dict[str, Any] = {"seed": seed, "attribute": attribute}
        asked_for = {name: value for name, value in given.items() if name in self._parameters}
        maps = scored(signed, self.info.scored, truth)
        scores = np.asarray(self.reference.function(maps, truth, **asked_for, **self.reference.params))
        if scores.dtype.kind not in "fiub":
            raise PluginError(f"measure {self.reference.text}: returned {scores.dtype}, expected an array of real numbers")
        values = scores.astype(np.float64)
        if values.shape != (len(truth),):
            raise PluginError(
                f"measure {self.reference.text}: returned {values.shape}, expected one score for each image: ({len(truth)},)"
            )
        infinite = int(np.isinf(values).sum())
        if infinite:
            raise PluginError(f"measure {self.reference.text}: returned infinity on {infinite} of {len(values)} images")
        return values


def scored(signed: Array, which: Which, truth: Truth) -> Array:
    """Return the part of signed attributions that a measure scores: |a| or max(a, 0) summed over the channels, or a copy."""
    if which == "signed":
        return signed.copy()  # a measure may work in place
    values = np.abs(signed) if which == "absolute" else np.maximum(signed, 0)
    return values if truth.level == "layer" else values.sum(1)


def _random(truth: Truth, which: Which, seed: list[int]) -> Array:
    shape = truth.masks.shape[1:] if truth.level == "layer" else (1, *truth.masks.shape[1:])
    low = -1.0 if which == "signed" else 0.0
    return np.stack([np.random.default_rng([*seed, number]).uniform(low, 1, shape) for number in range(len(truth))])


def _oracle(truth: Truth) -> Array:
    masks = truth.masks.astype(np.float64)
    return masks if truth.level == "layer" else masks[:, None]


def _padded(values: Array, count: int) -> Array:
    padded = np.full(count, np.nan)
    padded[: len(values)] = values
    return padded
