"""Linear decoding: what multinomial logistic regression reads from activations, cross-validated, for any number of units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .recovery import varies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

_UNITS = 4096  # units whose products are summed at a time


def folds_of(labels: Indices, folds: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Divide images into folds in which each label has its share.

    Parameters
    ----------
    labels : ndarray of int64, shape (N,)
    folds : int
        From 2 to N.
    seed : int

    Returns
    -------
    list of (fitted, held)
        Indices of the images for each fold: scikit-learn's StratifiedKFold; its KFold where no label has as many images as there
        are folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    enough = np.bincount(labels).max() >= folds
    divide = (StratifiedKFold if enough else KFold)(folds, shuffle=True, random_state=seed)
    return list(divide.split(labels[:, None], labels))


def coordinates(activations: NDArray[Any], fitted: Indices) -> Array:
    """Return standardised coordinates of images: as a logistic regression sees them, at most as many as fitted images.

    Parameters
    ----------
    activations : ndarray, shape (N, units)
    fitted : ndarray of int64
        The images that a model is fitted on.

    Returns
    -------
    ndarray of float64, shape (N, dimensions)
        dimensions ≤ len(fitted). With no more units than fitted images the units themselves, shifted and scaled to mean 0 and
        variance 1 over the fitted images, as scikit-learn's StandardScaler does. With more, the coordinates of these points in
        the space that the fitted images span. A single column of zeros where nothing varies.

    Notes
    -----
    The weights of a regression with an L2 penalty lie in the span of the fitted images (representer theorem), so that it predicts
    from these coordinates what it predicts from all units. They are found from the products of the images, without the singular
    vectors of the wide matrix: with K = QΛQᵀ the products of the fitted images and k those of an image with them, its coordinates
    are k Q Λ^(−1/2).
    """
    moving = np.flatnonzero(varies(activations))
    if not len(moving):
        return np.zeros((len(activations), 1))
    if len(moving) <= len(fitted):
        return _standardised(activations, moving, fitted)
    products = np.zeros((len(activations), len(activations)))
    for start in range(0, len(moving), _UNITS):
        part = _standardised(activations, moving[start : start + _UNITS], fitted)
        products += part @ part.T
    values, vectors = np.linalg.eigh(products[np.ix_(fitted, fitted)])
    spanned = values > len(fitted) * np.finfo(float).eps * values.max(initial=0)
    if not spanned.any():
        return np.zeros((len(activations), 1))
    return np.asarray(products[:, fitted] @ (vectors[:, spanned] / np.sqrt(values[spanned])))


def _standardised(activations: NDArray[Any], units: Indices, fitted: Indices) -> Array:
    from sklearn.preprocessing import StandardScaler

    values = activations[:, units].astype(np.float64)
    scaled: Array = StandardScaler().fit(values[fitted]).transform(values)
    return scaled


def predictions(points: Array, labels: Indices, fitted: Indices, held: Indices, strength: float, tolerance: float) -> Indices:
    """Predict labels of held-out images by multinomial logistic regression, scikit-learn's LogisticRegression.

    Parameters
    ----------
    points : ndarray of float64, shape (N, dimensions)
        See `coordinates`.
    labels : ndarray of int64, shape (N,)
    fitted, held : ndarray of int64
        The images that the model is fitted on, and those that it predicts.
    strength : float
        C, the inverse of the L2 penalty.
    tolerance : float
        At which the fit stops.

    Returns
    -------
    ndarray of int64, shape (len(held),)
        Where the fitted images have one label, that label.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    wanted = labels[fitted]
    if (wanted == wanted[0]).all():
        return np.full(len(held), wanted[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that was stopped is a fit: its score is on held-out images
        model = LogisticRegression(C=strength, tol=tolerance, max_iter=MOST_STEPS).fit(points[fitted], wanted)
        found: Indices = model.predict(points[held])
    return found


MOST_STEPS = 1000
"""Steps of the solver (L-BFGS) at most."""
