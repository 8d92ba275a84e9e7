"""Laws of backgrounds, which every generator takes by name: noise of several kinds, photographs, and parts of the task's tiles.

Values that pass through functions whose last bit depends on the machine are rounded to multiples of 2⁻¹², so that images are
equal bit for bit everywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Index, Positive, Share

from .photographs import crops, photographs, with_halves

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 2**12

Sigma = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Exponent = Annotated[float, msgspec.Meta(ge=0, le=10)]
Std = Annotated[float, msgspec.Meta(ge=0, le=100)]


def gaussian(rng: np.random.Generator, task: tmi.TemplateTask, *, mean: Share = 0.5, std: Std = 0.25) -> NDArray[Any]:
    """Every pixel Gaussian, cut off at 0 and 1: white noise.

    Parameters
    ----------
    mean, std : float
        Before the cut.
    """
    return _rounded(rng.normal(mean, std, task.image_shape))


def constant(rng: np.random.Generator, task: tmi.TemplateTask, *, grey: Share | None = None) -> NDArray[Any]:
    """One grey for all pixels of an image.

    Parameters
    ----------
    grey : float, optional
        By default uniform random in [0, 1), another one for each image.
    """
    value = rng.random(dtype=np.float32) if grey is None else np.float32(grey)
    return np.full(task.image_shape, value)


def binary(rng: np.random.Generator, task: tmi.TemplateTask) -> NDArray[Any]:
    """Every pixel 0 or 1, each with probability one half."""
    return rng.integers(0, 2, task.image_shape).astype(np.float32)


def correlated(
    rng: np.random.Generator,
    task: tmi.TemplateTask,
    *,
    sigma: Sigma = 3.0,
    mean: Share = 0.5,
    std: Std = 0.25,
) -> NDArray[Any]:
    """Gaussian noise, smoothed by a Gaussian filter and cut off at 0 and 1, as the correlated backgrounds of XAI-TRIS.

    Parameters
    ----------
    sigma : float
        Standard deviation of the filter in pixels; the image is continued periodically.
    mean, std : float
        Of each channel of an image, before the cut.
    """
    from scipy.ndimage import gaussian_filter

    noise = rng.normal(size=task.image_shape)
    return _scaled(np.stack([gaussian_filter(channel, sigma, mode="wrap") for channel in noise]), mean, std)


def pink(
    rng: np.random.Generator,
    task: tmi.TemplateTask,
    *,
    exponent: Exponent = 1.0,
    mean: Share = 0.5,
    std: Std = 0.25,
) -> NDArray[Any]:
    """1/f noise, whose amplitude falls with the frequency as it does in photographs (Field 1987), cut off at 0 and 1.

    Parameters
    ----------
    exponent : float
        Amplitudes are proportional to 1/fᵉ; 0 is white noise.
    mean, std : float
        Of each channel of an image, before the cut.
    """
    _, m, n = task.image_shape
    frequency = np.hypot(np.fft.fftfreq(m)[:, None], np.fft.rfftfreq(n)[None])
    frequency[0, 0] = np.inf  # the mean is set below
    spectrum = np.fft.rfft2(rng.normal(size=task.image_shape)) / frequency**exponent
    return _scaled(np.fft.irfft2(spectrum, s=(m, n)), mean, std)


def natural(rng: np.random.Generator, task: tmi.TemplateTask, *, folder: Path | None = None) -> NDArray[Any]:
    """Crops of photographs at random places, of each photograph also at half its size, a quarter, and so on.

    Parameters
    ----------
    folder : Path, optional
        A folder of photographs. By default the two that come with scikit-learn, a temple and a flower. It is read once for each
        task, so that all images of a data set are of the same photographs.

    Raises
    ------
    DataFileError
        If there is no picture in the folder, or one cannot be read.
    """
    folders = _photographs_of.setdefault(task, {})
    if folder not in folders:
        folders[folder] = _photographs(folder, min(task.image_shape[1:]))
    crop: NDArray[np.float32] = crops(rng, (1, *task.image_shape), folders[folder])[0]
    return crop


_photographs_of: WeakKeyDictionary[tmi.TemplateTask, dict[Path | None, list[NDArray[np.uint8]]]] = WeakKeyDictionary()
"""By task and folder: to look whether a picture has changed for every image would take longer than to cut the image out."""


def _photographs(folder: Path | None, side: int) -> list[NDArray[np.uint8]]:
    """Return the photographs of a folder, which are read again if one of the files has changed."""
    files = [] if folder is None or not folder.is_dir() else sorted(folder.iterdir())
    state = tuple((file.name, stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()])
    return _read(folder, side, state)


@functools.lru_cache(maxsize=4)
def _read(folder: Path | None, side: int, _state: tuple[tuple[str, int, int], ...]) -> list[NDArray[np.uint8]]:
    """Read photographs; the state of the files is an argument so that changed ones are read again."""
    return with_halves(photographs(folder), side)


def distractors(
    rng: np.random.Generator,
    task: tmi.TemplateTask,
    *,
    fragments: Index = 4,
    size: Share = 0.5,
    near_misses: Index = 1,
    margin: Positive = 0.1,
) -> NDArray[Any]:
    """Uniform random pixels with parts of the task's tiles, and with tiles that are changed a little too much to count.

    Parameters
    ----------
    fragments : int
        How many parts of tiles, each of a tile drawn at random, at a random place.
    size : float
        Height and width of a part, relative to its tile's; at least one pixel.
    near_misses : int
        How many whole tiles whose distance from the tile is (1 + margin) ε, just above what a tile's class allows
        (Definition 3.4). They are pasted first, so that a fragment may cover a part of one.
    margin : float

    Raises
    ------
    InputError
        If a tile cannot be changed by so much within [0, 1].
    """
    image = rng.random(task.image_shape, dtype=np.float32)
    for count, changed in ((near_misses, True), (fragments, False)):
        for _ in range(count):
            tile = task.tiles[rng.integers(len(task.tiles))]
            values, support = (_near_miss(rng, tile, margin), tile.support) if changed else _fragment(rng, tile, size)
            part = image[_window(rng, image.shape, values.shape[1:])]
            part[support] = values[support]
    return image


def _fragment(rng: np.random.Generator, tile: tmi.FeatureTile, size: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Cut a rectangle out of a tile."""
    shape = [max(1, round(side * size)) for side in tile.shape[1:]]
    cut = _window(rng, tile.shape, shape)
    return tile.values[cut], tile.support[cut]


def _window(rng: np.random.Generator, shape: Sequence[int], size: Sequence[int]) -> tuple[slice, slice, slice]:
    """Return a window of so many rows and columns at a random place of an image (C, m, n)."""
    row, col = (int(rng.integers(0, have - need + 1)) for have, need in zip(shape[1:], size, strict=True))
    return slice(None), slice(row, row + size[0]), slice(col, col + size[1])


def _near_miss(rng: np.random.Generator, tile: tmi.FeatureTile, margin: float) -> NDArray[Any]:
    """Move random pixels of a tile's support to 0 or 1, whichever is farther, until its distance is (1 + margin) ε."""
    distance = (1 + margin) * tile.epsilon
    channel, row, col = rng.permutation(np.argwhere(tile.support)).T
    values = np.array(tile.values, np.float64)
    chosen = values[channel, row, col]
    room = np.maximum(chosen, 1 - chosen)
    if room.sum() <= distance:
        raise InputError(f"margin: a tile of {len(room)} pixels cannot be changed by {distance:g} within [0, 1]")
    moved = np.minimum(room, np.maximum(0, distance - (np.cumsum(room) - room)))
    values[channel, row, col] = np.where(chosen > 0.5, chosen - moved, chosen + moved)
    return values


def _scaled(noise: NDArray[Any], mean: float, std: float) -> NDArray[Any]:
    """Return noise with the mean and standard deviation in each channel, cut off and rounded."""
    noise = noise - noise.mean((1, 2), keepdims=True)
    spread = noise.std((1, 2), keepdims=True)
    return _rounded(mean + std * noise / np.where(spread > 0, spread, 1))  # an image of one pixel has no spread


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    rounded: NDArray[np.float32] = (np.rint(values.clip(0, 1) * _LEVELS) / _LEVELS).astype(np.float32)
    return rounded
