"""Template-matching tasks: Definitions 3.5 and 3.6 and Proposition 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError

from .tiles import TileClass, as_tuple

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes

    from .separation import Separation


class TemplateTask:
    """One classification problem: tile classes and the size of the images (Definitions 3.5 and 3.6).

    Parameters
    ----------
    classes : iterable of TileClass
        Their order is the order of the logits.
    image_shape : (int, int, int)
        (C, m, n).
    ink : bool
        Whether grey values are amounts of ink on paper, as in the paper's Figure 2: figures then draw 1 black and 0 white. No
        number depends on it, and colour images are drawn as they are.

    Attributes
    ----------
    classes : tuple of TileClass
    class_names : tuple of str
    image_shape : (int, int, int)
    ink : bool
    tiles : tuple of FeatureTile
        The tiles of all classes, in order.
    tile_class : ndarray of int64, shape (T,)
        The class of each tile.
    has_tiles : bool
        True; False for a `LabelledTask`, whose tiles are not known.

    Raises
    ------
    InputError
        If there is no class or two share a name, a tile is larger than the image or has other channels, or two classes cannot
        be told apart: a tile of one, pasted unchanged, contains a tile of the other.
    """

    has_tiles = True

    def __init__(self, classes: Iterable[TileClass], image_shape: Sequence[int], *, ink: bool = False) -> None:
        self.classes = (classes,) if isinstance(classes, TileClass) else as_tuple(classes, "task: classes")
        self.image_shape = _image_shape(image_shape)
        if not isinstance(ink, bool):
            raise InputError(f"task: ink: expected True or False, got {ink!r}")
        self.ink = ink
        if not self.classes:
            raise InputError("task: needs at least one class")
        for member in self.classes:
            if not isinstance(member, TileClass):
                raise InputError(f"task: expected TileClass, got {type(member).__name__}")
        self.class_names = tuple(member.name for member in self.classes)
        twice = {name for name in self.class_names if self.class_names.count(name) > 1}
        if twice:
            raise InputError(f"task: class names used more than once: {', '.join(sorted(twice))}")
        self.tiles = tuple(tile for member in self.classes for tile in member.tiles)
        self.tile_class = np.repeat(np.arange(len(self.classes)), [len(member.tiles) for member in self.classes])
        self._check_fit()
        self._check_apart()

    def __repr__(self) -> str:
        size = "×".join(map(str, self.image_shape))
        return f"TemplateTask({len(self.classes)} classes, {len(self.tiles)} tiles, images {size})"

    def _repr_html_(self) -> str:
        from tmi.views.tasks import task

        return task(self)

    def plot(self, ax: Axes | None = None, *, per_class: int = 8) -> Axes:
        """Draw the first tiles of each class, a class in a row, on ``ax``, or on the axes of a new figure; return the axes.

        Raises
        ------
        InputError
            If ``per_class`` is below 1.
        """
        from tmi.views.task_plots import task

        return task(self, ax, per_class=per_class)

    @cached_property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """For each tile the number of windows (rows, cols), the size of R^{m,n}_{k,l}."""
        _, m, n = self.image_shape
        return tuple((m - tile.shape[1] + 1, n - tile.shape[2] + 1) for tile in self.tiles)

    def tile_name(self, tile: int) -> str:
        """Name a tile by its class and its number within the class, such as ``"coat/2"``."""
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
        from .matching.matches import match

        images = check_images(images, self.image_shape)
        matches = match(images, self.tiles)
        total = torch.zeros(len(images) * len(self.classes), dtype=torch.float64)
        label = torch.from_numpy(self.tile_class)[matches.tile.cpu()]
        total.index_add_(0, matches.image.cpu() * len(self.classes) + label, matches.slack.cpu().double())
        return total.view(len(images), len(self.classes)).to(images.device, images.dtype)

    def separation(self) -> Separation:
        """Return the largest ε that keeps the classes apart, and the pair of tiles that limits it; see `tmi.separation`."""
        from .separation import separation

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
        """Refuse two classes if every image with a tile of one, pasted as a rectangle, contains a tile of the other."""
        from .separation import contained

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


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        sizes = tuple(int(side) for side in shape)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"image_shape: expected (C, m, n), got {shape!r}") from None
    if len(sizes) != 3 or min(sizes) < 1 or any(a != b for a, b in zip(sizes, shape, strict=True)):
        raise InputError(f"image_shape: expected (C, m, n), whole numbers of at least 1, got {tuple(shape)!r}")
    return sizes
