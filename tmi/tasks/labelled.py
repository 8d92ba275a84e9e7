"""Images with given labels and without tiles: it is not known which pixels decide.

They have the classes, shapes and labels of a template task and its scenes. What follows from tiles (memberships, masks,
counterfactuals) is not known of them: asking for it raises `tmi.errors.NoTilesError`, which makes a probe not applicable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from tmi.errors import InputError, NoTilesError

from .images import check_images
from .scenes import NO_TILE, Scenes, _whole
from .task import TemplateTask, _image_shape
from .tiles import TileClass

if TYPE_CHECKING:
    import torch

_OF_TILES = ("tiles", "tile_class")


def _no_tiles() -> NoReturn:
    raise NoTilesError("the images have no tiles: their labels are given, and the pixels that decide are not known")


class LabelledClass(TileClass):
    """A class that is known by its name alone.

    Parameters
    ----------
    name : str

    Raises
    ------
    InputError
        If the name is empty.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"class name: expected a word, got {name!r}")
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name in _OF_TILES:
            _no_tiles()
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"LabelledClass({self.name!r})"


class LabelledTask(TemplateTask):
    """A classification problem without tiles: only its classes and the size of its images are known.

    Its ``tiles``, ``tile_class``, ``windows``, ``memberships``, ``labels``, ``phi`` and ``separation`` are not known: each raises
    `tmi.errors.NoTilesError`.

    Parameters
    ----------
    class_names : iterable of str
        In the order of the logits.
    image_shape : (int, int, int)
        (C, m, n).
    ink : bool
        See `TemplateTask`.

    Raises
    ------
    InputError
        If there is no class, a name is empty, or two are equal.
    """

    has_tiles = False

    def __init__(self, class_names: Iterable[str], image_shape: Sequence[int], *, ink: bool = False) -> None:
        self.classes = tuple(LabelledClass(name) for name in class_names)
        self.image_shape = _image_shape(image_shape)
        self.class_names = tuple(member.name for member in self.classes)
        self.ink = ink
        if not self.classes:
            raise InputError("task: needs at least one class")
        twice = {name for name in self.class_names if self.class_names.count(name) > 1}
        if twice:
            raise InputError(f"task: class names used more than once: {', '.join(sorted(twice))}")

    def __getattr__(self, name: str) -> Any:
        if name in _OF_TILES:
            _no_tiles()
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"LabelledTask({len(self.classes)} classes, images {'×'.join(map(str, self.image_shape))})"

    def phi(self, images: Any) -> torch.Tensor:
        """Not known without tiles."""
        _no_tiles()


class LabelledImages(Scenes):
    """N images with their labels: scenes without tiles.

    ``tile`` is −1 everywhere. ``masks`` and all counterfactuals raise `tmi.errors.NoTilesError`.

    Parameters
    ----------
    task : LabelledTask
    images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
    labels : array_like of int, shape (N,)
        Numbers of classes.

    Raises
    ------
    InputError
        For bad images, or labels that are no classes of the task.
    """

    def __init__(self, task: LabelledTask, images: Any, labels: Any) -> None:
        import numpy as np
        import torch

        if not isinstance(task, LabelledTask):
            raise InputError(f"task: expected LabelledTask, got {type(task).__name__}")
        super().__init__(task, check_images(images, task.image_shape), NO_TILE, 0, 0)
        numbers = _whole(labels, "labels", len(self))
        unknown = numbers[(numbers < 0) | (numbers >= len(task.classes))]
        if len(unknown):
            raise InputError(f"labels: {int(unknown[0])} is not one of the task's {len(task.classes)} classes")
        vars(self)["labels"] = torch.from_numpy(np.ascontiguousarray(numbers))

    def _check_places(self) -> None:
        """There are none."""

    def _chosen(self, chosen: Any) -> LabelledImages:
        return LabelledImages(self.task, self.backgrounds[chosen], self.labels[chosen])  # type: ignore[arg-type]

    def _with(self, **changed: Any) -> NoReturn:
        _no_tiles()

    def __repr__(self) -> str:
        return f"LabelledImages({len(self)} of {self.task!r})"

    @property
    def images(self) -> torch.Tensor:  # type: ignore[override]
        """The images, shape (N, C, m, n)."""
        return self.backgrounds

    @cached_property
    def masks(self) -> torch.Tensor:
        """Not known without tiles."""
        _no_tiles()

    def unambiguous(self) -> torch.Tensor:
        """Not known without tiles."""
        _no_tiles()

    def double(self) -> LabelledImages:
        """Return the images in float64."""
        return LabelledImages(self.task, self.backgrounds.double(), self.labels)  # type: ignore[arg-type]
