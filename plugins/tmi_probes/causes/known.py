"""The known circuit: which sites of a layer the construction says matter, from the windows that match and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import tmi

from ..pipeline.features import own_kind
from ..pipeline.scenes import in_float64
from ..pipeline.units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from .sites import Sites

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Circuit:
    """Which site of a layer stands for which tile at which place.

    A tile at a place, a window, has the strength σ(ε − t); its class's logit is their sum (Proposition 1). Replacing a
    site that carries a window replaces that strength. Where sites are neurons that several windows share, single ones need not
    have an effect of their own; then the known circuit is the neurons whose activation the strengths change.

    Attributes
    ----------
    carries : csr_array of float64, shape (windows, sites)
        The windows in the order (tile, row, col).
    logit : ndarray of int64, shape (windows,)
        The class of each window.
    shared : bool
        Whether sites are neurons that windows share.
    """

    carries: csr_array
    logit: NDArray[np.int64]
    shared: bool

    def effects(self, change: csr_array, weights: Array) -> Array:
        """Return by how much replacing each site changes a weighted sum of the logits, shape (sites,).

        Where neurons are shared the number says only whether it is 0: it is the change of the neuron by the windows of logits
        that are measured.

        Parameters
        ----------
        change : csr_array, shape (1, windows)
            Of the strengths.
        weights : ndarray, shape (L,)
        """
        factors = weights[self.logit]
        weighted = change.multiply((factors != 0).astype(float)[None] if self.shared else factors[None])
        return np.asarray((weighted.tocsr() @ self.carries).toarray()[0], np.float64)


def strengths(scenes: tmi.Scenes) -> csr_array:
    """Return how strong each tile is at each place, σ(ε − t) by `tmi.match` in float64: sparse (N, windows)."""
    from scipy.sparse import coo_array

    first, cols = _order(scenes.task)
    parts = []
    for rows, part in in_parts(scenes):
        found = tmi.match(in_float64(part).images, scenes.task.tiles)
        tile = found.tile.numpy()
        window = first[tile] + found.row.numpy() * cols[tile] + found.col.numpy()
        parts.append((found.slack.numpy().astype(np.float64), found.image.numpy() + rows.start, window))
    slack, image, window = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = len(scenes), int(np.prod(scenes.task.windows, axis=1).sum())
    return coo_array((slack, (image, window)), shape=shape).tocsr()


def known_circuit(network: tmi.Network, layer: str, shape: tuple[int, ...], sites: Sites) -> Circuit | None:
    """Return which site stands for which window; None where that is not known.

    Parameters
    ----------
    network : Network
    layer : str
    shape : tuple of int
        Of the layer's activations on one image.
    sites : Sites
        Of that layer.
    """
    task = network.task
    directions = network.directions(layer)
    kind = None if directions is None else own_kind(directions.features)
    if directions is None or kind != ("tile" if directions.by_place else "tile-place"):
        return None
    tile, row, col = _windows(task)
    place = row * shape[2] + col if directions.by_place else np.zeros_like(row)
    feature = _features(directions, task, tile, row, col)
    logit = task.tile_class[tile]
    if sites.by == "direction":
        places = len(sites) // len(directions)
        column = directions.sparse.indices[feature] if directions.one_neuron_each else feature * places + place
        return Circuit(_ones(column, len(sites)), logit, False)
    if sites.by == "place":
        return Circuit(_ones(row * sites.shape[1] + col, len(sites)), logit, False)
    neurons = directions.sparse[feature].tocoo()
    column = neurons.coords[1].astype(np.int64)
    if directions.by_place:
        column = column * int(np.prod(shape[1:])) + place[neurons.coords[0]]
    from scipy.sparse import coo_array

    carries = coo_array((neurons.data, (neurons.coords[0], column)), shape=(len(tile), len(sites))).tocsr()
    return Circuit(carries, logit, not directions.one_neuron_each)


def _order(task: tmi.TemplateTask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each tile's first window, and how many columns of windows it has."""
    count = np.prod(task.windows, axis=1)
    return np.cumsum(count) - count, np.array(task.windows)[:, 1]


def _windows(task: tmi.TemplateTask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return tile, row and column of each window, in the order (tile, row, col)."""
    places = [np.indices(windows).reshape(2, -1) for windows in task.windows]
    tile = np.repeat(np.arange(len(places)), [part.shape[1] for part in places])
    row, col = np.concatenate(places, axis=1)
    return tile, row, col


def _features(
    directions: tmi.Directions, task: tmi.TemplateTask, tile: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the number of the feature that each window is."""
    table = directions.features
    if directions.by_place:
        of_tile = np.empty(len(task.tiles), np.int64)
        of_tile[table["tile"].to_numpy(np.int64)] = np.arange(len(table))
        return of_tile[tile]
    first, cols = _order(task)
    own, r, c = (table[name].to_numpy(np.int64) for name in ("tile", "row", "col"))
    of_window = np.empty(len(tile), np.int64)
    of_window[first[own] + r * cols[own] + c] = np.arange(len(table))
    return of_window


def _ones(column: NDArray[np.int64], sites: int) -> csr_array:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(column)), column, np.arange(len(column) + 1)), shape=(len(column), sites))
