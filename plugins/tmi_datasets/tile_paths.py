"""Continuous spectra of shapes and textures (section 7): a tile under rotation, scale, shear, or a shift of its grey level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

Kind = Literal["rotation", "scale", "shear", "grey"]
Outside = Literal["constant", "grid-constant"]
"""How SciPy treats the tile's border: black beyond it from one pixel to the next, or fading to black within one pixel."""

UNITS: dict[Kind, str] = {
    "rotation": "degrees",
    "scale": "factor − 1",
    "shear": "columns a row",
    "grey": "grey level",
}
STEPS: dict[Kind, float] = {"rotation": 0.25, "scale": 0.0025, "shear": 0.005, "grey": 1 / 255}
"""Between neighbouring knots of a path. In images of 8 bits a shift of grey is cut off at multiples of 1/255 alone."""
LIMITS: dict[Kind, float] = {"rotation": 180, "scale": 0.9, "shear": 1, "grey": 1}
"""The largest extent."""


@dataclass(frozen=True, eq=False)
class TilePath:
    """A continuous path of tiles s ↦ tile(s): a polygon, straight between knots.

    On a straight piece the distance t(s) of a template is a convex function of s. So where two points of a piece are contained in
    a template, all points between them are, and what is said about all members of the spectrum needs a proof at few of them.

    Attributes
    ----------
    strengths : ndarray of float64, shape (K,)
        s at the knots, ascending; 0 is one of them.
    values : ndarray of float64, shape (K, C, k, l)
        The tile at each knot, in [0, 1].
    supports : ndarray of bool, shape (K, C, k, l)
        The pixels that count at each knot.
    """

    strengths: Array
    values: Array
    supports: NDArray[np.bool_]

    @cached_property
    def lengths(self) -> Array:
        """The L1 length of the path from its first knot to each knot, over all pixels, shape (K,)."""
        steps = [np.abs(after - before).sum() for before, after in zip(self.values, self.values[1:], strict=False)]
        return np.concatenate([[0.0], np.cumsum(steps)])

    def length(self, extent: float) -> float:
        """Return the L1 length of the path from −extent to extent."""
        start, end = np.interp([-extent, extent], self.strengths, self.lengths)
        return float(end - start)

    def at(self, strengths: Any) -> tuple[Array, NDArray[np.bool_]]:
        """Return members of the spectrum.

        Parameters
        ----------
        strengths : array_like of float, shape (M,)
            Within the path.

        Returns
        -------
        values : ndarray of float64, shape (M, C, k, l)
        supports : ndarray of bool, shape (M, C, k, l)
            Between two knots the pixels that count at either.
        """
        before, share = self._piece(strengths)
        supports = (self.supports[before] & (share < 1)) | (self.supports[before + 1] & (share > 0))
        return self.values_at(strengths).clip(0, 1), supports

    def values_at(self, strengths: Any) -> Array:
        """Return the values of members alone, up to rounding in [0, 1]."""
        before, share = self._piece(strengths)
        values = self.values[before + 1]
        values -= self.values[before]
        values *= share
        values += self.values[before]
        return values

    def _piece(self, strengths: Any) -> tuple[NDArray[np.intp], Array]:
        """Return the knot before each member, and how far it is from there to the next one, from 0 to 1."""
        s = np.asarray(strengths, float)
        before = np.clip(np.searchsorted(self.strengths, s, side="right") - 1, 0, len(self.strengths) - 2)
        gap = self.strengths[before + 1] - self.strengths[before]
        return before, ((s - self.strengths[before]) / gap)[:, None, None, None]

    def within(self, extent: float) -> TilePath:
        """Return the part from −extent to extent, above 0 and at most that of the path."""
        inner = np.abs(self.strengths) < extent
        ends, at_ends = self.at([-extent, extent])
        return TilePath(
            np.concatenate([[-extent], self.strengths[inner], [extent]]),
            np.concatenate([ends[:1], self.values[inner], ends[1:]]),
            np.concatenate([at_ends[:1], self.supports[inner], at_ends[1:]]),
        )

    def mirrored(self) -> TilePath:
        """Return the path run through backwards: s ↦ tile(−s)."""
        return TilePath(-self.strengths[::-1], self.values[::-1], self.supports[::-1])


def tile_path(tile: tmi.FeatureTile, kind: Kind, extent: float) -> TilePath:
    """Deform a tile continuously in both directions.

    The knots are the multiples of `STEPS`. There the tile is deformed, bilinearly and fading to black at the border of its
    rectangle; between two knots the members are their weighted means. A shorter path is a part of a longer one.

    Parameters
    ----------
    tile : FeatureTile
    kind : {"rotation", "scale", "shear", "grey"}
        "rotation" by s degrees about the centre; "scale" by the factor 1 + s about the centre; "shear", which moves each row by
        s columns for each row from the centre; "grey", which adds s to the pixels of the support, cut off at 0 and 1.
    extent : float
        Largest |s|, above 0 and at most `LIMITS`.

    Returns
    -------
    TilePath
        The support moves with the tile: it is deformed as the tile is, and every pixel that it touches counts. For a tile whose
        support is its pixels above 0 these are again the pixels above 0, as in Definition 3.1. A shift of grey keeps the support.

    Raises
    ------
    InputError
        If the extent is too large, or no pixel of the support is left in the tile's rectangle.
    """
    if extent > LIMITS[kind]:
        raise InputError(f"extent: {kind} goes to {LIMITS[kind]:g} ({UNITS[kind]}), got {extent:g}")
    count = int(np.ceil(extent / STEPS[kind] * (1 - 1e-12)))
    strengths = np.arange(-count, count + 1, dtype=np.float64) * STEPS[kind]
    values = np.stack([deformed(tile, kind, s) for s in strengths])
    if kind == "grey":
        supports = np.broadcast_to(tile.support, values.shape)
    elif np.array_equal(tile.support, tile.values != 0):
        supports = values != 0
    else:
        from tmi import FeatureTile

        mask = FeatureTile(tile.support, tile.epsilon)
        supports = np.stack([deformed(mask, kind, s) for s in strengths]) != 0
    gone = ~supports.any((1, 2, 3))
    if gone.any():
        least = np.abs(strengths[gone]).min()
        raise InputError(f"{kind}: no pixel of the tile is left at {least:.4g}; use an extent below that")
    return TilePath(strengths, values, supports).within(extent)


def deformed(tile: tmi.FeatureTile, kind: Kind, strength: float) -> Array:
    """Return the values of a deformed tile, shape (C, k, l), in [0, 1]; see `tile_path`."""
    if kind == "rotation":
        return rotated(tile.values, strength, "grid-constant")
    if kind == "scale":
        return moved(tile.values, np.full(2, 1 / (1 + strength)), "grid-constant")
    if kind == "shear":
        return moved(tile.values, np.array([[1.0, 0.0], [strength, 1.0]]), "grid-constant")
    return np.where(tile.support, tile.values + strength, tile.values).clip(0, 1)


def rotated(values: Array, degrees: float, outside: Outside = "constant") -> Array:
    """Rotate a tile (C, k, l) about its centre, bilinearly; black where nothing is left. Equals `scipy.ndimage.rotate`."""
    from scipy.special import cosdg, sindg

    cosine, sine = cosdg(degrees), sindg(degrees)
    return moved(values, np.array([[cosine, sine], [-sine, cosine]]), outside)


def moved(values: Array, matrix: Array, outside: Outside = "constant") -> Array:
    """Move the pixels of a tile (C, k, l) linearly, bilinearly interpolated; black where nothing is left.

    Parameters
    ----------
    values : ndarray of float64, shape (C, k, l)
    matrix : ndarray of float64, shape (2, 2), or (2,) for a diagonal one
        Pixel (row, col) of the result is taken from the matrix times (row, col), both counted from the centre.
    outside : {"constant", "grid-constant"}

    Returns
    -------
    ndarray of float64, shape (C, k, l)
        In [0, 1]; the values themselves for the identity.
    """
    from scipy.ndimage import affine_transform

    if np.array_equal(matrix, np.ones(2)) or np.array_equal(matrix, np.eye(2)):
        return values
    centre = (np.array(values.shape[1:]) - 1) / 2
    offset = centre - (matrix * centre if matrix.ndim == 1 else matrix @ centre)
    result: Array = np.stack([affine_transform(channel, matrix, offset, order=1, mode=outside, cval=0.0) for channel in values])
    return result.clip(0, 1)
