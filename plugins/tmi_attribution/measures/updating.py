"""Logits as pixels are flipped a few at a time, by updating what they reach instead of evaluating every image anew.

A pixel reaches k × k places of a convolution's map, and these change the layer after it by a few of its columns. So a network of
one convolution and a linear layer, as `cnn` trains by default, is followed from step to step exactly, up to rounding. It pays
where few pixels are flipped in a step; else, and for every other network, each image is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..truth import Truth
    from .arrays import Array


def followed_logits(truth: Truth, before: torch.Tensor, after: torch.Tensor, step: NDArray[np.int64], steps: int) -> Array | None:
    """Return the attributed logit from step to step.

    Parameters
    ----------
    truth : Truth
    before, after : Tensor, shape (N, C, m, n)
        The images with no pixel flipped, and with all.
    step : ndarray of int64, shape (N, m, n)
        After which step each pixel is flipped, from 1.
    steps : int

    Returns
    -------
    ndarray of float64, shape (N, steps + 1), or None
        None where the module is another one than a convolution (stride 1, no padding), a ReLU and a linear layer with whatever
        comes after it, and where so many pixels are flipped in a step that it is quicker to evaluate each image.
    """
    import torch

    layers: list[Any] = list(_layers(truth.module))
    if not _fits(layers, truth):
        return None
    convolution, relu, flatten, linear, *rest = layers
    kernel = convolution.weight.detach().numpy()
    size = kernel.shape[2] * kernel.shape[3]
    with torch.no_grad():
        # From here on (row, col, filter): what one pixel reaches lies together.
        first = convolution(before[:1])
        if 4 * step[0].size * size > steps * first[0, 0].numel():  # a column costs about four times as much as in a whole product
            return None
        columns = linear.weight.detach().view(-1, *first.shape[1:]).permute(2, 3, 1, 0).contiguous().numpy()
        moves = kernel.transpose(2, 3, 1, 0).astype(np.float64)
        result = np.empty((len(step), steps + 1))
        for i in range(len(step)):
            maps = convolution(before[i : i + 1])
            start = linear(flatten(relu(maps.clone())))[0].double().numpy()  # a ReLU may work in place
            order = np.argsort(step[i], axis=None, kind="stable")
            ends = np.searchsorted(step[i].ravel()[order], np.arange(steps + 1), side="right")
            change = (after[i].double() - before[i].double()).permute(1, 2, 0).numpy()
            states = np.empty((steps + 1, len(start)))
            _kernel()(maps[0].permute(1, 2, 0).double().numpy().copy(), start, order, ends, change, moves, columns, states)
            logits = torch.from_numpy(states).to(before.dtype)
            for layer in rest:
                logits = layer(logits)
            result[i] = logits[:, truth.targets[i]].double().numpy()
    return result


def _layers(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield the modules that are called one after the other."""
    from torch import nn

    if type(module) is nn.Sequential and not _hooked(module):
        for child in module:
            yield from _layers(child)
    else:
        yield module


def _fits(layers: list[Any], truth: Truth) -> bool:
    import torch
    from torch import nn

    kinds = (nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear)
    if len(layers) < len(kinds) or any(type(layer) is not kind for layer, kind in zip(layers, kinds, strict=False)):
        return False
    convolution, _, flatten, _ = layers[:4]
    plain = convolution.stride == (1, 1) and convolution.dilation == (1, 1) and convolution.groups == 1
    plain = plain and convolution.padding in ((0, 0), "valid") and (flatten.start_dim, flatten.end_dim) == (1, -1)
    known = truth.images.device.type == "cpu" and truth.images.dtype in (torch.float32, torch.float64)
    return plain and known and not any(map(_hooked, layers))


def _hooked(module: torch.nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


@cache
def _kernel() -> Callable[..., None]:
    """Compile the update on first use."""
    import numba

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator]
    def update(maps, state, order, ends, change, moves, columns, states):  # type: ignore[no-untyped-def]
        high, wide, filters = maps.shape
        cols = change.shape[1]
        moved = np.zeros(columns.shape[3], columns.dtype)
        done = 0
        for step in range(len(ends)):
            moved[:] = 0
            for place in order[done : ends[step]]:
                row, col = place // cols, place % cols
                for y in range(max(0, row - moves.shape[0] + 1), min(high, row + 1)):
                    for x in range(max(0, col - moves.shape[1] + 1), min(wide, col + 1)):
                        for f in range(filters):
                            old = maps[y, x, f]
                            new = old
                            for c in range(change.shape[2]):
                                new += change[row, col, c] * moves[row - y, col - x, c, f]
                            maps[y, x, f] = new
                            weight = columns.dtype.type(max(new, 0.0) - max(old, 0.0))
                            if weight != 0:
                                for u in range(len(moved)):
                                    moved[u] += weight * columns[y, x, f, u]
            done = ends[step]
            state += moved
            states[step] = state

    return update
