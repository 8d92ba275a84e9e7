"""The builder of Theorem 2's network, constructed from the tiles: each patch is made of smaller ones and computed once."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import tmi
from tmi.errors import InputError
from tmi.params import Count, Positive
from tmi_networks.neurons import meanings

from .cuts import Patches, least_levels, patch_meanings, patches_of

# At most so many bytes of activations at a time: with more, fetching and clearing memory takes longer than computing.
_WORKING_SET = 2**27


def theorem2(
    data: tmi.Dataset | tmi.TemplateTask,
    *,
    realisation: Literal["literal", "fused"] = "literal",
    levels: Count | None = None,
    memory: Positive = 1.0,
) -> tmi.Network:
    """Construct the network of Theorem 2: patches of 2×2 pixels, patches of patches, …, whole tiles, then the threshold.

    It computes the same function as the network of Theorem 1, by small kernels in many layers. A patch that several tiles have in
    common is computed once; `tmi_networks.theorem2.sharing` counts such patches. Nothing is trained; the network computes in its
    images' dtype, float32 or float64.

    Its gradient is that of Theorem 1 except where a whole patch matches exactly: there a ReLU between the layers is at its kink.

    Parameters
    ----------
    data : Dataset or TemplateTask
        Only the task is used.
    realisation : {"literal", "fused"}
        "literal" builds the layers; "fused" computes the hidden layer by template matching, for tasks of any size, with the
        gradient that the layers have in exact arithmetic. In the layers themselves rounding decides whether a patch matches
        exactly.
    levels : int, optional
        The theorem's r: tiles are padded to 2^r × 2^r. By default the least that holds every tile.
    memory : Positive
        Gigabytes that the literal layers and their activations may take. It sets the number of groups in which tiles are
        evaluated, and the images at a time. It bounds neither what autograd stores nor the activations that a caller asks for.

    Returns
    -------
    Network
        Origin "constructed", layers ``values`` (N, F, rows, cols), ``level1`` … ``levelr`` (N, P, rows, cols), ``hidden`` (N, H)
        and ``logits`` (N, L); only the last two if fused. Where the tiles are in several groups, the levels are
        ``groups.0.level1``, …. The neurons of ``hidden`` are those of `theorem1`, in the order (tile, row, col).

    Raises
    ------
    InputError
        If a tile is larger than 2^r, or one tile and one image alone need more memory.
    """
    task = data if isinstance(data, tmi.TemplateTask) else data.task
    levels = _levels(task, levels)
    if realisation == "fused":
        from tmi_networks.fused import fused_network

        return fused_network(task, patches=True)
    # Where all windows of padded tiles end: the smallest tile has the last window.
    least = np.min([tile.shape[1:] for tile in task.tiles], axis=0)
    padded = int(task.image_shape[1] - least[0] + (1 << levels)), int(task.image_shape[2] - least[1] + (1 << levels))
    groups, images_at_once = _plan(task, levels, padded, memory)
    values = _values(groups)

    from tmi.networks.rounding import warn_of_rounding

    from .literal import patch_network

    warn_of_rounding(data, additions=4 * levels)
    module = patch_network(task, values, groups, padded, images_at_once)
    known: dict[str, Any] = {"values": partial(_value_meanings, values, padded)}
    for number, (_, patches) in enumerate(groups):
        for level, one in enumerate(patches.levels[1:], 1):
            places = padded[0] - one.side + 1, padded[1] - one.side + 1
            name = f"level{level}" if len(groups) == 1 else f"groups.{number}.level{level}"
            known[name] = partial(patch_meanings, one, places)
    known |= meanings(task)
    return tmi.Network(module, list(known), "constructed", task=task, meanings=known)


def _levels(task: tmi.TemplateTask, levels: int | None) -> int:
    least = least_levels(task.tiles)
    if levels is None:
        return least
    if levels < least:
        widest = max(range(len(task.tiles)), key=lambda index: max(task.tiles[index].shape[1:]))
        size = "×".join(map(str, task.tiles[widest].shape[1:]))
        raise InputError(
            f"levels: tile {task.tile_name(widest)} of {size} pixels is larger than 2^{levels} = {1 << levels}; "
            f"needs levels of at least {least}"
        )
    return levels


def _plan(task: tmi.TemplateTask, levels: int, padded: tuple[int, int], memory: float) -> tuple[list[tuple[range, Patches]], int]:
    """Divide the tiles into as few groups as the memory allows; return the groups and the number of images at a time."""
    size = count = len(task.tiles)
    grid = 24 * task.image_shape[0] << 2 * levels  # bytes of a padded tile during the cut
    while True:
        needed = size * grid
        if needed <= memory * 1e9:
            ranges = [range(first, min(first + size, count)) for first in range(0, count, size)]
            groups = [(tiles, patches_of([task.tiles[tile] for tile in tiles], levels, tiles[0])) for tiles in ranges]
            weights, image = _bytes(task, groups, padded)
            needed = weights + image
            if needed <= memory * 1e9:
                return groups, max(1, int(min(memory * 1e9 - weights, _WORKING_SET) // image))
        if size == 1:
            raise InputError(
                f"theorem2: the layers of {task!r} need at least {needed / 1e9:.3g} GB, one tile and one image at a time, "
                f'more than memory = {memory:g}; raise memory, or use realisation "fused"'
            )
        size = (size + 1) // 2


def _bytes(task: tmi.TemplateTask, groups: list[tuple[range, Patches]], padded: tuple[int, int]) -> tuple[int, int]:
    """Return the bytes of all weights, and of the activations of one image that exist at once, in float64."""
    from .layers import BLOCK, SLICE

    channels = task.image_shape[0]
    fan = [BLOCK * 4 * channels + channels, BLOCK * 4]  # channels that a group of patches reads at most
    filters = len(_values(groups)[0]) + channels
    neurons = int(np.array(task.windows).prod(1).sum())
    pixels = padded[0] * padded[1]
    values = filters * pixels
    at_once = [2 * values]
    weights = 12 * (neurons * (len(task.classes) + 1) + filters * (channels + 1))
    for _, patches in groups:
        read = values
        for number, level in enumerate(patches.levels[1:]):
            reads = fan[min(number, 1)]
            weights += len(level) * (12 * (4 * reads + 1) + 8 * reads // BLOCK)
            gathered = -(-min(len(level), SLICE) // BLOCK) * reads * pixels
            output = len(level) * (padded[0] - level.side + 1) * (padded[1] - level.side + 1)
            # A layer's input and output, the latter twice while its parts are concatenated, and the values.
            at_once.append(values + read + 2 * output + gathered)
            read = output
    return weights, 8 * (max(at_once) + 2 * neurons)


def _values(groups: list[tuple[range, Patches]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return channel and value of the filters that some group needs, sorted."""
    pairs = np.unique(np.concatenate([np.stack([p.channel, p.value]) for _, p in groups], axis=1), axis=1)
    return pairs[0].astype(np.int64), pairs[1]


def _value_meanings(values: tuple[NDArray[np.int64], NDArray[np.float64]], padded: tuple[int, int]) -> dict[str, Any]:
    """Return what each neuron of the 1×1 layer computes; rows and columns beyond the image are padding."""
    channel, value = values
    channels = np.unique(channel)
    number, row, col = (part.ravel() for part in np.indices((len(value) + len(channels), *padded), np.int32))
    kind = np.repeat(np.array(["value", "identity"], object), [len(value), len(channels)])
    return {
        "filter": number,
        "channel": np.concatenate([channel, channels]).astype(np.int32)[number],
        "kind": kind[number],
        "value": np.concatenate([value, np.full(len(channels), np.nan)])[number],
        "row": row,
        "col": col,
    }
