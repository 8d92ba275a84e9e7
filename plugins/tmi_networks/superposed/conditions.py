"""When tiles in superposition can be told apart exactly: which of them can be active at one place, and what follows.

With inner tolerances e = ε + β the activation of tile t at a place is a_t = σ(e_t − t(x)), and its output reads
a_t + Σ g a_t' − β, with g what t reads of t' (`Code.shared`). The output is σ(ε_t − t(x)) exactly, for every image, if

1. no tile t' of which t reads something is active where t is contained:
   D(t, t') ≥ max(e_t + ε_t', e_t' + ε_t), where D(t, t') = Σ |t − t'| over the common support is the least that
   t(x) + t'(x) can be;
2. at every place where t is not contained, a_t + Σ g a_t' ≤ β.

For 2., a_t + a_t' ≤ e_t + e_t' − D(t, t') where both are active. Where the first condition fails, there is an image on which
the network errs (`counterexample`): it is necessary. The bounds for the second are sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import tmi

from .codes import Code

Matrix = NDArray[np.float64]


def distances(task: tmi.TemplateTask) -> Matrix:
    """Return D, shape (T, T): Σ |t − t'| over the common support of two tiles with one top left corner."""
    values, support = (part.reshape(len(part), -1) for part in laid_out(task))
    rows = []
    for value, counts in zip(values, support, strict=True):
        both = support[:, counts]
        rows.append((np.abs(values[:, counts] - value[counts]) * both).sum(1))
    return np.stack(rows)


def laid_out(task: tmi.TemplateTask) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return the values and the supports of all tiles at the top left of an image, two arrays (T, C, m, n)."""
    values, support = np.zeros((2, len(task.tiles), *task.image_shape))
    for tile, value, counts in zip(task.tiles, values, support, strict=True):
        value[:, : tile.shape[1], : tile.shape[2]] = tile.values
        counts[:, : tile.shape[1], : tile.shape[2]] = tile.support
    return values, support.astype(bool)


def threshold(epsilon: float, overlap: float) -> float:
    """Return β: a hair above μ·max ε / (1 − μ), the least with which one active tile brings no output of another above 0.

    It is at least one in a thousand above, so that rounding brings none above 0 either, in float32 too; and it is a multiple of a
    power of two, so that adding it to an ε of few digits and taking it away again rounds nothing.
    """
    least = overlap * epsilon / (1 - overlap)
    grid = 2.0 ** (np.floor(np.log2(least)) - 10) if least > 0 else 1.0
    return float(np.ceil(least * (1 + 2.0**-10) / grid) * grid)


@dataclass(frozen=True)
class Limits:
    """What decides whether a code is exact for the tiles.

    Attributes
    ----------
    distance : ndarray of float64, shape (T, T)
        See `distances`.
    shared : ndarray of float64, shape (T, T)
        See `Code.shared`.
    epsilon : ndarray of float64, shape (T,)
    overlap : float
        See `Code.overlap`.
    """

    distance: Matrix
    shared: Matrix
    epsilon: Matrix
    overlap: float

    @cached_property
    def beta(self) -> float:
        """β, see `threshold`."""
        return threshold(float(self.epsilon.max()), self.overlap)

    @property
    def inner(self) -> Matrix:
        """The inner tolerances e = ε + β, shape (T,)."""
        inner: Matrix = self.epsilon + self.beta
        return inner

    @property
    def slack(self) -> Matrix:
        """e_t + e_t' − D, shape (T, T): the most that the activations of two tiles sum to where both are active, if above 0."""
        slack: Matrix = self.inner[:, None] + self.inner - self.distance
        np.fill_diagonal(slack, 0)
        return slack

    def scaled(self, share: float) -> Limits:
        """Return the limits with every ε multiplied by a number."""
        return replace(self, epsilon=self.epsilon * share)

    def failing_pair(self) -> tuple[int, int] | None:
        """Return two tiles that keep the code from being exact, those that limit ε most; None if it is exact for every image."""
        needed = apart(self.epsilon, self.beta)
        near = (self.shared > 0) & (self.distance < needed)
        if near.any():
            return _first(np.where(near, self.distance / needed, np.inf))
        slack = self.slack
        active = slack > 0
        np.fill_diagonal(active, False)
        if not active.any():
            return None
        for tile, reads in enumerate(self.shared):
            others = np.flatnonzero(reads)
            both, most = active[np.ix_(others, others)], reads.max()
            if both.any():
                # Tiles that are active together, pair by pair, are at most `many`, and then sum to many / 2 · the largest slack.
                many = 1 + both.sum(1).max()
                sums = np.where(both, slack[np.ix_(others, others)], 0)
                if most * many / 2 * sums.max() > self.beta:
                    one, other = _first(-sums)
                    return int(others[one]), int(others[other])
            beside = others[active[tile, others]]
            if len(beside):
                many = 1 + active[np.ix_(beside, beside)].sum(1).max()
                if slack[tile, beside].max() * max(1.0, most * many) > self.beta:
                    return tile, int(beside[slack[tile, beside].argmax()])
        return None

    def largest_share(self) -> float:
        """Return the largest number that every ε may be multiplied by so that the code is exact, to 1 in 1,000; 0 if none is."""
        low, high = 0.0, 1.0
        while high - low > low / 4000 and high > 1e-6:
            middle = (low + high) / 2
            low, high = (low, middle) if self.scaled(middle).failing_pair() else (middle, high)
        return low * (1 - 2.0**-9)  # β is rounded to a grid

    def errors(self) -> Matrix:
        """Bound by how much the output of each tile, at one place, can be above σ(ε − t), shape (T,); it is never below.

        Where t is inactive it reads Σ g a − β of tiles that are active together; where it is active, Σ g a of such that are
        active beside it, and of those a_t' ≤ the slack of the pair.
        """
        if self.failing_pair() is None:
            return np.zeros(len(self.epsilon))
        slack, inner = self.slack, self.inner
        active = slack > 0
        np.fill_diagonal(active, False)
        bounds = np.zeros(len(inner))
        for tile, reads in enumerate(self.shared):
            others = np.flatnonzero(reads)
            both = active[np.ix_(others, others)]
            without = _largest(reads[others] * inner[others], 1 + both.sum(1).max(initial=0)) - self.beta
            beside = others[active[tile, others]]
            both = active[np.ix_(beside, beside)]
            beside_it = reads[beside] * np.minimum(inner[beside], slack[tile, beside])
            bounds[tile] = max(0.0, without, _largest(beside_it, 1 + both.sum(1).max(initial=0)))
        return bounds


def apart(epsilon: Matrix, beta: float) -> Matrix:
    """Return the least distance that two tiles need that read one another, max(e_t + ε_t', e_t' + ε_t), shape (T, T)."""
    needed: Matrix = epsilon[:, None] + epsilon + beta
    return needed


def assigned(code: Code, distance: Matrix, epsilon: Matrix) -> Code:
    """Give tiles that are near each other words that share no neuron, as far as exchanges of two words lead there.

    The pair that limits ε most, of those that share neurons, is parted by the exchange after which the nearest pair that the
    two exchanged words have is farthest apart. The result does not change if every ε is multiplied by one number.

    Parameters
    ----------
    code : Code
    distance : ndarray of float64, shape (T, T)
    epsilon : ndarray of float64, shape (T,)
    """
    count = len(epsilon)
    far = distance / apart(epsilon, code.overlap * epsilon.max() / (1 - code.overlap))
    np.fill_diagonal(far, np.inf)
    shares = code.shared > 0
    order = np.arange(count)
    for _ in range(10 * count):
        used = shares[np.ix_(order, order)]
        one, other = _first(np.where(used, far, np.inf))
        if not used[one, other]:  # no two tiles share a neuron
            break
        least = far[one, other]
        best, exchange = least, None
        for moved in (one, other):
            for partner in range(count):
                tried = order.copy()
                tried[[moved, partner]] = order[[partner, moved]]
                rows = shares[np.ix_(tried[[moved, partner]], tried)]
                nearest = np.where(rows, far[[moved, partner]], np.inf).min()
                if nearest > best:
                    best, exchange = nearest, tried
        if exchange is None:
            break
        order = exchange
    return code.permuted(order)


def counterexample(task: tmi.TemplateTask, limits: Limits, pair: tuple[int, int]) -> Matrix | None:
    """Return an image on which the network errs because of two tiles that fail the first condition; None if they do not.

    Its top left window is between the two: one is contained, and the other active.

    Parameters
    ----------
    task : TemplateTask
    limits : Limits
    pair : (int, int)

    Returns
    -------
    ndarray of float64, shape (C, m, n), or None
    """
    one, other = pair
    between, inner = limits.distance[pair], limits.inner
    # Where one is at the distance s, the other is at D − s.
    low, high = max(0.0, between - inner[other]), min(between, limits.epsilon[one])
    if not limits.shared[pair] or not between < inner[other] + limits.epsilon[one]:
        return None
    share = (low + high) / 2 / between if between else 0.0
    values, support = laid_out(task)
    image: Matrix = np.where(support[one], values[one], values[other])
    return np.where(support[one] & support[other], image + share * (values[other] - image), image)


def _first(values: Matrix) -> tuple[int, int]:
    one, other = np.unravel_index(values.argmin(), values.shape)
    return int(one), int(other)


def _largest(values: Matrix, count: int) -> float:
    """The sum of so many of the largest values."""
    return float(np.sort(values)[::-1][:count].sum())
