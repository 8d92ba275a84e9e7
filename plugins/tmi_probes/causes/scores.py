"""Scores of effects: how few sites carry them, whether they add up, and whether they are the known ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

DRAWS = 20
"""Shuffles by which chance is measured."""

ORACLE = {"tpr": 1.0, "fpr": 0.0, "auc": 1.0}
"""The rates of sites that are the known ones."""

_NONE = 1e-12  # relative difference of sums that rounding explains
_ROUNDING = 1e-9  # effect that rounding explains, as a share of what is measured


def without_rounding(effects: Array, size: float = 1.0) -> Array:
    """Return effects with those of no more than rounding set to 0; ``size`` is that of the numbers whose difference they are."""
    return np.where(np.abs(effects) > _ROUNDING * size, effects, 0.0)


def concentration(effects: Array) -> dict[str, float]:
    """Return the share of the sum of absolute effects that the largest one has, and how many of the largest reach 90 % of it.

    Empty where every effect is 0.
    """
    size = np.sort(np.abs(effects))[::-1]
    total = size.sum()
    if not total > 0:
        return {}
    reached = np.cumsum(size) >= (0.9 - _NONE) * total
    return {"top_share": float(size[0] / total), "sites_90": float(reached.argmax() + 1)}


def interaction(effects: Array, joint: float) -> float:
    """Return |Σ effects − joint effect| as a share of Σ |effects| + |joint effect|; NaN where all are 0."""
    whole = np.abs(effects).sum() + abs(joint)
    return float(abs(effects.sum() - joint) / whole) if whole > 0 else np.nan


def agreement(estimates: Array, effects: Array) -> dict[str, float]:
    """Compare estimated with exact effects of the same sites.

    Returns
    -------
    dict of str to float
        ``correlation`` (Pearson; where both vary), ``error`` (norm of the difference over the norm of the effects) and ``sign``
        (share of the effects, of at least 1 % of the largest one, whose sign agrees). Empty where every effect is 0.
    """
    largest = np.abs(effects).max(initial=0)
    if not largest > 0:
        return {}
    clear = np.abs(effects) >= 0.01 * largest
    found = {
        "error": float(np.linalg.norm(estimates - effects) / np.linalg.norm(effects)),
        "sign": float((np.sign(estimates[clear]) == np.sign(effects[clear])).mean()),
    }
    if len(effects) > 1 and np.ptp(effects) > _NONE * largest and np.ptp(estimates) > _NONE * np.abs(estimates).max():
        found["correlation"] = float(np.corrcoef(estimates, effects)[0, 1])
    return found


def auc(positive: Array, others: Array, sites: int) -> float:
    """Return the area under the ROC curve of scores that are mostly 0 (Mann and Whitney 1947).

    Parameters
    ----------
    positive : ndarray, shape (P,)
        Scores of the true sites, each at least 0.
    others : ndarray
        Scores above 0 of all sites, the true ones included.
    sites : int
        P plus the number of false sites; those without a score above 0 score 0.
    """
    zeros, order = sites - len(others), np.sort(others)
    low, high = (np.searchsorted(order, positive, side) for side in ("left", "right"))
    rank = np.where(positive > 0, zeros + (low + high + 1) / 2, (zeros + 1) / 2)
    count = len(positive)
    return float((rank.sum() - count * (count + 1) / 2) / (count * (sites - count)))


@dataclass(eq=False)
class Rates:
    """True and false positive rates and AUC of sites with an effect, against the known ones, over images.

    Parameters
    ----------
    sites : int
        Of the layer.
    threshold : float
        A site counts as found where its effect is above this.
    rng : numpy.random.Generator
        Draws the sites that are taken for the known ones, for chance.
    """

    sites: int
    threshold: float
    rng: np.random.Generator
    values: dict[str, list[float]] = field(default_factory=dict)
    chance: dict[str, list[Array]] = field(default_factory=dict)

    def add(self, index: Indices, effects: Array, known: Indices) -> None:
        """Add an image: the effects of some sites, all others having none, and the known ones."""
        size = np.zeros(self.sites)
        size[index] = np.abs(effects)
        above = np.sort(size[size > 0])
        found = int((above > self.threshold).sum())
        drawn = [self.rng.choice(self.sites, len(known), replace=False, shuffle=False) for _ in range(DRAWS)]
        for name, values in self._rates(size, above, found, known).items():
            self.values.setdefault(name, []).append(values)
        by_chance = [self._rates(size, above, found, draw) for draw in drawn]
        for name in by_chance[0]:
            self.chance.setdefault(name, []).append(np.array([one[name] for one in by_chance]))

    def _rates(self, size: Array, above: Array, found: int, known: Indices) -> dict[str, float]:
        hits, rates = int((size[known] > self.threshold).sum()), {}
        if len(known):
            rates["tpr"] = hits / len(known)
        if len(known) < self.sites:
            rates["fpr"] = (found - hits) / (self.sites - len(known))
        if 0 < len(known) < self.sites:
            rates["auc"] = auc(size[known], above, self.sites)
        return rates

    def means(self) -> dict[str, tuple[float, Array]]:
        """Return the mean of each rate over the images, and its draws by chance, each a mean over the images."""
        return {name: (float(np.mean(values)), np.mean(self.chance[name], axis=0)) for name, values in self.values.items()}
