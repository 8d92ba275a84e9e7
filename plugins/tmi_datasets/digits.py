"""Handwritten digits of 8×8 pixels as feature tiles: small enough for the literal Theorem 1 with dense, trainable layers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count, Positive
from tmi.tasks.separation import with_auto_epsilon

ImageSize = Annotated[int, msgspec.Meta(ge=8)]  # no smaller than a tile
Classes = Annotated[int, msgspec.Meta(ge=1, le=10)]

_LEVELS = 16
"""The darkest pixel: scikit-learn's digits have the values 0 to 16."""


def digits(
    *,
    seed: int,
    classes: Classes = 10,
    tiles_per_class: Count = 1,
    image_size: ImageSize = 14,
    background: Background = "uniform",
    samples: Count = 1000,
    test_samples: Count = 1000,
    epsilon: Positive | Literal["auto"] = 1.0,
    paste: Literal["rectangle", "support"] = "rectangle",
) -> tmi.Dataset:
    """Images of 14×14 uniform random pixels with one 8×8 tile, a handwritten digit of scikit-learn's, at a random place.

    The tiles are pictures of `sklearn.datasets.load_digits` (Alpaydin and Kaynak 1998), which scikit-learn contains, with their
    17 grey levels mapped to [0, 1]. A tile's support is its pixels that are not black (Definition 3.1). The seed chooses the
    tiles; with the same seed and ε a smaller ``tiles_per_class`` or ``classes`` takes the first of those that a larger one takes.
    No two tiles are within ε of each other, so that a pasted tile is the only one shown.

    Parameters
    ----------
    seed : int
    classes : int
        How many of the ten digits, from 0 on.
    tiles_per_class : int
        Each image shows one of so many tiles of its class. At most about 170.
    image_size : int
        Height and width of the images, at least 8.
    background : str
        The law of the backgrounds, with its settings in brackets: "uniform", as in the paper, or another one (``tmi list
        background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``.
    epsilon : float or "auto"
        The tolerance ε, in summed absolute pixel difference over the support, 16 to 42 pixels. "auto" is half the separation of
        the classes, or the least distance between two tiles of one class if that is smaller.
    paste : {"rectangle", "support"}
        Whether a tile covers its whole rectangle, or the pixels of its support alone.

    Returns
    -------
    Dataset
        Images of shape (1, image_size, image_size), float32; classes "0", "1", …, drawn as ink. Its notes name for each tile the
        number of the picture that it was.

    Raises
    ------
    InputError
        If there are too few pictures of a class, or too few that are ε apart, or ε is too large for the background.
    """
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures.reshape(-1, 8, 8) / _LEVELS
    streams = np.random.SeedSequence(seed).spawn(3)
    for_tiles, for_train, for_test = (np.random.default_rng(stream) for stream in streams)
    apart = 0.0 if epsilon == "auto" else epsilon
    candidates = [for_tiles.permutation(np.flatnonzero(labels == label)).tolist() for label in range(10)][:classes]
    chosen = _choose(pictures, candidates, tiles_per_class, apart)
    tile_classes: tuple[tmi.TileClass, ...] = tuple(
        tmi.TileClass(str(label), [tmi.FeatureTile(pictures[i], apart or 1.0) for i in row]) for label, row in enumerate(chosen)
    )
    if epsilon == "auto":
        tile_classes = with_auto_epsilon(tile_classes, within=True)
    task = tmi.TemplateTask(tile_classes, image_shape=(1, image_size, image_size), ink=True)
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background, paste=paste)
        for count, rng in ((samples, for_train), (test_samples, for_test))
    )
    return tmi.Dataset(task, train, test, notes={"tile_images": [i for row in chosen for i in row]})


def _choose(pictures: NDArray[Any], candidates: list[list[int]], tiles_per_class: int, epsilon: float) -> list[list[int]]:
    """Choose pictures of each class in the order of its candidates, without those that are within ε of one chosen before."""
    chosen: list[list[int]] = [[] for _ in candidates]
    kept: list[int] = []
    for _ in range(tiles_per_class):  # in rounds: a larger number of tiles only adds rounds
        for label, numbers in enumerate(candidates):
            while numbers and not _all_apart(pictures[numbers[0]], pictures[kept], epsilon):
                numbers.pop(0)
            if not numbers:
                raise InputError(
                    f"tiles_per_class: of digit {label} only {len(chosen[label])} of {tiles_per_class} pictures are epsilon = "
                    f"{epsilon:g} apart from the tiles chosen so far; use a smaller epsilon or fewer tiles_per_class"
                )
            chosen[label].append(numbers.pop(0))
            kept.append(chosen[label][-1])
    return chosen


def _all_apart(picture: NDArray[Any], others: NDArray[Any], epsilon: float) -> bool:
    """Whether a picture contains none of the others, and none of them contains it, as a tile."""
    difference = np.abs(others - picture)
    supports = (picture != 0)[None], others != 0
    return all(bool(((difference * support).sum((1, 2)) > epsilon + 1e-6).all()) for support in supports)
