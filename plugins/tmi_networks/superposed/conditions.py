"""When tiles in superposition can be told apart exactly: which of them can be active at one place, and what follows.

With inner tolerances e = ε + β the activation of tile t at a place is a_t = σ(e_t − t(x)), and its output reads
a_t + Σ g a_t' − β, with g what t reads of t' (`Code.shared`). The output is σ(ε_t − t(x)) exactly, for every image, if

1. no tile t' of which t reads something is active where t is contained: D(t, t') ≥ ε_t + ε_t' + β, where
   D(t, t') = Σ |t − t'| over the common support is the least that t(x) + t'(x) can be;
2. at every place where t is not contained, a_t + Σ g a_t' ≤ β.

For 2., a_t + a_t' ≤ e_t + e_t' − D(t, t') where both are active. The first condition is necessary: an image between two tiles
that fail it has one contained and the other active. The bounds for the second are sufficient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import tmi

from .codes import Code

Matrix = NDArray[np.float64]

_GROUPS = 2000  # groups of tiles looked at, for one tile
_ROUNDING = 1e-12  # of a sum, relative


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
    """Return β, slightly above μ·max ε / (1 − μ), the least with which one active tile brings no output of another above 0.

    It is above by 2⁻¹⁰ to 2⁻⁹ of that, so that rounding brings none above 0 either, in float32 too; and it is a multiple of a
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

    @cached_property
    def inner(self) -> Matrix:
        """The inner tolerances e = ε + β, shape (T,)."""
        inner: Matrix = self.epsilon + self.beta
        return inner

    @cached_property
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
        for tile in range(len(self.epsilon)):
            try:
                for group in self._groups(tile):
                    most = self.beta * (1 + _ROUNDING)
                    if self._most_read(tile, group) > most and self._least_bound(tile, group) > most:
                        one, other = _first(-self.slack[np.ix_(group, group)])
                        return group[one], group[other]
            except _TooManyError:
                return _first(-self.slack)
        return None

    def largest_share(self) -> float:
        """Return the largest number below 1 that every ε may be multiplied by so that the code is exact; 0 if none above 1e-6 is.

        It is too small by at most 2⁻⁹ + 1/4000 of it, 2.2 in 1,000.
        """
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
        bounds = np.zeros(len(self.epsilon))
        if self.failing_pair() is None:
            return bounds
        for tile, reads in enumerate(self.shared):
            try:
                bounds[tile] = max((self._above(tile, group) for group in self._groups(tile)), default=0.0)
            except _TooManyError:
                bounds[tile] = reads @ self.inner
        return bounds.clip(0)

    def _above(self, tile: int, group: list[int]) -> float:
        """Bound what the output of a tile is above σ(ε − t) by where a group is active."""
        if tile not in group:
            return self._most_read(tile, group) - self.beta
        others = [other for other in group if other != tile]
        most = float(self.shared[tile, others] @ np.minimum(self.inner, self.slack[tile])[others])
        return min(most, self._most_read(tile, others)) if len(others) > 1 else most

    def _groups(self, tile: int) -> Iterator[list[int]]:
        """All sets of two or more tiles that can be active at one place, pair by pair, of the tile and those that it reads.

        Raises
        ------
        _TooManyError
        """
        members = np.flatnonzero(self.shared[tile] > 0).tolist()
        near = {one: {int(other) for other in np.flatnonzero(self.slack[one] > 0)} for one in (*members, tile)}
        stack = [([one], near[one].intersection((*members, tile))) for one in (*members, tile)]
        count = 0
        while stack:
            group, beside = stack.pop()
            for one in beside:
                if one > group[-1]:
                    count += 1
                    if count > _GROUPS:
                        raise _TooManyError
                    yield [*group, one]
                    stack.append(([*group, one], beside & near[one]))

    def _most_read(self, tile: int, group: list[int]) -> float:
        """Bound what a tile reads of a group that is active together, its own activation included.

        The sum of g·a is 1 / (n − 1) of the sum over all pairs, of which each is at most the greater g times the pair's slack. If
        the tile is in the group, a_t + Σ g a' is at most the greatest slack of a pair with it, times the sum of the g if above 1.
        """
        weight = self._weights(tile, group)
        pairs = np.maximum(weight[:, None], weight) * self.slack[np.ix_(group, group)]
        most = float(pairs.sum() / 2 / (len(group) - 1))
        if tile in group:
            return min(most, float(self.slack[tile, group].max() * max(1.0, weight.sum() - 1)))
        return min(most, float(weight @ self.inner[group]))

    def _least_bound(self, tile: int, group: list[int]) -> float:
        """Bound the same by a linear program: the largest Σ g·a with a ≤ e for each tile and a + a' ≤ slack for each pair."""
        from scipy.optimize import linprog

        one, other = np.triu_indices(len(group), 1)
        rows = np.arange(len(group))
        pairs = (one[:, None] == rows) | (other[:, None] == rows)
        limits = np.stack([np.zeros(len(group)), self.inner[group]], 1)
        slack = self.slack[np.ix_(group, group)][one, other]
        return -float(linprog(-self._weights(tile, group), pairs.astype(float), slack, bounds=limits).fun)

    def _weights(self, tile: int, group: list[int]) -> Matrix:
        """What a tile reads of each tile of a group, its own activation included."""
        weights: Matrix = np.where(np.array(group) == tile, 1.0, self.shared[tile, group])
        return weights


class _TooManyError(Exception):
    """More groups of tiles than are looked at."""


def apart(epsilon: Matrix, beta: float) -> Matrix:
    """Return the least distance that two tiles need that read one another, ε_t + ε_t' + β, shape (T, T)."""
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


def _first(values: Matrix) -> tuple[int, int]:
    """Where the least value is."""
    one, other = np.unravel_index(values.argmin(), values.shape)
    return int(one), int(other)
