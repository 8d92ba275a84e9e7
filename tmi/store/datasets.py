"""Data sets in files: the task's tiles, and for every scene its tile and place, and its background as a recipe or as pixels.

A background with a recipe (see `tmi.tasks.backgrounds`) is stored as that recipe, some bytes an image. Other images are stored
as they are rendered, so that other programs can show them, and the pixels of the background under a tile beside them, so that
nothing is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DamagedFileError, InputError
from tmi.probing.result import LabelledArray
from tmi.tasks.backgrounds import Law, LawRecipes, Recipes, UniformRecipes
from tmi.tasks.dataset import Dataset
from tmi.tasks.labelled import LabelledClass, LabelledImages, LabelledTask
from tmi.tasks.scenes import NO_TILE, Scenes
from tmi.tasks.task import TemplateTask
from tmi.tasks.tiles import FeatureTile, TileClass

from .roundtrip import as_json, from_json, is_text, same_bits

Pixels = tuple[NDArray[np.int64], ...]

_AXES = ("channel", "row", "col")
_OF_SCENES = ("backgrounds", "tile", "row", "col")
_RENDERED = ("images", "labels", "masks")
# The attributes of each class. An instance with more, or of a subclass, would not come back as it is.
_HELD: dict[type, set[str]] = {
    Dataset: {field.name for field in fields(Dataset)},
    Scenes: {"task", "paste", "recipes", *_OF_SCENES, *_RENDERED},
    TemplateTask: {"classes", "image_shape", "class_names", "tiles", "tile_class", "windows", "ink"},
    TileClass: {"name", "tiles"},
    LabelledTask: {"classes", "image_shape", "class_names", "ink"},
    LabelledClass: {"name"},
    LabelledImages: {"task", "paste", "recipes", *_OF_SCENES, "labels"},
    FeatureTile: {"values", "epsilon", "support"},
}


Laws = Callable[[str], Law]
"""Returns the law of backgrounds that a text names, such as ``"gaussian(std=0.1)"``."""

_UNIFORM = "uniform"
_CHECKED = 1000  # images that the digest of scenes covers: rendering a million takes seconds


def pack(data: Dataset) -> tuple[dict[str, Any], dict[str, LabelledArray]]:
    """Return what a file holds of a data set.

    Parameters
    ----------
    data : Dataset

    Returns
    -------
    header : dict
        JSON: how tiles are pasted, whether grey values are ink, notes, name, seed and settings; for scenes with recipes the law
        of their backgrounds and a digest of their first images. The order of the names in notes and settings is not kept.
    arrays : dict of str to LabelledArray
        Of the task: ``tile_values`` and ``tile_support`` of all tiles, flat, one after another, with ``tile_shape``,
        ``tile_epsilon`` and ``tile_class``; ``tile_pixel`` names the tile that a pixel belongs to. Of the scenes, with the prefix
        ``train_`` or ``test_``: ``tile``, ``row``, ``col``, ``label``, and either ``recipe``, the numbers of the recipes, or
        ``images`` (image, channel, row, col) and ``covered``: the background's pixels under the tile in the order (channel, row,
        col), filled up with 0. Of a task without tiles: the names of the classes, and ``images`` and ``label`` of each part.

    Raises
    ------
    InputError
        With the reason in one clause, if it would not come back as it is: an object of a subclass or with an attribute that its
        class does not set, images that were written into, notes or settings that JSON changes, text with a NUL character,
        backgrounds of a law that is not registered.
    """
    _check_classes(data)
    header = {
        "paste": {part: getattr(data, part).paste for part in ("train", "test")},
        "ink": data.task.ink,
        "notes": dict(data.notes),
        "name": data.name,
        "seed": data.seed,
        "params": dict(data.params),
    }
    recipes = {part: _of_recipes(getattr(data, part), part) for part in ("train", "test") if getattr(data, part).recipes}
    if recipes:
        header["recipes"] = recipes
    try:
        header = {name: as_json(value, name) for name, value in header.items()}
    except ValueError as error:
        raise InputError(str(error)) from None
    for name in data.task.class_names:
        if not is_text(name):
            raise InputError(f"the name of class {name!r} is not text that HDF5 stores")
    labelled = not data.task.has_tiles
    arrays = _class_arrays(data.task) if labelled else _task_arrays(data.task)
    for part in ("train", "test"):
        arrays |= (_labelled_arrays if labelled else _scene_arrays)(getattr(data, part), part)
    return header, arrays


def unpack(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray], laws: Laws | None = None) -> Dataset:
    """Return the data set that a file holds, equal bit for bit to the one that was packed.

    Parameters
    ----------
    header : mapping
    arrays : mapping of str to LabelledArray
    laws : callable, optional
        Returns the law of backgrounds with a name. Without it, images on backgrounds of another law than "uniform" are not
        checked, and cannot be rendered.

    Raises
    ------
    DamagedFileError
        If they are no data set: the constructors check every value, and images and labels must be those that the scenes render.
    """
    try:
        task = _task(arrays, ink=header.get("ink", False))  # files written before it was stored do not have it
        train, test = (_part(task, header, arrays, part, laws) for part in ("train", "test"))
        name, seed, notes, params = (from_json(header[key]) for key in ("name", "seed", "notes", "params"))
        if not isinstance(name, str) or not (seed is None or type(seed) is int):
            raise DamagedFileError(f"name {name!r} and seed {seed!r}: expected a word and a whole number")
        return Dataset(task, train, test, notes=dict(notes), name=name, seed=seed, params=dict(params))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        raise DamagedFileError(f"is no data set ({type(error).__name__}: {error})") from error


def task_digest(task: TemplateTask) -> str:
    """Return a SHA-256 over all that a task holds, 64 hexadecimal digits."""
    import hashlib

    if not task.has_tiles:
        return hashlib.sha256(json.dumps([task.class_names, task.image_shape, task.ink]).encode()).hexdigest()
    digest = hashlib.sha256(json.dumps([task.class_names, task.image_shape, task.tile_class.tolist(), task.ink]).encode())
    for tile in task.tiles:
        digest.update(json.dumps([tile.shape, tile.epsilon]).encode() + tile.values.tobytes() + tile.support.tobytes())
    return digest.hexdigest()


def _check_classes(data: Dataset) -> None:
    task = data.task
    tiles = getattr(task, "tiles", ()) if getattr(task, "has_tiles", True) else ()
    for part in (data, task, data.train, data.test, *getattr(task, "classes", ()), *tiles):
        if type(part) not in _HELD:
            raise InputError(f"it holds an object of the class {type(part).__name__}, which is not one of tmi's")
        for name in vars(part).keys() - _HELD[type(part)]:
            raise InputError(f"a {type(part).__name__} has an attribute {name!r} that its class does not set")


def _class_arrays(task: TemplateTask) -> dict[str, LabelledArray]:
    return {
        "class": LabelledArray(("class",), np.array(task.class_names)),
        # The images' own axes, labelled even where there is no image.
        **{axis: LabelledArray((axis,), np.arange(size)) for axis, size in zip(_AXES, task.image_shape, strict=True)},
    }


def _labelled_arrays(scenes: Scenes, part: str) -> dict[str, LabelledArray]:
    image = f"{part}_image"
    try:
        LabelledImages(scenes.task, scenes.images, scenes.labels)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"the images or labels of {part} were written into ({error})") from None
    return {
        f"{part}_images": LabelledArray((image, *_AXES), scenes.images.numpy()),
        f"{part}_label": LabelledArray((image,), scenes.labels.numpy()),
    }


def _task_arrays(task: TemplateTask) -> dict[str, LabelledArray]:
    flat: tuple[str, ...] = ("tile_pixel",)
    count = [tile.values.size for tile in task.tiles]
    return {
        **_class_arrays(task),
        "tile": LabelledArray(("tile",), np.array([task.tile_name(i) for i in range(len(task.tiles))])),
        "tile_axis": LabelledArray(("tile_axis",), np.array(_AXES)),
        "tile_pixel": LabelledArray(flat, np.repeat(np.arange(len(count), dtype=np.int32), count)),
        "tile_class": LabelledArray(("tile",), task.tile_class),
        "tile_epsilon": LabelledArray(("tile",), np.array([tile.epsilon for tile in task.tiles])),
        "tile_shape": LabelledArray(("tile", "tile_axis"), np.array([tile.shape for tile in task.tiles])),
        "tile_values": LabelledArray(flat, np.concatenate([tile.values.ravel() for tile in task.tiles])),
        "tile_support": LabelledArray(flat, np.concatenate([tile.support.ravel() for tile in task.tiles])),
    }


def _scene_arrays(scenes: Scenes, part: str) -> dict[str, LabelledArray]:
    try:
        # Again, since what is there may have been written into.
        source = scenes.backgrounds if scenes.recipes is None else scenes.recipes
        rendered = Scenes(scenes.task, source, scenes.tile, scenes.row, scenes.col, paste=scenes.paste)
    except InputError as error:
        raise InputError(f"the backgrounds or places of {part} were written into ({error})") from None
    for name in _RENDERED if scenes.recipes is None else (*_RENDERED, "backgrounds"):
        if name in vars(scenes) and not same_bits(getattr(rendered, name), vars(scenes)[name]):
            raise InputError(f"the {name} of {part} were written into")
    image = f"{part}_image"
    places = {
        f"{part}_label": LabelledArray((image,), rendered.labels.numpy()),
        **{f"{part}_{name}": LabelledArray((image,), getattr(scenes, name).numpy()) for name in ("tile", "row", "col")},
    }
    if scenes.recipes is not None:
        return places | {f"{part}_recipe": LabelledArray((image, f"{part}_recipe_number"), scenes.recipes.numbers)}
    covered = _covered(scenes.task, scenes.paste)
    background = scenes.backgrounds.numpy()
    hidden = np.zeros((len(scenes), max(len(channel) for channel, _, _ in covered)), background.dtype)
    for index, place in _places(scenes, covered):
        hidden[index, : place[1].shape[1]] = background[(index[:, None], *place)]
    return {
        f"{part}_images": LabelledArray((image, *_AXES), rendered.images.numpy()),
        **places,
        f"{part}_covered": LabelledArray((image, f"{part}_covered_pixel"), hidden),
    }


def _part(
    task: TemplateTask, header: Mapping[str, Any], arrays: Mapping[str, LabelledArray], part: str, laws: Laws | None
) -> Scenes:
    if isinstance(task, LabelledTask):
        return LabelledImages(task, arrays[f"{part}_images"].values, arrays[f"{part}_label"].values)
    paste, recipes = header["paste"][part], header.get("recipes", {})
    if part in recipes:
        return _scenes_of_recipes(task, paste, arrays, part, recipes[part], laws)
    return _scenes(task, paste, arrays, part)


def _of_recipes(scenes: Scenes, part: str) -> dict[str, str]:
    recipes = scenes.recipes
    law = _UNIFORM if isinstance(recipes, UniformRecipes) else getattr(recipes, "text", "")
    if not law:
        raise InputError(f"the backgrounds of {part} follow a law that is not registered")
    return {"law": law, "digest": _digest(scenes)}


def _digest(scenes: Scenes) -> str:
    """Return a SHA-256 over the pixels of the first images."""
    import hashlib

    return hashlib.sha256(scenes[:_CHECKED].images.numpy().tobytes()).hexdigest()


def _scenes_of_recipes(
    task: TemplateTask, paste: Any, arrays: Mapping[str, LabelledArray], part: str, of: Mapping[str, str], laws: Laws | None
) -> Scenes:
    numbers = arrays[f"{part}_recipe"].values
    tile, row, col = (arrays[f"{part}_{name}"].values for name in ("tile", "row", "col"))
    if of["law"] == _UNIFORM:
        recipes: Recipes = UniformRecipes(numbers, task.image_shape)
    else:
        recipes = LawRecipes(numbers, task, laws(of["law"]) if laws else _unknown, of["law"])
    scenes = Scenes(task, recipes, tile, row, col, paste=paste)
    if not same_bits(scenes.labels, arrays[f"{part}_label"].values):
        raise DamagedFileError(f"{part}: the labels are not those of the scenes")
    if (laws or of["law"] == _UNIFORM) and _digest(scenes) != of["digest"]:
        raise DamagedFileError(f"{part}: the images are not those that were stored")
    return scenes


def _unknown(rng: Any, task: TemplateTask) -> NDArray[Any]:
    raise InputError("the law of the backgrounds is not known where this data set was read")


def _covered(task: TemplateTask, paste: str) -> list[Pixels]:
    """Return channel, row and column of the pixels that each tile covers."""
    return [np.nonzero(np.ones(tile.shape, bool) if paste == "rectangle" else tile.support) for tile in task.tiles]


def _places(scenes: Scenes, covered: list[Pixels]) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
    """Yield for each tile the scenes that show it, and the pixels that it covers there."""
    tiles, rows, cols = (value.numpy() for value in (scenes.tile, scenes.row, scenes.col))
    for tile in np.unique(tiles[tiles != NO_TILE]):
        index = np.flatnonzero(tiles == tile)
        channel, row, col = covered[tile]
        yield index, (channel, rows[index, None] + row, cols[index, None] + col)


def _task(arrays: Mapping[str, LabelledArray], *, ink: bool) -> TemplateTask:
    names = arrays["class"].values.tolist()
    image_shape = [len(arrays[axis].values) for axis in _AXES]
    if "tile" not in arrays:
        return LabelledTask(names, image_shape, ink=ink)
    shapes, epsilons = arrays["tile_shape"].values.tolist(), arrays["tile_epsilon"].values.tolist()
    values, support = arrays["tile_values"].values, arrays["tile_support"].values
    classes = arrays["tile_class"].values.tolist()
    tiles: list[list[FeatureTile]] = [[] for _ in names]
    start = 0
    for shape, epsilon, label in zip(shapes, epsilons, classes, strict=True):
        stop = start + math.prod(shape)
        if len(shape) != 3 or min(shape) < 1 or stop > len(values):
            raise DamagedFileError(f"a tile of shape {shape} is larger than what is stored of it")
        tiles[label].append(FeatureTile(values[start:stop].reshape(shape), epsilon, support[start:stop].reshape(shape)))
        start = stop
    if start != len(values) or len(values) != len(support) or classes != sorted(classes) or min(classes) < 0:
        raise DamagedFileError("the values, supports and classes of the tiles do not fit together")
    return TemplateTask([TileClass(name, own) for name, own in zip(names, tiles, strict=True)], image_shape, ink=ink)


def _scenes(task: TemplateTask, paste: Any, arrays: Mapping[str, LabelledArray], part: str) -> Scenes:
    images = arrays[f"{part}_images"].values
    tile, row, col = (arrays[f"{part}_{name}"].values for name in ("tile", "row", "col"))
    scenes = Scenes(task, images, tile, row, col, paste=paste)  # places are checked before they are used
    covered, hidden = _covered(task, scenes.paste), arrays[f"{part}_covered"].values
    backgrounds = images.copy()
    for index, place in _places(scenes, covered):
        backgrounds[(index[:, None], *place)] = hidden[index, : place[1].shape[1]]
    scenes = scenes.with_backgrounds(backgrounds)
    if hidden.dtype != images.dtype or not same_bits(scenes.images, images):
        raise DamagedFileError(f"{part}: the images are not those of the scenes")
    if not same_bits(scenes.labels, arrays[f"{part}_label"].values):
        raise DamagedFileError(f"{part}: the labels are not those of the scenes")
    return scenes
