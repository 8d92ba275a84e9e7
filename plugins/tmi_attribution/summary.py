"""Metrics of the bench from the scores of images: means with intervals over tiles, controls, skills, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi import statistics
from tmi.errors import InputError

from .measures.arrays import divides
from .measures.declared import LEAST_DEFINED, why_undefined
from .scoring import Measure, Score, skill_by_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .truth import Truth

    Array = NDArray[np.float64]

LEAST_ROOM = 0.02
"""No skill is computed where the oracle and chance differ by less: noise would be divided by a number near 0."""

FEWEST = 10
"""A measure has a score where it is defined on at least so many images, or on all where it is asked on fewer, and on at least the
share `LEAST_DEFINED` of them: the images that are left are a selection."""


def enough(defined: int, asked: int) -> bool:
    """Return whether a measure that is defined on some of the images on which it was asked has a score."""
    return defined >= max(1, LEAST_DEFINED * asked, min(FEWEST, asked))


class Summary:
    """Collects metrics, arrays and notes.

    Parameters
    ----------
    truth : Truth
    notes : list of str
        What is left out is appended, with the reason.

    Attributes
    ----------
    metrics : dict of str to float
    arrays : dict of str to (dims, array)
        ``skill`` (image), each image's contribution to ``skill.mean``; ``skill_positive`` and ``skill_untrained`` (image), those
        where max(a, 0) is scored, and of the untrained network.
    """

    def __init__(self, truth: Truth, notes: list[str]) -> None:
        self.notes = notes
        self.metrics: dict[str, float] = {}
        self.arrays: dict[str, Any] = {}
        self._tiles = truth.scenes.tile.numpy()
        self._partial = divides(truth.masks)
        if not self._partial.any():
            notes.append("localisation: not applicable, for all pixels or neurons are in G, and so is every map")

    def add(self, measure: Measure, score: Score) -> bool:
        """Add the mean of a measure, its interval, chance and oracle, and return whether it is defined on enough images."""
        name, defined = measure.name, np.isfinite(score.scores)
        count = int(defined.sum())
        self.metrics[f"defined.{name}"] = count
        where = f", where {why}" if (why := why_undefined(measure.reference.function)) else ""
        undefined = f"undefined on {score.asked - count} of {score.asked} images{where}"
        if not enough(count, score.asked):
            self.notes.append(f"{name}: no score, for it is {undefined}")
            return False
        if count < score.asked:
            self.notes.append(f"{name}: {undefined}; they are left out")
        self._mean(name, score.scores, low=measure.info.low, high=measure.info.high)
        for limit in ("chance", "oracle"):
            limits = getattr(score, limit)[defined]
            if np.isfinite(limits).any():
                self.metrics[f"{name}.{limit}"] = float(np.nanmean(limits))
        drawn = score.chance_of_mean(defined)
        if drawn is not None:
            # Recombined draws can lie beyond the range of the measure.
            ends = np.clip([drawn.low, drawn.high], *(measure.info.low, measure.info.high))
            self.metrics |= {f"{name}.chance.low": float(ends[0]), f"{name}.chance.high": float(ends[1])}
        return True

    def skills(self, scores: Mapping[str, Score], positive: Mapping[str, Array], untrained: Mapping[str, Array]) -> None:
        """Add the skills of measures of localisation.

        Parameters
        ----------
        scores : mapping of str to Score
            Of those that have a score.
        positive, untrained : mapping of str to ndarray, shape (N,)
            Scores where max(a, 0) is scored, and of the untrained network; empty where there are none.
        """
        whole: list[str] = []
        for name, score in scores.items():
            if name in untrained and np.isfinite(untrained[name]).any():
                self.metrics[f"{name}.untrained"] = float(np.nanmean(untrained[name]))
            known = np.isfinite(score.scores) & np.isfinite(score.chance) & np.isfinite(score.oracle)
            if not known.any() or abs(float((score.oracle - score.chance)[known].mean())) < LEAST_ROOM:
                why = "the oracle scores hardly otherwise than chance: nearly all pixels decide"
                self.notes.append(f"skill.{name}: left out, for {why}")
                continue
            self._mean(
                f"skill.{name}", skill_by_image(*(part[None] for part in (score.scores, score.chance, score.oracle))), high=1
            )
            if known[self._partial].all() and self._partial.any():
                whole.append(name)
            elif self._partial.any():
                self.notes.append(f"skill.mean: without {name}, which is not defined on every image")
        if not whole:
            return
        # The same measures for all: the skills of |a|, of max(a, 0) and of the untrained network can be compared.
        own = {name: scores[name].scores for name in whole}
        for metric, array, found in (
            ("skill.mean", "skill", own),
            ("skill_positive", "skill_positive", positive),
            ("skill.mean.untrained", "skill_untrained", untrained),
        ):
            if not set(whole) <= set(found):
                continue
            parts = [found, *({name: getattr(scores[name], part) for name in whole} for part in ("chance", "oracle"))]
            each = np.where(self._partial, skill_by_image(*(np.stack([part[name] for name in whole]) for part in parts)), np.nan)
            self.arrays[array] = (("image",), each)
            if metric == "skill.mean.untrained":
                self.metrics[metric] = float(np.nanmean(each))
            else:
                self._mean(metric, each, high=1)

    def _mean(self, name: str, values: Array, low: float | None = None, high: float | None = None) -> None:
        """Add the mean of the images that have a value, and its interval over the tiles, or over the images of one tile."""
        self.metrics[name] = float(np.nanmean(values))
        try:
            found = statistics.estimate(values, tiles=self._tiles, low=low, high=high)
        except InputError:  # one image
            return
        self.metrics |= {f"{name}.low": found.low, f"{name}.high": found.high}


def score_arrays(scores: Mapping[str, Score], measures: list[Measure], truth: Truth) -> dict[str, Any]:
    """Return the arrays of all scores, and what the measures declare; none without measures."""
    if not scores:
        return {}
    parts = {"score": "scores", "chance": "chance", "oracle": "oracle"}
    arrays: dict[str, Any] = {
        name: (("measure", "image"), np.stack([getattr(score, part) for score in scores.values()]))
        for name, part in parts.items()
    }
    return arrays | {
        "tile": (("image",), truth.scenes.tile.numpy()),
        "asked": (("measure",), [score.asked for score in scores.values()]),
        "truth_free": (("measure",), [measure.info.truth_free for measure in measures]),
        "scored": (("measure",), [_scored(measure) for measure in measures]),
    }


def _scored(measure: Measure) -> str:
    """Return which part of the attributions a measure scores; a measure may rank by |a| on request."""
    return "absolute" if measure.reference.params.get("ranking") == "absolute" else measure.info.scored


def kept_arrays(signed: Array, truth: Truth, kept: list[int]) -> dict[str, Any]:
    """Return the attributions, masks, images and labels of the kept images."""
    arrays: dict[str, Any] = {
        "images": (("kept", "channel", "row", "col"), truth.images[kept]),
        "label": (("kept",), truth.scenes.labels[kept]),
    }
    if not truth.of_label.all():
        arrays["target"] = (("kept",), truth.targets[kept])
    masks = truth.masks[kept]
    if truth.level == "layer":
        return arrays | {
            "signed": (("kept", "neuron"), signed[kept].astype(np.float32)),
            "masks": (("kept", "neuron"), masks),
        }
    # A method may return one value for all channels of a pixel.
    full = np.broadcast_to(signed[kept], (len(kept), *truth.images.shape[1:])).astype(np.float32)
    return arrays | {
        "signed": (("kept", "channel", "row", "col"), full),
        "maps": (("kept", "row", "col"), np.abs(signed[kept]).sum(1).astype(np.float32)),
        "masks": (("kept", "row", "col"), masks),
    }
