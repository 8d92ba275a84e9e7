"""Section 6.2: Fashion-MNIST images as feature tiles, somewhere in a larger random image."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count, Positive
from tmi.plugins.data_files import data_files
from tmi.tasks.separation import with_auto_epsilon

from .sources.fashion_mnist import CLASS_NAMES, FILES, HOW_TO_GET_IT, Source, load, locate

ImageSize = Annotated[int, msgspec.Meta(ge=28)]  # no smaller than a tile


def which_images(*, source: str = "auto", **_: Any) -> dict[str, Any]:
    """Which set of images `fashion` would take its tiles from, and their checksums, without reading them."""
    return locate(source).identity


@data_files(*FILES)
@tmi.external(which_images)
def fashion(
    *,
    seed: int,
    tiles_per_class: Count = 1,
    image_size: ImageSize = 40,
    background: Background = "uniform",
    samples: Count = 4000,
    test_samples: Count = 1000,
    epsilon: Positive | Literal["auto"] = 5.0,
    paste: Literal["rectangle", "support"] = "rectangle",
    source: str = "auto",
) -> tmi.Dataset:
    """Section 6.2: images of 40×40 with one 28×28 tile, a training image of Fashion-MNIST, at a random place.

    The ten classes are those of Fashion-MNIST. A tile's support is its pixels that are not black (Definition 3.1). The seed
    chooses the tiles; with the same seed, source and ε a smaller ``tiles_per_class`` takes the first of those that a larger one
    takes. No two tiles, of one class or of two, are within ε of each other, so that a pasted tile is the only one shown.

    Parameters
    ----------
    seed : int
    tiles_per_class : int
        The paper's k, which it leaves open: each image shows one of k tiles of its class. At most 100 from the shipped sample.
    image_size : int
        Height and width of the images, at least 28.
    background : str
        The law of the backgrounds, with its settings in brackets: "uniform", as in the paper, or another one (``tmi list
        background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``.
    epsilon : float or "auto"
        The tolerance ε, in summed absolute pixel difference over the support, 145 to 655 pixels. "auto" is half the separation of
        the classes, so that certificates are as large as they can be, or the least distance between two tiles of one class if
        that is smaller. It depends on the tiles, and so on the seed.
    paste : {"rectangle", "support"}
        Whether a tile covers its whole rectangle, or the pixels of its support alone.
    source : str
        Where the tiles come from: "auto" takes the full set where it is found (the environment variable TMI_FASHION_MNIST, then
        the folders of system packages), else the sample that ships with tmi, so that its tiles depend on the machine; "sample";
        "full"; "openml", which downloads the full set; or a folder with its IDX files.

    Returns
    -------
    Dataset
        Images of shape (1, image_size, image_size), float32. Its notes name the source, its checksums, and for each tile the
        number of the image that it was.

    Raises
    ------
    InputError
        If the source holds too few images a class, or too few that are ε apart, or ε is too large for the background.
    DataFileError
        If the source is not found, or its files are not those of Fashion-MNIST.
    """
    origin = locate(source)
    images, labels = load(origin)
    for_tiles, for_train, for_test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(3))
    # For "auto" the tiles need only differ; ε follows from them.
    chosen = _choose(images, labels, tiles_per_class, 0.0 if epsilon == "auto" else epsilon, for_tiles, origin)
    classes: tuple[tmi.TileClass, ...] = tuple(
        tmi.TileClass(name, [tmi.FeatureTile(images[i] / 255, 1.0 if epsilon == "auto" else epsilon) for i in row])
        for name, row in zip(CLASS_NAMES, chosen, strict=True)
    )
    if epsilon == "auto":
        classes = with_auto_epsilon(classes, within=True)
    task = tmi.TemplateTask(classes, image_shape=(1, image_size, image_size))
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background, paste=paste)
        for count, rng in ((samples, for_train), (test_samples, for_test))
    )
    return tmi.Dataset(task, train, test, notes={**origin.identity, "tile_images": [i for row in chosen for i in row]})


def _choose(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    tiles_per_class: int,
    epsilon: float,
    rng: np.random.Generator,
    origin: Source,
) -> list[list[int]]:
    """Choose images for each class at random, without those that are within ε of one chosen before."""
    available = int(np.bincount(labels, minlength=len(CLASS_NAMES)).min())
    if tiles_per_class > available:
        hint = f"; {HOW_TO_GET_IT}" if origin.content == "sample" else ""
        raise InputError(f"tiles_per_class: {tiles_per_class} asked for, and {origin.title} holds {available} a class{hint}")
    candidates = [iter(rng.permutation(np.flatnonzero(labels == label)).tolist()) for label in range(len(CLASS_NAMES))]
    chosen: list[list[int]] = [[] for _ in CLASS_NAMES]
    apart = _Apart(epsilon)
    # Class by class in rounds: a larger number of tiles only adds rounds.
    for _ in range(tiles_per_class):
        for label, name in enumerate(CLASS_NAMES):
            index = next((i for i in candidates[label] if apart.add(images[i])), None)
            if index is None:
                raise InputError(
                    f"class {name!r}: no image left in {origin.title} is epsilon = {epsilon:g} apart from the tiles chosen "
                    f"so far ({len(chosen[label])} of {tiles_per_class} found); use a smaller epsilon or fewer tiles_per_class"
                )
            chosen[label].append(index)
    return chosen


class _Apart:
    """A growing set of of which none contains another as a tile."""

    def __init__(self, epsilon: float) -> None:
        self._limit = epsilon * 255 + 1e-3  # slightly above ε: tasks sum the same distances in floating point
        self._kept = np.empty((0, 28 * 28), np.int16)

    def add(self, image: NDArray[np.uint8]) -> bool:
        """Keep an image and return True, unless it is within ε of one kept before, over the support of either."""
        pixels = image.reshape(1, -1).astype(np.int16)
        difference = np.abs(self._kept - pixels)
        nearest = min((difference * support).sum(1).min(initial=1 << 30) for support in (pixels != 0, self._kept != 0))
        if nearest <= self._limit:
            return False
        self._kept = np.concatenate([self._kept, pixels])
        return True
