"""Samples of a layer for which it is known how strongly each feature is present: tiles pasted with a known change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi

from .samples import middles, widened
from .scenes import in_float64
from .units import in_parts

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Array = NDArray[np.float64]
    Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class View:
    """How a layer is read as samples, and which features the samples can show.

    Attributes
    ----------
    directions : scipy.sparse.csr_array of float64, shape (features, units), or None
        The known directions in what `read` returns; None where they are not known.
    identity : ndarray of int64, shape (features, 1 or 3)
        What each feature is, ascending: its tile, or its tile, row and column.
    read : callable
        From activations (N, …) and the pasted tiles with their places, int64 (N, 3), to samples (N, units).
    about : str
        What a sample is, for a note.
    """

    directions: csr_array | None
    identity: NDArray[np.int64]
    read: Callable[[torch.Tensor, Places], NDArray[Any]]
    about: str


def view_of(network: tmi.Network, layer: str) -> View:
    """Return how to read a layer so that features have known directions in its samples, where that is possible.

    Parameters
    ----------
    network : Network
    layer : str

    Returns
    -------
    View
        A map that has known directions at every place is summed over its places: where no tile is, it is 0. Neurons that each
        stand for one tile at one place are summed over the places, so that a sample has one value for each tile. Of a map
        without known directions the place in the middle of the pasted tile is read. Any other layer is read as it is.
    """
    from scipy.sparse import csr_array, eye_array

    known = network.directions(layer)
    if known is None or "tile" not in known.features:
        of_tiles = np.arange(len(network.task.tiles))[:, None]
        return View(
            None, of_tiles, lambda values, placed: _at_tiles(network.task, values, placed), "units, or channels at the tile"
        )
    identity = known.features[[name for name in ("tile", "row", "col") if name in known.features]].to_numpy(np.int64)
    if known.by_place:
        directions, identity, about = known.sparse, identity[:, :1], "channels summed over the places"
        read = _summed
    elif identity.shape[1] == 3 and known.one_neuron_each:
        shown, number = np.unique(identity[:, 0], return_inverse=True)
        sums = csr_array((np.ones(len(number)), (known.sparse.indices, number)), shape=(known.sparse.shape[1], len(shown)))
        directions, identity, about = (
            eye_array(len(shown), format="csr"),
            shown[:, None],
            "neurons summed over the places of a tile",
        )

        def read(values: torch.Tensor, _: Places) -> NDArray[Any]:
            return np.asarray(values.flatten(1).numpy() @ sums)
    else:
        directions, about = known.sparse, "units"
        read = _flat
    order = np.lexsort(identity.T[::-1])
    return View(directions[order], identity[order], read, about)


def _flat(values: torch.Tensor, _: Places) -> NDArray[Any]:
    return np.asarray(values.flatten(1).numpy())


def _summed(values: torch.Tensor, _: Places) -> NDArray[Any]:
    return np.asarray(values.sum((2, 3)).numpy())


def _at_tiles(task: tmi.TemplateTask, values: torch.Tensor, placed: Places) -> NDArray[Any]:
    """Return the channels of maps at the place whose receptive field's middle is nearest to that of the tile."""
    if values.ndim != 4:
        return np.asarray(values.flatten(1).numpy())
    sizes = np.array([tile.shape[1:] for tile in task.tiles])[placed[:, 0]]
    nearest = [
        np.abs(
            middles(values.shape[axis], task.image_shape[axis - 1]) - (placed[:, axis - 1] + sizes[:, axis - 2] // 2)[:, None]
        ).argmin(1)
        for axis in (2, 3)
    ]
    return np.asarray(values.numpy()[np.arange(len(placed)), :, nearest[0], nearest[1]])


@dataclass(frozen=True, eq=False)
class KnownSamples:
    """Samples of a layer and the amplitudes of features in them.

    Attributes
    ----------
    values : ndarray of float64, shape (N, units)
    amplitudes : scipy.sparse.csr_array of float64, shape (N, features)
        Sum of the slacks ε − t > 0 of all windows that contain the feature's tile, by `tmi.match`; the features are those of the
        view.
    """

    values: Array
    amplitudes: csr_array


def known_samples(
    network: tmi.Network, layer: str, view: View, scenes: tmi.Scenes, shown: Places, count: int, change: float, seed: int
) -> KnownSamples:
    """Return samples of a layer on images with a tile that is changed by a random amount below its ε.

    Parameters
    ----------
    network : Network
    layer : str
    view : View
    scenes : Scenes
        Of the network's task; their backgrounds are used.
    shown : ndarray of int64, shape (features, 1 or 3)
        Tiles that are pasted, with their places if these are given, else at random ones; drawn evenly.
    count : int
        How many images.
    change : float
        In [0, 1]: a tile's pixels are changed by ``u·ε`` in sum, u uniform in [0, change]; less where that would leave [0, 1].
    seed : int

    Returns
    -------
    KnownSamples
        The amplitudes are those of all windows that contain a tile, whichever was pasted.
    """
    rng = np.random.default_rng(seed)
    task = network.task
    placed = np.zeros((count, 3), np.int64)
    placed[:, : shown.shape[1]] = shown[rng.permutation(np.arange(count) % len(shown))]
    if shown.shape[1] == 1:
        placed[:, 1:] = rng.integers(0, np.array(task.windows)[placed[:, 0]])
    background = rng.integers(0, len(scenes), count)
    images = scenes[background].with_tiles(*placed.T)
    exact = widened(network, layer, images[:1])
    size = (exact or network).activations((in_float64(images[:1]) if exact else images[:1]).images, layer)[layer].numel()
    values, amplitudes = [], []
    for rows, part in in_parts(images, size):
        changed = _changed(in_float64(part) if exact else part, change, rng)
        values.append(view.read((exact or network).activations(changed, layer)[layer], placed[rows]).astype(np.float64))
        amplitudes.append(_amplitudes(tmi.match(changed, task.tiles), view.identity, len(part), task.image_shape))
    from scipy.sparse import vstack

    return KnownSamples(np.concatenate(values), vstack(amplitudes, format="csr"))


def _changed(scenes: tmi.Scenes, change: float, rng: np.random.Generator) -> torch.Tensor:
    """Return the images with each tile changed by a random part of its ε, spread unevenly over its support."""
    images = scenes.images.clone()
    for image, tile, row, col in zip(images.numpy(), scenes.tile.tolist(), scenes.row.tolist(), scenes.col.tolist(), strict=True):
        of = scenes.task.tiles[tile]
        window = image[:, row : row + of.shape[1], col : col + of.shape[2]]
        weights = rng.random(of.shape) * of.support
        step = np.minimum(change * rng.random() * of.epsilon * weights / weights.sum(), 0.5)
        window += np.where(window < 0.5, step, -step).astype(window.dtype)
    return images


def _amplitudes(matches: tmi.Matches, identity: NDArray[np.int64], images: int, image_shape: tuple[int, int, int]) -> csr_array:
    """Return the summed slacks (images, features) of the features with these identities, ascending."""
    from scipy.sparse import csr_array

    columns = [matches.tile, matches.row, matches.col][: identity.shape[1]]
    shape = (int(identity[:, 0].max(initial=0)) + int(matches.tile.max() if len(matches) else 0) + 1, *image_shape[1:])[
        : len(columns)
    ]
    code = np.ravel_multi_index([column.numpy() for column in columns], shape)
    known = np.ravel_multi_index(list(identity.T), shape)
    number = np.searchsorted(known, code).clip(max=len(known) - 1)
    there = known[number] == code
    entries = (matches.slack.double().numpy()[there], (matches.image.numpy()[there], number[there]))
    return csr_array(entries, shape=(images, len(identity)))


def added(samples: KnownSamples, count: int, together: int, vary: bool, seed: int) -> KnownSamples:
    """Return sums of samples that are drawn at random.

    Where a layer is a map without padding, a sum over images is what one larger image with all the tiles, not overlapping, gives
    when its map is summed over the places, apart from windows that cover two of them.

    Parameters
    ----------
    samples : KnownSamples
    count : int
        How many sums.
    together : int
        How many samples are in a sum; for 1 the samples themselves are returned.
    vary : bool
        Whether that number is drawn for each sum, uniformly from 1 to 2 · together − 1, so that it is the mean.
    seed : int
    """
    from scipy.sparse import csr_array

    if together == 1:
        return samples
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(count), rng.integers(1, 2 * together, count) if vary else together)
    chosen = rng.integers(0, len(samples.values), len(rows))
    sums = csr_array((np.ones(len(rows)), (rows, chosen)), shape=(count, len(samples.values)))
    return KnownSamples(sums @ samples.values, sums @ samples.amplitudes)


def with_noise(values: Array, noise: float, seed: int) -> Array:
    """Return samples with Gaussian noise, whose mean square norm is ``noise²`` times that of the samples."""
    size = math.sqrt(np.square(values).sum(1).mean() / values.shape[1])
    return values + noise * size * np.random.default_rng(seed).standard_normal(values.shape)
