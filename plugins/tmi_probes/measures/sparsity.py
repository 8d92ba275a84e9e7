"""Which weights of a layer are 0: counts of the dense layer that its weights amount to, which is never stored densely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

NEAR_ZERO = 0.01
"""A weight is near 0 if its magnitude is below this share of the layer's largest."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """The weights of a layer that are not 0.

    Attributes
    ----------
    values : ndarray of float64, shape (W,)
        These weights.
    blocks : csr_array of int, shape (outputs, inputs)
        How many of them connect an output with an input. For a convolution outputs and inputs are channels, and an entry has one
        weight for each tap of the kernel.
    kernel : tuple of int
        The sides of the kernel; empty for a fully connected layer.
    """

    values: NDArray[np.float64]
    blocks: csr_array[Any]
    kernel: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Weights of one block."""
        return math.prod(self.kernel)

    @property
    def weights(self) -> int:
        """Weights of the dense layer, those that are 0 too."""
        outputs, inputs = self.blocks.shape
        return int(outputs * inputs) * self.taps

    @property
    def zero_share(self) -> float:
        """Share of the weights that are 0."""
        return 1 - len(self.values) / self.weights

    @property
    def binary_share(self) -> float:
        """Share of the weights that are 0 or 1."""
        return self.zero_share + int((self.values == 1).sum()) / self.weights

    @property
    def near_zero_share(self) -> float:
        """Share of the weights whose magnitude is below `NEAR_ZERO` times the largest; 1 where all are 0."""
        size = np.abs(self.values)
        return self.zero_share + int((size < NEAR_ZERO * size.max(initial=0)).sum()) / self.weights

    @property
    def distinct_values(self) -> int:
        """Number of different weights, 0 included where it occurs."""
        return len(np.unique(self.values)) + (len(self.values) < self.weights)

    @cached_property
    def outputs_per_input(self) -> NDArray[np.int64]:
        """To how many outputs each input is connected, shape (inputs,)."""
        return np.bincount(self.blocks.indices, minlength=self.blocks.shape[1])

    @cached_property
    def inputs_per_output(self) -> NDArray[np.int64]:
        """With how many inputs each output is connected, shape (outputs,)."""
        ends: NDArray[np.int64] = self.blocks.indptr.astype(np.int64)
        return np.diff(ends)

    def one_output_by_chance(self) -> float:
        """Return the expected share of inputs with one output if as many blocks were placed at random, each independently."""
        outputs, inputs = self.blocks.shape
        density = self.blocks.nnz / (outputs * inputs)
        return float(outputs * density * (1 - density) ** (outputs - 1))

    def density(self, bins: int) -> NDArray[np.float32]:
        """Return the share of weights that are not 0 in each part of the matrix, shape (≤ bins, ≤ bins): a small picture of it.

        Parameters
        ----------
        bins : int
            Outputs, and inputs, are divided into so many neighbouring groups of nearly equal size, or into single ones.
        """
        groups = [min(bins, side) for side in self.blocks.shape]
        of = [np.arange(side) * count // side for side, count in zip(self.blocks.shape, groups, strict=True)]
        row = np.repeat(of[0], self.inputs_per_output)
        count = np.bincount(row * groups[1] + of[1][self.blocks.indices], self.blocks.data, groups[0] * groups[1])
        size = np.outer(*(np.bincount(part) for part in of)) * self.taps
        return (count.reshape(size.shape) / size).astype(np.float32)


def pattern(weight: torch.Tensor, groups: int = 1) -> Pattern:
    """Find the weights that are not 0.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs) or (outputs, inputs / groups, *kernel)
        Dense, or sparse in coordinates or compressed rows.
    groups : int
        Of a grouped convolution: outputs are connected with inputs of their own group alone.
    """
    import torch
    from scipy.sparse import csr_array

    weight = weight.detach().cpu()
    if weight.layout == torch.sparse_csr:
        values, cols, ends = (part.numpy() for part in (weight.values(), weight.col_indices(), weight.crow_indices()))
        blocks = csr_array((np.ones(len(values), np.int32), cols, ends), shape=tuple(weight.shape))
        return Pattern(*_without_zeros(values, blocks), ())
    if weight.layout == torch.strided:
        weight = weight.to_sparse()
    weight = weight.coalesce()
    shape, kernel = (weight.shape[0], weight.shape[1] * groups), tuple(weight.shape[2:])
    values, (row, col) = weight.values().numpy(), weight.indices()[:2].numpy()
    row, col, values = row[values != 0], col[values != 0], values[values != 0]
    col = col + row // (shape[0] // groups) * (shape[1] // groups)
    # Several taps of one block are added up.
    blocks = csr_array((np.ones(len(values), np.int32), (row, col)), shape=shape)
    blocks.sum_duplicates()
    return Pattern(values.astype(np.float64), blocks, kernel)


def _without_zeros(values: NDArray[Any], blocks: csr_array[Any]) -> tuple[NDArray[np.float64], csr_array[Any]]:
    if not values.all():
        blocks.data = (values != 0).astype(np.int32)
        blocks.eliminate_zeros()
    return values[values != 0].astype(np.float64), blocks


def matrix_zero_share(found: Pattern, inputs: Sequence[int]) -> float:
    """Return the share of zeros in the matrix that a convolution amounts to, from all its inputs to all its outputs.

    Without padding every place of an output has a row with all the filter's weights, so that the share is that of one place.

    Parameters
    ----------
    found : Pattern
        Of a convolution without padding.
    inputs : sequence of int
        The sides of the maps that it reads.
    """
    return 1 - len(found.values) * found.taps / (found.weights * math.prod(inputs))


def paths(layers: Sequence[Pattern]) -> list[NDArray[np.float64] | None]:
    """Count the paths along weights that are not 0, back from the outputs of the last of layers that feed one another.

    Parameters
    ----------
    layers : sequence of Pattern
        First to last. Between a convolution and a fully connected layer each channel is flattened to neighbouring inputs.

    Returns
    -------
    list of (ndarray of float64, shape (outputs of the last layer, outputs of this layer)) or None
        For each layer. None where the sizes do not fit, and for all layers before.
    """
    counts: NDArray[np.float64] = np.eye(layers[-1].blocks.shape[0])
    found: list[NDArray[np.float64] | None] = [counts]
    for layer, below in zip(reversed(layers), reversed(layers[:-1]), strict=False):
        counts = counts @ layer.blocks
        channels = below.blocks.shape[0]
        if counts.shape[1] % channels:
            break
        counts = counts.reshape(len(counts), channels, -1).sum(2)  # over the places of a channel
        found.append(counts)
    return [None] * (len(layers) - len(found)) + found[::-1]
