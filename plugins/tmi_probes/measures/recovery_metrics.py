"""Scoring units, or the codes of a dictionary, against exact features, beside chance and oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pipeline.layer_scores import LayerScore, Measured
from .recovery import MatchedUnits, Recovery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pipeline.features import Features

FEW = 500
"""Units over which F1 by chance is averaged, drawn for each shuffle: its mean over units does not depend on their number."""

_ALL = ("mcc", "uniqueness", "f1")


class RecoveryScore(LayerScore["Features"]):
    """How well units, or codes, are the exact features: ``mcc``, ``uniqueness`` and ``f1``.

    Parameters
    ----------
    values : ndarray, shape (N, units)
        Activations of units, or codes, that vary.
    seed : int
        Draws the units over which F1 by chance is averaged.

    Attributes
    ----------
    last : Recovery
        What `measured` found last.
    """

    last: Recovery

    def __init__(self, values: NDArray[Any], seed: int) -> None:
        self._matched = MatchedUnits.of(values)
        self._rng = np.random.default_rng(seed)

    def measured(self, truth: Features) -> Measured:
        """Return the scores, without those that cannot fail.

        These are ``uniqueness`` of one unit; ``f1`` where the images of a feature are all equal, for then those on which a unit
        is strongest are a feature; all of them where all images show the same, or there are two different images, which any
        unit that varies tells apart.
        """
        self.last = self._matched.recovery(truth)
        units, images = len(self._matched), len(truth.of_image)
        if len(truth) < 2:
            return Measured({}, cannot_fail=dict.fromkeys(_ALL, f"all samples show one {truth.kind}"))
        picture = np.arange(images) if truth.picture is None else truth.picture
        if len(np.unique(picture)) <= 2:
            return Measured({}, cannot_fail=dict.fromkeys(_ALL, "any unit tells the two different images apart"))
        possible = min(len(truth), units)  # matched one to one at most
        metrics, oracle, cannot_fail = {"mcc": self.last.mcc}, {"mcc": possible / len(truth)}, {}
        if units > 1:
            metrics["uniqueness"], oracle["uniqueness"] = self.last.uniqueness, possible / units
        elif units:
            cannot_fail["uniqueness"] = "one unit alone is unique"
        if units and len(np.unique(np.stack([truth.of_image, picture]), axis=1).T) > len(truth):
            metrics["f1"], oracle["f1"] = float(self.last.f1.mean()), 1.0
        elif units:
            cannot_fail["f1"] = f"all images of a {truth.kind} are equal"
        return Measured(metrics, oracle, cannot_fail=cannot_fail)

    def by_chance(self, shuffled: Features) -> Mapping[str, float]:
        """Return the scores against shuffled features; F1 is that of a few units."""
        return self._matched.by_chance(shuffled, FEW, self._rng) if len(shuffled) > 1 else {}
