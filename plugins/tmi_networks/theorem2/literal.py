"""Theorem 2 as layers: values, patches of 2×2, of 4×4, … up to whole tiles, then the threshold and the 0/1 layer.

Every weight is in a plain `torch.nn.Conv2d` or `torch.nn.Linear` and every non-linearity is a `torch.nn.ReLU` of its own, so
that methods which hook or inspect modules find the types that they support. The modules between them gather, crop and pad.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import tmi
from tmi.tasks.images import check_images

from .cuts import EMPTY, Level, Patches

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, rows − dilation, cols − dilation)."""
        result: torch.Tensor = self.conv(x.index_select(1, self.reads))
        return result


class PatchDistances(nn.Module):
    """A combining layer: one channel a distinct patch, its distance t' from the image at every place.

    Parameters
    ----------
    entries : Entries
    outputs : int
        P, how many patches.
    dilation : int
        2^(i − 1) at level i.
    bias, bias_float32 : ndarray of float64, shape (P,), optional
    """

    def __init__(
        self,
        entries: Entries,
        outputs: int,
        dilation: int,
        bias: NDArray[np.float64] | None = None,
        bias_float32: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
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
        row, col = np.indices(places)
        inside = [(row < down) & (col < across) for down, across in windows]
        self.register_buffer("reads", torch.from_numpy(reads))
        self.register_buffer("inside", torch.from_numpy(np.flatnonzero(inside)))
        self.conv = Rounded(lambda **how: nn.Conv2d(tiles, tiles, 1, groups=tiles, **how), -np.ones((tiles, 1, 1, 1)), epsilon)

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        """Return ε − t, shape (N, H)."""
        return self.conv(distances.index_select(1, self.reads)).flatten(1).index_select(1, self.inside)  # type: ignore[no-any-return]


class Groups(nn.ModuleList):
    """Groups of tiles, evaluated one after another, so that the patches of only one group are in memory."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return ε − t of all groups' tiles, shape (N, H)."""
        return torch.cat([group(values) for group in self], 1)


class PatchNetwork(nn.Sequential):
    """The layers in order; a batch is taken a few images at a time, unless gradients are recorded or a layer has a hook.

    Attributes
    ----------
    images_at_once : int
        Images that fit into the memory that the network was built for.
    """

    images_at_once: int

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (N, L), in the images' dtype."""
        recorded = torch.is_grad_enabled() and images.requires_grad
        if len(images) <= self.images_at_once or recorded or self._has_hooks():
            return super().forward(images)  # type: ignore[no-untyped-call, no-any-return]
        return torch.cat([super(PatchNetwork, self).forward(part) for part in images.split(self.images_at_once)])  # type: ignore[no-untyped-call]

    def _has_hooks(self) -> bool:
        # A hook must be called once, with the whole batch.
        return any(module._forward_hooks or module._forward_pre_hooks for module in self.modules())


def patch_network(
    task: tmi.TemplateTask,
    values: tuple[NDArray[np.int64], NDArray[np.float64]],
    groups: Sequence[tuple[Sequence[int], Patches]],
    padded: tuple[int, int],
    images_at_once: int,
) -> PatchNetwork:
    """Return the network of Theorem 2: ``values``, ``level1`` … ``levelr``, ``threshold``, ``hidden`` and ``logits``.

    Parameters
    ----------
    task : TemplateTask
    values : (ndarray, ndarray)
        Channel and c of each value filter.
    groups : sequence of (sequence of int, Patches)
        The tiles of each group, in order, and their patches. Of several groups the layers are those of ``groups.0``, ….
    padded : (int, int)
        Rows and columns of the padded image.
    images_at_once : int
    """
    parts = [nn.Sequential(_group_layers(task, values, tiles, patches, padded)) for tiles, patches in groups]
    layers: OrderedDict[str, nn.Module] = OrderedDict(values=PixelValues(task.image_shape, padded, *values))
    layers.update(parts[0].named_children() if len(parts) == 1 else {"groups": Groups(parts)})
    layers["hidden"] = nn.ReLU()
    windows = np.array(task.windows).prod(1)
    label = np.repeat(task.tile_class, windows)
    sums = (label == np.arange(len(task.classes))[:, None]).astype(float)
    layers["logits"] = Rounded(lambda **how: nn.Linear(sums.shape[1], sums.shape[0], **how), sums)
    network = PatchNetwork(layers)
    network.images_at_once = images_at_once
    return network


def _group_layers(
    task: tmi.TemplateTask,
    values: tuple[NDArray[np.int64], NDArray[np.float64]],
    tiles: Sequence[int],
    patches: Patches,
    padded: tuple[int, int],
) -> OrderedDict[str, nn.Module]:
    first, *above = patches.levels[1:]
    bias = [_value_sums(patches.value.astype(dtype).astype(float), first) for dtype in (np.float64, np.float32)]
    layers: OrderedDict[str, nn.Module] = OrderedDict(level1=PatchDistances(_of_pixels(values, patches), len(first), 1, *bias))
    for number, level in enumerate(above, 2):
        layers[f"level{number}"] = PatchDistances(_of_quarters(level), len(level), level.side // 2)
    top = patches.levels[-1]
    places = padded[0] - top.side + 1, padded[1] - top.side + 1
    epsilon = np.array([task.tiles[tile].epsilon for tile in tiles])
    # One patch of the top level is one tile: its occurrences are in the tiles' order.
    layers["threshold"] = Threshold(top.patch, epsilon, [task.windows[tile] for tile in tiles], places)
    return layers


def _of_quarters(level: Level) -> Entries:
    patch, _, row, col = np.nonzero(level.parts != EMPTY)
    source = level.parts[level.parts != EMPTY]
    return Entries(patch, source, (row, col), np.ones(len(patch)))


def _of_pixels(values: tuple[NDArray[np.int64], NDArray[np.float64]], patches: Patches) -> Entries:
    """+1 from σ(2y − 2c) and −1 from σ(y) of each pixel that counts."""
    pixels = _of_quarters(patches.levels[1])
    channels, value = values
    channel = patches.channel[pixels.source]
    which = np.searchsorted(np.unique(channels), channel)
    # The group's values among those of all groups, which are sorted by channel and value.
    known = np.unique(value)
    every, own = (
        c * len(known) + np.searchsorted(known, v) for c, v in ((channels, value), (channel, patches.value[pixels.source]))
    )
    of_value = np.searchsorted(every, own)
    sources = np.concatenate([of_value, len(value) + which])
    row, col = (np.tile(part, 2) for part in pixels.tap)
    return Entries(np.tile(pixels.target, 2), sources, (row, col), np.repeat([1.0, -1.0], len(which)))


def _value_sums(value: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.where(level.parts == EMPTY, 0.0, value[level.parts]).sum((1, 2, 3))
    return sums
