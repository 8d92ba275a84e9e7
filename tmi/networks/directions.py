"""Known directions of a layer: which combination of its neurons each feature activates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmi.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

_LARGEST = 2**27  # entries of a dense matrix: 1 GB


class Directions:
    """The direction of each feature in the activations of a layer, and what the feature is.

    A layer that represents features linearly has activations a · matrix, a being how strong each feature is. Where every
    neuron stands for a feature of its own, the matrix is the identity. Where neurons are shared, as in layer ``mixed`` of network
    ``superposed``, single neurons have no meaning but directions do.

    Activations may have a further part r that depends on the same images, a · matrix + r, as in network ``disguised`` with the
    neurons that "cancelling" adds. Then the matrix does not generate the activations. It still decodes them where r is
    orthogonal to its rows and these are linearly independent: its pseudo-inverse gives a.

    Parameters
    ----------
    matrix : array_like or scipy.sparse array, shape (features, neurons)
        Finite, and no row is 0.
    features : mapping of str to sequence, or DataFrame
        Columns with an entry for each feature: ``tile`` (index into ``task.tiles``), ``class`` (name), and ``row`` and ``col`` if
        the feature is the tile at one place.
    by_place : bool
        Whether the layer is a map (N, neurons, rows, cols) that has these directions at every place; place (row, col) is that of
        the window whose top left pixel is there. Otherwise the neurons are those of the flattened layer.

    Attributes
    ----------
    sparse : scipy.sparse.csr_array of float64, shape (features, neurons)
    features : DataFrame
        One row a feature; the index is named ``feature``.
    by_place : bool

    Raises
    ------
    InputError
        If the matrix is not two-dimensional, a number is not finite or a row is 0, or the columns have another length than the
        matrix has rows.
    """

    def __init__(self, matrix: ArrayLike | csr_array, features: Any, by_place: bool = False) -> None:
        import pandas as pd
        from scipy.sparse import csr_array, issparse

        given: Any = matrix if issparse(matrix) else np.asarray(matrix, np.float64)
        if given.ndim != 2:
            raise InputError(f"directions: expected a matrix (features, neurons), got the shape {given.shape}")
        self.sparse: csr_array = csr_array(given, dtype=np.float64)
        self.sparse.eliminate_zeros()
        self.features: pd.DataFrame = pd.DataFrame(features).reset_index(drop=True).rename_axis("feature")
        self.by_place = bool(by_place)
        if len(self.features) != self.sparse.shape[0]:
            raise InputError(f"directions: {self.sparse.shape[0]} rows and what {len(self.features)} features are")
        if not np.isfinite(self.sparse.data).all():
            raise InputError("directions: some numbers are NaN or infinite")
        if (empty := np.flatnonzero(np.diff(self.sparse.indptr) == 0)).size:
            raise InputError(f"directions: the direction of feature {empty[0]} is 0")

    def __len__(self) -> int:
        """Return the number of features."""
        return int(self.sparse.shape[0])

    def __repr__(self) -> str:
        where = " at every place" if self.by_place else ""
        return f"Directions({len(self)} features in {self.sparse.shape[1]} neurons{where})"

    def _repr_html_(self) -> str:
        from tmi.views.networks import directions

        return directions(self)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The directions as a dense matrix, float64 (features, neurons).

        Raises
        ------
        InputError
            If it would take more than 1 GB; use ``sparse``.
        """
        if self.sparse.shape[0] * self.sparse.shape[1] > _LARGEST:
            raise InputError(f"matrix: {self!r} would take more than 1 GB; use the attribute sparse")
        dense: NDArray[np.float64] = self.sparse.toarray()
        return dense

    @property
    def one_neuron_each(self) -> bool:
        """Whether every feature has a neuron of its own and no neuron has two features: the layer is monosemantic."""
        used = self.sparse.indices
        return bool((np.diff(self.sparse.indptr) == 1).all() and len(np.unique(used)) == len(used))


def one_a_neuron(features: pd.DataFrame) -> Directions:
    """Return the directions of a layer whose every neuron stands for a feature of its own: the identity."""
    from scipy.sparse import eye_array

    return Directions(eye_array(len(features), format="csr"), features)
