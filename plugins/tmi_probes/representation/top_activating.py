"""Top-activating scenes of each unit, and whether they show one tile, or one tile at one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

import tmi
from tmi.params import Count, Index

from ..pipeline.designs import Sample, sampled
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import pictures
from .fields import fields_of
from .top import Top, tops_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INFO = {
    "same_tile": tmi.MetricInfo(
        "Share of a unit's top-activating scenes that show the tile which most of them show, mean over the scored units",
        "higher",
        0,
        1,
    ),
    "same_place": tmi.MetricInfo(
        "Share of a unit's top-activating scenes that show one tile at one place, with respect to the place of the channel that "
        "is most active; mean over the scored units",
        "higher",
        0,
        1,
    ),
    "scored": tmi.MetricInfo(
        "Share of the units that are scored: on at least two scenes they are above their least value", None, 0, 1
    ),
}
LABELS = ("same_tile", "same_place")


def top_activating_scenes(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    sample: Sample = "design",
    images: Count = 1000,
    top: Annotated[int, msgspec.Meta(ge=2)] = 8,
    shown: Index = 8,
    draws: Annotated[int, msgspec.Meta(ge=20)] = 100,
) -> tmi.ProbeResult:
    """Whether the top-activating scenes of each unit of each layer show one tile, and one tile at one place.

    A unit of a layer of maps is a channel, which counts at the place where it is most active; of any other layer it is a neuron.
    Only scenes on which a unit is above its least value count, and only units with at least two such scenes are scored. Units
    that fire on few scenes score high by chance; the distribution of chance has the same units with the scenes shuffled.

    Parameters
    ----------
    sample : {"design", "test"}
        Scenes by design, in which every tile is at each of a set of places on several backgrounds, so that a unit can have as
        many scenes of one tile at one place as it is to show; or the first test scenes.
    images : int
        How many scenes at most; of equal images one counts.
    top : int
        How many scenes of each unit.
    shown : int
        Of how many scored units of a layer, drawn at random, the images are kept; 0 keeps none.
    draws : int
        How often what the scenes show is shuffled, for the distribution of chance.

    Returns
    -------
    ProbeResult
        For each layer ``same_tile.<layer>`` and ``same_place.<layer>``, with ``.chance``, ``.untrained``, the same before
        training, and ``.oracle``, the most that the scenes allow; and ``scored.<layer>``. Arrays for each unit and rank:
        ``scene.<layer>`` (number of the scene, −1 where there are no more), ``activation.<layer>``,
        ``place_row.<layer>`` and ``place_col.<layer>`` of the channel's map; ``same_tile.<layer>`` and ``same_place.<layer>``
        (unit), NaN where it is not scored. For the shown units, ``shown.<layer>`` their numbers, ``crop.<layer>`` (shown, rank,
        channel, crop_row, crop_col) what the unit reads of the image, NaN beyond it. ``tile``, ``row`` and ``col`` of each scene.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    result = ResultBuilder(INFO)
    scenes = _different(sampled(data.test, sample, images, seed, result.notes), result.notes)
    before = network.untrained()
    rng = np.random.default_rng(seed)
    result.arrays |= {name: ("scene", getattr(scenes, name).numpy()) for name in ("tile", "row", "col")}
    scored_names = _can_fail(result, scenes)
    earliest = tops_of(before, network.layers, scenes, top) if before else {}
    for layer, found in tops_of(network, network.layers, scenes, top).items():
        known = (found.scene >= 0).sum(1) >= 2
        result.add(f"scored.{layer}", known.mean())
        result.arrays |= {
            f"scene.{layer}": ((f"unit.{layer}", "rank"), found.scene),
            f"activation.{layer}": ((f"unit.{layer}", "rank"), found.activation),
        }
        if found.has_places:
            row, col = np.divmod(found.place, found.shape[2])
            result.arrays |= {
                f"place_{name}.{layer}": ((f"unit.{layer}", "rank"), part) for name, part in (("row", row), ("col", col))
            }
        if not known.any():
            result.notes.append(f"{layer}: no unit is above its least value on two scenes")
            continue
        earlier = earliest.get(layer)
        orders = [rng.permutation(len(scenes)) for _ in range(draws)]
        if found.has_places and _even(scenes):
            what = ", ".join(f"{name}.{layer}" for name in scored_names)
            result.cannot_fail(what, "on one even background a tile activates a channel alike at each place")
            continue
        for name in scored_names:
            values = shares(found, scenes, name)
            result.arrays[f"{name}.{layer}"] = (f"unit.{layer}", values)
            result.add(
                f"{name}.{layer}",
                np.nanmean(values),
                chance=[np.nanmean(shares(found, scenes, name, order)) for order in orders],
                untrained=np.nanmean(shares(earlier, scenes, name)) if earlier and (earlier.scene[:, 1] >= 0).any() else None,
                oracle=_most(found, scenes, name),
            )
        chosen = np.sort(rng.permutation(np.flatnonzero(known))[:shown])
        if len(chosen):
            result.arrays[f"shown.{layer}"] = (f"shown_unit.{layer}", chosen)
            axes = (f"shown_unit.{layer}", "rank", "channel", f"crop_row.{layer}", f"crop_col.{layer}")
            result.arrays[f"crop.{layer}"] = (axes, crops(network, layer, found, chosen, scenes))
    if not scored_names:
        return tmi.ProbeResult.not_applicable("all images show one tile at one place")
    return result.result()


def _different(scenes: tmi.Scenes, notes: list[str]) -> tmi.Scenes:
    """Return the scenes without those whose image an earlier one has: each unit is equally active on equal images."""
    first = np.sort(np.unique(pictures(scenes), return_index=True)[1])
    if len(first) == len(scenes):
        return scenes
    notes.append(f"{len(first)} of the images differ; the others are left out")
    return scenes[first]


def _can_fail(result: ResultBuilder, scenes: tmi.Scenes) -> list[str]:
    """Return which of the scores some unit could miss on these scenes."""
    if len(np.unique(_shown(scenes, "same_tile"), axis=0)) > 1:
        return list(LABELS)
    result.cannot_fail("same_tile", "all images show one tile")
    if len(np.unique(_shown(scenes, "same_place"), axis=0)) > 1:
        return ["same_place"]
    return []


def _even(scenes: tmi.Scenes) -> bool:
    """Return whether all scenes have one background of one value."""
    return bool((scenes.backgrounds == scenes.backgrounds[:1, :, :1, :1]).all())


def _shown(scenes: tmi.Scenes, name: str) -> NDArray[np.int64]:
    """Return what each scene shows, int64 (N, 3): its tile, and for the second score its place, else 0."""
    shown = np.stack([scenes.tile.numpy(), scenes.row.numpy(), scenes.col.numpy()], 1)
    return shown if name == "same_place" else shown * np.array([1, 0, 0])


def shares(found: Top, scenes: tmi.Scenes, name: str, order: NDArray[np.int64] | None = None) -> Array:
    """Return for each unit the share of its top scenes that show the same.

    Parameters
    ----------
    found : Top
    scenes : Scenes
    name : {"same_tile", "same_place"}
    order : ndarray of int64, shape (N,), optional
        What scene i shows is taken from scene ``order[i]``: a shuffle of the truth.

    Returns
    -------
    ndarray of float64, shape (units,)
        NaN for units with fewer than two scenes.
    """
    known = found.scene >= 0
    shown = _shown(scenes, name)
    shown = (shown if order is None else shown[order])[found.scene]  # (units, top, 3)
    if name == "same_place":
        shown = shown - np.stack([np.zeros_like(found.place), *found.pixels(scenes.task.image_shape)], 2)
    equal = (shown[:, :, None] == shown[:, None, :]).all(3) & known[:, :, None] & known[:, None, :]
    count = known.sum(1)
    return np.where(count >= 2, equal.sum(2).max(1) / np.maximum(count, 1), np.nan)


def _most(found: Top, scenes: tmi.Scenes, name: str) -> float:
    """Return the mean of the greatest shares that units could have: a channel finds a tile at all of its places."""
    counts = np.unique(_shown(scenes, "same_tile" if found.has_places else name), axis=0, return_counts=True)[1]
    own = (found.scene >= 0).sum(1)
    own = own[own >= 2]
    return float((np.minimum(own, counts.max()) / own).mean())


def crops(network: tmi.Network, layer: str, found: Top, units: NDArray[np.int64], scenes: tmi.Scenes) -> NDArray[np.float32]:
    """Return what units read of their top scenes, float32 (K, top, C, rows, cols); NaN beyond the image and without a scene."""
    top = found.scene.shape[1]
    unit, rank = (part.ravel() for part in np.meshgrid(units, np.arange(top), indexing="ij"))
    neurons = found.neuron(unit, rank)
    distinct, where = np.unique(neurons, return_inverse=True)
    boxes = fields_of(network, layer, found.size, distinct)[where.reshape(-1)]
    high, wide = (boxes[:, 2:] - boxes[:, :2]).max(0)
    result = np.full((len(unit), scenes.task.image_shape[0], high, wide), np.nan, np.float32)
    for crop, scene, box in zip(result, found.scene[unit, rank], boxes, strict=True):
        if scene >= 0:
            part: Any = scenes[[int(scene)]].images[0, :, box[0] : box[2], box[1] : box[3]]
            crop[:, : part.shape[1], : part.shape[2]] = part.numpy()
    return result.reshape(len(units), top, *result.shape[1:])
