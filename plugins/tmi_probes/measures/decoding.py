"""Linear decoding: what a linear model reads from activations, cross-validated, for any number of units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .recovery import varies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ALPHAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties to choose from, for activations whose squared distance from their mean is 1 on average."""

_UNITS = 4096  # units whose products are summed at a time


def coordinates(activations: NDArray[Any]) -> Array:
    """Return coordinates of the images that keep all their distances, at most as many as there are images.

    Parameters
    ----------
    activations : ndarray, shape (N, units)

    Returns
    -------
    ndarray of float64, shape (N, dimensions)
        Centred, with squares that sum to N; dimensions ≤ N. Up to one factor, distances between images are those in the units
        that vary, so that a ridge regression predicts the same from them as from all units. Without a column where nothing
        varies.

    Notes
    -----
    The triangular factor L of A Aᵀ = L Lᵀ, with 1e-9 of its mean diagonal added to that: a ridge, a millionth of the least of
    `ALPHAS`.
    """
    images = len(activations)
    moving = np.flatnonzero(varies(activations))
    if not len(moving):
        return np.empty((images, 0))
    if len(moving) <= images:
        points = _centred(activations, moving)
        return np.asarray(points * np.sqrt(images / np.square(points).sum()))
    gram = np.zeros((images, images))
    for start in range(0, len(moving), _UNITS):
        part = _centred(activations, moving[start : start + _UNITS])
        gram += part @ part.T
    gram *= images / np.trace(gram)
    gram[np.diag_indices(images)] += 1e-9
    return np.asarray(np.linalg.cholesky(gram), np.float64)


def _centred(activations: NDArray[Any], units: NDArray[np.int64]) -> Array:
    part: Array = activations[:, units].astype(np.float64)
    part -= part.mean(0)
    return part


def decode(points: Array, targets: Mapping[str, NDArray[np.int64]], folds: NDArray[np.int64]) -> dict[str, Array]:
    """Predict labels from points by linear models that are fitted on the other folds.

    Parameters
    ----------
    points : ndarray of float64, shape (N, dimensions)
        See `coordinates`.
    targets : mapping of str to ndarray of int64, shape (N,)
        Labels, by name.
    folds : ndarray of int64, shape (N,)
        The fold of each image; at least two folds.

    Returns
    -------
    dict of str to ndarray of float64, shape (N,)
        For each target and image 1 if the label's score is the greatest, 1/n if n labels share the greatest score, else 0.

    Notes
    -----
    For each fold one ridge regression on the one-hot labels (scikit-learn's RidgeCV), its penalty chosen for each label by
    leave-one-out on the fitted images; the label of the greatest score is predicted, as in RidgeClassifier.
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    numbers, onehot, parts, start = {}, [], {}, 0
    for name, label in targets.items():
        seen, numbers[name] = np.unique(label, return_inverse=True)
        onehot.append(np.eye(len(seen))[numbers[name]])
        parts[name] = slice(start, start + len(seen))
        start += len(seen)
    wanted = np.concatenate(onehot, axis=1)
    right = {name: np.zeros(len(points)) for name in targets}
    for fold in np.unique(folds):
        fitted, held = folds != fold, folds == fold
        if points.shape[1] and fitted.sum() > 1:  # leave-one-out needs two images
            with threadpool_limits(1):  # for matrices this small, two threads on a busy machine are slower than one
                model = RidgeCV(alphas=np.array(ALPHAS), alpha_per_target=True).fit(points[fitted], wanted[fitted])
            scores = model.predict(points[held]).reshape(held.sum(), -1)
        else:
            scores = np.repeat(wanted[fitted].mean(0)[None], held.sum(), axis=0)
        for name, part in parts.items():
            # Scores that differ by rounding count as equal.
            greatest = scores[:, part] >= scores[:, part].max(1, keepdims=True) - 1e-6
            of_label = greatest[np.arange(len(greatest)), numbers[name][held]]
            right[name][held] = of_label / greatest.sum(1)
    return right
