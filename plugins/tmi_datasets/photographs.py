"""Natural photographs as backgrounds: crops at random places of scikit-learn's two photographs, or of pictures in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.seeds import fixed_seed

from .sources.pictures import pictures_in, read_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Photographs = Sequence[NDArray[np.uint8]]

_LONGEST = 1024  # pixels: larger pictures of a folder are reduced, so that many fit in memory


def photographs(folder: Path | None = None) -> list[NDArray[np.uint8]]:
    """Read photographs in colour.

    Parameters
    ----------
    folder : Path, optional
        Its pictures are read, by name, and reduced by a whole factor to at most 1,024 pixels. By default the two photographs
        that come with scikit-learn, "china.jpg" and "flower.jpg", of 427×640 pixels.

    Returns
    -------
    list of ndarray of uint8, shape (m, n, 3)

    Raises
    ------
    DataFileError
        If there is no picture in the folder, or one cannot be read.
    """
    if folder is None:
        with fixed_seed(0):  # importing it draws from Python's generator
            from sklearn.datasets import load_sample_images

        return list(load_sample_images().images)
    pictures = [read_picture(file).convert("RGB") for file in pictures_in(folder)]
    return [np.asarray(picture.reduce(-(-max(picture.size) // _LONGEST))) for picture in pictures]


def with_halves(photos: Photographs, side: int) -> list[NDArray[np.uint8]]:
    """Add each photograph at half its size, a quarter and so on, as long as the shorter side is at least ``side`` pixels.

    Parameters
    ----------
    photos : sequence of ndarray of uint8, shape (m, n, 3)
    side : int
        At least 1.

    Returns
    -------
    list of ndarray of uint8, shape (m, n, 3)
        Each photograph is followed by its smaller versions.
    """
    from PIL import Image

    levels = []
    for photo in photos:
        levels.append(photo)
        while min(levels[-1].shape[:2]) >= 2 * side:
            levels.append(np.asarray(Image.fromarray(levels[-1]).reduce(2)))
    return levels


def crops(rng: np.random.Generator, shape: tuple[int, ...], photos: Photographs) -> NDArray[np.float32]:
    """Draw crops of photographs at random places.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int, int, int)
        (N, C, m, n). Crops are in colour for C = 3, else the mean of the three colours, the same in each channel.
    photos : sequence of ndarray of uint8, shape (m', n', 3)
        Each crop is of one of them, chosen uniformly, then its place is. One that is smaller than m×n is mirrored at its lower
        and right border.

    Returns
    -------
    ndarray of float32
        In [0, 1].
    """
    channels, high, wide = shape[1:]
    result = np.empty(shape, np.float32)
    for crop in result:
        photo = photos[int(rng.integers(len(photos)))]
        missing = [(0, max(0, need - have)) for need, have in zip((high, wide), photo.shape[:2], strict=True)]
        if np.any(missing):
            photo = np.pad(photo, (*missing, (0, 0)), mode="symmetric")
        row, col = rng.integers(0, photo.shape[0] - high + 1), rng.integers(0, photo.shape[1] - wide + 1)
        values = photo[row : row + high, col : col + wide].astype(np.float32) / 255
        crop[:] = values.transpose(2, 0, 1) if channels == 3 else values.mean(2)
    return result
