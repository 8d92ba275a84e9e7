"""Images on which a network is compared with φ of its task, or with its exported program, and how far the two may differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from tmi.tasks.task import TemplateTask
    from tmi.tasks.tiles import FeatureTile

SHARES = (0.0, 0.5, 1 + 1 / 16, 0.25)
"""Distances of a pasted tile in units of ε: exact, half contained and just outside in corners; the last at an inner place."""

EVERY_WINDOW = 1024
"""In tasks with at most so many windows every window is shown."""

_RELATIVE = {"float32": 1e-3, "float64": 1e-6}
_NEURONS_AT_ONCE = 2**21  # windows that may match at a time, and pixels: bounds the memory to some hundred megabytes


class Pasted(NamedTuple):
    """One image each: which tile is pasted, where, and how far from the tile its pixels are.

    Attributes
    ----------
    tile, row, col : ndarray of int64, shape (N,)
    share : ndarray of float64, shape (N,)
        The distance in units of ε; less where pixels in [0, 1] cannot be that far from the tile.
    """

    tile: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    share: NDArray[np.float64]


def every_tile(task: TemplateTask) -> Pasted:
    """Choose images that tell φ from a function that is wrong for a tile, a class or a place, by a factor or by an offset.

    Every tile is pasted at each distance of `SHARES`: three times in a corner of the image, another one each time, and once at a
    random place off the border. In a task with at most `EVERY_WINDOW` windows, every tile is then pasted exactly at every window.

    Parameters
    ----------
    task : TemplateTask

    Returns
    -------
    Pasted
        4·T images for T tiles, and one for each window of a small task.
    """
    windows = np.array(task.windows)
    kind, tile = (part.ravel() for part in np.indices((len(SHARES), len(windows))))
    corner = (tile + kind) % 4
    least = np.minimum(1, windows - 1)
    inner = np.random.default_rng(0).integers(least, np.maximum(windows - 1, least + 1))
    row, col = np.where(kind == len(SHARES) - 1, inner[tile].T, (windows[tile] - 1).T * [corner // 2, corner % 2])
    share = np.array(SHARES)[kind]
    if windows.prod(1).sum() <= EVERY_WINDOW:
        places = [np.indices((rows, cols)).reshape(2, -1) for rows, cols in task.windows]
        tile = np.concatenate([tile, np.repeat(np.arange(len(windows)), windows.prod(1))])
        row, col = np.concatenate([[row, col], *places], axis=1)
        share = np.concatenate([share, np.zeros(len(tile) - len(share))])
    return Pasted(tile, row, col, share)


def random_places(task: TemplateTask, seed: int) -> Pasted:
    """Choose one image a tile, and at least eight: each tile at a random place and a random distance below ε."""
    rng = np.random.default_rng(seed)
    windows = np.array(task.windows)
    tile = np.arange(max(8, len(windows))) % len(windows)
    row, col = rng.integers(0, windows[tile]).T
    return Pasted(tile, row, col, rng.random(len(tile)) * rng.integers(0, 2, len(tile)))


def render(task: TemplateTask, pasted: Pasted, seed: int, most: int | None = None) -> Iterator[tuple[torch.Tensor, Pasted]]:
    """Make the images batch by batch, in bounded memory; the first batch is a single image.

    Parameters
    ----------
    task : TemplateTask
    pasted : Pasted
    seed : int
        Of the uniform random backgrounds.
    most : int, optional
        Images a batch, at most.

    Yields
    ------
    images : Tensor of float64, shape (B, C, m, n)
        The tile's support alone covers the background.
    part : Pasted
        What was pasted in them.
    """
    import torch

    rng = np.random.default_rng(seed)
    size = max(int(np.array(task.windows).prod(1).sum()), int(np.prod(task.image_shape)))
    step = min(max(1, _NEURONS_AT_ONCE // size), most or len(pasted.tile))
    starts = [0, *range(1, len(pasted.tile), step)]
    for start, stop in zip(starts, [*starts[1:], len(pasted.tile)], strict=True):
        tile, row, col, share = pasted
        part = Pasted(tile[start:stop], row[start:stop], col[start:stop], share[start:stop])
        images = rng.random((stop - start, *task.image_shape))
        for image, number, top, left, distance in zip(images, *part, strict=True):
            one = task.tiles[number]
            window = image[:, top : top + one.shape[1], left : left + one.shape[2]]
            window[one.support] = _at_distance(one, distance * min(one.epsilon, _room(one).sum()))[one.support]
        yield torch.from_numpy(images), part


def tolerance(task: TemplateTask, pasted: Pasted, dtype: torch.dtype, size: torch.Tensor) -> torch.Tensor:
    """Return by how much a logit may differ from φ: a small share of what the pasted tile's neuron can be, and rounding.

    Parameters
    ----------
    task : TemplateTask
    pasted : Pasted
        N images.
    dtype : torch.float32 or torch.float64
        In which the network computed.
    size : Tensor of float64, shape (N, L)
        |φ|: its own rounding grows with it.

    Returns
    -------
    Tensor of float64, shape (N, L)
    """
    import torch

    # σ(ε − t) varies over no more than the distances that pixels can have, however large ε is.
    scale = np.array([min(tile.epsilon, float(_room(tile).sum())) for tile in task.tiles])[pasted.tile]
    relative = _RELATIVE[str(dtype).removeprefix("torch.")]
    return relative * torch.from_numpy(scale)[:, None] + 16 * torch.finfo(dtype).eps * size


def _room(tile: FeatureTile) -> NDArray[np.float64]:
    """How far each pixel of the support can be from the tile within [0, 1]."""
    room: NDArray[np.float64] = np.maximum(tile.values, 1 - tile.values) * tile.support
    return room


def _at_distance(tile: FeatureTile, distance: float) -> NDArray[np.float64]:
    """Return the tile with every pixel of its support moved, so that t is the distance, or the largest there is."""
    room = _room(tile)
    share = min(1.0, distance / room.sum())
    moved: NDArray[np.float64] = tile.values + np.where(tile.values < 0.5, room, -room) * share
    return moved.clip(0, 1)
