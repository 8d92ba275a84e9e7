"""Which images a probe of tiles at places looks at: scenes by design, in which each of them occurs often, or test scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.errors import InputError

from .scenes import labelled
from .units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sample = Literal["design", "test"]
"""Every tile at each of a set of places on several backgrounds, or the first test scenes."""

OFTEN = 10
"""Images on which a tile at a place is shown, where there are images enough for two places a tile."""


def sampled(scenes: tmi.Scenes, sample: Sample, images: int, seed: int, notes: list[str]) -> tmi.Scenes:
    """Return the scenes that a probe looks at.

    Parameters
    ----------
    scenes : Scenes
        Of the test images.
    sample : {"design", "test"}
        See `designed` and `tmi_probes.pipeline.scenes.labelled`.
    images : int
        How many scenes at most.
    seed : int
        Decides the places and backgrounds of a design.
    notes : list of str
        A note on the design is appended.

    Raises
    ------
    InputError
        If no scene shows a tile.
    """
    if sample == "test":
        return labelled(scenes, images)
    found = designed(scenes, images, seed)
    shown = np.unique(np.stack([found.tile.numpy(), found.row.numpy(), found.col.numpy()]), axis=1).shape[1]
    notes.append(
        f"{len(found)} images by design: {shown} tiles at places, each on {len(found) / shown:.3g} backgrounds of the test scenes"
    )
    return found


def designed(scenes: tmi.Scenes, images: int, seed: int) -> tmi.Scenes:
    """Return scenes by design: every tile that the scenes show at each of a set of places, all on the same backgrounds.

    A tile at a place is shown on `OFTEN` images, as long as there are enough for two places a tile: then on fewer. Where few
    places are possible it is shown at all of them, on more backgrounds. Tiles of one size are shown at the same places.

    Parameters
    ----------
    scenes : Scenes
        Their backgrounds and their way to paste are used.
    images : int
        How many scenes at most. With fewer than two for each tile at two places, only some tiles at places are shown.
    seed : int
        Draws places and backgrounds.

    Returns
    -------
    Scenes
        On each background all tiles at places in their order. Images that show several classes, or none, are left out.

    Raises
    ------
    InputError
        If no scene shows a tile, or all images are left out.
    """
    tiles = np.unique(labelled(scenes).tile.numpy())
    rng = np.random.default_rng(seed)
    shown = _tiles_at_places(scenes.task, tiles, min(OFTEN, len(scenes)), images, seed)
    if 2 * len(shown) > images:
        shown = shown[np.sort(rng.permutation(len(shown))[: max(1, images // 2)])]
    backgrounds = np.sort(rng.permutation(len(scenes))[: max(1, images // len(shown))])
    made = crossed(scenes, backgrounds, shown)
    clear = np.concatenate([part.unambiguous().numpy() for _, part in in_parts(made)])
    if not clear.any():
        raise InputError('sample: every image by design shows several classes, or none; use "test"')
    return made if clear.all() else made[clear]


def crossed(scenes: tmi.Scenes, backgrounds: NDArray[np.int64], shown: NDArray[np.int64]) -> tmi.Scenes:
    """Return every tile at its place on every background.

    Parameters
    ----------
    scenes : Scenes
    backgrounds : ndarray of int64, shape (B,)
        Which of the scenes' backgrounds.
    shown : ndarray of int64, shape (F, 3)
        Tile, row and column.

    Returns
    -------
    Scenes
        B·F of them: on each background the tiles at places in their order.
    """
    tile, row, col = np.tile(shown, (len(backgrounds), 1)).T
    return scenes[np.repeat(backgrounds, len(shown))].with_tiles(tile, row, col)


def _tiles_at_places(task: tmi.TemplateTask, tiles: NDArray[np.int64], often: int, images: int, seed: int) -> NDArray[np.int64]:
    """Return each tile, in order, with its places: as many as fit into the images if each is shown so often, and two at least."""
    windows = np.array(task.windows)[tiles]
    possible = windows.prod(1)
    most = max(2, min(images, int(possible.max())))
    # The number of images rises with the number of places, so that the last that fits is found by bisection.
    fits = np.array([np.minimum(places, possible).sum() * often <= images for places in range(1, most + 1)])
    places = max(2, int(fits.sum()))
    rows = []
    for tile, (height, width) in zip(tiles, windows, strict=True):
        # Tiles of one size have the same places.
        drawn = np.sort(np.random.default_rng([seed, height, width]).permutation(height * width)[:places])
        rows.append(np.stack([np.full(len(drawn), tile), *np.divmod(drawn, width)], axis=1))
    return np.concatenate(rows)
