"""Figure 1: pictures of cats and dogs of irregular shape, somewhere on crops of natural photographs, in colour."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import DataFileError, InputError
from tmi.params import Background, Count, Positive
from tmi.plugins.data_files import DataFiles, data_files
from tmi.tasks.separation import with_auto_epsilon

from .picture_tiles import check_different, naming_files
from .sources.pictures import pictures_in, read_picture
from .sources.shipped import shipped

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZES: list[Count] = [40]

_OPAQUE = 128
"""Alpha, of 255, from which on a pixel is part of the cutout."""


def which_cutouts(*, tiles: Path | None = None, **_: Any) -> dict[str, Any]:
    """Return the checksums of the shipped pictures where `cutouts` would take its tiles from them."""
    return {} if tiles else _checksums(shipped("cutouts"))


def check_cutouts() -> None:
    """Compare the shipped pictures with their checksums.

    Raises
    ------
    DataFileError
        If a picture is not the one that ships.
    """
    place = shipped("cutouts")
    expected = {name: digest for digest, name in (line.split() for line in (place / "SHA256SUMS").read_text().splitlines())}
    found = _checksums(place)
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            raise DataFileError(
                f"{place / name}: is not the picture that ships with tmi (its SHA-256 differs, or it is missing or new)"
            )


@data_files(DataFiles("two cats and two dogs, which ship with tmi", lambda: shipped("cutouts"), check_cutouts))
@tmi.external(which_cutouts)
def cutouts(
    *,
    seed: int,
    image_size: Count = 48,
    sizes: list[Count] = _SIZES,
    samples: Count = 2000,
    test_samples: Count = 500,
    epsilon: Positive | Literal["auto"] = 5.0,
    tiles: Path | None = None,
    background: Background = "natural",
) -> tmi.Dataset:
    """Figure 1: colour photographs of 48×48 with one cutout of a cat or a dog, of irregular shape, at a random place.

    A tile is a picture without its background: its support is the pixels of at least half opacity, and only these are pasted, so
    that the photograph shows around them. The tiles of a class differ in size. Each background is a crop of a photograph at a
    random place, and at full size, half, a quarter or less of it.

    Parameters
    ----------
    seed : int
        Chooses tiles, places and crops. All pictures of a class are tiles of it, whatever the seed.
    image_size : int
        Height and width of the images.
    sizes : list of int
        The longest side, in pixels, of the largest cutout of all; the others keep their size relative to it. With several sizes
        every picture gives one tile of each.
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``.
    epsilon : float or "auto"
        The tolerance ε, in summed absolute difference over the support and the three colours. "auto" is half the separation of
        the classes, or the least distance between two tiles of one class if that is smaller, with black around the cutouts.
    tiles : Path, optional
        A folder with a folder for each class, which is its name, with pictures that have an alpha channel, such as RGBA PNG. By
        default the two cats and two dogs that ship with tmi.
    background : str
        The law of the backgrounds, with its settings in brackets: by default crops of the two photographs that come with
        scikit-learn, a temple and a flower. ``natural(folder="…")`` takes those of a folder; ``tmi list background`` lists laws.

    Returns
    -------
    Dataset
        Images of shape (3, image_size, image_size), float32; classes "cat" and "dog", or the names of the folders in order. Its
        notes name the picture of each tile, and the checksums of all.

    Raises
    ------
    InputError
        If there is no size, a cutout does not fit into the images, no pixel of one is opaque at a size, two classes cannot be
        told apart, or ε is too large for the backgrounds.
    DataFileError
        If a folder holds no pictures, or one of them cannot be read or has no alpha channel.
    """
    if not sizes:
        raise InputError("sizes: needs at least one")
    folder = tiles or shipped("cutouts")
    pictures = {file: _cut_to_support(file) for file in _files(folder)}
    longest = max(max(picture.size) for picture in pictures.values())
    by_class: dict[str, list[tmi.FeatureTile]] = {file.parent.name: [] for file in pictures}
    for size in sizes:
        for file, picture in pictures.items():
            tile = _tile(file, picture, size / longest, image_size, 1.0 if epsilon == "auto" else epsilon)
            by_class[file.parent.name].append(tile)
    of_tiles = [file for name in by_class for _ in sizes for file in pictures if file.parent.name == name]
    numbers = (f"{name}/{i}" for name, members in by_class.items() for i in range(len(members)))
    with naming_files(dict(zip(numbers, of_tiles, strict=True))):
        classes: tuple[tmi.TileClass, ...] = tuple(tmi.TileClass(name, members) for name, members in by_class.items())
        if epsilon == "auto":
            check_different([tile for m in by_class.values() for tile in m], [file.parent.name for file in of_tiles], of_tiles)
            classes = with_auto_epsilon(classes, within=True)
        task = tmi.TemplateTask(classes, image_shape=(3, image_size, image_size))
    for_train, for_test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background, paste="support")
        for count, rng in ((samples, for_train), (test_samples, for_test))
    )
    notes = {
        "source": "folder" if tiles else "shipped",
        "sha256": _checksums(folder),
        "tile_pictures": [f"{file.parent.name}/{file.name}" for file in of_tiles],
    }
    return tmi.Dataset(task, train, test, notes=notes)


def _files(folder: Path) -> list[Path]:
    """Return the pictures of all classes, class by class in order of the names."""
    if not folder.is_dir():
        raise DataFileError(f"tiles: {folder} is no folder")
    classes = sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith((".", "_")))
    if not classes:
        raise DataFileError(f"tiles: {folder} holds no folder; it needs one for each class, with pictures in it")
    return [file for one in classes for file in pictures_in(one)]


def _checksums(folder: Path) -> dict[str, str]:
    return {f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in _files(folder)}


def _cut_to_support(file: Path) -> Image:
    """Read a picture as RGBA, without the rows and columns at its borders that are transparent."""
    picture = read_picture(file)
    if not picture.has_transparency_data:
        raise DataFileError(f"{file}: has no alpha channel, and so no support; save it as RGBA, with alpha 0 around the cutout")
    return _opaque_part(file, picture.convert("RGBA"), "")


def _opaque_part(file: Path, picture: Image, at_size: str) -> Image:
    box = picture.getchannel("A").point([255 * (alpha >= _OPAQUE) for alpha in range(256)]).getbbox()
    if box is None:
        raise InputError(f"{file}: no pixel is of at least half opacity{at_size}, so that its support is empty")
    return picture.crop(box)


def _tile(file: Path, picture: Image, scale: float, image_size: int, epsilon: float) -> tmi.FeatureTile:
    from PIL.Image import Resampling

    wide, high = (max(1, round(side * scale)) for side in picture.size)
    if max(wide, high) > image_size:
        raise InputError(
            f"{file}: {high}×{wide} pixels do not fit into images of {image_size}×{image_size}; use smaller sizes or a larger "
            "image_size"
        )
    # Pillow weighs the colours by their opacity, so that those of transparent pixels play no part.
    reduced = _opaque_part(file, picture.resize((wide, high), Resampling.LANCZOS), f" at {high}×{wide} pixels")
    pixels = np.asarray(reduced).transpose(2, 0, 1)
    support = pixels[3] >= _OPAQUE
    return tmi.FeatureTile(np.where(support, pixels[:3] / 255, 0), epsilon, support)
