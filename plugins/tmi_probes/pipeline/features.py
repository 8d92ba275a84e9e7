"""What is known exactly about an image: its tile, the tile's place and its class, as features to hold neurons against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    import tmi

Kind = Literal["tile", "tile-place", "class"]
KINDS: tuple[Kind, ...] = ("tile", "tile-place", "class")
"""The kinds of feature: which tile an image shows, which tile and where, which class."""

NO_FEATURE = -1
"""Of a neuron that stands for no feature that occurs."""


@dataclass(frozen=True, eq=False)
class Features:
    """One kind of feature on N images: of the features that occur, each image shows exactly one.

    Attributes
    ----------
    kind : {"tile", "tile-place", "class"}
    of_image : ndarray of int64, shape (N,)
        Number of the feature that each image shows, from 0 to ``len(features) − 1``; every number occurs.
    identity : ndarray of int64, shape (features, parts)
        What each feature is, in ascending order: its tile, its tile, row and column, or its class.
    """

    kind: Kind
    of_image: NDArray[np.int64]
    identity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def counts(self) -> NDArray[np.int64]:
        """On how many images each feature occurs, shape (features,); at least 1."""
        return np.bincount(self.of_image, minlength=len(self))

    @property
    def members(self) -> csr_array:
        """One-hot rows, float64 (features, N), sparse: ``members @ values`` sums (N, …) over each feature's images."""
        from scipy.sparse import csr_array

        images = len(self.of_image)
        return csr_array((np.ones(images), (self.of_image, np.arange(images))), shape=(len(self), images))

    def names(self, task: tmi.TemplateTask) -> list[str]:
        """Return what each feature is called, as ``"shirt/0"``, ``"shirt/0 (3, 4)"`` or ``"shirt"``."""
        if self.kind == "class":
            return [task.class_names[label] for (label,) in self.identity]
        if self.kind == "tile":
            return [task.tile_name(int(tile)) for (tile,) in self.identity]
        return [f"{task.tile_name(int(tile))} ({row}, {col})" for tile, row, col in self.identity]


def features(scenes: tmi.Scenes, kind: Kind) -> Features:
    """Return the features of one kind that occur in the scenes.

    Parameters
    ----------
    scenes : Scenes
        Each of which shows a tile; see `tmi_probes.pipeline.scenes.labelled`.
    kind : {"tile", "tile-place", "class"}

    Returns
    -------
    Features
    """
    columns = {
        "tile": (scenes.tile,),
        "tile-place": (scenes.tile, scenes.row, scenes.col),
        "class": (scenes.labels,),
    }[kind]
    shown = np.stack([column.numpy() for column in columns], axis=1).astype(np.int64)
    identity, of_image = np.unique(shown, axis=0, return_inverse=True)
    return Features(kind, of_image.reshape(-1), identity)


def own_kind(table: pd.DataFrame | Mapping[str, Any] | None) -> Kind | None:
    """Return which kind of feature the neurons of a layer stand for.

    Parameters
    ----------
    table : DataFrame or None
        What ``network.neurons(layer)`` returns.

    Returns
    -------
    {"tile", "tile-place", "class"} or None
        "tile-place" for the hidden neurons of the constructions, "class" for their logits; None where the neurons mean something
        else, as those of a convolution, or nothing that is known.
    """
    columns = set() if table is None else set(table)
    if {"tile", "row", "col"} <= columns:
        return "tile-place"
    if "row" in columns or "col" in columns:
        return None
    return "tile" if "tile" in columns else "class" if "class" in columns else None


def feature_of_neurons(table: pd.DataFrame | Mapping[str, Any], found: Features, task: tmi.TemplateTask) -> NDArray[np.int64]:
    """Return the number of the feature that each neuron of a layer stands for.

    Parameters
    ----------
    table : DataFrame
        What ``network.neurons(layer)`` returns; it has the columns that the kind of feature needs.
    found : Features
    task : TemplateTask

    Returns
    -------
    ndarray of int64, shape (neurons,)
        −1 where the feature does not occur in the sample.
    """
    if found.kind == "class":
        number = {name: i for i, name in enumerate(task.class_names)}
        meant = np.array([[number.get(name, NO_FEATURE)] for name in table["class"]], np.int64)
    else:
        names = ("tile",) if found.kind == "tile" else ("tile", "row", "col")
        meant = np.stack([np.asarray(table[name], np.int64) for name in names], axis=1)
    place = {tuple(identity): i for i, identity in enumerate(found.identity.tolist())}
    return np.array([place.get(tuple(row), NO_FEATURE) for row in meant.tolist()], np.int64)
