"""Linear centred kernel alignment (CKA) of two layers by the unbiased estimator of HSIC, from Gram matrices of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FEWEST = 4
"""Images that the unbiased estimator needs at least."""

_ROUNDING = 1e-10  # of a Gram matrix: what centring leaves of a layer that does not tell images apart


def centred(gram: Array) -> Array:
    """Return the U-centred matrix of a Gram matrix.

    Parameters
    ----------
    gram : ndarray of float64, shape (N, N)
        K = X Xᵀ of the activations X (N, units), symmetric; N is at least `FEWEST`. A constant that is added to every image's
        activations changes nothing.

    Returns
    -------
    ndarray of float64, shape (N, N)
        Divided by its norm, so that `cka` is the sum of products; NaN where the layer does not tell images apart.

    Notes
    -----
    The unbiased estimator of HSIC (Song et al. 2012, equation 5; Nguyen et al. 2021, equation 3) is the inner product of two
    U-centred matrices divided by N (N − 3) (Székely and Rizzo 2014), so that CKA is a cosine: within [−1, 1], and 1 with itself.
    """
    n = len(gram)
    result = gram.astype(np.float64)
    size = float(np.linalg.norm(result))
    np.fill_diagonal(result, 0.0)
    rows, total = result.sum(0) / (n - 2), result.sum() / ((n - 1) * (n - 2))
    result += total - rows[:, None] - rows[None, :]
    np.fill_diagonal(result, 0.0)
    norm = float(np.linalg.norm(result))
    result /= norm if norm > _ROUNDING * size else np.nan
    return result


def cka(one: Array, other: Array) -> float:
    """Return the linear CKA of two layers on the same images, from −1 to 1; its expectation for independent layers is near 0.

    Parameters
    ----------
    one, other : ndarray of float64, shape (N, N)
        What `centred` returns for each.
    """
    return float(np.clip(np.vdot(one, other), -1, 1))  # beyond by rounding alone
