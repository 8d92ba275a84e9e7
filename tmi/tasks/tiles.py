"""Feature tiles and tile classes: Definitions 3.1 to 3.5.

`FeatureTile.distance` is the plain formula for one window. `tmi.match` evaluates many windows fast, and
`tmi.tasks.matching.reference` is the plain version that it is tested against.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmi.errors import InputError

from .hints import scale_hint, warn_of_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FeatureTile:
    """A feature tile T = (t, ε): a template, the pixels of it that count, and a tolerance (Definition 3.1).

    Parameters
    ----------
    values : array_like, shape (k, l) or (C, k, l)
        The template t, in [0, 1]. Stored as float64, shape (C, k, l).
    epsilon : float
        The tolerance ε > 0, in units of summed absolute pixel difference.
    support : array_like of bool, shape (k, l) or (C, k, l), optional
        The pixels S that count; by default ``values != 0`` as in Definition 3.1. Pass ``numpy.ones`` for a tile whose pixels
        of value 0 count too, such as the white square of section 6.1, whose default support would be empty (first remark on
        the paper's errors).

    Raises
    ------
    InputError
        For a wrong shape, NaN, values outside [0, 1], ε that is not a finite number above 0, or an empty support.
    """

    def __init__(self, values: ArrayLike, epsilon: float, support: ArrayLike | None = None) -> None:
        self.values = _template(values)
        self.epsilon = _tolerance(epsilon)
        self.support = _support(support, self.values)
        for array in (self.values, self.support):
            array.setflags(write=False)

    @classmethod
    def from_image(cls, path: str | Path, epsilon: float, *, size: int | None = None) -> FeatureTile:
        """Return a picture as a tile.

        Parameters
        ----------
        path : str or Path
            A file that Pillow reads, such as PNG, JPEG or TIFF, in colour (C = 3) or grey (C = 1). It is turned upright where
            the file says how it was taken.
        epsilon : float
            The tolerance ε.
        size : int, optional
            The longest side in pixels to which the picture is scaled; by default its own.

        Returns
        -------
        FeatureTile
            Values in [0, 1], grey ones of 16 bits divided by 65535, others by 255. The support is the pixels of at least half
            opacity. A picture without alpha counts as a whole, its black pixels too.

        Raises
        ------
        DataFileError
            If the file cannot be read as a picture; the message names it.
        InputError
            For a path, an ε or a size of another kind, or if no pixel is of at least half opacity.
        """
        from .pictures import read_picture

        if size is not None and (isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1):
            raise InputError(f"size: expected a whole number of at least 1, got {size!r}")
        if not isinstance(path, str | Path):
            raise InputError(f"path: expected that of a picture file, got {type(path).__name__}; FeatureTile takes values")
        picture = read_picture(path)
        picture = picture if size is None else picture.scaled(int(size))
        if not picture.support.any():
            raise InputError(f"{path}: no pixel is of at least half opacity, so that its support is empty")
        return cls(np.where(picture.support, picture.values, 0), epsilon, picture.support)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, k, l)."""
        channels, rows, cols = self.values.shape
        return channels, rows, cols

    def with_epsilon(self, epsilon: float) -> FeatureTile:
        """Return the same template and support with another tolerance.

        Raises
        ------
        InputError
            For an ε that is not a finite number above 0.
        """
        return FeatureTile(self.values, epsilon, self.support)

    def distance(self, patch: Any) -> float:
        """Return t(x), the L1 distance over the support, ``Σ_S |x − t|`` (Definition 3.3).

        Parameters
        ----------
        patch : array_like, shape (C, k, l), or (k, l) where C = 1
            Values in [0, 1]. For a float32 patch the template is rounded to float32 first, so that a pasted tile has distance
            exactly 0.

        Returns
        -------
        float
            At least 0, summed in float64. The tile is contained in the patch if it is below ε, strictly (second remark on the
            paper's errors).

        Raises
        ------
        InputError
            For another shape, NaN, or values outside [0, 1].
        """
        try:
            x = np.asarray(patch.detach().cpu() if hasattr(patch, "detach") else patch)
        except (TypeError, ValueError) as error:
            raise InputError(f"patch: expected shape {self.shape} ({error})") from None
        if x.shape == self.shape[1:] and self.shape[0] == 1:
            x = x[None]
        if x.shape != self.shape:
            raise InputError(f"patch: expected shape {self.shape}, got {x.shape}")
        _check_range(x, "patch")
        t = self.values.astype(np.float32) if x.dtype == np.float32 else self.values
        # Added one after another, as in every back end of `tmi.match`: the distance of a patch is the same to the last bit.
        return float(np.abs(x.astype(np.float64) - t.astype(np.float64))[self.support].cumsum()[-1])

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        return f"FeatureTile({size}, epsilon={self.epsilon:g}, support={int(self.support.sum())} of {self.values.size})"

    def _repr_html_(self) -> str:
        from tmi.views.tasks import tile

        return tile(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the template and the outline of its support on ``ax``, or on the axes of a new figure; return the axes."""
        from tmi.views.task_plots import tile

        return tile(self, ax)


class TileClass:
    """A label and the tiles that show it: the paper's image I = {T_1, …, T_q}.

    Parameters
    ----------
    name : str
    tiles : iterable of FeatureTile
        At least one.

    Raises
    ------
    InputError
        If the name is empty or there is no tile.
    """

    def __init__(self, name: str, tiles: Iterable[FeatureTile]) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"class name: expected a word, got {name!r}")
        self.name = name
        self.tiles = (tiles,) if isinstance(tiles, FeatureTile) else as_tuple(tiles, f"class {name!r}: tiles")
        if not self.tiles:
            raise InputError(f"class {name!r}: needs at least one tile")
        for tile in self.tiles:
            if not isinstance(tile, FeatureTile):
                raise InputError(f"class {name!r}: expected FeatureTile, got {type(tile).__name__}")

    def __repr__(self) -> str:
        return f"TileClass({self.name!r}, {len(self.tiles)} tiles)"

    def _repr_html_(self) -> str:
        from tmi.views.tasks import tile_class

        return tile_class(self)


def as_tuple(values: Iterable[Any], what: str) -> tuple[Any, ...]:
    """Return the values as a tuple; InputError where they cannot be iterated over."""
    if not isinstance(values, Iterable):
        raise InputError(f"{what}: expected several, got {type(values).__name__}")
    return tuple(values)


def _template(values: ArrayLike) -> NDArray[np.float64]:
    try:
        given = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except ValueError as error:
        raise InputError(f"tile values: expected numbers ({error})") from None
    if given.dtype.kind not in "fiub":
        raise InputError(f"tile values: expected numbers, got {given.dtype}")
    array = np.array(given, dtype=np.float64)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"tile values: expected shape (k, l) or (C, k, l) with no empty side, got {array.shape}")
    _check_range(array, "tile values")
    warn_of_order(array.shape, stacklevel=3)
    return array


def _tolerance(epsilon: float) -> float:
    if isinstance(epsilon, bool) or not isinstance(epsilon, numbers.Real):
        raise InputError(f"epsilon: expected a number above 0, got {epsilon!r}")
    try:
        value = float(epsilon)
    except OverflowError:
        value = float("inf")
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"epsilon: expected a finite number above 0, got {value!r}")
    return value


def _support(support: ArrayLike | None, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    array: NDArray[np.bool_]
    if support is None:
        array = values != 0
    else:
        try:
            array = np.array(support)
        except ValueError as error:
            raise InputError(f"support: expected booleans ({error})") from None
        if array.dtype != bool:
            raise InputError(f"support: expected booleans, got {array.dtype}")
        if array.shape not in (values.shape, values.shape[1:]):
            raise InputError(f"support: expected shape {values.shape}, got {array.shape}")
        array = np.broadcast_to(array, values.shape).copy()
    if not array.any():
        raise InputError(
            "support: is empty, so that every image would contain the tile"
            + ("; pass support=numpy.ones(...) if pixels of value 0 count" if support is None else "")
        )
    return array


def _check_range(array: NDArray[Any], what: str) -> None:
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what}: expected numbers, got {array.dtype}")
    inside = (array >= 0) & (array <= 1)  # False for NaN
    if not inside.all():
        first = tuple(int(i) for i in np.argwhere(~inside)[0])
        hint = scale_hint(float(array.min()), float(array.max())) if array.dtype.kind != "b" else ""
        hint += ", or read a file by FeatureTile.from_image" if hint and what == "tile values" else ""
        raise InputError(
            f"{what}: {int((~inside).sum())} values are NaN or outside [0, 1], the first at {first}: {array[first]}{hint}"
        )
