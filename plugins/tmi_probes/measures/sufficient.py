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
"""Of a logit, relative to how far it moved: what counts as kept."""

_NODES = 2000  # of the search tree: a count, for a time limit would let the machine decide
_VARIABLES = 2000


def keeps_value(contributions: Array, share: float) -> Indices:
    """Return a smallest set of terms whose sum reaches a share of the sum of all.

    Parameters
    ----------
    contributions : ndarray, shape (n,)
        What each neuron adds to the logit.
    share : float

    Returns
    -------
    ndarray of int64
        Largest first; empty where the sum of all is at most 0. No smaller set reaches the share, for the largest are taken.
    """
    total = contributions.sum()
    if share == 0 or total <= ROUNDING * np.abs(contributions).sum():  # nothing to keep: the rest is rounding
        return np.empty(0, np.int64)
    order = np.argsort(-contributions, kind="stable")
    reached = contributions[order].cumsum() >= share * total - ROUNDING * total
    return order[: int(reached.argmax()) + 1]


def keeps_margins(start: Array, gains: Array) -> tuple[Indices, bool]:
    """Return a smallest set of neurons with which every margin is above 0.

    Parameters
    ----------
    start : ndarray, shape (rivals,)
        Margins over each other class with no neuron.
    gains : ndarray, shape (rivals, n)
        What each neuron adds to them; all together make every margin positive.

    Returns
    -------
    chosen : ndarray of int64
    proven : bool
        Whether no smaller set can do. A set as small as the worst single rival asks for is; else an integer program decides.
    """
    if (start > 0).all():
        return np.empty(0, np.int64), True
    chosen = _greedy(start, gains)
    # One rival alone asks for so many of the neurons that help most against it.
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
        With all neurons.
    gains : ndarray, shape (rivals, n)
        What each neuron adds to them.

    Returns
    -------
    ndarray of int64 or None
        Exact: for each rival those go first that help most against it.
    """
    if not gains.size:
        return None
    order = np.argsort(-gains, axis=1, kind="stable")
    left = margins[:, None] - np.take_along_axis(gains, order, 1).cumsum(1)
    # What rounding alone leaves is a tie.
    broken = left <= 1e-12 * (np.abs(margins) + np.abs(gains).sum(1))[:, None]
    if not broken.any():
        return None
    needed = np.where(broken.any(1), broken.argmax(1), gains.shape[1])
    rival = int(needed.argmin())
    return order[rival, : needed[rival] + 1]


def first_prefix(order: Indices, holds: Callable[[Indices], NDArray[np.bool_]]) -> Indices | None:
    """Return the shortest beginning of an order for which a condition holds.

    Parameters
    ----------
    order : ndarray of int64, shape (n,)
    holds : callable
        Lengths of beginnings (K,) to bool (K,).

    Returns
    -------
    ndarray of int64 or None
        None where it holds for none, the empty and the whole included.
    """
    held = holds(np.arange(len(order) + 1))
    return order[: int(held.argmax())] if held.any() else None


def _greedy(start: Array, gains: Array) -> Indices:
    """Take the neuron that leaves the least shortfall, until no margin falls short; then drop those that are not needed."""
    margins, left, chosen = start.copy(), np.ones(gains.shape[1], bool), []
    while not (margins > 0).all() and left.any():
        short = np.minimum(margins[:, None] + gains, 0).sum(0)
        worst = (margins[:, None] + gains).min(0)
        candidates = np.flatnonzero(left)
        # Where nothing falls short any more, the largest worst margin decides.
        best = candidates[np.lexsort((-worst[candidates], -short[candidates]))[0]]
        margins = margins + gains[:, best]
        left[best] = False
        chosen.append(int(best))
    for neuron in chosen[::-1]:
        if (margins - gains[:, neuron] > 0).all():
            margins = margins - gains[:, neuron]
            chosen.remove(neuron)
    return np.array(chosen, np.int64)


def _program(start: Array, gains: Array, chosen: Indices, least: int) -> tuple[Indices, bool]:
    """Solve "fewest neurons, every margin above 0" as an integer program."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    scale = np.abs(gains).max()
    constraints = [
        LinearConstraint(gains / scale, -start / scale + 1e-6, np.inf),
        LinearConstraint(np.ones((1, gains.shape[1])), least, len(chosen)),
    ]
    found = milp(
        np.ones(gains.shape[1]),
        integrality=np.ones(gains.shape[1]),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"node_limit": _NODES},
    )
    proven = found.status in (0, 2)  # solved, or without any solution as small as the greedy one but that one itself
    if found.x is None:
        return chosen, proven
    better = np.flatnonzero(found.x > 0.5)
    if len(better) < len(chosen) and (start + gains[:, better].sum(1) > 0).all():
        return better[np.argsort(-gains[:, better].min(0), kind="stable")], proven
    return chosen, proven
