"""Scenes: images kept as backgrounds and placements, so that every counterfactual is exact.

A scene is a background, a tile and a place. Images, labels and masks follow from it, and so do "the same tile on another
background", "the same background with the tile moved" and "the tile taken away".
"""

from __future__ import annotations

import math
import numbers
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError

from .backgrounds import Law, Recipes, draw_recipes
from .images import check_images
from .task import TemplateTask

if TYPE_CHECKING:
    import torch


Paste = Literal["rectangle", "support", "blend"]
"""How a tile covers its background: the whole rectangle; the pixels of its support alone; or these, with the background in them.

With "blend" a pixel of the support S is t + w (b − ½), cut off at 0 and 1, with the tile's value t, the background's b and
w = 2ε/|S|, a thousandth less. So the background changes the tile by as much as the tolerance allows, and never by more: the image
contains the tile on every background.
"""


NO_TILE = -1
"""The tile index of a scene without a tile."""


_RENDERED = ("backgrounds", "labels", "images", "masks")
_AT_ONCE = 1 << 22  # pixels that are rendered at once where images need not be kept
_WITHIN = 1 - 2.0**-10  # of ε is what a blended tile's distance is at most
_ROUNDS = 200  # draws before an image that stays ambiguous is an error


class Scenes:
    """N scenes of a task; images are rendered when first asked for.

    Scenes are immutable: every counterfactual is a new `Scenes`. Tensors are shared where possible, so write neither into those
    that are passed in nor into those that are returned.

    Parameters
    ----------
    task : TemplateTask
    backgrounds : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]; or Recipes
        Recipes are rendered when the images are asked for: then scenes take some hundred bytes an image until they are.
    tile : array_like of int, shape (N,)
        Index into ``task.tiles``; −1 for a scene without a tile.
    row, col : array_like of int, shape (N,)
        Place of the tile's top left corner.
    paste : {"rectangle", "support", "blend"}
        Whether a tile covers its whole rectangle, its support alone, or its support with the background in it; see `Paste`.

    Raises
    ------
    InputError
        For bad backgrounds, unknown tiles, or places at which a tile would leave the image.
    """

    def __init__(
        self, task: TemplateTask, backgrounds: Any, tile: Any, row: Any, col: Any, *, paste: Paste = "rectangle"
    ) -> None:
        import torch

        if paste not in ("rectangle", "support", "blend"):
            raise InputError(f'paste: expected "rectangle", "support" or "blend", got {paste!r}')
        self.task = task
        self.paste: Paste = paste
        self.recipes = backgrounds if isinstance(backgrounds, Recipes) else None
        if self.recipes is None:
            vars(self)["backgrounds"] = check_images(backgrounds, task.image_shape, "backgrounds").detach().cpu()
        elif self.recipes.image_shape != task.image_shape:
            raise InputError(f"backgrounds: expected (C, m, n) = {task.image_shape}, got {self.recipes.image_shape}")
        count = len(self.backgrounds if self.recipes is None else self.recipes.numbers)
        self.tile, self.row, self.col = (
            torch.as_tensor(_whole(value, name, count)) for value, name in ((tile, "tile"), (row, "row"), (col, "col"))
        )
        self._check_places()

    def _check_places(self) -> None:
        tile, row, col = (value.numpy() for value in (self.tile, self.row, self.col))
        unknown = (tile < NO_TILE) | (tile >= len(self.task.tiles))
        if unknown.any():
            raise InputError(f"tile: {int(tile[unknown][0])} is not one of the task's {len(self.task.tiles)} tiles")
        limits = np.array(self.task.windows)[tile]
        limits[tile == NO_TILE] = np.iinfo(np.int64).max
        outside = (row < 0) | (col < 0) | (row >= limits[:, 0]) | (col >= limits[:, 1])
        if outside.any():
            i = int(outside.argmax())
            if tile[i] == NO_TILE:
                raise InputError(f"scene {i}: place ({row[i]}, {col[i]}) is not in the image")
            raise InputError(
                f"scene {i}: tile {self.task.tile_name(int(tile[i]))} at ({row[i]}, {col[i]}) leaves the image; "
                f"rows go to {limits[i, 0] - 1}, columns to {limits[i, 1] - 1}"
            )

    def __len__(self) -> int:
        return len(self.tile)

    def __getitem__(self, index: Any) -> Scenes:
        """Choose scenes by number, slice, mask or list of numbers; a single number returns one scene.

        A forward slice is a view: it needs no memory of its own, and shares what these scenes have rendered.
        """
        import torch

        if isinstance(index, bool):
            raise IndexError("scenes are chosen by number, slice, mask or list of numbers, not by one truth value")
        chosen: Any
        if isinstance(index, slice) and (index.step is None or index.step > 0):
            chosen = slice(*index.indices(len(self)))
        else:
            if not isinstance(index, int | slice):
                index = np.asarray(index)
                index = index if index.size or index.dtype == bool else index.astype(np.int64)  # [] chooses none
            chosen = torch.from_numpy(np.arange(len(self))[index].reshape(-1).copy())
        part = self._chosen(chosen)
        if isinstance(chosen, slice):
            vars(part).update({name: vars(self)[name][chosen] for name in _RENDERED if name in vars(self)})
        return part

    def _chosen(self, chosen: Any) -> Scenes:
        """Return the scenes that a slice or a tensor of numbers chooses."""
        if self.recipes is None:
            backgrounds: Any = self.backgrounds[chosen]
        else:
            backgrounds = self.recipes.chosen(chosen if isinstance(chosen, slice) else chosen.numpy())
        return self._with(backgrounds=backgrounds, tile=self.tile[chosen], row=self.row[chosen], col=self.col[chosen])

    def __repr__(self) -> str:
        return f"Scenes({len(self)} of {self.task!r}, paste={self.paste!r})"

    @cached_property
    def backgrounds(self) -> torch.Tensor:
        """The backgrounds, float32 or float64 (N, C, m, n); recipes are rendered when they are first asked for."""
        assert self.recipes is not None  # others are set from the start
        return self.recipes.render()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of backgrounds and images, known without rendering them."""
        import torch

        return torch.float32 if self.recipes is not None else self.backgrounds.dtype

    @cached_property
    def labels(self) -> torch.Tensor:
        """The class of the pasted tile, int64 (N,); −1 where there is no tile.

        A generated data set agrees with ``task.labels(images)`` on every image. After a change of background or place check it
        with `unambiguous`.
        """
        import torch

        label = torch.from_numpy(self.task.tile_class)[self.tile]
        return torch.where(self.tile == NO_TILE, -1, label)

    @cached_property
    def images(self) -> torch.Tensor:
        """The rendered images, shape (N, C, m, n), in the backgrounds' dtype."""
        rendered = self.recipes is None or "backgrounds" in vars(self)
        images = self.backgrounds.clone() if rendered else self.recipes.render()  # type: ignore[union-attr]
        for index, tile in self._used_tiles():
            covered = np.ones(tile.shape, bool) if self.paste == "rectangle" else tile.support
            share = 2 * tile.epsilon / int(tile.support.sum()) * _WITHIN if self.paste == "blend" else 0.0
            self._fill(images.numpy(), index, covered, tile.values, share)
        return images

    @cached_property
    def masks(self) -> torch.Tensor:
        """The support of the pasted tile at its place, which are the pixels that decide the class. Bool (N, m, n)."""
        import torch

        masks = np.zeros((len(self), 1, *self.task.image_shape[1:]), bool)
        for index, tile in self._used_tiles():
            shown = tile.support.any(0, keepdims=True)
            self._fill(masks, index, shown, shown)
        return torch.from_numpy(masks[:, 0])

    def unambiguous(self) -> torch.Tensor:
        """Return which images belong to the class of their pasted tile and to no other, bool (N,); without a tile, to none."""
        import torch

        own = self.labels[:, None] == torch.arange(len(self.task.classes))
        step = max(1, _AT_ONCE // math.prod(self.task.image_shape))
        shown = [self.task.memberships(self[start : start + step].images) for start in range(0, len(self), step)]
        return (torch.cat(shown) == own).all(1) if shown else own.all(1)

    def with_backgrounds(self, backgrounds: Any) -> Scenes:
        """Return the same tiles at the same places on other backgrounds.

        Parameters
        ----------
        backgrounds : Tensor, array or float
            Shape (N, C, m, n), or (C, m, n) for one that all share, or a number in [0, 1] for a constant one.

        Returns
        -------
        Scenes

        Raises
        ------
        InputError
            For another shape, NaN, or values outside [0, 1].
        """
        import torch

        if isinstance(backgrounds, numbers.Real):
            backgrounds = torch.full((1, 1, 1, 1), float(backgrounds), dtype=self.dtype)
        if getattr(backgrounds, "ndim", 4) == 3:
            backgrounds = backgrounds[None]
        backgrounds = check_images(backgrounds, what="backgrounds")
        try:
            backgrounds = backgrounds.expand(len(self), *self.task.image_shape)
        except RuntimeError:
            raise InputError(
                f"backgrounds: expected shape {(len(self), *self.task.image_shape)}, got {tuple(backgrounds.shape)}"
            ) from None
        return self._with(backgrounds=backgrounds)

    def double(self) -> Scenes:
        """Return the scenes in float64, in which a pasted tile has its exact values."""
        return self._with(backgrounds=self.backgrounds.double())

    def moved(self, row: Any, col: Any) -> Scenes:
        """Return the same tiles on the same backgrounds at other places.

        Parameters
        ----------
        row, col : int or array_like of int, shape (N,)
            The new top left corners.

        Returns
        -------
        Scenes

        Raises
        ------
        InputError
            If a tile would leave the image.
        """
        return self._with(row=row, col=col)

    def with_tiles(self, tile: Any, row: Any, col: Any) -> Scenes:
        """Return other tiles on the same backgrounds.

        Parameters
        ----------
        tile, row, col : int or array_like of int, shape (N,)
            As for `Scenes`.

        Returns
        -------
        Scenes

        Raises
        ------
        InputError
            For unknown tiles, or places at which one would leave the image.
        """
        return self._with(tile=tile, row=row, col=col)

    def without_tiles(self) -> Scenes:
        """Return the bare backgrounds, as scenes without a tile: labels −1, masks empty."""
        return self._with(tile=NO_TILE)

    def repeated(self, times: int) -> Scenes:
        """Return every scene ``times`` times in a row, so that each copy can get a counterfactual of its own."""
        import torch

        return self[torch.arange(len(self)).repeat_interleave(times)]

    @classmethod
    def draw(
        cls,
        task: TemplateTask,
        samples: int,
        *,
        rng: np.random.Generator,
        background: Law | Literal["uniform"] | None = None,
        paste: Paste = "rectangle",
    ) -> Scenes:
        """Draw scenes whose images belong to exactly one class; the others are redrawn.

        Parameters
        ----------
        task : TemplateTask
        samples : int
            How many, N ≥ 0.
        rng : numpy.random.Generator
        background : callable, optional
            A law, ``(rng, task) -> array of shape (C, m, n)`` in [0, 1], or a setting of the type `tmi.params.Background`; by
            default uniform random pixels. It is called with a generator of its own for each image whenever the image is rendered,
            so that it must not remember anything.
        paste : {"rectangle", "support", "blend"}

        Returns
        -------
        Scenes
            The class of each is drawn uniformly, then one of its tiles, then its place. A redrawn scene gets a new class, tile
            and place, so that classes that are ambiguous more often are shown less often.

        Raises
        ------
        InputError
            If some images are still ambiguous after 200 draws: ε is too large for this background; for arguments of other types.
        """
        if not isinstance(task, TemplateTask):
            raise InputError(f"task: expected a TemplateTask, got {type(task).__name__}")
        if not isinstance(rng, np.random.Generator):
            what = "a numpy.random.Generator, such as numpy.random.default_rng(0)"
            raise InputError(f"rng: expected {what}, got {type(rng).__name__}")
        if isinstance(samples, bool) or not isinstance(samples, numbers.Integral) or samples < 0:
            raise InputError(f"samples: expected a whole number of at least 0, got {samples!r}")
        tile, row, col = (np.zeros(samples, np.int64) for _ in range(3))
        first_tile = np.searchsorted(task.tile_class, np.arange(len(task.classes)))
        tiles_in = np.bincount(task.tile_class)
        windows = np.array(task.windows)
        pending = np.arange(samples)
        chosen: NDArray[np.uint64] | None = None
        for _ in range(_ROUNDS):
            label = rng.integers(0, len(task.classes), len(pending))
            tile[pending] = first_tile[label] + rng.integers(0, tiles_in[label])
            row[pending] = rng.integers(0, windows[tile[pending], 0])
            col[pending] = rng.integers(0, windows[tile[pending], 1])
            recipes = draw_recipes(rng, task, len(pending), background)
            chosen = recipes.numbers if chosen is None else chosen
            chosen[pending] = recipes.numbers
            drawn = cls(task, recipes, tile[pending], row[pending], col[pending], paste=paste)
            pending = pending[~drawn.unambiguous().numpy()]
            if not len(pending):
                return cls(task, replace(recipes, numbers=chosen), tile, row, col, paste=paste)
        raise InputError(
            f"{len(pending)} of {samples} images still show no class or several after {_ROUNDS} draws; "
            f"use a smaller epsilon than {max(t.epsilon for t in task.tiles):g}"
        )

    def _with(self, **changed: Any) -> Scenes:
        kept = {name: getattr(self, name) for name in ("tile", "row", "col")}
        if "backgrounds" in changed:
            return Scenes(self.task, **(kept | changed), paste=self.paste)
        source = self.backgrounds if self.recipes is None else self.recipes
        scenes = Scenes(self.task, source, **(kept | changed), paste=self.paste)
        if "backgrounds" in vars(self):
            vars(scenes)["backgrounds"] = self.backgrounds
        return scenes

    def _used_tiles(self) -> list[tuple[int, Any]]:
        return [(int(i), self.task.tiles[int(i)]) for i in np.unique(self.tile.numpy()) if i != NO_TILE]

    def _fill(
        self, target: NDArray[Any], index: int, covered: NDArray[np.bool_], values: NDArray[Any], share: float = 0.0
    ) -> None:
        """Write a tile's values into the covered pixels of every scene that shows it, with a share of what they show."""
        scenes = np.flatnonzero(self.tile.numpy() == index)
        if not share and covered.all():  # whole windows are copied several times faster than pixels that are listed
            windows = np.lib.stride_tricks.sliding_window_view(target, covered.shape[1:], (2, 3), writeable=True)
            windows[scenes, :, self.row.numpy()[scenes], self.col.numpy()[scenes]] = values.astype(target.dtype)
            return
        channel, row, col = np.nonzero(covered)
        pixels = (scenes[:, None], channel, self.row.numpy()[scenes, None] + row, self.col.numpy()[scenes, None] + col)
        chosen = values[covered]
        target[pixels] = np.clip(chosen + share * (target[pixels].astype(np.float64) - 0.5), 0, 1) if share else chosen


def _whole(value: Any, name: str, count: int) -> NDArray[np.int64]:
    """Return whole numbers of shape (count,), a single one repeated."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: expected one whole number, or {count} of them") from None
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{name}: expected whole numbers, got {array.dtype}")
    if array.ndim > 1 or (array.ndim == 1 and len(array) != count):
        raise InputError(f"{name}: expected one whole number, or {count} of them, got shape {array.shape}")
    return np.broadcast_to(array, (count,)).astype(np.int64)
