"""Smallest sets of neurons that keep a logit or a prediction: exact where logits are linear in them, greedy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

ROUNDING = 1e-6
"""Up to this share of its rise a logit counts as kept."""

_NODES = 2000  # of the search tree; with a time limit the result would depend on the machine
_VARIABLES = 2000  # neurons for which the integer program is tried


def keeps_value(contributions: Array, share: float) -> Indices:
    """Return a smallest set of terms whose sum reaches a share of the sum of all.

    Parameters
    ----------
    contributions : ndarray, shape (n,)
        The contribution of each neuron to the logit.
    share : float

    Returns
    -------
    ndarray of int64
        Largest first; empty where the sum of all is at most 0. No smaller set reaches the share, for the largest terms are taken.
    """
    total = contributions.sum()
    if share == 0 or total <= ROUNDING * np.abs(contributions).sum():  # nothing to keep but rounding
        return np.empty(0, np.int64)
    order = np.argsort(-contributions, kind="stable")
    reached = contributions[order].cumsum() >= share * total - ROUNDING * total
    return order[: int(reached.argmax()) + 1]


def keeps_margins(start: Array, gains: Array) -> tuple[Indices, bool]:
    """Return a smallest set of neurons with which every margin is above 0.

    Parameters
    ----------
    start : ndarray, shape (rivals,)
        Margins over each other class without any neuron.
    gains : ndarray, shape (rivals, n)
        The contribution of each neuron to the margins; with all neurons every margin is positive.

    Returns
    -------
    chosen : ndarray of int64
    proven : bool
        Whether it is proven that no smaller set suffices: because the worst rival alone needs as many, or by an integer program.
    """
    if (start > 0).all():
        return np.empty(0, np.int64), True
    chosen = _greedy(start, gains)
    # Against each rival alone, so many of the neurons that help most against it are needed.
    reached = start[:, None] + -np.sort(-gains, axis=1).cumsum(1) > 0
    least = int(np.where(start > 0, 0, reached.argmax(1) + 1).max())
    if len(chosen) <= least:
        return chosen, True
    if gains.shape[1] > _VARIABLES:
        return chosen, False
    return _program(start, gains, chosen, least)


def breaks_margin(margins: Array, gains: Array) -> Indices | None:
    """Return a smallest set of neurons without which some margin is at most 0, or None where there is none.

    Parameters
    ----------
    margins : ndarray, shape (rivals,)
        Margins with all neurons.
    gains : ndarray, shape (rivals, n)
        The contribution of each neuron to the margins.

    Returns
    -------
    ndarray of int64 or None
        Exact: for each rival, neurons are removed in the order of how much they help against it.
    """
    if not gains.size:
        return None
    left = margins[:, None] + np.sort(-gains, axis=1).cumsum(1)
    # A margin of the size of rounding is a tie.
    broken = left <= 1e-12 * (np.abs(margins) + np.abs(gains).sum(1))[:, None]
    if not broken.any():
        return None
    needed = np.where(broken.any(1), broken.argmax(1), gains.shape[1])
    rival = int(needed.argmin())
    return np.argsort(-gains[rival], kind="stable")[: needed[rival] + 1]


def first_prefix(order: Indices, holds: Callable[[Indices], NDArray[np.bool_]]) -> Indices | None:
    """Return the shortest prefix of an order for which a condition holds.

    Parameters
    ----------
    order : ndarray of int64, shape (n,)
    holds : callable
        Function of the prefixes' lengths (K,), which returns bool (K,).

    Returns
    -------
    ndarray of int64 or None
        None where it holds for no prefix, the empty one and the whole order included.
    """
    held = holds(np.arange(len(order) + 1))
    return order[: int(held.argmax())] if held.any() else None


def _greedy(start: Array, gains: Array) -> Indices:
    """Add the neuron that leaves the least shortfall until every margin is positive; then remove neurons that are not needed."""
    margins, left, chosen = start.copy(), np.ones(gains.shape[1], bool), []
    while not (margins > 0).all() and left.any():
        reached = margins[:, None] + gains
        short = np.where(left, np.minimum(reached, 0).sum(0), -np.inf)
        # Among neurons that leave no shortfall, the one with the largest worst margin is taken.
        candidates = np.flatnonzero(short == short.max())
        best = candidates[reached[:, candidates].min(0).argmax()]
        margins = margins + gains[:, best]
        left[best] = False
        chosen.append(int(best))
    for neuron in chosen[::-1]:
        if (margins - gains[:, neuron] > 0).all():
            margins = margins - gains[:, neuron]
            chosen.remove(neuron)
    return np.array(chosen, np.int64)


def _program(start: Array, gains: Array, chosen: Indices, least: int) -> tuple[Indices, bool]:
    """Solve "the fewest neurons with every margin above 0" as an integer program."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    scale = np.abs(gains).max()
    constraints = [
        LinearConstraint(gains / scale, -start / scale + 1e-6, np.inf),
        LinearConstraint(np.ones((1, gains.shape[1])), least, len(chosen)),
    ]
    solution = milp(
        np.ones(gains.shape[1]),
        integrality=np.ones(gains.shape[1]),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"node_limit": _NODES},
    )
    proven = solution.status in (0, 2)  # solved, or infeasible: the greedy set is the only one of its size or smaller
    if solution.x is None:
        return chosen, proven
    better = np.flatnonzero(solution.x > 0.5)
    if len(better) < len(chosen) and (start + gains[:, better].sum(1) > 0).all():
        return better[np.argsort(-gains[:, better].min(0), kind="stable")], proven
    return chosen, proven
