"""Scores maps by a measure, together with the scores of chance and of the oracle on the same images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi import statistics
from tmi.errors import PluginError
from tmi.probing.attribution import MeasureInfo, measure_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    from .truth import Truth

    Array = NDArray[np.float64]
    Attribute = Callable[[Truth], Array]
    Which = Literal["absolute", "positive", "signed"]

_SCORES_BY_CHANCE = 60
"""Random maps are drawn until they have at least so many scores over all images, 2 to 20 for each image."""

_EQUAL = 1e-12  # relative differences below it come from the order of summation


@dataclass(frozen=True, eq=False)
class Score:
    """The scores of N images by one measure; NaN where it is undefined, or was not computed.

    Attributes
    ----------
    scores, chance, oracle : ndarray of float64, shape (N,)
        The scores of the maps, of random maps (expected or drawn), and of the mask itself.
    asked : int
        The number of images on which it was computed: the first ones.
    drawn : ndarray of float64, shape (draws, N), optional
        The scores of the random maps of each image; None where chance has a closed form.
    """

    scores: Array
    chance: Array
    oracle: Array
    asked: int
    drawn: Array | None = None

    def chance_of_mean(self, images: NDArray[np.bool_], draws: int = 200, seed: int = 0) -> statistics.Chance | None:
        """Return the distribution of the mean over some of the images, bool (N,), by chance; None where it has a closed form.

        In each draw every image has one of its random maps. With k maps for each image such means spread less than those of
        independent maps, by √((k − 1)/k), which is corrected.
        """
        if self.drawn is None:
            return None
        scores = self.drawn[:, images & np.isfinite(self.drawn).all(0)]
        maps, count = scores.shape
        if not count:
            return None
        chosen = np.random.default_rng(seed).integers(maps, size=(draws, count))
        means = scores[chosen, np.arange(count)].mean(1)
        return statistics.of_chance(scores.mean() + np.sqrt(maps / (maps - 1)) * (means - scores.mean()))


def skill(score: Any, chance: Any, oracle: Any) -> Any:
    """Return (score − chance)/(oracle − chance): 0 for chance, 1 for the oracle, below 0 for worse than chance.

    Parameters
    ----------
    score, chance, oracle : float or ndarray
    """
    return (score - chance) / (oracle - chance)


def skill_by_image(score: NDArray[Any], chance: NDArray[Any], oracle: NDArray[Any]) -> Array:
    """Return each image's contribution to the mean skill over measures, so that an interval of it is that of a mean.

    Parameters
    ----------
    score, chance, oracle : array_like, shape (measures, images)
        NaN where a measure is undefined.

    Returns
    -------
    ndarray of float64, shape (images,)
        The average over the measures of skill + (score − chance − skill·(oracle − chance))/mean(oracle − chance). Its mean over
        the images is the mean of the measures' skills, each a ratio of means; its spread is that of the mean skill to first
        order. NaN where no measure has a value; a measure whose oracle is no better than chance is left out.
    """
    s, c, o = np.broadcast_arrays(*(np.asarray(values, np.float64) for values in (score, chance, oracle)))
    known = np.isfinite(s) & np.isfinite(c) & np.isfinite(o)
    count = known.sum(1, keepdims=True)
    room = np.where(known, o - c, 0).sum(1, keepdims=True) / np.maximum(count, 1)
    known &= np.abs(room) > _EQUAL
    room = np.where(np.abs(room) > _EQUAL, room, 1)
    mean_skill = np.where(known, s - c, 0).sum(1, keepdims=True) / np.maximum(count, 1) / room
    each = np.where(known, mean_skill + (s - c - mean_skill * (o - c)) / room, 0)
    measures = known.sum(0)
    mean: Array = np.where(measures > 0, each.sum(0) / np.maximum(measures, 1), np.nan)
    return mean


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
        """Its name in metrics: settings without quotes."""
        return self.reference.text.replace("-", "_").translate({ord(quote): None for quote in "'\""})

    @property
    def attributes_again(self) -> bool:
        """Whether it runs the method again, on changed images."""
        return "attribute" in self._parameters

    @property
    def images(self) -> int | None:
        """The number of images that a measure asks for by a setting of this name, None if it has none."""
        setting = inspect.signature(self.reference.function).parameters.get("images")
        return None if setting is None else int(self.reference.params.get("images", setting.default))

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
        count = min(again, self.images or again, len(truth)) if self.attributes_again else len(truth)
        asked = truth if count == len(truth) else truth.once(("first", count), lambda: truth[:count])
        settings = repr(sorted(self.reference.params.items()))  # with the function itself: two may share a name
        limits = asked.once(("limits", self.reference.function, settings, seed), lambda: self._limits(asked, seed))
        scores = self._call(signed[:count], asked, attribute, seed)
        drawn = None if limits[2] is None else _padded(limits[2], len(truth))
        scores, chance, oracle = (_padded(part, len(truth)) for part in (scores, *limits[:2]))
        return Score(scores, chance, oracle, count, drawn)

    def of_maps(self, signed: Array, truth: Truth) -> Array:
        """Return the scores (N,) of signed attributions alone, by a measure that does not run the method again."""

        def none(_: Truth) -> Array:
            raise PluginError(f"measure {self.reference.text}: a measure of localisation cannot run the method again")

        return self._call(signed, truth, none, 0)

    def _limits(self, truth: Truth, seed: int) -> tuple[Array, Array, Array | None]:
        """Return the scores of chance and of the oracle, which are the same for every method, and those of each random map."""

        def draw(number: int) -> Attribute:
            return lambda asked: _random(asked, self.info.scored, [seed, number])

        drawn = None
        if self.info.chance is not None:
            chance = np.asarray(self.info.chance(truth), float)
        else:
            draws = int(np.clip(-(-_SCORES_BY_CHANCE // max(1, len(truth))), 2, 20))
            drawn = np.stack([self._call(draw(i)(truth), truth, draw(i), seed) for i in range(draws)])
            chance = drawn.mean(0)
        # The mask is empty where it is not known which pixels decide the logit of another class than the label.
        known = truth.of_label | truth.masks.reshape(len(truth), -1).any(1)
        return chance, np.where(known, self._call(_oracle(truth), truth, _oracle, seed), np.nan), drawn

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
    """Append NaN to the last axis, the images."""
    padded = np.full((*values.shape[:-1], count), np.nan)
    padded[..., : values.shape[-1]] = values
    return padded
