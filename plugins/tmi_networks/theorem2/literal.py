"""Theorem 2 as layers: values, patches of 2×2, of 4×4, … up to whole tiles, then the threshold and the 0/1 layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import tmi

from .cuts import EMPTY, Level, Patches
from .layers import Entries, Groups, PatchDistances, PixelValues, Rounded, Threshold


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
    first = patches.levels[1]
    bias = [_value_sums(patches.value.astype(dtype).astype(float), first) for dtype in (np.float64, np.float32)]
    filters = len(values[0]) + len(np.unique(values[0]))
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        level1=PatchDistances(_of_pixels(values, patches), filters, len(first), 1, *bias)
    )
    for number, (below, level) in enumerate(pairwise(patches.levels[1:]), 2):
        layers[f"level{number}"] = PatchDistances(_of_quarters(level), len(below), len(level), level.side // 2)
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
