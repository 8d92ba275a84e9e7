"""Exact, sparse L1 template matching: every window of every image in which a tile is contained.

One function, `match`, stands before the back ends: `reference` is the plain formula, `cpu` the fast version that leaves a window
as soon as its partial sum shows that it cannot match. Both sum a window's differences in float64, row by row, so that they return
the same windows and the same slack to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean
from ..images import check_images
from ..tiles import FeatureTile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Matches:
    """Where tiles are contained in images, sorted by image, tile, row and column.

    Attributes
    ----------
    image, tile, row, col : Tensor of int64, shape (M,)
        Index of the image and of the tile; the window's top left corner.
    slack : Tensor, shape (M,)
        ε − t > 0, in the images' dtype, from a distance summed in float64. It is the activation of Theorem 1's hidden neuron.
        A slack too small for the dtype becomes its smallest normal number, not 0.
    """

    image: torch.Tensor
    tile: torch.Tensor
    row: torch.Tensor
    col: torch.Tensor
    slack: torch.Tensor

    def __len__(self) -> int:
        return len(self.slack)


def match(images: Any, tiles: Sequence[FeatureTile], *, backend: str = "auto") -> Matches:
    """Find every window that contains a tile: t(window) < ε, strictly.

    Parameters
    ----------
    images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
        On any device; the match itself runs on the CPU.
    tiles : sequence of FeatureTile
        They may differ in size. Their values are rounded to the images' dtype first, so that a pasted tile has slack exactly ε
        (rounded to that dtype). Distances are summed in float64 whatever the dtype.
    backend : {"auto", "cpu", "reference"}
        ``"auto"`` takes the fastest that serves.

    Returns
    -------
    Matches
        Sparse and exact: the windows that are not listed have activation 0.

    Raises
    ------
    InputError
        For bad images (see `tmi.images.check_images`), a tile larger than the images or with other channels, or an unknown back
        end.
    """
    import torch

    images = check_images(images)
    tiles = [tiles] if isinstance(tiles, FeatureTile) else list(tiles)
    _, channels, m, n = images.shape
    for index, tile in enumerate(tiles):
        if not isinstance(tile, FeatureTile):
            raise InputError(f"tiles[{index}]: expected FeatureTile, got {type(tile).__name__}")
        if tile.shape[0] != channels:
            raise InputError(f"tiles[{index}]: has {tile.shape[0]} channels, the images {channels}")
        if tile.shape[1] > m or tile.shape[2] > n:
            raise InputError(f"tiles[{index}]: {tile.shape[1]}×{tile.shape[2]} is larger than the images, {m}×{n}")
    if backend in ("auto", "cpu"):
        from .cpu import match_arrays
    elif backend == "reference":
        from .reference import match_arrays
    else:
        raise InputError(f"backend {backend!r} is unknown{did_you_mean(backend, ('auto', 'cpu', 'reference'))}")
    if not len(images) or not tiles:
        places, slack = np.empty((0, 4), np.int64), np.empty(0)
    else:
        places, slack = match_arrays(images.detach().cpu().numpy(), tiles)
    order = np.lexsort(places.T[::-1])
    image, tile_index, row, col = (torch.from_numpy(np.ascontiguousarray(places[order, i])).to(images.device) for i in range(4))
    rounded = torch.from_numpy(slack[order]).to(images.device, images.dtype)
    # float32 has no number for a slack of 1e-50; "contained" and "slack above 0" must stay the same thing.
    return Matches(image, tile_index, row, col, rounded.clamp_min(torch.finfo(images.dtype).tiny))
