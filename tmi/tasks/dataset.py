"""Data sets: a task with training and test scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError
from tmi.hashing import canonical

from .scenes import Scenes
from .task import TemplateTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Dataset:
    """A task with training and test scenes.

    Attributes
    ----------
    task : TemplateTask
    train, test : Scenes
    notes : mapping
        Facts about its generation, such as the source of the tiles; JSON, recorded with every result.
    name : str
        The registered name of its generator; filled in by `tmi.generate`.
    seed : int or None
    params : mapping
        The generator's settings, defaults included; filled in by `tmi.generate`.
    """

    task: TemplateTask
    train: Scenes
    test: Scenes
    notes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    seed: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            scenes = getattr(self, part)
            if not isinstance(scenes, Scenes):
                raise InputError(f"{part}: expected Scenes, got {type(scenes).__name__}")
            if scenes.task is not self.task:
                raise InputError(f"{part}: its scenes belong to another task")
        try:
            canonical(dict(self.notes))
        except (TypeError, ValueError) as error:
            raise InputError(f"notes: must be writable as JSON ({error})") from None

    def __repr__(self) -> str:
        return f"Dataset({self.name or 'unnamed'}: {self.task!r}, {len(self.train)} train, {len(self.test)} test)"

    def _repr_html_(self) -> str:
        from tmi.views.tasks import dataset

        return dataset(self)

    def plot(self, ax: Axes | None = None, *, per_class: int = 6) -> Axes:
        """Draw the first images of each class, a class in a row, on ``ax``, or on the axes of a new figure; return the axes.

        Raises
        ------
        InputError
            If ``per_class`` is below 1.
        """
        from tmi.views.task_plots import dataset

        return dataset(self, ax, per_class=per_class)
