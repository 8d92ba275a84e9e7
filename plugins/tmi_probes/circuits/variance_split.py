"""The variance of logits over backgrounds and over places, split into units that see the tile and units that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import originals
from ..pipeline.units import parts_of
from ..robustness.invariance import other_backgrounds, some_places
from ..robustness.variants import Variants, at_places, on_backgrounds, std
from .positions import OUTSIDE, Positions, Region, region_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .readout import LinearReadout

    Array = NDArray[np.float64]

PARTS = ("sees_tile", "background_only", "covariance")

SPLIT_INFO = {
    "variance": tmi.MetricInfo(
        "Variance of a logit over backgrounds, or over places, mean over tiles and logits, as in variance-ratio; the sum of "
        "the next three",
        None,
        0,
        None,
        "logit²",
    ),
    "variance_sees_tile": tmi.MetricInfo(
        "Variance of the summed terms of the units that read a pixel of the tile, mean over tiles and logits",
        None,
        0,
        None,
        "logit²",
    ),
    "variance_background_only": tmi.MetricInfo(
        "Variance of the summed terms of the units that read the background alone", None, 0, None, "logit²"
    ),
    "covariance": tmi.MetricInfo("Twice the covariance of the two sums", None, unit="logit²"),
    "averaging": tmi.MetricInfo(
        "Standard deviation over backgrounds of the summed terms of the units that read the background alone, divided by the sum "
        "of their standard deviations: 1 where the terms vary as one; chance: independent terms",
        None,
        0,
        1,
    ),
}


def add_splits(
    result: ResultBuilder,
    network: tmi.Network,
    scenes: tmi.Scenes,
    positions: Positions,
    form: LinearReadout,
    bare: Array,
    counts: tuple[int | Literal["all"], int, int | Literal["all"]],
    region: Region,
    seed: int,
) -> None:
    """Add the split of the variances over backgrounds and over places.

    Parameters
    ----------
    result : ResultBuilder
    network : Network
    scenes : Scenes
        Test scenes. With the same seed the tiles and variants are those of probe ``variance-ratio``.
    positions : Positions
        Of the layer's units.
    form : LinearReadout
    bare : ndarray of float64, shape (neurons,)
        Each unit's mean activation on backgrounds without tiles, relative to which its terms are taken. Without it, a unit that a
        moving tile uncovers would move its mean from one sum to the other.
    counts : (int or "all", int, int or "all")
        Tiles, backgrounds and places.
    region : {"tile", "support"}
    seed : int
    """
    tiles, backgrounds, places = counts
    splits = []
    for change in ("backgrounds", "places"):
        rng = np.random.default_rng(seed)
        chosen, notes = originals(scenes, tiles, rng)
        of_tiles = []
        for index in chosen:
            scene = scenes[[index]]
            if change == "backgrounds":
                variants = on_backgrounds(scene, scenes.backgrounds, other_backgrounds(scenes, index, backgrounds, rng))
            else:
                variants = at_places(scene, *some_places(scene, places, rng))
            of_tiles.append(_Split(network, positions, form, bare, region, variants))
        applicable = [split for split in of_tiles if split.varies]
        if applicable:
            for name, part in zip(PARTS, np.mean([split.parts for split in applicable], axis=(0, 2)), strict=True):
                result.add(f"{name if name == 'covariance' else f'variance_{name}'}.{change}", part)
            result.add(f"variance.{change}", np.mean([split.variance for split in applicable]))
            averaging = np.array([split.averaging for split in applicable])
            if change == "backgrounds" and np.isfinite(averaging).any():
                result.add("averaging", np.nanmean(averaging[:, 0]), chance=np.nanmean(averaging[:, 1]))
        else:
            result.notes.append(f"variances over {change}: not applicable, for there are no two {change} that change an image")
        splits.append([np.vstack([split.parts, split.variance]) for split in of_tiles])
    result.notes += notes
    result.arrays["variance_parts"] = (("change", "tile", "variance_part", "class"), np.array(splits))
    result.coords |= {
        "change": ["backgrounds", "places"],
        "variance_part": [*PARTS, "total"],
        "tile": [scenes.task.tile_name(int(tile)) for tile in scenes.tile[chosen]],
    }


class _Split:
    """The split of one tile.

    Attributes
    ----------
    varies : bool
        Whether two of the variants that show the tile's class alone differ.
    parts : ndarray of float64, shape (3, L)
        The variances of both sums, and twice their covariance; NaN where nothing varies.
    variance : ndarray of float64, shape (L,)
        Of the logits.
    averaging : ndarray of float64, shape (2, L)
        Of the sum over units that see the background alone, and what it would be for independent terms. NaN where none varies,
        and where some unit does not see the background alone on every variant.
    """

    def __init__(
        self, network: tmi.Network, positions: Positions, form: LinearReadout, bare: Array, region: Region, variants: Variants
    ) -> None:
        classes = len(form.weight)
        self.parts, self.averaging = np.full((3, classes), np.nan), np.full((2, classes), np.nan)
        self.variance, self.varies = np.full(classes, np.nan), False
        sums: list[Array] = []
        first = None
        neurons = form.weight.shape[1]
        moments, fixed = np.zeros((2, neurons)), np.ones(neurons, bool)
        for rows in parts_of(variants.count, network.task, neurons):
            part = variants.of(rows)
            part = part[part.unambiguous().numpy()]
            if not len(part):
                continue
            values = network.activations(part.images, positions.layer)[positions.layer].flatten(1).numpy() - bare
            places = np.unique(np.stack([part.row, part.col]), axis=1).shape[1]
            outside = positions.of(region_of(part if places > 1 else part[:1], region)) == OUTSIDE
            without = np.where(outside, values, 0)
            sums.append(np.stack([(values - without) @ form.weight.T, without @ form.weight.T]))
            first = (part.images[0].clone(), values[0]) if first is None else first
            self.varies = self.varies or bool((part.images != first[0]).any())
            change = values - first[1]
            moments += change.sum(0), np.square(change).sum(0)
            fixed &= outside.all(0)
        if not self.varies:
            return
        sees, background = np.concatenate(sums, axis=1)
        self.variance = np.square(std(sees + background))
        a, b = sees - sees[0], background - background[0]  # exactly 0 where nothing varies
        both = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
        self.parts = np.stack([np.square(std(sees)), np.square(std(background)), 2 * both])
        mean, square = moments / len(sees)
        unit = np.sqrt(np.maximum(square - np.square(mean), 0)) * fixed
        together = np.abs(form.weight) @ unit
        alone = np.sqrt(np.square(form.weight) @ np.square(unit))
        np.divide([std(background), alone], together, out=self.averaging, where=together > 0)
