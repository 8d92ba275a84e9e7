"""How many templates a continuous spectrum of tiles needs (section 7, limitations of template matching)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError

from .tile_paths import TilePath

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PARTS = 8
"""Templates are looked for at points of a path that are at most ε/8 of its length apart."""
_AT_ONCE = 50_000  # pixels of candidates that are compared together: few enough for the processor's cache


@dataclass(frozen=True, eq=False)
class Cover:
    """Templates of which at least one contains each member of a spectrum.

    Attributes
    ----------
    strengths : ndarray of float64, shape (T,)
        The members that are taken as templates; the first is the tile itself, 0.
    needed : ndarray of float64, shape (T,)
        The extent beyond which each is needed: the first for every extent, the others in the order in which they were chosen,
        first towards larger strengths, then towards smaller ones.
    """

    strengths: Array
    needed: Array

    def count(self, extents: Any) -> NDArray[np.int64]:
        """Return how many of the templates contain all members up to each extent, ascending with the extent."""
        further: NDArray[np.int64] = (self.needed[1:] < np.asarray(extents)[..., None]).sum(-1)
        return 1 + further

    def __len__(self) -> int:
        return len(self.strengths)


def cover(path: TilePath, epsilon: float) -> Cover:
    """Choose few members of a spectrum that contain all others as templates, the tile itself among them.

    A template contains a stretch of the path around its own place. On either side of the tile the next template is the one that
    contains the end of what is covered and reaches farthest from it: no choice of stretches covers the side with fewer. A path of
    L1 length ℓ needs about ℓ/(2ε), and fewer where it bends, for then a template reaches farther along it than ε.

    Parameters
    ----------
    path : TilePath
    epsilon : float
        The tolerance ε of every template.

    Returns
    -------
    Cover
        On each side of the least size for templates at the points of `stretches`. On a straight path these points need at most
        7 % more templates than all points would.

    Raises
    ------
    InputError
        If ε is not well above the rounding of float32.
    """
    place, low, high = stretches(path, epsilon)
    first = int(np.flatnonzero(place == 0)[0])
    upwards = _sweep(low, high, high[first], place[-1])
    downwards = _sweep(-high, -low, -low[first], -place[0])
    chosen = [(first, 0.0), *upwards, *downwards]
    return Cover(place[[c for c, _ in chosen]], np.array([end for _, end in chosen]))


def stretches(path: TilePath, epsilon: float) -> tuple[Array, Array, Array]:
    """Find which stretch of a path members contain as templates: t < ε, at the same place (Definition 3.4).

    Parameters
    ----------
    path : TilePath
    epsilon : float

    Returns
    -------
    strengths, low, high : ndarray of float64, shape (M,)
        Candidates for templates, among them all knots, and the two ends of the stretch around each. All members from ``low`` to
        ``high`` are contained: their distances are at most ε less the rounding of float32, so that it holds in images of either
        type. Ends lie on the chord of the piece in which the distance reaches ε; it may reach it a little later.

    Raises
    ------
    InputError
        If ε is not well above the rounding of float32.
    """
    # In float32 a pixel of the image and of the template are each rounded by up to 2⁻²⁵.
    rounding = path.values[0].size * 2.0**-24
    if epsilon < 2 * rounding:
        raise InputError(f"epsilon: {epsilon:g} is too small beside rounding in float32; use at least {2 * rounding:.2g}")
    limit = epsilon - rounding
    place = candidates(path, epsilon / PARTS)
    # Pixels that never change add nothing to a distance.
    moving = (path.values != path.values[0]).any(0)
    path = TilePath(path.strengths, path.values[:, moving][:, None, None], path.supports[:, moving][:, None, None])
    return place, -_ends(path.mirrored(), -place[::-1], limit)[::-1], _ends(path, place, limit)


def candidates(path: TilePath, longest: float) -> Array:
    """Divide the pieces of a path so that none is longer; return the strengths at all points."""
    parts = np.maximum(1, np.ceil(np.diff(path.lengths) / longest)).astype(int)
    inner = [
        np.linspace(start, end, n, endpoint=False)
        for start, end, n in zip(path.strengths, path.strengths[1:], parts, strict=False)
    ]
    return np.concatenate([*inner, path.strengths[-1:]])


def _ends(path: TilePath, place: Array, limit: float) -> Array:
    """Return for the template at each place how far upwards along the path no distance is above the limit."""
    along = np.interp(place, path.strengths, path.lengths)
    # No distance is longer than the way along the path: up to here nothing needs to be computed.
    last = np.searchsorted(along, along + limit, side="right") - 1
    ends = np.full(len(place), place[-1])
    at_once = max(1, _AT_ONCE // max(1, path.values[0].size))
    for start in range(0, len(place), at_once):
        rows = np.arange(start, min(start + at_once, len(place)))
        rows = rows[last[rows] < len(place) - 1]
        templates, supports = path.at(place[rows])
        inside = _distances(templates, supports, path.values_at(place[last[rows]]))
        while len(rows):
            before, after = place[last[rows]], place[last[rows] + 1]
            beyond = _distances(templates, supports, path.values_at(after))
            stop = beyond > limit
            # On a straight piece the distance is convex, and so at most its chord.
            share = (limit - inside[stop]) / (beyond - inside)[stop]
            ends[rows[stop]] = before[stop] + share * (after - before)[stop]
            last[rows] += 1
            further = ~stop & (last[rows] < len(place) - 1)
            rows, inside, templates, supports = rows[further], beyond[further], templates[further], supports[further]
    return ends


def _distances(templates: Array, supports: NDArray[np.bool_], members: Array) -> Array:
    """Return t(s) of each template for the member beside it (Definition 3.3); the members are overwritten."""
    members -= templates
    np.abs(members, out=members)
    distances: Array = np.einsum("kcij,kcij->k", members, supports)
    return distances


def _sweep(low: Array, high: Array, covered: float, end: float) -> list[tuple[int, float]]:
    """Choose stretches upwards until the end is covered; return each with the end of what was covered before."""
    chosen = []
    while covered < end:
        best = int(np.where(low <= covered, high, -np.inf).argmax())
        chosen.append((best, covered))
        covered = float(high[best])
    return chosen
