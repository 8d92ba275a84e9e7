"""A layer as a table of samples: one row an image, or one row a place of a map, with what the image shows there."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi

from .features import KINDS, Features, Kind, numbered, shown_by_images
from .scenes import in_float64, pictures
from .units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Maps = Literal["places", "mean"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a layer.

    Attributes
    ----------
    values : ndarray of float32, shape (samples, units)
    identity : dict of str to ndarray of int64, shape (samples, parts)
        What each sample shows, by the kind of feature; −1 at a place that no tile covers.
    by_place : bool
        Whether a sample is a place of a map.
    in_float64 : bool
        Whether the values were computed in float64: then, rounded, they do not depend on the size of a batch.
    picture : ndarray of int64, shape (samples,), or None
        Number of each image, the same for equal ones; None where a sample is a place.
    """

    values: NDArray[np.float32]
    identity: dict[Kind, NDArray[np.int64]]
    by_place: bool
    in_float64: bool
    picture: NDArray[np.int64] | None

    def features(self, kind: Kind) -> Features:
        """Return the features of one kind that occur in the samples."""
        return numbered(kind, self.identity[kind], self.picture)


def samples_of(network: tmi.Network, layer: str, scenes: tmi.Scenes, maps: Maps, places: int, seed: int) -> Samples:
    """Return a layer's samples on scenes that show a tile, computed in float64 where the network can, then rounded to float32.

    A fit amplifies the last bit of a float32 sum, which depends on the size of a batch; the last bit of a float64 sum is lost in
    the rounding.

    Parameters
    ----------
    network : Network
    layer : str
    scenes : Scenes
    maps : {"places", "mean"}
        Of a layer of maps (channels, rows, cols), whether a sample is the channels at one place, or the means of the maps.
    places : int
        Places drawn from each image, with replacement.
    seed : int
        Decides which places are drawn.
    """
    import torch

    wide = widened(network, layer, scenes[:1])
    exact = wide or network
    shape = exact.activations(in_float64(scenes[:1]).images if wide else scenes[:1].images, layer)[layer].shape[1:]
    by_place = len(shape) == 3 and maps == "places"
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, int(np.prod(shape[1:], dtype=int)), (len(scenes), places)) if by_place else None
    parts = []
    for rows, part in in_parts(scenes, math.prod(shape)):
        values = exact.activations(in_float64(part).images if wide else part.images, layer)[layer]
        if drawn is not None:
            index = torch.from_numpy(drawn[rows])[:, None].expand(-1, shape[0], -1)
            values = values.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)
        elif len(shape) == 3:
            values = values.mean((2, 3))
        parts.append(values.flatten(1).float().numpy())
    kinds: list[Kind] = KINDS if scenes.task.has_tiles else ["class"]
    of_images = {kind: shown_by_images(scenes, kind) for kind in kinds}
    shown = of_images if drawn is None else _shown_at_places(scenes, drawn, tuple(shape))
    return Samples(np.concatenate(parts), shown, by_place, wide is not None, None if by_place else pictures(scenes))


def widened(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> tmi.Network | None:
    """Return a network that computes the same in float64.

    Returns
    -------
    Network or None
        A copy, or a constructed network itself, which computes in its images' dtype. None for a module that cannot be copied
        or does not run in float64 on the scenes.
    """
    network.check(scenes.images)  # so that what fails below fails in float64 alone
    try:
        if network.origin != "constructed":
            network = network.with_module(copy.deepcopy(network.plain().module).double())
        network.activations(in_float64(scenes).images, layer)
    except RuntimeError:  # torch's error for a module that cannot be copied, and for mixed dtypes
        return None
    return network


def _shown_at_places(scenes: tmi.Scenes, drawn: NDArray[np.int64], shape: tuple[int, ...]) -> dict[Kind, NDArray[np.int64]]:
    """Return which tile and which class cover the pixel in the middle of each place's receptive field; −1 where none does."""
    pixel = [
        np.clip(middles(count, side), 0, side - 1) for count, side in zip(shape[1:], scenes.task.image_shape[1:], strict=True)
    ]
    row, col = np.divmod(drawn, shape[2])
    covered = scenes.masks.numpy()[np.arange(len(scenes))[:, None], pixel[0][row], pixel[1][col]]
    columns: dict[Kind, Any] = {"tile": scenes.tile, "class": scenes.labels}
    return {
        kind: np.where(covered, column.numpy()[:, None], -1).reshape(-1, 1).astype(np.int64) for kind, column in columns.items()
    }


def middles(count: int, side: int) -> NDArray[np.int64]:
    """Return the pixel in the middle of the receptive field of each place of a map that is centred on the image.

    Parameters
    ----------
    count, side : int
        Places of the map and pixels of the image along an axis. The stride is taken to be ``side // count``, at least 1.
    """
    stride = max(1, side // count)
    first = (side - 1 - (count - 1) * stride) / 2
    pixels: NDArray[np.int64] = np.floor(first + np.arange(count) * stride + 0.5).astype(np.int64)
    return pixels
