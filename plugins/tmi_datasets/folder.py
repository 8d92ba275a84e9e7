"""Your own pictures: as tiles on backgrounds, or as plain labelled images."""

from __future__ import annotations

import hashlib
import inspect
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count, Positive, Share
from tmi.tasks.pictures import Picture
from tmi.tasks.separation import with_auto_epsilon

from .picture_tiles import check_different, naming_files
from .sources.labelled_pictures import LabelledPictures, files_of_csv, find

_LARGEST = 1024  # pixels of a side
_MOST_TILES = 2000  # all pairs of tiles are compared
_MOST_BYTES = 8e9
_OF_TILES = ("tiles_per_class", "support", "epsilon", "image_size", "background", "paste", "samples", "test_samples")


def which_pictures(*, path: Path, **_: Any) -> dict[str, Any]:
    """Return the checksums of the files that a CSV names; at any other path what is read lies at the path itself."""
    if Path(path).suffix.lower() != ".csv" or not Path(path).is_file():
        return {}
    return {"sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file, _ in files_of_csv(Path(path))]}


@tmi.external(which_pictures)
def folder(
    *,
    seed: int,
    path: Path,
    tiles: bool = True,
    size: Count | None = None,
    tiles_per_class: Count | None = None,
    support: Literal["alpha", "nonzero"] = "alpha",
    epsilon: Positive | Literal["auto"] = "auto",
    image_size: Count | None = None,
    background: Background = "uniform",
    paste: Literal["rectangle", "support"] = "support",
    samples: Count = 2000,
    test_samples: Count = 500,
    test_share: Share = 0.2,
) -> tmi.Dataset:
    """Your own pictures, from a folder for each class, a CSV, an NPZ or IDX files: as tiles on backgrounds, or as they are.

    With ``tiles = true`` each picture is a feature tile, and the images show one tile at a random place, so that the pixels that
    decide are known. With ``tiles = false`` the pictures are the images. Which pixels decide is then not known, and probes that
    need to know it are not applicable.

    Pictures are turned upright where their files say so. Grey values of 16 bits are divided by 65535, others by 255. If one
    picture is in colour all images are; grey values are then repeated. Where a picture has alpha, its pixels of at least half
    opacity are the tile's support, and the borders without any are cut off; plain images are shown on black.

    Parameters
    ----------
    seed : int
        Chooses tiles, places and backgrounds; without tiles it chooses which pictures are for tests.
    path : Path
        A folder with a folder for each class, which is its name, with PNG, JPEG, TIFF and other pictures; or a CSV with the
        columns ``file``, relative to it, and ``class``; or an NPZ with the arrays ``images``, (N, m, n) or (N, m, n, C), and
        ``labels``; or a folder with IDX files, named as those of MNIST.
    tiles : bool
        Whether the pictures are tiles on backgrounds, or the images themselves.
    size : int, optional
        The longest side of a tile in pixels, to which each picture is scaled. Without tiles each picture is cut to the square in
        its middle, which is scaled to size×size. By default pictures keep their own size, and without tiles all must have one.
    tiles_per_class : int, optional
        Of each class so many pictures, drawn at random, are tiles; by default all, one a class is enough.
    support : {"alpha", "nonzero"}
        Which pixels of a tile count: those of at least half opacity, which are all where a picture has no alpha; or of these the
        ones that are not black, as in Definition 3.1.
    epsilon : float or "auto"
        The tolerance ε, in summed absolute difference over the support and the channels. "auto" is half the separation of the
        classes, or the least distance between two tiles of one class if that is smaller.
    image_size : int, optional
        Height and width of the images with tiles; by default one and a half times the longest side of all tiles.
    background : str
        The law of the backgrounds of tiles, with its settings in brackets (``tmi list background``).
    paste : {"rectangle", "support"}
        Whether a tile covers its whole rectangle, or the pixels of its support alone.
    samples, test_samples : int
        How many images with tiles are drawn for training and for tests.
    test_share : float
        Without tiles: the share of each class's pictures that is for tests. IDX files named ``t10k`` or ``test`` are the test
        images where there are others.

    Returns
    -------
    Dataset
        Images of shape (C, m, n), float32; classes by name. Its notes name the picture of each tile, or how many pictures each
        class has.

    Raises
    ------
    DataFileError
        If the path holds no labelled pictures or one class alone, or a picture cannot be read; the message names the file.
    InputError
        If a picture is larger than the images or 1024 pixels, or its support is empty; if two classes cannot be told apart, or
        hold the same picture; if plain images differ in size, or a class has too few for the split; for a setting that has no
        effect with these tiles.
    """
    _check_settings(locals(), tiles)
    pictures = find(path)
    if not tiles:
        return _labelled(pictures, size, test_share, seed)
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(3)]
    chosen = _choose(pictures, tiles_per_class, streams[0])
    classes = _tile_classes(pictures, chosen, size, support, epsilon)
    with naming_files(_numbers(pictures, chosen)):
        task = tmi.TemplateTask(classes, image_shape=_image_shape(pictures, chosen, classes, image_size))
    train, test = (
        tmi.Scenes.draw(task, count, rng=rng, background=background, paste=paste)
        for count, rng in ((samples, streams[1]), (test_samples, streams[2]))
    )
    base = path if path.is_dir() else path.parent
    notes = {"format": pictures.format, "tile_pictures": [os.path.relpath(pictures.names[i], base) for i in chosen]}
    return tmi.Dataset(task, train, test, notes=notes)


def _check_settings(settings: dict[str, Any], tiles: bool) -> None:
    """Refuse settings that have no effect and are not left at their defaults."""
    reason = (
        "is a setting of tiles = false; samples and test_samples say how many images with tiles are drawn"
        if tiles
        else "is a setting of tiles = true; with tiles = false the pictures are the images, and size scales them"
    )
    for name in ("test_share",) if tiles else _OF_TILES:
        value = settings[name]
        if getattr(value, "text", value) != _default(name):  # a law of backgrounds has the text of its setting
            raise InputError(f"{name}: {reason}")


def _default(name: str) -> Any:
    return inspect.signature(folder).parameters[name].default


def _choose(pictures: LabelledPictures, tiles_per_class: int | None, rng: np.random.Generator) -> list[int]:
    """Return the numbers of the pictures that are tiles, class by class."""
    chosen: list[int] = []
    for label, name in enumerate(pictures.class_names):
        own = np.flatnonzero(pictures.labels == label)
        if tiles_per_class is not None:
            if len(own) < tiles_per_class:
                raise InputError(f"tiles_per_class: class {name!r} has only {len(own)} of {tiles_per_class} pictures")
            own = np.sort(rng.permutation(own)[:tiles_per_class])
        chosen += own.tolist()
    if len(chosen) > _MOST_TILES:
        raise InputError(
            f"tiles_per_class: {len(chosen)} pictures are too many tiles to compare with each other; set it, so that there are "
            f"at most {_MOST_TILES}, or use tiles = false"
        )
    return chosen


def _tile_classes(
    pictures: LabelledPictures, chosen: list[int], size: int | None, support: str, epsilon: float | Literal["auto"]
) -> tuple[tmi.TileClass, ...]:
    cropped = [_for_tile(pictures, i, size) for i in chosen]
    channels = 3 if any(map(_in_colour, cropped)) else 1
    tiles = []
    for i, picture in zip(chosen, cropped, strict=True):
        values = _with_channels(np.where(picture.support, picture.values, 0), channels)
        counts = picture.support & (values > 0).any(0) if support == "nonzero" else picture.support
        if not counts.any():
            black = " and not black" if picture.support.any() else ""
            raise InputError(f"{pictures.names[i]}: no pixel is of at least half opacity{black}, so that its support is empty")
        tiles.append(tmi.FeatureTile(values, 1.0 if epsilon == "auto" else epsilon, counts))
    labels = pictures.labels[chosen]
    classes = tuple(
        tmi.TileClass(name, [tile for tile, own in zip(tiles, labels, strict=True) if own == label])
        for label, name in enumerate(pictures.class_names)
    )
    if epsilon != "auto":
        return classes
    check_different(tiles, labels.tolist(), [pictures.names[i] for i in chosen])
    with naming_files(_numbers(pictures, chosen)):
        return with_auto_epsilon(classes, within=True)


def _image_shape(
    pictures: LabelledPictures, chosen: list[int], classes: tuple[tmi.TileClass, ...], image_size: int | None
) -> tuple[int, int, int]:
    shapes = [tile.shape for tile_class in classes for tile in tile_class.tiles]
    side = image_size or -(-3 * max(max(shape[1:]) for shape in shapes) // 2)
    for i, (_, rows, cols) in zip(chosen, shapes, strict=True):
        if max(rows, cols) > side:
            raise InputError(
                f"{pictures.names[i]}: {rows}×{cols} pixels do not fit into images of {side}×{side}; use a smaller size or a "
                "larger image_size"
            )
    return shapes[0][0], side, side


def _for_tile(pictures: LabelledPictures, i: int, size: int | None) -> Picture:
    picture = pictures.read(i).cropped()
    if size is not None:
        picture = picture.scaled(size).cropped()
    _check_size(picture, pictures.names[i])
    return picture


def _check_size(picture: Picture, name: str) -> None:
    _, rows, cols = picture.values.shape
    if max(rows, cols) > _LARGEST:
        raise InputError(f"{name}: is {rows}×{cols} pixels; set size, to at most {_LARGEST}, to scale the pictures")


def _numbers(pictures: LabelledPictures, chosen: list[int]) -> dict[str, str]:
    """Return the file of each tile, by the tile's name, such as ``"cat/0"``."""
    files: dict[str, str] = {}
    for label, name in enumerate(pictures.class_names):
        own = [i for i in chosen if pictures.labels[i] == label]
        files |= {f"{name}/{number}": pictures.names[i] for number, i in enumerate(own)}
    return files


def _labelled(pictures: LabelledPictures, size: int | None, test_share: float, seed: int) -> tmi.Dataset:
    values: list[NDArray[np.float32]] = []
    colour = False
    seen: dict[bytes, int] = {}
    for i in tmi.track(range(len(pictures.names)), "pictures"):
        picture = pictures.read(i)
        picture = picture if size is None else _square(picture, size)
        _check_size(picture, pictures.names[i])
        shown = picture.values if picture.alpha is None else picture.values * picture.alpha
        values.append(shown.astype(np.float32))
        colour |= _in_colour(picture)
        if values[i].shape[1:] != values[0].shape[1:]:
            sizes = ["×".join(map(str, image.shape[1:])) for image in (values[i], values[0])]
            raise InputError(
                f"{pictures.names[i]}: is {sizes[0]} pixels, and {pictures.names[0]} {sizes[1]}; set size to scale all"
            )
        other = seen.setdefault(hashlib.blake2b(_with_channels(values[i], 3).tobytes()).digest(), i)
        if pictures.labels[other] != pictures.labels[i]:
            raise InputError(f"{pictures.names[i]}: is the same picture as {pictures.names[other]}, which is of another class")
        if not i and values[0].nbytes * len(pictures.names) > _MOST_BYTES:
            raise InputError(f"{pictures.names[0]}: {len(pictures.names)} images of its size need over 8 GB; set a smaller size")
    images = np.stack([_with_channels(image, 3 if colour else 1) for image in values])
    del values
    task = tmi.LabelledTask(pictures.class_names, images.shape[1:])
    if pictures.held_out is not None and test_share != _default("test_share"):
        raise InputError("test_share: the files say which images are for tests; leave it out")
    held_out = _split(pictures, test_share, seed) if pictures.held_out is None else pictures.held_out
    train, test = (tmi.LabelledImages(task, images[part], pictures.labels[part]) for part in (~held_out, held_out))
    counts = np.bincount(pictures.labels).tolist()
    return tmi.Dataset(
        task, train, test, notes={"format": pictures.format, "pictures": dict(zip(pictures.class_names, counts, strict=True))}
    )


def _split(pictures: LabelledPictures, test_share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the same share of each class for tests."""
    from sklearn.model_selection import train_test_split

    fewest = int(np.bincount(pictures.labels).argmin())
    if np.bincount(pictures.labels)[fewest] < 2:
        (i,) = np.flatnonzero(pictures.labels == fewest)
        raise InputError(f"{pictures.names[i]}: is the only picture of its class; a split into training and tests needs two")
    try:
        _, test = train_test_split(
            np.arange(len(pictures.labels)),
            test_size=float(test_share),
            stratify=pictures.labels,
            random_state=int(np.random.SeedSequence(seed).generate_state(1)[0]),
        )
    except ValueError as error:
        raise InputError(f"test_share: {test_share:g} of {len(pictures.labels)} pictures cannot be split ({error})") from None
    return np.isin(np.arange(len(pictures.labels)), test)


def _square(picture: Picture, size: int) -> Picture:
    """Return the square in the middle, scaled."""
    _, rows, cols = picture.values.shape
    side = min(rows, cols)
    left, top = (cols - side) // 2, (rows - side) // 2
    if rows == cols == size:
        return picture
    return picture.resized(size, size, box=(left, top, left + side, top + side))


def _in_colour(picture: Picture) -> bool:
    """Whether any pixel that shows is not grey."""
    shown = picture.values[:, picture.support if picture.alpha is None else picture.alpha > 0]
    return bool((shown != shown[:1]).any())


def _with_channels(values: NDArray[Any], channels: int) -> NDArray[Any]:
    """Repeat grey values, or take one of the equal channels."""
    return values[:channels] if len(values) >= channels else np.repeat(values, channels, 0)
