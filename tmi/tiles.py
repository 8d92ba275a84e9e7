"""Feature tiles, tile classes and template-matching tasks: Definitions 3.1 to 3.6 and Proposition 1.

Everything here is the plain formula. The fast evaluation over many windows is `tmi.match`, which the methods of `TemplateTask`
use; `tmi.matching.reference` is the slow twin that judges it.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

if TYPE_CHECKING:
    import torch

    from .apart import Separation


class FeatureTile:
    """A feature tile T = (t, ε): a template, the pixels of it that count, and a tolerance (Definition 3.1).

    Parameters
    ----------
    values : array_like, shape (k, l) or (C, k, l)
        The template t, in [0, 1]. Kept as float64, shape (C, k, l).
    epsilon : float
        The tolerance ε > 0, in units of summed absolute pixel difference.
    support : array_like of bool, shape (k, l) or (C, k, l), optional
        The pixels S that count; by default ``values != 0`` as in Definition 3.1. Pass ``numpy.ones`` for a tile whose black
        pixels count too, such as the black square of section 6.1, whose default support would be empty (first remark on the
        paper's errors).

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
        # One after another, as every back end of `tmi.match` does: the same patch has the same distance to the last bit.
        return float(np.abs(x.astype(np.float64) - t.astype(np.float64))[self.support].cumsum()[-1])

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        return f"FeatureTile({size}, epsilon={self.epsilon:g}, support={int(self.support.sum())} of {self.values.size})"


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
        self.tiles = (tiles,) if isinstance(tiles, FeatureTile) else _several(tiles, f"class {name!r}: tiles")
        if not self.tiles:
            raise InputError(f"class {name!r}: needs at least one tile")
        for tile in self.tiles:
            if not isinstance(tile, FeatureTile):
                raise InputError(f"class {name!r}: expected FeatureTile, got {type(tile).__name__}")

    def __repr__(self) -> str:
        return f"TileClass({self.name!r}, {len(self.tiles)} tiles)"


class TemplateTask:
    """One classification problem: tile classes and the size of the images (Definitions 3.5 and 3.6).

    Parameters
    ----------
    classes : iterable of TileClass
        Their order is the order of the logits.
    image_shape : (int, int, int)
        (C, m, n).

    Attributes
    ----------
    classes : tuple of TileClass
    class_names : tuple of str
    image_shape : (int, int, int)
    tiles : tuple of FeatureTile
        The tiles of all classes, in order.
    tile_class : ndarray of int64, shape (T,)
        The class of each tile.

    Raises
    ------
    InputError
        If there is no class or two share a name, a tile is larger than the image or has other channels, or two classes cannot
        be told apart: a tile of one, as it stands, already contains a tile of the other.
    """

    def __init__(self, classes: Iterable[TileClass], image_shape: Sequence[int]) -> None:
        self.classes = (classes,) if isinstance(classes, TileClass) else _several(classes, "task: classes")
        self.image_shape = _image_shape(image_shape)
        if not self.classes:
            raise InputError("task: needs at least one class")
        for one in self.classes:
            if not isinstance(one, TileClass):
                raise InputError(f"task: expected TileClass, got {type(one).__name__}")
        self.class_names = tuple(one.name for one in self.classes)
        twice = {name for name in self.class_names if self.class_names.count(name) > 1}
        if twice:
            raise InputError(f"task: class names used more than once: {', '.join(sorted(twice))}")
        self.tiles = tuple(tile for one in self.classes for tile in one.tiles)
        self.tile_class = np.repeat(np.arange(len(self.classes)), [len(one.tiles) for one in self.classes])
        self._check_fit()
        self._check_apart()

    def __repr__(self) -> str:
        size = "×".join(map(str, self.image_shape))
        return f"TemplateTask({len(self.classes)} classes, {len(self.tiles)} tiles, images {size})"

    @cached_property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """For each tile the number of windows (rows, cols), the size of R^{m,n}_{k,l}."""
        _, m, n = self.image_shape
        return tuple((m - tile.shape[1] + 1, n - tile.shape[2] + 1) for tile in self.tiles)

    def tile_name(self, tile: int) -> str:
        """Name a tile by its class and its number there, as ``"coat/2"``."""
        label = int(self.tile_class[tile])
        return f"{self.class_names[label]}/{tile - int(np.searchsorted(self.tile_class, label))}"

    def memberships(self, images: Any) -> torch.Tensor:
        """Return which classes have a tile in each image (Definitions 3.4 and 3.5, with t < ε).

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]

        Returns
        -------
        Tensor of bool, shape (N, L)
        """
        return self.phi(images) > 0

    def labels(self, images: Any) -> torch.Tensor:
        """Return the class of each image that belongs to exactly one, else −1 (Definition 3.6, third remark).

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]

        Returns
        -------
        Tensor of int64, shape (N,)
        """
        import torch

        members = self.memberships(images)
        return torch.where(members.sum(1) == 1, members.int().argmax(1), -1)

    def phi(self, images: Any) -> torch.Tensor:
        """φ of Proposition 1 for each class: Σ_tiles Σ_windows max(0, ε − t(window)).

        Positive exactly where the image contains a tile of the class. Not differentiable by autograd; the network of
        Theorem 1 is.

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]

        Returns
        -------
        Tensor, shape (N, L)
            In the images' dtype, summed in float64.
        """
        import torch

        from .images import check_images
        from .matching import match

        images = check_images(images, self.image_shape)
        found = match(images, self.tiles)
        total = torch.zeros(len(images) * len(self.classes), dtype=torch.float64)
        label = torch.from_numpy(self.tile_class)[found.tile.cpu()]
        total.index_add_(0, found.image.cpu() * len(self.classes) + label, found.slack.cpu().double())
        return total.view(len(images), len(self.classes)).to(images.device, images.dtype)

    def separation(self) -> Separation:
        """Return the largest ε that keeps the classes apart, and the pair of tiles that limits it; see `tmi.separation`."""
        from .apart import separation

        return separation(self.classes)

    def _check_fit(self) -> None:
        channels, m, n = self.image_shape
        for index, tile in enumerate(self.tiles):
            if tile.shape[0] != channels:
                raise InputError(f"tile {self.tile_name(index)}: has {tile.shape[0]} channels, the images of the task {channels}")
            if tile.shape[1] > m or tile.shape[2] > n:
                raise InputError(
                    f"tile {self.tile_name(index)}: {tile.shape[1]}×{tile.shape[2]} is larger than the image, {m}×{n}"
                )

    def _check_apart(self) -> None:
        """Refuse two classes if every image with the one's tile, pasted as a rectangle, has the other's too."""
        from .apart import contained

        holder, tile, _, _, distance = contained(self.tiles, self.tiles)
        distance[self.tile_class[holder] == self.tile_class[tile]] = np.inf
        if distance.min(initial=np.inf) < np.inf:
            worst = int(distance.argmin())
            least, epsilon = float(distance[worst]), self.tiles[tile[worst]].epsilon
            raise InputError(
                f"classes cannot be told apart: tile {self.tile_name(holder[worst])} contains tile "
                f"{self.tile_name(tile[worst])} of another class (distance {least:.4g} < epsilon {epsilon:.4g}); use "
                + (f"an epsilon of at most {least!r}, or other tiles" if least else "other tiles")
            )


def _several(values: Iterable[Any], what: str) -> tuple[Any, ...]:
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
            + ("; pass support=numpy.ones(...) if black pixels count" if support is None else "")
        )
    return array


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        sizes = tuple(int(side) for side in shape)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"image_shape: expected (C, m, n), got {shape!r}") from None
    if len(sizes) != 3 or min(sizes) < 1 or any(a != b for a, b in zip(sizes, shape, strict=True)):
        raise InputError(f"image_shape: expected (C, m, n), whole numbers of at least 1, got {tuple(shape)!r}")
    return sizes


def _check_range(array: NDArray[Any], what: str) -> None:
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what}: expected numbers, got {array.dtype}")
    good = (array >= 0) & (array <= 1)  # False for NaN
    if not good.all():
        first = tuple(int(i) for i in np.argwhere(~good)[0])
        raise InputError(f"{what}: {int((~good).sum())} values are NaN or outside [0, 1], the first at {first}: {array[first]}")
