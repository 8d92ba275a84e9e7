"""Scores maps by measures, beside what chance and the oracle score on the same images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import PluginError
from tmi.probing.attribution import GIVEN, MeasureInfo, Scored, measure_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    from .truth import Truth

    Array = NDArray[np.float64]
    Attribute = Callable[[Truth], Array]

_DRAWS = 2  # random maps an image where chance has no closed form: over the images their mean is steady


@dataclass(frozen=True, eq=False)
class Score:
    """What a measure says of N images; NaN where it is undefined, or was not asked for.

    Attributes
    ----------
    scores, chance, oracle : ndarray of float64, shape (N,)
        Of the maps, of random maps (expected or drawn), and of the mask itself.
    """

    scores: Array
    chance: Array
    oracle: Array


class Measure:
    """A measure that is ready to score.

    Parameters
    ----------
    named : Reference
        The measure and its settings.
    """

    def __init__(self, named: Reference) -> None:
        self.named = named
        self.info: MeasureInfo = measure_info(named.function)
        self.text = (inspect.getdoc(named.function) or named.text).partition("\n")[0].rstrip(".")
        self._wanted = set(inspect.signature(named.function).parameters) & set(GIVEN["measure"])

    @property
    def name(self) -> str:
        """Its name in metrics."""
        return self.named.text.replace("-", "_")

    @property
    def attributes_again(self) -> bool:
        """Whether it runs the method again, on changed images."""
        return "attribute" in self._wanted

    def fits(self, truth: Truth) -> bool:
        """Whether it can score attributions of this level."""
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
            ``(truth) -> signed``: the method again.
        seed : int
        again : int
            How many images a measure that runs the method again is given.
        """
        count = min(again, len(truth)) if self.attributes_again else len(truth)
        asked = truth if count == len(truth) else truth.once(("first", count), lambda: truth[:count])
        settings = repr(sorted(self.named.params.items()))  # the function itself: two may have one name
        known = asked.once(("beside", self.named.function, settings, seed), lambda: self._beside(asked, seed))
        found = self._call(signed[:count], asked, attribute, seed)
        return Score(*(_padded(part, len(truth)) for part in (found, *known)))

    def _beside(self, truth: Truth, seed: int) -> tuple[Array, Array]:
        """What chance and the oracle score: the same for every method."""

        def draw(number: int) -> Attribute:
            return lambda asked: _random(asked, self.info.scored, [seed, number])

        if self.info.chance is not None:
            chance = np.asarray(self.info.chance(truth), float)
        else:
            draws = _DRAWS if self.info.topic == "localisation" else 1
            chance = np.mean([self._call(draw(i)(truth), truth, draw(i), seed) for i in range(draws)], axis=0)
        return chance, self._call(_oracle(truth), truth, _oracle, seed)

    def _call(self, signed: Array, truth: Truth, attribute: Attribute, seed: int) -> Array:
        given: dict[str, Any] = {"seed": seed, "attribute": attribute}
        handed = {name: given[name] for name in self._wanted}
        maps = scored(signed, self.info.scored, truth)
        scores = np.asarray(self.named.function(maps, truth, **handed, **self.named.params))
        if scores.dtype.kind not in "fiub":
            raise PluginError(f"measure {self.named.text}: returned {scores.dtype}, expected an array of real numbers")
        found = scores.astype(np.float64)
        if found.shape != (len(truth),):
            raise PluginError(
                f"measure {self.named.text}: returned shape {found.shape}, expected one score an image, ({len(truth)},)"
            )
        if np.isinf(found).any():
            raise PluginError(f"measure {self.named.text}: returned infinity on {np.isinf(found).sum()} of {len(found)} images")
        return found


def scored(signed: Array, which: Scored, truth: Truth) -> Array:
    """Return what of signed attributions is scored: |a| or max(a, 0) summed over the channels, or all."""
    if which == "signed":
        return signed.copy()  # a measure may work in place
    found = np.abs(signed) if which == "absolute" else np.maximum(signed, 0)
    return found if truth.level == "layer" else found.sum(1)


def _random(truth: Truth, which: Scored, seed: list[int]) -> Array:
    shape = truth.masks.shape[1:] if truth.level == "layer" else (1, *truth.masks.shape[1:])
    low = -1.0 if which == "signed" else 0.0
    return np.stack([np.random.default_rng([*seed, number]).uniform(low, 1, shape) for number in range(len(truth))])


def _oracle(truth: Truth) -> Array:
    masks = truth.masks.astype(np.float64)
    return masks if truth.level == "layer" else masks[:, None]


def _padded(values: Array, count: int) -> Array:
    found = np.full(count, np.nan)
    found[: len(values)] = values
    return found
