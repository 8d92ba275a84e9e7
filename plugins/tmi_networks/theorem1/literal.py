"""Theorem 1 as real layers: a convolution with one tap a filter, and a sparse layer that sums |y − c| over each window.

|y − c| = σ(2y − 2c) − σ(y) + c for y ≥ 0. The first layer computes both terms for the pixels that count, the second sums them.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import tmi
from tmi.tasks.images import check_images
from tmi_networks.fused import ClassSum

from .filters import Filters, support_size

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Numbers that the sparse layer converts to float64 at once: 128 MB.
_NUMBERS_AT_ONCE = 2**24


def literal_layers(task: tmi.TemplateTask, filters: Filters) -> nn.Sequential:
    """Return the network of Theorem 1, layer by layer: ``conv``, ``flatten``, ``hidden`` and ``logits``.

    It computes in its images' dtype: templates are rounded to it first, as `tmi.match` does. All its weights are buffers.

    Parameters
    ----------
    task : TemplateTask
    filters : Filters
        See `tmi_networks.theorem1.filters.needed_filters`.
    """
    return nn.Sequential(
        OrderedDict(
            conv=nn.Sequential(ValueFilters(filters), nn.ReLU()),
            flatten=nn.Flatten(),
            hidden=nn.Sequential(WindowSums(task, filters), nn.ReLU()),
            logits=ClassSum(task),
        )
    )


class ValueFilters(nn.Conv2d):
    """The convolution of Theorem 1: 2×2 kernels with one non-zero tap, 2y − 2c for each value c, and y itself.

    Parameters
    ----------
    filters : Filters
    """

    weight: torch.Tensor  # type: ignore[assignment]
    bias: torch.Tensor  # type: ignore[assignment]

    def __init__(self, filters: Filters) -> None:
        # On the meta device: no random numbers are drawn for weights that are replaced.
        super().__init__(filters.image_shape[0], len(filters), filters.kernel, device="meta")
        weight = torch.zeros(len(filters), self.in_channels, *filters.kernel, dtype=torch.float64)
        identity = np.isnan(filters.value)
        tap = torch.from_numpy(np.where(identity, 1.0, 2.0))
        weight[torch.arange(len(filters)), filters.channel, filters.tap_row, filters.tap_col] = tap
        del self.weight, self.bias
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.from_numpy(np.where(identity, 0.0, -2 * filters.value)))
        self.image_shape = filters.image_shape

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return 2y − 2c and y, shape (N, F, rows, cols), in the images' dtype.

        Parameters
        ----------
        images : Tensor, float32 or float64, shape (N, C, m, n), in [0, 1]

        Raises
        ------
        InputError
            For images that are not those of the task, NaN, or values outside [0, 1].
        """
        images = check_images(images, self.image_shape)
        # Doubling is exact, so −2c rounded is twice the rounded c: the test y > c is that of `tmi.match`.
        weight, bias = self.weight.to(images.dtype), self.bias.to(images.dtype)
        filtered: torch.Tensor = self._conv_forward(images, weight, bias)
        return filtered


class SparseSums(nn.Module):
    """A linear layer without bias whose weights are sparse.

    Stored in compressed rows, with its transpose for the backward pass; never dense. Sums are taken in float64.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of float64, shape (outputs, inputs)

    Attributes
    ----------
    in_features, out_features, weights : int
        Inputs, outputs, and the number of non-zero weights.
    """

    def __init__(self, matrix: csr_array) -> None:
        super().__init__()
        self.out_features, self.in_features = matrix.shape
        self.weights = matrix.nnz
        for name, part in (("forward", matrix), ("backward", matrix.T.tocsr())):
            self.register_buffer(f"{name}_rows", torch.from_numpy(part.indptr))
            self.register_buffer(f"{name}_cols", torch.from_numpy(part.indices))
            self.register_buffer(f"{name}_signs", torch.from_numpy(part.data))

    def sums(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the weighted sums in float64, shape (N, outputs), from inputs (N, inputs) of either dtype."""
        summed: torch.Tensor = _Product.apply(inputs, self, "forward")  # type: ignore[no-untyped-call]
        return summed

    def matrix(self, direction: str = "forward") -> torch.Tensor:
        """Return the weights (outputs, inputs) as a sparse tensor, or their transpose for ``"backward"``."""
        rows, cols, signs = (getattr(self, f"{direction}_{part}") for part in ("rows", "cols", "signs"))
        shape = (self.out_features, self.in_features)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse")  # torch warns that CSR tensors are in beta; only products are used
            return torch.sparse_csr_tensor(
                rows, cols, signs.double(), shape if direction == "forward" else shape[::-1], check_invariants=False
            )

    def sparse_weight(self) -> torch.Tensor:
        """Return the weights (outputs, inputs) as a sparse tensor."""
        return self.matrix()

    def extra_repr(self) -> str:
        """Describe the size of the layer."""
        return f"in_features={self.in_features}, out_features={self.out_features}, weights={self.weights}"


class WindowSums(SparseSums):
    """The sparse layer of Theorem 1: ε − t(window) from the outputs of the filters, with weights −1 and +1.

    Sums are taken in float64 and returned in the inputs' dtype.

    Parameters
    ----------
    task : TemplateTask
    filters : Filters

    Attributes
    ----------
    in_features, out_features, weights : int
        Outputs of the convolution; H, the windows of all tiles in the order (tile, row, col); the number of non-zero weights.
    bias, bias_float32 : Tensor of float64, shape (H,)
        ε − Σ_S c, from the values c as they are and as float32 rounds them.
    """

    bias: torch.Tensor
    bias_float32: torch.Tensor

    def __init__(self, task: tmi.TemplateTask, filters: Filters) -> None:
        from scipy.sparse import csr_array

        rows, cols, signs = _connections(task, filters)
        windows = np.array(task.windows).prod(1)
        super().__init__(csr_array((signs, cols, rows), shape=(int(windows.sum()), filters.outputs)))
        for name, dtype in (("bias", np.float64), ("bias_float32", np.float32)):
            bias = [tile.epsilon - tile.values[tile.support].astype(dtype).astype(np.float64).sum() for tile in task.tiles]
            self.register_buffer(name, torch.from_numpy(np.repeat(bias, windows)))

    def forward(self, filtered: torch.Tensor) -> torch.Tensor:
        """Return ε − t(window), shape (N, H), from the outputs of the convolution (N, in_features)."""
        bias = self.bias_float32 if filtered.dtype == torch.float32 else self.bias
        result: torch.Tensor = (self.sums(filtered) + bias).to(filtered.dtype)
        return result


class _Product(torch.autograd.Function):
    """Rows times a sparse matrix in float64; its backward pass is the product with the transpose, again differentiable."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: SparseSums, direction: str) -> torch.Tensor:
        ctx.layer, ctx.direction, ctx.dtype = layer, direction, x.dtype
        matrix = layer.matrix(direction)
        result = torch.empty(len(x), matrix.shape[0], dtype=torch.float64, device=x.device)
        step = max(1, _NUMBERS_AT_ONCE // matrix.shape[1])
        for first in range(0, len(x), step):
            part = x[first : first + step]
            result[first : first + step] = (matrix @ part.T.double().contiguous()).T
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        opposite = "backward" if ctx.direction == "forward" else "forward"
        return _Product.apply(gradient, ctx.layer, opposite).to(ctx.dtype), None, None  # type: ignore[no-untyped-call]


def _connections(task: tmi.TemplateTask, filters: Filters) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return the weights of the hidden layer in compressed rows: row ends, columns and signs."""
    count = support_size(task)
    windows = np.array(task.windows).prod(1)
    rows = np.concatenate([[0], np.repeat(2 * count, windows).cumsum()])
    index = np.int32 if max(rows[-1], filters.outputs) < 2**31 else np.int64
    cols = np.empty(rows[-1], index)
    begin = 0
    for tile, (down, across) in zip(task.tiles, task.windows, strict=True):
        channel, row, col = np.nonzero(tile.support)
        # One row a window, one column a support pixel.
        corner_row, corner_col = (part.reshape(-1, 1) for part in np.divmod(np.arange(down * across), across))
        pixel = channel, corner_row + row, corner_col + col
        end = begin + 2 * len(channel) * down * across
        part = cols[begin:end].reshape(down * across, 2 * len(channel))
        part[:, 0::2] = filters.output(*pixel, tile.values[tile.support])
        part[:, 1::2] = filters.output(*pixel, np.full(len(channel), np.nan))
        begin = end
    signs = np.tile([-1.0, 1.0], rows[-1] // 2)
    return rows.astype(index), cols, signs
