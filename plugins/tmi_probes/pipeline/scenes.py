"""Which test scenes a probe looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from tmi.errors import InputError

from .units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi


def labelled(scenes: tmi.Scenes, images: int | None = None) -> tmi.Scenes:
    """Return the first ``images`` scenes that show a tile; by default all that do.

    Raises
    ------
    InputError
        If no scene shows a tile: without a tile an image has no label.
    """
    chosen = (scenes.labels >= 0).nonzero().flatten()[:images]
    if not len(chosen):
        raise InputError("data: none of the scenes shows a tile, so that no image has a label")
    # The first scenes are a view, others a copy.
    return scenes[: len(chosen)] if int(chosen[-1]) < len(chosen) else scenes[chosen]


def pictures(scenes: tmi.Scenes) -> NDArray[np.int64]:
    """Number the images, equal ones alike: int64 (N,), from 0. Every unit of a network has one value for equal images."""
    seen = [
        hashlib.blake2b(image.tobytes(), digest_size=16).digest() for _, part in in_parts(scenes) for image in part.images.numpy()
    ]
    return np.unique(seen, return_inverse=True)[1].reshape(-1).astype(np.int64)


def originals(scenes: tmi.Scenes, tiles: int | Literal["all"], rng: np.random.Generator) -> tuple[list[int], list[str]]:
    """Draw scenes to vary: first of classes not yet chosen, then of tiles not yet chosen, then any.

    Parameters
    ----------
    scenes : Scenes
    tiles : int or "all"
        How many; "all": one of every tile that the scenes show, in the order of the tiles.
    rng : numpy.random.Generator

    Returns
    -------
    chosen : list of int
    notes : list of str
        One note where there are fewer, else empty.

    Raises
    ------
    InputError
        If no scene shows a tile.
    """
    labelled(scenes, 1)
    order = rng.permutation(np.flatnonzero(scenes.labels.numpy() >= 0)).tolist()
    label, tile = scenes.labels.tolist(), scenes.tile.tolist()
    if tiles == "all":
        first = {tile[i]: i for i in order[::-1]}
        return [first[t] for t in sorted(first)], []
    chosen: list[int] = []
    for identity in (label, tile, list(range(len(scenes)))):
        seen = {identity[i] for i in chosen}
        for i in order:
            if identity[i] not in seen and len(chosen) < tiles:
                seen.add(identity[i])
                chosen.append(i)
    notes = [] if len(chosen) == tiles else [f"{len(chosen)} tiles instead of {tiles}: the test set has no more scenes"]
    return chosen, notes


def spread_over(groups: Sequence[int], count: int) -> list[int]:
    """Choose ``count`` positions that cover as many groups as possible: the first of each group, then the others in order."""
    first = [i for i, group in enumerate(groups) if group not in groups[:i]]
    return sorted((first + [i for i in range(len(groups)) if i not in set(first)])[:count])


def in_float64(scenes: tmi.Scenes) -> tmi.Scenes:
    """Return the scenes rendered in float64, so that a pasted tile has its exact values."""
    return scenes.double()
