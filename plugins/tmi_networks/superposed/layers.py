"""The layers that write features to fewer neurons and read them again, with sparse known weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import tmi
from tmi_networks.theorem1.literal import SparseSums

from .codes import Code

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Superposition(nn.Sequential):
    """The network, layer by layer, and what is known of it.

    Attributes
    ----------
    computes_phi : bool
        Whether its logits are φ of the task for every image; `tmi.networks.certificate.is_phi` asks for it.
    beta : float
        β; the detectors of layer ``hidden`` have the tolerances ε + β.
    code : Code
    bound : ndarray of float64, shape (L,)
        By how much each logit can be above φ at most; it is never below. Infinite for scope "layer".
    """

    computes_phi: bool
    beta: float
    code: Code
    bound: NDArray[np.float64]


class Mixed(SparseSums):
    """What the detectors write to the neurons: each adds its activation to those of its code.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of float64, shape (H, neurons)
        The weights from each detector.
    """

    def __init__(self, matrix: csr_array) -> None:
        super().__init__(matrix.T.tocsr())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the sums, shape (N, neurons), in the dtype of the activations (N, H)."""
        return self.sums(hidden).to(hidden.dtype)


class Decoded(SparseSums):
    """What each feature reads from the neurons, less β.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of float64, shape (H, neurons)
        The weights with which it was written.
    size : ndarray of float64, shape (H,)
        The squared lengths of its rows, by which what is read is divided.
    beta : float

    Attributes
    ----------
    bias : Tensor of float64, shape (H,)
        −β.
    """

    bias: torch.Tensor
    size: torch.Tensor

    def __init__(self, matrix: csr_array, size: NDArray[np.float64], beta: float) -> None:
        super().__init__(matrix)
        self.register_buffer("size", torch.from_numpy(size))
        self.register_buffer("bias", torch.full((self.out_features,), -beta, dtype=torch.float64))

    def forward(self, mixed: torch.Tensor) -> torch.Tensor:
        """Return what is read, shape (N, H), in the dtype of the neurons (N, neurons)."""
        # Divided last: a feature that is alone then reads its activation without rounding error where that has few digits.
        return ((self.sums(mixed) + self.size * self.bias) / self.size).to(mixed.dtype)

    def sparse_weight(self) -> torch.Tensor:
        """Return the weights (H, neurons) as a sparse tensor."""
        # Torch divides no tensor in compressed rows.
        matrix = self.matrix().to_sparse_coo().coalesce()  # type: ignore[no-untyped-call]
        index = matrix.indices()
        values = matrix.values() / self.size[index[0]]
        return torch.sparse_coo_tensor(index, values, matrix.shape, check_invariants=True).coalesce()


def code_layers(task: tmi.TemplateTask, code: Code, beta: float, *, by_place: bool) -> dict[str, nn.Module]:
    """Return the layers ``mixed`` and ``decoded``.

    Parameters
    ----------
    task : TemplateTask
    code : Code
        Of the tiles, or of the pairs of tile and place in the order (tile, row, col).
    beta : float
    by_place : bool
        Whether the code is that of the tiles, and each place has neurons of its own.
    """
    if not by_place:
        return {
            "mixed": nn.Sequential(Mixed(code.matrix), nn.ReLU()),
            "decoded": nn.Sequential(Decoded(code.matrix, code.size, beta), nn.ReLU()),
        }
    matrix, places = at_places(task, code)
    size = np.repeat(code.size, np.array(task.windows).prod(1))
    shape = code.matrix.shape[1], *places
    return {
        "mixed": nn.Sequential(Mixed(matrix), nn.ReLU(), nn.Unflatten(1, shape)),
        "decoded": nn.Sequential(nn.Flatten(), Decoded(matrix, size, beta), nn.ReLU()),
    }


def at_places(task: tmi.TemplateTask, code: Code) -> tuple[csr_array, tuple[int, int]]:
    """Return the code of the tiles at each place as weights from all windows, shape (H, neurons · rows · cols), and (rows, cols).

    A place is where the top left corner of a window may be: as many rows, and as many columns, as any tile has windows.
    """
    from scipy.sparse import csr_array

    windows = np.array(task.windows)
    rows, cols = windows.max(0)
    place = np.concatenate([(np.arange(down)[:, None] * cols + np.arange(across)).ravel() for down, across in windows])
    tile = np.repeat(np.arange(len(windows)), windows.prod(1))
    each = code.matrix.nnz // len(windows)  # every tile has equally many weights
    neuron, weight = code.matrix.indices.reshape(-1, each), code.matrix.data.reshape(-1, each)
    columns = neuron[tile].astype(np.int64) * (rows * cols) + place[:, None]
    ends = np.arange(0, columns.size + 1, each)
    shape = len(tile), code.matrix.shape[1] * int(rows * cols)
    return csr_array((weight[tile].ravel(), columns.ravel(), ends), shape=shape), (int(rows), int(cols))
