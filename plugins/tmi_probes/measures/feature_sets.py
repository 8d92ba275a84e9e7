"""Small sets of units that keep most images of one class right, where a logit is a sum of the units' terms: a greedy search."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

_GROWTH = 0.05  # so many units are taken at a time, as a share of those that were taken


class Terms(Protocol):
    """The terms of K units in the L logits of n images."""

    units: int

    def of(self, chosen: Indices | Sequence[int]) -> Array:
        """Return the summed terms of some units, shape (n, L)."""

    def gains(self, label: int, images: Indices, rivals: Indices) -> Array:
        """Return the sum over some images of each unit's terms in the label's logit less a rival's logit, shape (K,)."""


class NeuronTerms:
    """Each unit is a neuron: a term is activation times weight.

    Parameters
    ----------
    values : ndarray of float64, shape (n, K)
        Activations, less their ablated values.
    weight : ndarray of float64, shape (L, K)
    """

    def __init__(self, values: Array, weight: Array) -> None:
        self.values, self.weight, self.units = values, weight, values.shape[1]

    def of(self, chosen: Indices | Sequence[int]) -> Array:
        """Return the summed terms of some units, shape (n, L)."""
        terms: Array = self.values[:, chosen] @ self.weight[:, chosen].T
        return terms

    def gains(self, label: int, images: Indices, rivals: Indices) -> Array:
        """Return the sum over some images of each unit's terms in the label's logit less a rival's logit, shape (K,)."""
        shown, of_image = np.unique(rivals, return_inverse=True)
        by_rival = (np.arange(len(shown))[:, None] == of_image).astype(np.float64)
        gains: Array = ((self.weight[label] - self.weight[shown]) * (by_rival @ self.values[images])).sum(0)
        return gains


class FilterTerms:
    """Each unit is a filter: its term is the sum over its neurons.

    Parameters
    ----------
    terms : ndarray of float64, shape (n, K, L)
    """

    def __init__(self, terms: Array) -> None:
        self.terms, self.units = terms, terms.shape[1]

    def of(self, chosen: Indices | Sequence[int]) -> Array:
        """Return the summed terms of some units, shape (n, L)."""
        terms: Array = self.terms[:, chosen].sum(1)
        return terms

    def gains(self, label: int, images: Indices, rivals: Indices) -> Array:
        """Return the sum over some images of each unit's terms in the label's logit less a rival's logit, shape (K,)."""
        gains: Array = (self.terms[images, :, label] - self.terms[images, :, rivals]).sum(0)
        return gains


def right(logits: Array, label: int) -> NDArray[np.bool_]:
    """Return on which images (n, L) the label's logit is above every other, bool (n,)."""
    others = logits.copy()
    others[:, label] = -np.inf
    above: NDArray[np.bool_] = logits[:, label] > others.max(1)
    return above


def small_set(terms: Terms, base: Array, label: int, share: float) -> Indices | None:
    """Return a small set of units with which at least a share of the images are right.

    Greedy: as long as too few images are right, the units are taken whose terms add most to the margin over the class that is
    then the strongest other one, summed over the images that are not right. At last units that are not needed are removed, the
    last ones first: without any one of the others too few images are right. A smaller set may exist.

    Parameters
    ----------
    terms : Terms
    base : ndarray of float64, shape (L,)
        The logits without any unit.
    label : int
    share : float
        Of the images.

    Returns
    -------
    ndarray of int64 or None
        In the order in which they were taken; None where all units together do not suffice.
    """
    zero = terms.of([])
    logits = base + zero
    needed = math.ceil(share * len(logits) - 1e-9)
    left, chosen = np.ones(terms.units, bool), list[int]()
    while (wrong := ~right(logits, label)).sum() > len(logits) - needed:
        if not left.any():
            return None
        images = np.flatnonzero(wrong)
        others = logits[images].copy()
        others[:, label] = -np.inf
        gains = np.where(left, terms.gains(label, images, others.argmax(1)), -np.inf)
        count = min(int(left.sum()), max(1, int(_GROWTH * len(chosen))))
        taken = np.array([gains.argmax()]) if count == 1 else np.argpartition(-gains, count - 1)[:count]
        left[taken] = False
        chosen += taken.tolist()
        logits = logits + terms.of(taken)
    before = None
    while before != len(chosen):  # without one unit another may be needless, too
        before = len(chosen)
        for unit in chosen[::-1]:
            without = logits - terms.of([unit])
            if right(without, label).sum() >= needed:
                logits = without
                chosen.remove(unit)
    return np.array(chosen, np.int64)


def jaccard(sets: Sequence[Indices], units: int) -> tuple[Array, Array]:
    """Return the overlap |A ∩ B| / |A ∪ B| of sets of units, and of random sets of the same sizes.

    Parameters
    ----------
    sets : sequence of ndarray of int
    units : int
        How many there are to draw from.

    Returns
    -------
    overlap, chance : ndarray of float64, shape (sets, sets)
        NaN where both are empty. Chance is the expected size of the intersection over the size of the union that belongs to it.
    """
    members = np.zeros((len(sets), units), np.float32)
    for row, chosen in zip(members, sets, strict=True):
        row[chosen] = 1
    size = members.sum(1, dtype=np.float64)
    pairs = size[:, None] + size
    both = (members @ members.T).astype(np.float64)
    expected = size[:, None] * size / units
    return tuple(  # type: ignore[return-value]
        np.divide(part, pairs - part, out=np.full(pairs.shape, np.nan), where=pairs > 0) for part in (both, expected)
    )
