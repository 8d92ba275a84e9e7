"""The filters that the first layer of Theorem 1 needs, the pixel that each output reads, and the size of the layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tmi
from tmi.errors import InputError

TAPS = (("top left", "top right"), ("bottom left", "bottom right"))
"""Names of a kernel's corners, by row and column."""


@dataclass(frozen=True)
class Filters:
    """The filters of the first layer; arrays of shape (F,), sorted by channel, value (σ(y) last) and tap.

    Attributes
    ----------
    image_shape : (int, int, int)
    channel : ndarray of int64
    value : ndarray of float64
        The c of a filter σ(2y − 2c); NaN for a filter σ(y).
    tap_row, tap_col : ndarray of int64
        The corner of the kernel that reads the pixel, 0 or 1 each.
    """

    image_shape: tuple[int, int, int]
    channel: NDArray[np.int64]
    value: NDArray[np.float64]
    tap_row: NDArray[np.int64]
    tap_col: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.channel)

    @property
    def kernel(self) -> tuple[int, int]:
        """2×2, less where the image has a side of 1."""
        return _kernel(self.image_shape)

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of the layer's output."""
        _, m, n = self.image_shape
        return m - self.kernel[0] + 1, n - self.kernel[1] + 1

    @property
    def outputs(self) -> int:
        """Neurons of the layer."""
        return len(self) * self.places[0] * self.places[1]

    def output(self, channel: Any, row: Any, col: Any, value: Any) -> NDArray[np.int64]:
        """Return the neuron, in the flattened layer, that reads a pixel for a value c, or for NaN as it is.

        The tap is at the top left wherever the kernel then stays in the image, so that a pixel has one neuron for each value.
        """
        rows, cols = self.places
        tap_row, tap_col = row >= rows, col >= cols
        number = self._code(channel, value, tap_row, tap_col)
        neuron: NDArray[np.int64] = (np.searchsorted(self._codes, number) * rows + row - tap_row) * cols + col - tap_col
        return neuron

    def images_at_once(self, memory: float) -> int:
        """Return for how many images the layer's outputs, twice and in float64, fit into so many bytes; at least 1."""
        return max(1, int(memory // (2 * 8 * self.outputs)))

    def meanings(self) -> dict[str, NDArray[Any]]:
        """Return what each neuron of the flattened layer computes, as columns for `tmi.Network`."""
        number, row, col = (part.ravel() for part in np.indices((len(self), *self.places), np.int32))
        # Names as objects, counts as int32: 40 bytes a neuron, of which there may be millions.
        kind = np.where(np.isnan(self.value), "identity", "value").astype(object)
        tap = np.array(TAPS, object)[self.tap_row, self.tap_col]
        return {
            "filter": number,
            "channel": self.channel.astype(np.int32)[number],
            "kind": kind[number],
            "value": self.value[number],
            "tap": tap[number],
            "row": row + self.tap_row.astype(np.int32)[number],
            "col": col + self.tap_col.astype(np.int32)[number],
        }

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        return np.unique(self.value[~np.isnan(self.value)])

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        return self._code(self.channel, self.value, self.tap_row, self.tap_col)

    def _code(self, channel: Any, value: Any, tap_row: Any, tap_col: Any) -> NDArray[np.int64]:
        """One number for a filter, rising in the order of the filters; NaN sorts after all values."""
        place = np.searchsorted(self._values, value)
        code: NDArray[np.int64] = ((channel * (len(self._values) + 1) + place) * 2 + tap_row) * 2 + tap_col
        return code


def needed_filters(task: tmi.TemplateTask) -> Filters:
    """Find the filters that some window of some tile needs.

    With the tap at the top left, a kernel cannot read the image's last row and column; filters with another tap exist only for
    tiles whose windows reach these.
    """
    _, m, n = task.image_shape
    kernel = _kernel(task.image_shape)
    needed = []
    for tile, (down, across) in zip(task.tiles, task.windows, strict=True):
        channel, row, col = np.nonzero(tile.support)
        value = tile.values[tile.support]
        for tap_row, tap_col in np.ndindex(kernel):
            # The pixels of a window's support pixel run from (row, col) to (row + down − 1, col + across − 1).
            used = _reached(row, down, m, kernel[0], tap_row) & _reached(col, across, n, kernel[1], tap_col)
            for read in (value, np.full(len(value), np.nan)):
                columns = channel, np.where(np.isnan(read), np.inf, read), np.full(len(row), tap_row), np.full(len(row), tap_col)
                needed.append(np.unique(np.stack(columns, 1)[used], axis=0))
    unique = np.unique(np.concatenate(needed), axis=0)  # sorted by channel, value, tap; infinity stands for σ(y)
    channel, tap_row, tap_col = unique[:, [0, 2, 3]].T.astype(np.int64)
    value = np.where(np.isinf(unique[:, 1]), np.nan, unique[:, 1])
    return Filters(task.image_shape, channel, value, tap_row, tap_col)


def literal_bytes(task: tmi.TemplateTask, filters: Filters) -> int:
    """Return the bytes of the literal layers and of the table of the hidden neurons' meanings, without activations."""
    windows = np.array(task.windows, np.int64).prod(1)
    connections = int((2 * support_size(task) * windows).sum())
    neurons = int(windows.sum())
    convolution = 8 * len(filters) * (filters.image_shape[0] * filters.kernel[0] * filters.kernel[1] + 1)
    # A sign of 8 bytes and a column of 4, both ways; row ends of 4; two biases of 8.
    hidden = 2 * 12 * connections + 4 * (neurons + filters.outputs + 2) + 2 * 8 * neurons
    return convolution + hidden + 32 * neurons


def check_memory(name: str, task: tmi.TemplateTask, filters: Filters, memory: float, more: float = 0) -> float:
    """Return the bytes of the memory that the literal layers leave.

    Parameters
    ----------
    name : str
        Of the builder.
    task : TemplateTask
    filters : Filters
    memory : float
        Gigabytes.
    more : float
        Bytes of the builder's other layers.

    Raises
    ------
    InputError
        If the layers need more.
    """
    needed = (literal_bytes(task, filters) + more) / 1e9
    if needed > memory:
        raise InputError(
            f"{name}: the literal layers of {task!r} need {needed:.3g} GB, more than memory = {memory:g}; "
            'use realisation "fused", or raise memory'
        )
    return (memory - needed) * 1e9


def support_size(task: tmi.TemplateTask) -> NDArray[np.int64]:
    """Return the number of pixels in each tile's support."""
    return np.array([int(tile.support.sum()) for tile in task.tiles], np.int64)


def _kernel(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    return min(2, image_shape[1]), min(2, image_shape[2])


def _reached(offset: NDArray[np.int64], windows: int, side: int, kernel: int, tap: int) -> NDArray[np.bool_]:
    """Whether some window's pixel at this offset is one that the tap reads: the last one for tap 1, the others for tap 0."""
    if kernel == 1:
        return np.ones(len(offset), bool)
    return offset + windows == side if tap else offset < side - 1
