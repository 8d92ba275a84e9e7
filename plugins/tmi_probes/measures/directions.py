"""How well the atoms of a dictionary match known directions, and how well its codes match known amplitudes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .recovery import match, varies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

RECOVERED = 0.9
"""The cosine above which a direction counts as recovered."""


def cosines(first: NDArray[Any], second: NDArray[Any]) -> Array:
    """Return the cosine of every row of one matrix with every row of another.

    Parameters
    ----------
    first, second : ndarray, shape (A, neurons) and (B, neurons)

    Returns
    -------
    ndarray of float64, shape (A, B)
        In [−1, 1]; 0 where a row is 0.
    """
    result: Array = np.clip(unit_rows(np.asarray(first, np.float64)) @ unit_rows(np.asarray(second, np.float64)).T, -1, 1)
    return result


def unit_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows at length 1, in their dtype; a row of zeros stays one."""
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    result: NDArray[Any] = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    return result


def direction_scores(atoms: NDArray[Any], directions: NDArray[Any], *, either_sign: bool = False) -> dict[str, float]:
    """Score atoms against known directions.

    Parameters
    ----------
    atoms : ndarray, shape (atoms, neurons)
    directions : ndarray, shape (features, neurons)
    either_sign : bool
        Whether an atom stands for its opposite as well, as those of PCA and ICA do.

    Returns
    -------
    dict of str to float
        ``mmcs``, the mean over directions of the largest cosine with an atom (Sharkey et al. 2022); ``recovered``, the share of
        directions for which it is above 0.9; ``true_atoms``, the share of atoms with such a direction. 0 without an atom.
    """
    table = cosines(directions, atoms)
    if either_sign:
        table = np.abs(table)
    if not table.size:
        return {"mmcs": 0.0, "recovered": 0.0, "true_atoms": 0.0}
    best = table.max(1)
    return {
        "mmcs": float(best.mean()),
        "recovered": float((best > RECOVERED).mean()),
        "true_atoms": float((table.max(0) > RECOVERED).mean()),
    }


def stability(dictionaries: list[NDArray[Any]], *, either_sign: bool = False) -> float:
    """Return how far dictionaries of several fits have the same atoms.

    Parameters
    ----------
    dictionaries : list of ndarray, shape (atoms, neurons)
        One a fit; the numbers of atoms may differ.
    either_sign : bool
        Whether an atom stands for its opposite as well.

    Returns
    -------
    float
        The largest cosine of an atom with an atom of another fit, mean over atoms and over ordered pairs of fits: it needs no
        known directions. NaN for fewer than two fits with atoms.
    """
    with_atoms = [atoms for atoms in dictionaries if len(atoms)]
    values = [
        direction_scores(other, atoms, either_sign=either_sign)["mmcs"]
        for i, atoms in enumerate(with_atoms)
        for j, other in enumerate(with_atoms)
        if i != j
    ]
    return float(np.mean(values)) if values else float("nan")


def code_recovery(codes: NDArray[Any], amplitudes: NDArray[Any]) -> float:
    """Return how well codes follow the amplitudes of features.

    Parameters
    ----------
    codes : ndarray, shape (N, atoms)
    amplitudes : ndarray, shape (N, features)
        Columns that vary.

    Returns
    -------
    float
        |Correlation| of each feature with its code in the best one-to-one matching (Kuhn 1955), mean over features; a feature
        without a code counts 0.
    """
    moving, shown = codes[:, varies(codes)].astype(np.float64), amplitudes.astype(np.float64)
    if not moving.shape[1]:
        return 0.0
    size = np.abs(unit_rows((shown - shown.mean(0)).T) @ unit_rows((moving - moving.mean(0)).T).T)
    feature, code = match(size)
    return float(size[feature, code].sum() / len(size))
