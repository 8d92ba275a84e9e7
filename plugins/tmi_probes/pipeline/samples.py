"""A layer as a table of samples: one row an image, or one row a place of a map, and what the image shows there."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi

from ..linear.exact_network import in_float64
from .features import KINDS, Features, Kind
from .scenes import sizes_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Maps = Literal["places", "mean"]

_ELEMENTS = 4_000_000  # activations held at a time


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a layer.

    Attributes
    ----------
    values : ndarray of float32, shape (samples, units)
    identity : dict of str to ndarray of int64, shape (samples, parts)
        What each sample shows, by the kind of feature; −1 at a place where there is no tile.
    by_place : bool
        Whether a sample is a place of a map.
    in_float64 : bool
        Whether the values were computed in float64, so that, rounded, they do not depend on how many images were taken at a time.
    """

    values: NDArray[np.float32]
    identity: dict[Kind, NDArray[np.int64]]
    by_place: bool
    in_float64: bool

    def features(self, kind: Kind) -> Features:
        """Return the features of one kind that occur in the samples."""
        identity, of_sample = np.unique(self.identity[kind], axis=0, return_inverse=True)
        return Features(kind, of_sample.reshape(-1), identity)


def samples_of(network: tmi.Network, layer: str, scenes: tmi.Scenes, maps: Maps, places: int, seed: int) -> Samples:
    """Return a layer's samples on scenes that show a tile, computed in float64 where the network can and rounded to float32.

    Fits amplify the last bit of a float32 sum, which depends on how many images are taken at a time; that of a float64 sum is
    rounded away.

    Parameters
    ----------
    network : Network
    layer : str
    scenes : Scenes
    maps : {"places", "mean"}
        What is done with a layer of maps (channels, rows, cols): a place's channels are a sample, or the maps' means are.
    places : int
        Places drawn an image, with replacement.
    seed : int
        Draws the places.
    """
    import torch

    wide = widened(network, layer, scenes)
    exact, images = wide or (network, scenes.images)
    shape = exact.activations(images[:1], layer)[layer].shape[1:]
    by_place = len(shape) == 3 and maps == "places"
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, int(np.prod(shape[1:], dtype=int)), (len(scenes), places)) if by_place else None
    step = max(1, min(256, _ELEMENTS // sizes_of(network, scenes, [layer])[layer]))
    found = []
    for start in range(0, len(scenes), step):
        rows = slice(start, start + step)
        values = exact.activations(images[rows], layer, batch_size=step)[layer]
        if drawn is not None:
            index = torch.from_numpy(drawn[rows])[:, None].expand(-1, shape[0], -1)
            values = values.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)
        elif len(shape) == 3:
            values = values.mean((2, 3))
        found.append(values.flatten(1).float().numpy())
    shown = _at_places(scenes, drawn, tuple(shape)) if drawn is not None else _of_images(scenes)
    return Samples(np.concatenate(found), shown, by_place, wide is not None)


def widened(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> tuple[tmi.Network, torch.Tensor] | None:
    """Return a network that computes in float64 what this one does, and the scenes' images for it.

    Returns
    -------
    (Network, Tensor) or None
        A copy; a constructed network itself, which computes in its images' dtype. None for a module that cannot be copied or does
        not run in float64.
    """
    images = in_float64(scenes).images
    try:
        if network.origin != "constructed":
            module = copy.deepcopy(network.module).double()
            network = tmi.Network(module, network.layers, network.origin, task=network.task)
        network.activations(images[:1], layer)
    except RuntimeError:  # torch's for dtypes that do not go together
        return None
    return network, images


def _of_images(scenes: tmi.Scenes) -> dict[Kind, NDArray[np.int64]]:
    columns: dict[Kind, tuple[Any, ...]] = {
        "tile": (scenes.tile,),
        "tile-place": (scenes.tile, scenes.row, scenes.col),
        "class": (scenes.labels,),
    }
    return {kind: np.stack([part.numpy() for part in columns[kind]], 1).astype(np.int64) for kind in KINDS}


def _at_places(scenes: tmi.Scenes, drawn: NDArray[np.int64], shape: tuple[int, ...]) -> dict[Kind, NDArray[np.int64]]:
    """Say which tile, and which class, covers the pixel in the middle of what each place sees."""
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
    """Return the pixel in the middle of what each place of a map sees, the map lying in the middle of the image.

    Parameters
    ----------
    count, side : int
        Places of the map and pixels of the image along an axis. The stride is how often the first goes into the second.
    """
    stride = max(1, side // count)
    first = (side - 1 - (count - 1) * stride) / 2
    pixels: NDArray[np.int64] = np.floor(first + np.arange(count) * stride + 0.5).astype(np.int64)
    return pixels
