"""HTML of tiles, classes, tasks, scenes, data sets and matches.

The functions take the objects of `tmi.tasks`, which import them inside ``_repr_html_``, and import none of these types.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from typing import Any

from tmi.runtime.formatting import format_count

from .html import Raw, beside, card, clip, facts, line, table
from .pictures import image_pixels, picture, row_of, tile_pixels

_IMAGES = 8  # of scenes in a picture
_CLASSES = 12  # of a task that are shown with their tiles
_TILES = 10  # of a class in a picture
_PIXELS = 4_000_000  # that are rendered for a picture at most


def size_of(shape: Sequence[int]) -> str:
    """Write a shape: ``"1×28×28"``."""
    return "×".join(map(str, shape))


def tile(shown: Any) -> str:
    """HTML of a `FeatureTile`: its picture, ε, support and values."""
    inside = shown.values[shown.support]
    about = {
        "size (C, k, l)": size_of(shown.shape),
        "tolerance ε": shown.epsilon,
        "support": f"{int(shown.support.sum())} of {shown.values.size} values",
        "values on it": f"{float(inside.min()):.4g} to {float(inside.max()):.4g}",
    }
    hatched = "" if shown.support.all() else line("The pixels with thin lines do not count.")
    image = picture(tile_pixels(shown, 96), f"feature tile {size_of(shown.shape)}")
    return card("Feature tile", "", beside(image, facts(about) + hatched))


def tile_class(shown: Any) -> str:
    """HTML of a `TileClass`: its tiles."""
    if "tiles" not in vars(shown):  # of a `LabelledTask`
        return card(f"Class {clip(shown.name)}", "without tiles")
    tiles = shown.tiles
    more = line(f"and {len(tiles) - _TILES:,} more tiles") if len(tiles) > _TILES else ""
    return card(f"Class {clip(shown.name)}", format_count(len(tiles), "tile"), _tiles(tiles, 64), more)


def task(shown: Any) -> str:
    """HTML of a `TemplateTask`: its classes with their tiles."""
    count = len(shown.classes)
    subtitle = f"{count:,} {'class' if count == 1 else 'classes'}, images {size_of(shown.image_shape)}"
    if not shown.has_tiles:
        names = ", ".join(clip(name, 40) for name in shown.class_names[:40])
        return card("Labelled task", f"{subtitle}, no tiles", line(names), _left(count, 40, "classes"))
    rows = [
        (member.name, len(member.tiles), _epsilons(member.tiles), Raw(_tiles(member.tiles, 32, 4000, ink=shown.ink)))
        for member in shown.classes[:_CLASSES]
    ]
    head = ("class", "tiles", "ε", f"the first {_TILES} tiles")
    return card("Template task", f"{subtitle}, {format_count(len(shown.tiles), 'tile')}", table(head, rows, count))


def scenes(shown: Any) -> str:
    """HTML of `Scenes`: the first images, with the outline of what decides, and their labels."""
    about: dict[str, object] = {"images (C, m, n)": size_of(shown.task.image_shape), "classes": len(shown.task.classes)}
    if shown.task.has_tiles:
        about |= {"tiles": len(shown.task.tiles), "paste": shown.paste}
    return card(format_count(len(shown), "scene"), "", beside(facts(about), images_of(shown)))


def dataset(shown: Any) -> str:
    """HTML of a `Dataset`: where it comes from, and its first images."""
    settings = ", ".join(f"{name}={clip(value, 30)}" for name, value in list(shown.params.items())[:12])
    about = {
        "seed": shown.seed,
        "settings": settings,
        "classes": ", ".join(clip(name, 30) for name in shown.task.class_names[:12])
        + (", …" if len(shown.task.class_names) > 12 else ""),
        "tiles": f"{len(shown.task.tiles):,}" if shown.task.has_tiles else "none: the labels are given",
        "images (C, m, n)": size_of(shown.task.image_shape),
        "training scenes": len(shown.train),
        "test scenes": len(shown.test),
    }
    part = shown.test if len(shown.test) else shown.train
    return card(f"Data set {clip(shown.name) or 'without a name'}", "", beside(facts(about), images_of(part)))


def matches(shown: Any) -> str:
    """HTML of `Matches`: how many, and the first."""
    columns = [getattr(shown, name)[:_IMAGES].tolist() for name in ("image", "tile", "row", "col", "slack")]
    rows = table(("image", "tile", "row", "col", "slack ε − t"), zip(*columns, strict=True), len(shown))
    none = "" if len(shown) else line("No window contains a tile.")
    return card("Matches", f"{format_count(len(shown), 'window')} with a tile", rows, none)


def images_of(shown: Any) -> str:
    """Return the first images of scenes as a picture, each with its label below; empty where they cannot be drawn.

    No more than these are rendered, and none that has millions of pixels.
    """
    count = min(len(shown), _IMAGES, _PIXELS // prod(shown.task.image_shape))
    if not count:
        return ""
    with suppress(Exception):  # a law of backgrounds is anybody's code, and what shows an object must not fail
        part = shown[:count]
        masks = part.masks.numpy() if shown.task.has_tiles else [None] * count
        cells = [image_pixels(image, mask, ink=shown.task.ink) for image, mask in zip(part.images.numpy(), masks, strict=True)]
        labels = [clip(shown.task.class_names[label], 20) if label >= 0 else "no class" for label in part.labels.tolist()]
        outlined = "; the pixels that decide are outlined" if shown.task.has_tiles else ""
        caption = line(f"The first {count}: {', '.join(labels)}{outlined}.")
        return picture(row_of(cells, 4), f"the first {count} images: {', '.join(labels)}") + caption
    return ""


def _tiles(tiles: Sequence[Any], side: int, limit: int = 45_000, *, ink: bool = False) -> str:
    cells = [tile_pixels(tile, side, ink=ink) for tile in tiles[:_TILES]]
    return picture(row_of(cells, _TILES), f"the first {len(cells)} tiles", limit)


def _epsilons(tiles: Sequence[Any]) -> str:
    values = [tile.epsilon for tile in tiles]
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _left(count: int, shown: int, what: str) -> str:
    return line(f"and {count - shown:,} more {what}") if count > shown else ""
