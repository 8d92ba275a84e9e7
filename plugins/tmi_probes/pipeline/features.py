"""What is known exactly about an image: its tile, the tile's place and its class, as features to compare neurons with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .result import each_once
from .scenes import pictures

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    import tmi

Kind = Literal["tile", "tile-place", "class"]
KINDS: list[Kind] = ["tile", "tile-place", "class"]
"""The kinds of feature: which tile an image shows, which tile and where, which class."""

NO_FEATURE = -1
"""The number of a feature that does not occur in the sample, or of none."""


@dataclass(frozen=True, eq=False)
class Features:
    """One kind of feature on N images: each image shows exactly one of the features that occur.

    Attributes
    ----------
    kind : {"tile", "tile-place", "class"}
    of_image : ndarray of int64, shape (N,)
        Number of the feature that each image shows, from 0 to ``len(features) − 1``; every number occurs.
    identity : ndarray of int64, shape (features, parts)
        What each feature is, in ascending order: its tile, its tile, row and column, or its class.
    picture : ndarray of int64, shape (N,), optional
        Number of each image, the same for equal images; None where it is not known which are equal.
    """

    kind: Kind
    of_image: NDArray[np.int64]
    identity: NDArray[np.int64]
    picture: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many images show each feature, shape (features,); at least 1."""
        return np.bincount(self.of_image, minlength=len(self))

    @property
    def members(self) -> csr_array:
        """One-hot rows, float64 (features, N), sparse: ``members @ values`` sums (N, …) over each feature's images."""
        from scipy.sparse import csr_array

        images = len(self.of_image)
        return csr_array((np.ones(images), (self.of_image, np.arange(images))), shape=(len(self), images))

    def shuffled(self, rng: np.random.Generator) -> Features:
        """Return the features as images in random order would show them: by these, chance is measured."""
        return replace(self, of_image=rng.permutation(self.of_image))

    def names(self, task: tmi.TemplateTask) -> list[str]:
        """Return the name of each feature, as ``"shirt/0"``, ``"shirt/0 (3, 4)"`` or ``"shirt"``."""
        if self.kind == "class":
            return [task.class_names[label] for (label,) in self.identity]
        if self.kind == "tile":
            return [task.tile_name(int(tile)) for (tile,) in self.identity]
        return [f"{task.tile_name(int(tile))} ({row}, {col})" for tile, row, col in self.identity]


def features(scenes: tmi.Scenes, kind: Kind, picture: NDArray[np.int64] | None = None) -> Features:
    """Return the features of one kind that occur in the scenes.

    Parameters
    ----------
    scenes : Scenes
        Each shows a tile; see `tmi_probes.pipeline.scenes.labelled`.
    kind : {"tile", "tile-place", "class"}
    picture : ndarray of int64, shape (N,), optional
        See `tmi_probes.pipeline.scenes.pictures`.

    Returns
    -------
    Features
    """
    return numbered(kind, shown_by_images(scenes, kind), picture)


def shown_by_images(scenes: tmi.Scenes, kind: Kind) -> NDArray[np.int64]:
    """Return what each image shows, int64 (N, parts): its tile, its tile, row and column, or its class."""
    columns = {
        "tile": (scenes.tile,),
        "tile-place": (scenes.tile, scenes.row, scenes.col),
        "class": (scenes.labels,),
    }[kind]
    return np.stack([column.numpy() for column in columns], axis=1).astype(np.int64)


def numbered(kind: Kind, shown: NDArray[np.int64], picture: NDArray[np.int64] | None = None) -> Features:
    """Number what samples show, int64 (N, parts), in ascending order."""
    identity, of_image = np.unique(shown, axis=0, return_inverse=True)
    return Features(kind, of_image.reshape(-1), identity, picture)


def features_of_kinds(scenes: tmi.Scenes, kinds: list[Kind]) -> dict[Kind, Features]:
    """Return the features of each kind, in the order of the kinds.

    Raises
    ------
    InputError
        If the list of kinds is empty, or names one twice.
    """
    each_once("features", kinds)
    picture = pictures(scenes)
    return {kind: features(scenes, kind, picture) for kind in kinds}


def own_kind(table: pd.DataFrame | Mapping[str, Any] | None) -> Kind | None:
    """Return which kind of feature the neurons of a layer stand for.

    Parameters
    ----------
    table : DataFrame or None
        What ``network.neurons(layer)`` returns.

    Returns
    -------
    {"tile", "tile-place", "class"} or None
        "tile-place" for the hidden neurons of the constructions, "class" for their logits; None where the neurons stand for
        something else, as those of a convolution, or it is not known what they stand for.
    """
    columns = set() if table is None else set(table)
    if {"tile", "row", "col"} <= columns:
        return "tile-place"
    if "row" in columns or "col" in columns:
        return None
    return "tile" if "tile" in columns else "class" if "class" in columns else None


def feature_of_neurons(table: pd.DataFrame | Mapping[str, Any], present: Features, task: tmi.TemplateTask) -> NDArray[np.int64]:
    """Return the number of the feature that each neuron of a layer stands for.

    Parameters
    ----------
    table : DataFrame
        What ``network.neurons(layer)`` returns; it has the columns that the kind of feature needs.
    present : Features
        The features that occur in the sample.
    task : TemplateTask

    Returns
    -------
    ndarray of int64, shape (neurons,)
        −1 where that feature does not occur in the sample.
    """
    if present.kind == "class":
        number = {name: i for i, name in enumerate(task.class_names)}
        meant = np.array([[number.get(name, NO_FEATURE)] for name in table["class"]], np.int64)
    else:
        names = ("tile",) if present.kind == "tile" else ("tile", "row", "col")
        meant = np.stack([np.asarray(table[name], np.int64) for name in names], axis=1)
    feature = {tuple(identity): i for i, identity in enumerate(present.identity.tolist())}
    return np.array([feature.get(tuple(row), NO_FEATURE) for row in meant.tolist()], np.int64)
