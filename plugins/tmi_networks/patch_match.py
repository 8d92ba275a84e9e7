"""Theorem 2 in one piece: its hidden layer by template matching, with the gradient that its patches would pass on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

import tmi
from tmi.tasks.images import check_images

# Pixels looked at together in the backward pass: bounds its memory to some hundred megabytes.
_PIXELS_AT_ONCE = 2**22


class PatchMatch(nn.Module):
    """The hidden layer σ(ε − t(window)), computed by `tmi.match`; its gradient is that of Theorem 2's layers, without rounding.

    No gradient passes a 2×2 patch of the tile that matches exactly: there the ReLU of the first combining layer is at its kink.

    Parameters
    ----------
    task : TemplateTask
    """

    def __init__(self, task: tmi.TemplateTask) -> None:
        super().__init__()
        self.task = task
        windows = np.array(task.windows)
        self.out_features = int(windows.prod(1).sum())
        # Not buffers: they follow from the task, and a module made float32 must not round them.
        self._first = torch.from_numpy(np.cumsum(windows.prod(1)) - windows.prod(1))
        self._cols = torch.from_numpy(windows[:, 1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the activations, shape (N, H), in the images' dtype.

        Raises
        ------
        InputError
            For images that are not those of the task, NaN, or values outside [0, 1].
        """
        result: torch.Tensor = _Match.apply(check_images(images, self.task.image_shape), self)  # type: ignore[no-untyped-call]
        return result

    def extra_repr(self) -> str:
        """Say which task, and how many neurons."""
        return f"{self.task!r}, out_features={self.out_features}"


class _Match(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, layer: PatchMatch) -> torch.Tensor:
        found = tmi.match(images, layer.task.tiles)
        neuron = layer._first.to(images.device)[found.tile] + found.row * layer._cols.to(images.device)[found.tile] + found.col
        result = images.new_zeros(len(images), layer.out_features)
        result[found.image, neuron] = found.slack
        ctx.task = layer.task
        ctx.save_for_backward(images, found.image, found.tile, found.row, found.col, neuron)
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        images, image, tile, row, col, neuron = ctx.saved_tensors
        result = torch.zeros_like(images)
        active = gradient[image, neuron]
        for number in tile[active != 0].unique().tolist():
            one = ctx.task.tiles[number]
            asked = ((tile == number) & (active != 0)).nonzero()[:, 0]
            for part in asked.split(max(1, _PIXELS_AT_ONCE // one.values.size)):
                _add_gradient(result, images, one, active[part], image[part], row[part], col[part])
        return result, None


def _add_gradient(
    result: torch.Tensor,
    images: torch.Tensor,
    tile: tmi.FeatureTile,
    gradient: torch.Tensor,
    image: torch.Tensor,
    row: torch.Tensor,
    col: torch.Tensor,
) -> None:
    channels, high, wide = (torch.arange(side, device=images.device) for side in tile.shape)
    place = (
        image[:, None, None, None],
        channels[:, None, None],
        (row[:, None] + high)[:, None, :, None],
        (col[:, None] + wide)[:, None, None, :],
    )
    y = images[place]
    # Rounded first, as `tmi.match` does; a copy, for tiles cannot be written.
    c = torch.tensor(tile.values, dtype=y.dtype, device=y.device)
    support = torch.tensor(tile.support, device=y.device)
    differs = ((y != c) & support).any(1, keepdim=True).to(y.dtype)
    differs = nn.functional.max_pool2d(differs, 2, ceil_mode=True).repeat_interleave(2, 2).repeat_interleave(2, 3)
    slope = ((y > 0).to(y.dtype) - 2 * (y > c).to(y.dtype)) * support * differs[:, :, : len(high), : len(wide)]
    result.index_put_(place, gradient[:, None, None, None] * slope, accumulate=True)
