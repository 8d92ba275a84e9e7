"""The layers of Theorem 2: value filters, combining layers that gather their channels, the threshold.

Every weight is in a plain `torch.nn.Conv2d` or `torch.nn.Linear` and every non-linearity is a `torch.nn.ReLU` of its own, so
that methods which hook or inspect modules find the types that they support. The modules between them gather, crop and pad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tmi.tasks.images import check_images

# Patches in one group of a convolution: a group of four, though most of its weights are 0, costs half of four groups of one.
BLOCK = 4
# Patches gathered at once: few enough for the gathered channels to stay in the cache.
SLICE = 64


@dataclass(frozen=True)
class Entries:
    """The weights of a layer that are not 0: from input ``source`` at ``tap`` (row, col) to output ``target``."""

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    tap: tuple[NDArray[np.int64], NDArray[np.int64]]
    weight: NDArray[np.float64]


class Rounded(nn.ModuleDict):
    """One layer in two copies, with weights rounded to float32 and to float64; the dtype of the input selects the copy.

    `Module.float` and `Module.double` leave both as they are: a network of templates computes in its images' dtype.

    Parameters
    ----------
    make : callable
        Returns a layer, an `nn.Conv2d` or `nn.Linear`, given ``device="meta"``.
    weight, bias : ndarray of float64
    bias_float32 : ndarray of float64, optional
        The bias where values are rounded to float32 before they are added up.
    """

    def __init__(
        self,
        make: Callable[..., nn.Module],
        weight: NDArray[np.float64],
        bias: NDArray[np.float64] | None = None,
        bias_float32: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        for dtype in (torch.float32, torch.float64):
            layer = make(bias=bias is not None, device="meta")  # no random numbers are drawn for weights that are replaced
            rounded = bias_float32 if dtype == torch.float32 and bias_float32 is not None else bias
            for name, values in (("weight", weight), ("bias", rounded)):
                if values is not None:
                    delattr(layer, name)
                    # Not a parameter: nothing here is trained, and the images' dtype decides.
                    layer.register_buffer(name, torch.tensor(values, dtype=dtype))
            self[str(dtype).removeprefix("torch.")] = layer

    @property
    def weight(self) -> torch.Tensor:
        """The weights in float64."""
        return self["float64"].weight  # type: ignore[return-value]

    @property
    def bias(self) -> torch.Tensor | None:
        """The biases in float64."""
        return self["float64"].bias  # type: ignore[return-value]

    def sparse_weight(self) -> torch.Tensor:
        """Return the weights that are not 0, in float64, as a sparse tensor."""
        return self.weight.to_sparse()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer of the input's dtype."""
        result: torch.Tensor = self[str(x.dtype).removeprefix("torch.")](x)
        return result

    def _apply(self, fn: Any, recurse: bool = True) -> Rounded:
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)  # type: ignore[no-untyped-call, no-any-return]


class PixelValues(nn.Module):
    """The 1×1 layer: σ(2y − 2c) for every support value c of a channel, then σ(y) for every channel that counts.

    Images are padded with 0 to the right and at the bottom, as far as windows of padded tiles reach.

    Parameters
    ----------
    image_shape : (int, int, int)
    padded : (int, int)
        Rows and columns with the padding.
    channel, value : ndarray, shape (V,)
        Of the values c.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        padded: tuple[int, int],
        channel: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> None:
        super().__init__()
        self.image_shape, self.padded = image_shape, padded
        reads = np.concatenate([channel, np.unique(channel)])
        weight = np.zeros((len(reads), image_shape[0], 1, 1))
        weight[np.arange(len(reads)), reads, 0, 0] = np.where(np.arange(len(reads)) < len(value), 2.0, 1.0)
        bias = np.concatenate([-2 * value, np.zeros(len(reads) - len(value))])
        # Doubling is exact, so −2c rounded is twice the rounded c: the test y > c is that of `tmi.match`.
        self.conv = Rounded(lambda **how: nn.Conv2d(image_shape[0], len(reads), 1, **how), weight, bias)
        self.relu = nn.ReLU()

    def sparse_weight(self) -> torch.Tensor:
        """Return the 1×1 kernels as a sparse tensor, shape (F, C, 1, 1)."""
        return self.conv.sparse_weight()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the values, shape (N, F, rows, cols), in the images' dtype.

        Raises
        ------
        InputError
            For images that are not those of the task, NaN, or values outside [0, 1].
        """
        images = check_images(images, self.image_shape)
        _, rows, cols = self.image_shape
        padded = nn.functional.pad(images, (0, self.padded[1] - cols, 0, self.padded[0] - rows))
        result: torch.Tensor = self.relu(self.conv(padded))
        return result


class Gathered(nn.Module):
    """A grouped 2×2 convolution of gathered channels: each group reads the channels of its own few patches and no others.

    Parameters
    ----------
    entries : Entries
        Their targets count from 0 to ``outputs`` − 1.
    outputs : int
        A multiple of ``block``.
    block : int
        Patches a group.
    dilation : int
    bias, bias_float32 : ndarray of float64, shape (outputs,), optional
    """

    reads: torch.Tensor

    def __init__(
        self,
        entries: Entries,
        outputs: int,
        block: int,
        dilation: int,
        bias: NDArray[np.float64] | None,
        bias_float32: NDArray[np.float64] | None,
    ) -> None:
        super().__init__()
        groups = outputs // block
        sources = entries.source.max() + 1
        # Every channel that a group reads, once, in order; groups that read fewer than others read channel 0 with weight 0.
        read, which = np.unique(entries.target // block * sources + entries.source, return_inverse=True)
        group, source = np.divmod(read, sources)
        count = np.bincount(group, minlength=groups)
        slot = np.arange(len(read)) - (count.cumsum() - count)[group]
        fan = int(count.max())
        reads = np.zeros((groups, fan), np.int64)
        reads[group, slot] = source
        weight = np.zeros((outputs, fan, 2, 2))
        weight[entries.target, slot[which.reshape(-1)], entries.tap[0], entries.tap[1]] = entries.weight
        self.register_buffer("reads", torch.from_numpy(reads.ravel()))
        self.conv = Rounded(
            lambda **how: nn.Conv2d(groups * fan, outputs, 2, dilation=dilation, groups=groups, **how), weight, bias, bias_float32
        )

    def entries(self) -> Entries:
        """Return the weights that are not 0."""
        weight = self.conv.weight
        target, slot, row, col = (part.numpy() for part in weight.cpu().nonzero().T)
        outputs, fan = weight.shape[:2]
        reads = self.reads.cpu().numpy().reshape(-1, fan)
        source = reads[target // (outputs // len(reads)), slot]
        return Entries(target, source, (row, col), weight.cpu().numpy()[target, slot, row, col])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, rows − dilation, cols − dilation)."""
        result: torch.Tensor = self.conv(x.index_select(1, self.reads))
        return result


class PatchDistances(nn.Module):
    """A combining layer: one channel a distinct patch, its distance t' from the image at every place.

    Parameters
    ----------
    entries : Entries
    inputs : int
        Channels of the layer below.
    outputs : int
        P, how many patches.
    dilation : int
        2^(i − 1) at level i.
    bias, bias_float32 : ndarray of float64, shape (P,), optional
    """

    def __init__(
        self,
        entries: Entries,
        inputs: int,
        outputs: int,
        dilation: int,
        bias: NDArray[np.float64] | None = None,
        bias_float32: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.dilation = inputs, dilation
        order = np.argsort(entries.target, kind="stable")
        starts = np.searchsorted(entries.target[order], np.arange(outputs + 1))
        self.slices = nn.ModuleList()
        whole = outputs - outputs % BLOCK
        for begin, end in [*((b, min(b + SLICE, whole)) for b in range(0, whole, SLICE)), (whole, outputs)]:
            if begin < end:
                chosen = order[starts[begin] : starts[end]]
                taps = entries.tap[0][chosen], entries.tap[1][chosen]
                part = Entries(entries.target[chosen] - begin, entries.source[chosen], taps, entries.weight[chosen])
                biases = (None if one is None else one[begin:end] for one in (bias, bias_float32))
                self.slices.append(Gathered(part, end - begin, BLOCK if end <= whole else end - begin, dilation, *biases))
        self.relu = nn.ReLU()

    def sparse_weight(self) -> torch.Tensor:
        """Return the kernels of the theorem's dense convolution as a sparse tensor, shape (P, inputs, 2^i, 2^i) at level i."""
        index, values, first = [], [], 0
        for part in self.slices:
            assert isinstance(part, Gathered)
            found = part.entries()
            index.append(np.stack([found.target + first, found.source, *(self.dilation * tap for tap in found.tap)]))
            values.append(found.weight)
            first += len(part.conv.weight)
        shape = (first, self.inputs, 2 * self.dilation, 2 * self.dilation)
        entries = torch.from_numpy(np.concatenate(index, 1)), torch.from_numpy(np.concatenate(values))
        return torch.sparse_coo_tensor(*entries, shape, check_invariants=True).coalesce()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the distances, shape (N, P, rows, cols). They are not below 0: the ReLU removes only rounding."""
        result: torch.Tensor = self.relu(torch.cat([part(x) for part in self.slices], 1))
        return result


class Threshold(nn.Module):
    """ε − t for every tile and every window of the image, in the order (tile, row, col); other places are not read.

    Parameters
    ----------
    reads : ndarray of int64, shape (T,)
        The channel that holds each tile's distance.
    epsilon : ndarray of float64, shape (T,)
    windows : sequence of (int, int)
        Rows and columns of each tile's windows.
    places : (int, int)
        Rows and columns of the layer below.
    """

    reads: torch.Tensor
    inside: torch.Tensor

    def __init__(
        self,
        reads: NDArray[np.int64],
        epsilon: NDArray[np.float64],
        windows: Sequence[tuple[int, int]],
        places: tuple[int, int],
    ) -> None:
        super().__init__()
        tiles = len(reads)
        self.places = places
        row, col = np.indices(places)
        inside = [(row < down) & (col < across) for down, across in windows]
        self.register_buffer("reads", torch.from_numpy(reads))
        self.register_buffer("inside", torch.from_numpy(np.flatnonzero(inside)))
        self.conv = Rounded(lambda **how: nn.Conv2d(tiles, tiles, 1, groups=tiles, **how), -np.ones((tiles, 1, 1, 1)), epsilon)

    def sparse_weight(self) -> torch.Tensor:
        """Return the weights as a sparse tensor, shape (H, neurons of the layer below): −1 from the distance at a window."""
        places = self.places[0] * self.places[1]
        tile, place = self.inside.cpu().div(places, rounding_mode="floor"), self.inside.cpu() % places
        index = torch.stack([torch.arange(len(tile)), self.reads.cpu()[tile] * places + place])
        weight = self.conv.weight.cpu().flatten()[tile]
        shape = len(tile), (int(self.reads.max()) + 1) * places  # tiles may have one template, and so one channel
        return torch.sparse_coo_tensor(index, weight, shape, check_invariants=True).coalesce()

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        """Return ε − t, shape (N, H)."""
        return self.conv(distances.index_select(1, self.reads)).flatten(1).index_select(1, self.inside)  # type: ignore[no-any-return]


class Groups(nn.ModuleList):
    """Groups of tiles, evaluated one after another, so that the patches of only one group are in memory."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return ε − t of all groups' tiles, shape (N, H)."""
        return torch.cat([group(values) for group in self], 1)
