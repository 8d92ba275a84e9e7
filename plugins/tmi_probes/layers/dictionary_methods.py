"""Dictionaries of other kinds than autoencoders: atoms fitted to samples, and the codes of other samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..measures.directions import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

ONE_FIT = ("pca", "neurons")
"""Methods without a random start."""
EITHER_SIGN = ("pca", "ica")
"""Methods whose atoms have no sign."""


class Dictionary(NamedTuple):
    """A fitted dictionary: the codes of test samples (N, atoms), atoms (atoms, neurons) and restored samples (N, neurons)."""

    codes: Array
    atoms: Array
    restored: Array


def nmf(x: Array, y: Array, atoms: int, seed: int, *, start: str = "random") -> Dictionary:
    """Fit non-negative matrix factorisation to samples x ≥ 0, and code samples y; ``start`` as in scikit-learn."""
    from sklearn.decomposition import NMF

    model = NMF(atoms, init=start, random_state=seed % 2**32, max_iter=200, tol=1e-3)
    codes = quietly(lambda: model.fit(x).transform(y))
    return Dictionary(codes, model.components_, codes @ model.components_)


def dictionary_learning(
    x: Array, y: Array, atoms: int, penalty: float, seed: int, *, batch: int = 32, epochs: int = 1
) -> Dictionary:
    """Fit dictionary learning with codes ≥ 0 and an L1 penalty to samples x, and code samples y (Mairal et al. 2009)."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    model = MiniBatchDictionaryLearning(
        atoms,
        alpha=penalty,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        transform_alpha=penalty,
        positive_code=True,
        batch_size=batch,
        max_iter=epochs,
        random_state=seed % 2**32,
    )
    codes = quietly(lambda: model.fit(x).transform(y))
    return Dictionary(codes, model.components_, codes @ model.components_)


def k_means(x: Array, y: Array, atoms: int, seed: int) -> Dictionary:
    """Fit k-means to the directions of samples x; the code of a sample is its length along the nearest centre."""
    from sklearn.cluster import KMeans

    shown = unit_rows(x)
    model = KMeans(min(atoms, len(np.unique(shown.round(4), axis=0))), n_init=1, random_state=seed % 2**32)
    centres = unit_rows(quietly(lambda: model.fit(shown).cluster_centers_))
    lengths = y @ centres.T
    codes = np.where(np.arange(len(centres)) == lengths.argmax(1)[:, None], np.maximum(lengths, 0), 0)
    return Dictionary(codes, centres, codes @ centres)


def ica(x: Array, y: Array, atoms: int, seed: int) -> Dictionary:
    """Fit independent component analysis to samples x: at most as many atoms as neurons."""
    from sklearn.decomposition import FastICA

    spread = np.linalg.svd(x.astype(np.float64) - x.mean(0, dtype=np.float64), compute_uv=False)
    rank = int((spread > 1e-5 * spread.max()).sum())  # whitening divides by these
    if rank < 2:  # one direction is its own component; FastICA fails
        return pca(x, y, 1, seed)
    model = FastICA(min(atoms, rank), whiten="unit-variance", random_state=seed % 2**32, max_iter=300, tol=1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):  # by the variance of components beyond the rank, which it then drops
        codes = quietly(lambda: model.fit(x.astype(np.float64)).transform(y))
    return Dictionary(codes, model.mixing_.T.astype(np.float32), model.inverse_transform(codes).astype(np.float32))


def pca(x: Array, y: Array, atoms: int, seed: int) -> Dictionary:
    """Fit principal components to samples x: at most as many atoms as neurons."""
    from sklearn.decomposition import PCA

    model = PCA(min(atoms, *x.shape), svd_solver="full").fit(x)
    codes = np.asarray(model.transform(y), np.float32)
    return Dictionary(codes, model.components_, np.asarray(model.inverse_transform(codes), np.float32))


def random_directions(neurons: int, atoms: int, seed: int, non_negative: bool) -> Array:
    """Return uniformly distributed directions, float32 (atoms, neurons); those of absolute values where asked."""
    rows = np.random.default_rng(seed).standard_normal((atoms, neurons))
    return unit_rows((np.abs(rows) if non_negative else rows).astype(np.float32))


def sparse_codes(y: Array, atoms: Array, active: int) -> Dictionary:
    """Code samples with given atoms by orthogonal matching pursuit, ``active`` atoms a sample (Pati et al. 1993)."""
    from sklearn.linear_model import orthogonal_mp_gram

    unit = unit_rows(atoms).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # linearly dependent atoms: it stops earlier
        codes = orthogonal_mp_gram(unit @ unit.T, unit @ y.T.astype(np.float64), n_nonzero_coefs=min(active, len(unit)))
    codes = np.asarray(codes, np.float32).reshape(len(unit), len(y)).T
    return Dictionary(codes, unit_rows(atoms), codes @ unit_rows(atoms))


def quietly(fit: Callable[[], Array]) -> Array:
    """Call a fit without its warnings of convergence and of equal samples: the explained variance shows how good it is."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(fit(), np.float32)


def explained_variance(samples: NDArray[Any], restored: NDArray[Any]) -> float:
    """Return the share of the variance of samples (N, units), which vary, that a dictionary restores; it may be below 0."""
    error = np.square(samples - restored, dtype=np.float64).sum()
    whole = np.square(samples - samples.mean(0), dtype=np.float64).sum()
    return float(1 - error / whole)
