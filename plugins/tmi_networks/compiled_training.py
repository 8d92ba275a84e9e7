"""Gradient descent on a small network of one convolution and a linear layer, as loops compiled by numba.

A step on a network of section 6.1 is a few hundred multiplications, and torch's calls for it cost a hundred times more than they
do. The reference is `tmi_networks.training`, which takes the same steps in torch: the weights differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    Epoch = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def compiled_epoch(
    module: nn.Module, images: torch.Tensor, lr: float, batch_size: int, masks: Mapping[str, torch.Tensor]
) -> Epoch | None:
    """Return a function that takes the steps of one epoch, or None where the module is not of the form that it knows.

    Parameters
    ----------
    module : nn.Module
        Known are sequences of a convolution with stride 1 and without padding, ReLU, flattening and a linear layer, float32.
    images : Tensor of float32, shape (N, C, m, n)
    lr : float
    batch_size : int
    masks : mapping of str to Tensor of bool
        See `tmi_networks.training.descend`; the weights outside them are 0 already.

    Returns
    -------
    callable or None
        ``(order, labels) -> logits``: takes the images in this order (N,), with the labels (N,) in the same order, changes the
        module's weights in place, and returns the logits (N, L) of each image before the step on it.
    """
    import torch
    from torch import nn

    parts = [part for part in module.modules() if not isinstance(part, nn.Sequential)]
    if [type(part) for part in parts] != [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear]:
        return None
    conv, _, _, linear = parts
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(linear, nn.Linear)
    plain = (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1, 1), (0, 0), (1, 1), 1)
    if not plain or conv.bias is None or linear.bias is None or any(p.dtype != torch.float32 for p in module.parameters()):
        return None
    pixels = images.contiguous().numpy()
    weights = [parameter.detach().flatten(1).numpy() for parameter in _matrices(module)]
    keep = [
        masks[name].reshape(weight.shape).float().numpy() if name in masks else np.ones_like(weight)
        for (name, _), weight in zip(module.named_parameters(), weights, strict=True)
    ]

    high, wide = conv.kernel_size

    def epoch(order: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = np.empty((len(images), linear.out_features), np.float32)
        _steps(pixels, high, wide, order.numpy(), labels.numpy(), tuple(weights), tuple(keep), np.float32(lr), batch_size, logits)
        return torch.from_numpy(logits)

    return epoch


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile a function that threads may run at once; its code is cached on disk where a folder can be written."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:
        return numba.njit(function, nogil=True)


def _matrices(module: nn.Module) -> list[torch.Tensor]:
    """Return the parameters with at least two axes each, so that a bias is a column."""
    return [parameter if parameter.ndim > 1 else parameter[:, None] for parameter in module.parameters()]


@_compiled
def _steps(
    pixels: NDArray[np.float32],
    high: int,
    wide: int,
    order: NDArray[np.int64],
    labels: NDArray[np.int64],
    weights: tuple[NDArray[np.float32], ...],
    keep: tuple[NDArray[np.float32], ...],
    lr: np.float32,
    batch_size: int,
    logits: NDArray[np.float32],
) -> None:
    """Take a step for each batch.

    The weights are kernels (filter, tap), offsets (filter, 1), the linear layer's weights (class, filter × place) and its bias
    (class, 1). Where ``keep`` is 0 a weight does not change.
    """
    kernels, offsets, linear, bias = weights
    keep_kernels, keep_offsets, keep_linear, keep_bias = keep
    filters, taps = kernels.shape
    rows, cols = pixels.shape[2] - high + 1, pixels.shape[3] - wide + 1
    places, classes = rows * cols, len(linear)
    patch = np.empty((places, taps), np.float32)
    hidden, back = np.empty(filters * places, np.float32), np.empty(filters * places, np.float32)
    slopes = np.empty(classes, np.float32)
    d_kernels, d_offsets = np.empty_like(kernels), np.empty_like(offsets)
    d_linear, d_bias = np.empty_like(linear), np.empty_like(bias)
    for start in range(0, len(order), batch_size):
        stop = min(start + batch_size, len(order))
        d_kernels[:], d_offsets[:], d_linear[:], d_bias[:] = 0, 0, 0, 0
        for i in range(start, stop):
            _fill(patch, pixels[order[i]], high, wide, cols)
            for f in range(filters):
                for p in range(places):
                    value = offsets[f, 0]
                    for k in range(taps):
                        value += kernels[f, k] * patch[p, k]
                    hidden[f * places + p] = max(value, np.float32(0))
            for c in range(classes):
                value = bias[c, 0]
                for h in range(filters * places):
                    value += linear[c, h] * hidden[h]
                logits[i, c] = value
            # The gradient of the cross-entropy: softmax minus one-hot, over the number of images in the batch.
            largest = logits[i].max()
            total = np.float32(0)
            for c in range(classes):
                slopes[c] = np.exp(logits[i, c] - largest)
                total += slopes[c]
            back[:] = 0
            for c in range(classes):
                slope = (slopes[c] / total - np.float32(c == labels[i])) / np.float32(stop - start)
                d_bias[c, 0] += slope
                for h in range(filters * places):
                    d_linear[c, h] += slope * hidden[h]
                    back[h] += slope * linear[c, h]
            for f in range(filters):
                for p in range(places):
                    if hidden[f * places + p] > 0:
                        slope = back[f * places + p]
                        d_offsets[f, 0] += slope
                        for k in range(taps):
                            d_kernels[f, k] += slope * patch[p, k]
        kernels -= lr * keep_kernels * d_kernels
        offsets -= lr * keep_offsets * d_offsets
        linear -= lr * keep_linear * d_linear
        bias -= lr * keep_bias * d_bias


@_compiled
def _fill(patch: NDArray[np.float32], image: NDArray[np.float32], high: int, wide: int, cols: int) -> None:
    """Write the pixels under the kernel at each place: (place, tap)."""
    for place in range(len(patch)):
        row, col = place // cols, place % cols
        tap = 0
        for channel in range(len(image)):
            for i in range(high):
                for j in range(wide):
                    patch[place, tap] = image[channel, row + i, col + j]
                    tap += 1
