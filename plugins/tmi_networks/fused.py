"""The fused networks of both theorems: the hidden layer in one piece, by template matching, and the 0/1 layer that sums it up."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

import tmi
from tmi.tasks.images import check_images

from .neurons import meanings

# Support pixels looked at together in the backward pass: bounds its memory to some hundred megabytes.
_PIXELS_AT_ONCE = 2**22


def fused_network(task: tmi.TemplateTask, *, patches: bool = False) -> tmi.Network:
    """Return the network of Theorem 1, or with ``patches`` of Theorem 2, with layers ``hidden`` and ``logits``."""
    module = nn.Sequential(OrderedDict(hidden=TileMatch(task, patches=patches), logits=ClassSum(task)))
    return tmi.Network(module, ["hidden", "logits"], "constructed", task=task, meanings=meanings(task))


class TileMatch(nn.Module):
    """The hidden layer σ(ε − t(window)) for every tile and window, computed by `tmi.match`.

    Its gradient is that of the layers that the theorem builds, at the kinks too, where |x − t| has no derivative of its own:
    for a pixel of value y under a value c of the tile it is 1[y > 0] − 2·1[y > c].

    Parameters
    ----------
    task : TemplateTask
    patches : bool
        Whether the gradient is that of Theorem 2 in exact arithmetic: none passes a 2×2 patch of the tile that matches exactly,
        for there the ReLU of the first combining layer is at its kink.

    Attributes
    ----------
    out_features : int
        H, the number of neurons: all windows of all tiles, in the order (tile, row, col).
    replaced_weights : int
        Weights of the sparse layer of Theorem 1 that this layer, which has none, takes the place of: two a window and pixel of
        the support. 0 for Theorem 2, whose layers share patches, so that the tiles' sizes do not give their number.
    """

    def __init__(self, task: tmi.TemplateTask, *, patches: bool = False) -> None:
        super().__init__()
        self.task, self.patches = task, patches
        windows = np.array(task.windows)
        neurons = windows.prod(1)
        self.out_features = int(neurons.sum())
        _, m, n = task.image_shape
        pixels = [np.nonzero(tile.support) for tile in task.tiles]
        count = np.array([len(channel) for channel, _, _ in pixels])
        self.replaced_weights = 0 if patches else int((2 * count * neurons).sum())
        # Not buffers: they follow from the task, and a module made float32 must not round the values.
        # Where each tile's neurons and support pixels begin in the flat lists of all tiles.
        self._first = torch.from_numpy(np.cumsum(neurons) - neurons)
        self._cols = torch.from_numpy(windows[:, 1])
        self._start = torch.from_numpy(np.cumsum(count) - count)
        self._count = torch.from_numpy(count)
        # A support pixel's place in the flat image, seen from the window's top left corner, its value, and its 2×2 patch.
        self._offset = torch.from_numpy(np.concatenate([(channel * m + row) * n + col for channel, row, col in pixels]))
        self._value = torch.from_numpy(np.concatenate([tile.values[tile.support] for tile in task.tiles]))
        # Numbered within the tile, so that there are no more patches than pixels.
        patch = [np.unique(row // 2 * n + col // 2, return_inverse=True)[1] for _, row, col in pixels]
        self._patch = torch.from_numpy(np.concatenate(patch))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the activations, shape (N, H), in the images' dtype.

        Parameters
        ----------
        images : Tensor, float32 or float64, shape (N, C, m, n), in [0, 1]

        Raises
        ------
        InputError
            For images that are not those of the task, NaN, or values outside [0, 1].
        """
        images = check_images(images, self.task.image_shape)
        result: torch.Tensor = _Match.apply(images, self)  # type: ignore[no-untyped-call]
        return result

    def extra_repr(self) -> str:
        """Describe the task and the number of neurons."""
        return f"{self.task!r}, out_features={self.out_features}"

    def input_gradient(
        self, images: torch.Tensor, gradient: torch.Tensor, image: torch.Tensor, tile: torch.Tensor, corner: torch.Tensor
    ) -> torch.Tensor:
        """Pull the gradient of active neurons back to the images.

        Parameters
        ----------
        images : Tensor, shape (N, C, m, n)
        gradient : Tensor, shape (M,)
            With respect to each active neuron.
        image, tile, corner : Tensor of int64, shape (M,)
            Its image, its tile, and the place of its window's top left pixel in the flat plane.

        Returns
        -------
        Tensor, shape (N, C, m, n)
            Σ gradient · (1[y > 0] − 2·1[y > c]) over the neurons whose support covers the pixel.
        """
        device = images.device
        start, count, offset = (part.to(device) for part in (self._start, self._count, self._offset))
        value = self._value.to(device, images.dtype)
        flat = images.reshape(-1)
        result = torch.zeros_like(flat)
        corner = corner + image * images[0].numel() if len(images) else corner
        step = max(1, _PIXELS_AT_ONCE // int(count.max()))
        for g, t, at in zip(gradient.split(step), tile.split(step), corner.split(step), strict=True):  # type: ignore[no-untyped-call]
            pixels = count[t]
            # Neuron by neuron its support pixels, one after another: a list of lists of different lengths, laid flat.
            neuron = torch.arange(len(t), device=device).repeat_interleave(pixels)
            pixel = torch.arange(len(neuron), device=device) + (start[t] - pixels.cumsum(0) + pixels)[neuron]
            place = at[neuron] + offset[pixel]
            y = flat[place]
            slope = (y > 0).to(y.dtype) - 2 * (y > value[pixel]).to(y.dtype)
            if self.patches:
                slope *= self._differs(y != value[pixel], neuron, pixel)
            result.index_add_(0, place, g[neuron] * slope)
        return result.view_as(images)

    def _differs(self, pixel_differs: torch.Tensor, neuron: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
        """Whether some pixel of the 2×2 patch that a pixel belongs to differs from the tile, over all channels."""
        most = int(self._count.max())
        key = neuron * most + self._patch.to(pixel.device)[pixel]
        differing = torch.zeros((int(neuron[-1]) + 1) * most if len(neuron) else 0, dtype=torch.bool, device=pixel.device)
        differing[key[pixel_differs]] = True
        return differing[key]


class _Match(torch.autograd.Function):
    """`tmi.match` as a dense layer, with the gradient of the theorem's layers."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, layer: TileMatch) -> torch.Tensor:
        matches = tmi.match(images, layer.task.tiles)
        first, cols = layer._first.to(images.device), layer._cols.to(images.device)
        neuron = first[matches.tile] + matches.row * cols[matches.tile] + matches.col
        result = images.new_zeros(len(images), layer.out_features)
        result[matches.image, neuron] = matches.slack
        ctx.layer = layer
        ctx.save_for_backward(images, matches.image, matches.tile, matches.row * images.shape[3] + matches.col, neuron)
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        images, image, tile, corner, neuron = ctx.saved_tensors
        active = gradient[image, neuron]
        asked = active != 0  # one logit's gradient concerns one class's neurons alone
        return ctx.layer.input_gradient(images, active[asked], image[asked], tile[asked], corner[asked]), None


class ClassSum(nn.Module):
    """The layer ``logits``: weights 0 or 1, no bias; each class sums the hidden neurons of its tiles.

    The neurons of a class lie side by side, so that no weight need be multiplied. Sums are taken in float64 and returned in the
    inputs' dtype: for float32 they are those of φ, for float64 up to the last bits, in batches of any size.

    Parameters
    ----------
    task : TemplateTask
    """

    def __init__(self, task: tmi.TemplateTask) -> None:
        super().__init__()
        neurons = np.bincount(task.tile_class, np.array(task.windows).prod(1)).astype(int)
        self.neurons = tuple(neurons.tolist())
        self.in_features, self.out_features = sum(self.neurons), len(self.neurons)

    @property
    def weight(self) -> torch.Tensor:
        """The weights that the sums amount to, 0 or 1, float32, shape (L, H)."""
        label = torch.arange(self.out_features).repeat_interleave(torch.tensor(self.neurons))
        return (label == torch.arange(self.out_features)[:, None]).float()

    def sparse_weight(self) -> torch.Tensor:
        """Return the weights (L, H) as a sparse tensor."""
        return self.weight.to_sparse()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (N, L), in the dtype of the hidden activations (N, H)."""
        parts = hidden.split(self.neurons, 1)  # type: ignore[no-untyped-call]
        return torch.stack([part.sum(1, dtype=torch.float64) for part in parts], 1).to(hidden.dtype)

    def extra_repr(self) -> str:
        """Describe the size of the layer."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
