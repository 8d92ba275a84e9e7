"""φ of a task in torch's standard operations, so that it can be exported and run without tmi."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tmi.tasks.task import TemplateTask


class Formula(nn.Module):
    """The function of Proposition 1: for each class ``Σ_tiles Σ_windows σ(ε − t(window))``.

    The windows of an image are gathered once for each size of tile; then each tile is compared with all of them. Sums are float64
    for images of either dtype, as in `tmi.match`.

    Parameters
    ----------
    task : TemplateTask
    dtype : torch.float32 or torch.float64
        That of the images. The templates are rounded to it first.
    gradient : bool
        Whether |y − c| is written as σ(2y − 2c) − σ(y) + c, so that the gradient is that of Theorem 1's network, kinks included.
        Otherwise it is written as ``abs``, which takes half the operations.
    """

    def __init__(self, task: TemplateTask, dtype: torch.dtype, *, gradient: bool = True) -> None:
        super().__init__()
        self.gradient = gradient
        self.dtype = dtype
        self.tile_class = [int(label) for label in task.tile_class]
        self.classes = len(task.classes)
        self.epsilon = [tile.epsilon for tile in task.tiles]
        self.shapes = sorted({tile.shape for tile in task.tiles})
        self.of_shape = [[i for i, tile in enumerate(task.tiles) if tile.shape == shape] for shape in self.shapes]
        for number, shape in enumerate(self.shapes):
            self.register_buffer(f"windows_{number}", torch.from_numpy(_window_index(shape, task.image_shape)))
        for number, tile in enumerate(task.tiles):
            value = torch.from_numpy(tile.values[tile.support]).to(dtype).double()
            self.register_buffer(f"value_{number}", value[:, None])
            self.register_buffer(f"support_{number}", torch.from_numpy(np.flatnonzero(tile.support)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (N, L), of images (N, C, m, n) in [0, 1], which are not checked."""
        flat = images.double().flatten(1)
        parts: list[list[Any]] = [[] for _ in range(self.classes)]
        for number, tiles in enumerate(self.of_shape):
            index = getattr(self, f"windows_{number}")
            windows = flat.index_select(1, index.flatten()).view(-1, *index.shape)
            for tile in tiles:
                y = windows.index_select(1, getattr(self, f"support_{tile}"))
                c = getattr(self, f"value_{tile}")
                difference = torch.relu(2 * y - 2 * c) - torch.relu(y) + c if self.gradient else (y - c).abs()
                distance = difference.sum(1)
                parts[self.tile_class[tile]].append(torch.relu(self.epsilon[tile] - distance).sum(1))
        return torch.stack([sum(part[1:], part[0]) for part in parts], 1).to(self.dtype)


def _window_index(shape: tuple[int, int, int], image_shape: tuple[int, int, int]) -> Any:
    """For each pixel of a tile and each window, which pixel of the flat image it is: int64 (C·k·l, windows)."""
    channel, row, col = np.indices(shape).reshape(3, -1, 1)
    _, m, n = image_shape
    down, across = np.indices((m - shape[1] + 1, n - shape[2] + 1)).reshape(2, 1, -1)
    return (channel * m + row + down) * n + col + across
