"""Where a layer is intervened on: its units, its places, or its known directions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi.errors import InputError, UnknownNameError, did_you_mean

from ..pipeline.result import each_once

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    import tmi

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

By = Literal["unit", "place", "direction"]
Kind = Literal["unit", "place", "direction", "set"]
EVERY: list[By] = ["unit", "place", "direction"]

_LARGEST = 2**25  # entries of a matrix of directions
_ROUNDING = 1e-9  # of the largest coefficient


class Sites(ABC):
    """The sites of one kind in a layer.

    Attributes
    ----------
    by : {"unit", "place", "direction", "set"}
    shape : tuple of int
        (units,), (rows, cols), (features,) or (features, rows, cols); a site is a position in the flattened shape.
    """

    by: Kind
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    def values(self, activations: Array) -> Array:
        """Return what is replaced, of activations (neurons,): the activations, or the coefficients (sites,) of directions."""
        return activations

    @abstractmethod
    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Return which sites differ between two `values`, and what replacing each adds to the activations.

        Returns
        -------
        sites : ndarray of int64, shape (K,)
            Ascending. At every other site the values are equal, so that replacing it has no effect.
        changes : scipy.sparse.csr_array of float64, shape (K, neurons)
        """


class Units(Sites):
    """Single neurons of the flattened layer."""

    by = "unit"

    def __init__(self, neurons: int) -> None:
        self.shape = (neurons,)

    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Replace one neuron each."""
        difference = others - values
        sites = np.flatnonzero(difference)
        return sites, _rows(difference[sites], sites, np.arange(len(sites)), (len(sites), len(values)))


class Places(Sites):
    """All neurons at one place: the channels of a map, or the neurons that stand for windows with one top left corner.

    Parameters
    ----------
    place : ndarray of int64, shape (neurons,)
        Row · cols + col of each neuron.
    shape : (int, int)
        Rows and columns.
    """

    by = "place"

    def __init__(self, place: Indices, shape: tuple[int, int]) -> None:
        self.place, self.shape = place, shape

    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Replace the neurons of one place each."""
        difference = others - values
        neurons = np.flatnonzero(difference)
        sites, row = np.unique(self.place[neurons], return_inverse=True)
        return sites, _rows(difference[neurons], neurons, row, (len(sites), len(values)))


class DirectionSites(Sites):
    """Known directions: the coefficient of one is replaced, everything else stays.

    Where the directions are linearly independent the coefficients are those of least squares. Where there are more directions
    than neurons, those of orthogonal matching pursuit: the fewest directions that restore the activations, found greedily.

    Parameters
    ----------
    directions : Directions
    shape : tuple of int
        Of the layer; a map for directions at every place.
    """

    by = "direction"

    def __init__(self, directions: tmi.Directions, shape: tuple[int, ...]) -> None:
        self.matrix = directions.matrix
        self.places = int(np.prod(shape[1:], dtype=int)) if directions.by_place else 1
        self.shape = (len(directions), *(shape[1:] if directions.by_place else ()))
        independent = len(directions) <= self.matrix.shape[1] and np.linalg.matrix_rank(self.matrix) == len(directions)
        self._inverse = np.linalg.pinv(self.matrix) if independent else None
        self._units = self.matrix / np.linalg.norm(self.matrix, axis=1, keepdims=True)

    def values(self, activations: Array) -> Array:
        """Return the coefficients, shape (sites,)."""
        samples = activations.reshape(-1, self.places).T  # (places, neurons)
        result = np.zeros((self.places, len(self.matrix)))
        active = np.flatnonzero(samples.any(1))
        if self._inverse is not None:
            result[active] = samples[active] @ self._inverse
        else:
            for place in active:
                result[place] = self._pursuit(samples[place])
        return np.asarray(result.T.reshape(-1))

    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Replace one coefficient each."""
        difference = others - values
        least = _ROUNDING * max(np.abs(values).max(initial=0), np.abs(others).max(initial=0))
        sites = np.flatnonzero(np.abs(difference) > least)
        feature, place = np.divmod(sites, self.places)
        rows = difference[sites, None] * self.matrix[feature]
        row, neuron = np.nonzero(rows)
        column = neuron * self.places + place[row]
        return sites, _rows(rows[row, neuron], column, row, (len(sites), self.matrix.shape[1] * self.places))

    def _pursuit(self, sample: Array) -> Array:
        """Pati, Rezaiifar and Krishnaprasad (1993)."""
        coefficients, chosen, residual = np.zeros(len(self.matrix)), list[int](), sample
        while len(chosen) < len(sample) and np.linalg.norm(residual) > _ROUNDING * np.linalg.norm(sample):
            best = int(np.abs(self._units @ residual).argmax())
            if best in chosen:
                break
            chosen.append(best)
            found = np.linalg.lstsq(self.matrix[chosen].T, sample, rcond=None)[0]
            residual = sample - found @ self.matrix[chosen]
            coefficients[:] = 0
            coefficients[chosen] = found
        return coefficients


class Some(Sites):
    """Some of a layer's sites: those of a named direction.

    Parameters
    ----------
    sites : Sites
    kept : ndarray of int64
    """

    by = "direction"

    def __init__(self, sites: Sites, kept: Indices) -> None:
        self.sites, self.kept, self.shape = sites, kept, sites.shape

    def values(self, activations: Array) -> Array:
        """Return what is replaced at all sites."""
        return self.sites.values(activations)

    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Replace one of the kept sites each."""
        sites, changes = self.sites.changes(values, others)
        among = np.isin(sites, self.kept)
        return sites[among], changes[among]


class Together(Sites):
    """One site: several units together.

    Parameters
    ----------
    units : ndarray of int64
    neurons : int
        Of the layer.
    """

    by = "set"
    shape = (1,)

    def __init__(self, units: Indices, neurons: int) -> None:
        self.units, self.neurons = units, neurons

    def changes(self, values: Array, others: Array) -> tuple[Indices, csr_array]:
        """Replace all the units."""
        difference = (others - values)[self.units]
        sites = np.flatnonzero([difference.any()])
        if not len(sites):
            return sites, _rows(np.empty(0), sites, sites, (0, self.neurons))
        return sites, _rows(difference, self.units, np.zeros_like(self.units), (1, self.neurons))


def axes(sites: Sites, layer: str) -> tuple[str, ...]:
    """Return the names of the axes of an array by site."""
    grid = (f"row.{layer}", f"col.{layer}")
    return grid if sites.by == "place" else (f"{sites.by}.{layer}", *(grid if len(sites.shape) == 3 else ()))


def sites_of(
    network: tmi.Network, layer: str, shape: tuple[int, ...], by: list[By], direction: str | None, notes: list[str]
) -> list[Sites]:
    """Return the sites of a layer, of the kinds that it has.

    Parameters
    ----------
    network : Network
    layer : str
    shape : tuple of int
        Of the layer's activations on one image.
    by : list of {"unit", "place", "direction"}
    direction : str, optional
        The name of the only direction to take, as ``"shirt/0"``; see `feature_names`.
    notes : list of str
        Notes are appended.

    Raises
    ------
    InputError
        If a direction is named, but the layer has no known ones, or ``by`` leaves directions out.
    UnknownNameError
        If no direction has that name.
    """
    each_once("by", by)
    if direction is not None and "direction" not in by:
        raise InputError(f'direction {direction!r}: by = {by} leaves directions out; add "direction"')
    found: list[Sites] = []
    if "unit" in by:
        found.append(Units(int(np.prod(shape, dtype=int))))
    if "place" in by and (places := _places(network, layer, shape)):
        found.append(places)
    if "direction" in by and (one := _directions(network, layer, shape, direction, notes)):
        found.append(one)
    return found


def feature_names(features: Any, task: tmi.TemplateTask) -> list[str]:
    """Name known features: ``"shirt/0"``, ``"shirt/0 (3, 4)"`` with a place, or the class."""
    columns = set(features)
    if "tile" not in columns:
        return [str(name) for name in features["class"]] if "class" in columns else [str(i) for i in range(len(features))]
    names = [task.tile_name(int(tile)) for tile in features["tile"]]
    if not {"row", "col"} <= columns:
        return names
    return [f"{name} ({row}, {col})" for name, row, col in zip(names, features["row"], features["col"], strict=True)]


def _places(network: tmi.Network, layer: str, shape: tuple[int, ...]) -> Places | None:
    """Return the places of a layer that has more than one."""
    if len(shape) == 3:
        rows, cols = shape[1:]
        return Places(np.tile(np.arange(rows * cols), shape[0]), (rows, cols)) if rows * cols > 1 else None
    table = network.neurons(layer)
    if table is None or not {"row", "col"} <= set(table):
        return None
    row, col = (table[name].to_numpy(np.int64) for name in ("row", "col"))
    rows, cols = int(row.max()) + 1, int(col.max()) + 1
    return Places(row * cols + col, (rows, cols)) if rows * cols > 1 else None


def _directions(network: tmi.Network, layer: str, shape: tuple[int, ...], name: str | None, notes: list[str]) -> Sites | None:
    known = network.directions(layer)
    if known is None:
        if name is not None:
            raise InputError(f"direction {name!r}: of layer {layer!r} of {network!r} no directions are known")
        return None
    chosen = slice(None) if name is None else _named(known, name, network.task)
    if known.one_neuron_each:  # the directions are the units
        return (
            None if name is None else Some(Units(int(np.prod(shape, dtype=int))), known.sparse.indices[chosen].astype(np.int64))
        )
    if known.sparse.shape[0] * known.sparse.shape[1] > _LARGEST:
        notes.append(
            f"{layer}: not by direction, for the {len(known)} directions in {known.sparse.shape[1]} neurons are too many"
        )
        return None
    sites = DirectionSites(known, shape)
    return sites if name is None else Some(sites, np.arange(len(sites)).reshape(len(known), -1)[chosen].reshape(-1))


def _named(known: tmi.Directions, name: str, task: tmi.TemplateTask) -> Indices:
    """Return the features of a name."""
    names = feature_names(known.features, task)
    if name not in names:
        raise UnknownNameError(f"direction {name!r}: the layer has none of that name{did_you_mean(name, names)}")
    return np.flatnonzero(np.array(names) == name)


def _rows(values: Array, column: Indices, row: Indices, shape: tuple[int, int]) -> csr_array:
    """Return a sparse matrix from entries in any order."""
    from scipy.sparse import coo_array

    return coo_array((values, (row, column)), shape=shape).tocsr()
