"""Regions of one ReLU layer: their number for hyperplanes in general position, and their enumeration for given ones."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_THIN = 1e-9  # a region that contains no ball of this radius is a boundary


def zaslavsky(neurons: int, dimension: int) -> int:
    """Return Σ_{j ≤ d} C(n, j): the regions into which n hyperplanes in general position cut d dimensions (Zaslavsky 1975).

    It is an upper bound for any n hyperplanes, such as those of a convolution with its shared filters.

    Parameters
    ----------
    neurons, dimension : int
        n and d, at least 0.

    Raises
    ------
    InputError
        If either is negative.
    """
    if neurons < 0 or dimension < 0:
        raise InputError(f"zaslavsky: expected numbers of at least 0, got {neurons} and {dimension}")
    return sum(comb(neurons, j) for j in range(min(neurons, dimension) + 1))


def regions_of_layer(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Enumerate the activation patterns of a layer σ(W x + b) over all x, by linear programming.

    One hyperplane after another: a region is cut in two where it has points on both sides.

    Parameters
    ----------
    weight : ndarray, shape (n, d)
    bias : ndarray, shape (n,)

    Returns
    -------
    ndarray of bool, shape (regions, n)
        Each pattern whose region has an interior, once.

    Raises
    ------
    InputError
        If the shapes do not fit, or a value is not finite.
    """
    weight, bias = np.asarray(weight, float), np.asarray(bias, float)
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise InputError(f"regions_of_layer: expected weight (n, d) and bias (n,), got {weight.shape} and {bias.shape}")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError("regions_of_layer: weights and biases must be finite")
    regions = [np.empty(0, bool)]
    for count in range(1, len(bias) + 1):
        sides = (np.append(region, side) for region in regions for side in (False, True))
        regions = [region for region in sides if _has_interior(weight[:count], bias[:count], region)]
    return np.array(regions)


def _has_interior(weight: NDArray[np.float64], bias: NDArray[np.float64], pattern: NDArray[np.bool_]) -> bool:
    """Return whether a ball fits between the hyperplanes on these sides: a linear program finds the largest radius r ≤ 1."""
    from scipy.optimize import linprog

    sign = np.where(pattern, 1.0, -1.0)
    length = np.linalg.norm(weight, axis=1)
    flat = length == 0  # such a neuron is on the same side everywhere
    if ((bias > 0) != pattern)[flat].any():
        return False
    rows, size = (sign[:, None] * weight)[~flat], length[~flat]
    limits = [(None, None)] * weight.shape[1] + [(None, 1.0)]
    # sign·(w x + b) ≥ r‖w‖, for the largest r.
    solution = linprog(
        np.append(np.zeros(weight.shape[1]), -1.0),
        A_ub=np.column_stack([-rows, size]),
        b_ub=(sign * bias)[~flat],
        bounds=limits,
        method="highs",
    )
    return bool(solution.status == 0 and -solution.fun > _THIN)
