"""Continuous spectra of shapes (section 7): accuracy on their members, and how many templates contain them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count
from tmi_datasets.cover import cover
from tmi_datasets.tile_paths import Kind, TilePath, tile_path

from ..pipeline.logits import commonest_share, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder, each_once
from ..pipeline.scenes import labelled
from ..pipeline.units import in_parts, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LARGEST: dict[Kind, float] = {"rotation": 32, "scale": 0.4, "shear": 0.4, "grey": 0.4}
"""The largest extent of each kind; the others are 0 and the largest halved one to six times."""
FACTORS = (1, 2, 4)
"""Templates are counted for tolerances of ε, 2ε and 4ε."""
_SHARES = np.array([0, *2.0 ** np.arange(-6, 1)])
_FITTED = 5  # templates from which on growth is fitted: of fewer, rounding to a whole number changes too much
_MOST = 500  # templates by length above which they are not counted: they take time in proportion
_ALL: list[Kind] = list(LARGEST)

INFO = {
    "accuracy_under": tmi.MetricInfo("Accuracy on members of the spectra, mean over the extents above 0", "higher", 0, 1),
    "tolerated": tmi.MetricInfo(
        "Largest extent up to which at least 9 of 10 images that were right stay right on members", "higher", 0
    ),
    "oracle_under": tmi.MetricInfo(
        "accuracy_under of φ, which knows the task's templates and their ε and nothing else", None, 0, 1
    ),
    "chance": tmi.MetricInfo("Share of the commonest class: what always naming it would score", None, 0, 1),
    "templates": tmi.MetricInfo("Templates that contain all members up to the largest extent, mean over tiles", None, 1),
    "templates_tolerated": tmi.MetricInfo(
        "Templates that contain all members up to the extent tolerated, mean over tiles", None, 1
    ),
    "length": tmi.MetricInfo("L1 length of a spectrum up to the largest extent, over 2ε, mean over tiles", None, 0),
    "growth": tmi.MetricInfo("Exponent with which the number of templates grows with the extent", None),
    "growth_epsilon": tmi.MetricInfo("Exponent with which the number of templates grows with ε", None),
}


def spectrum(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, kinds: list[Kind] = _ALL, tiles: Count = 10, members: Count = 10
) -> tmi.ProbeResult:
    """Accuracy on continuous spectra of tiles, and the number of templates that contain a whole spectrum.

    Section 7 asks for features that are a continuous spectrum of shapes instead of a finite set of templates. Here the first tile
    of a class is rotated, scaled, sheared, or shifted in grey by all s from −extent to extent, for growing extents. Templates are
    counted that contain all of these members, as in data set ``spectrum``; the oracle is φ with the templates of the task.

    Parameters
    ----------
    kinds : list of str
        "rotation" by s degrees, "scale" by the factor 1 + s, "shear" by s columns a row, "grey", which adds s to the support. By
        default all.
    tiles : int
        How many tiles at most: the first tile of each of the first classes.
    members : int
        How many test scenes for each tile: the first ones of its class, which show it in the place of their own tile. In each it
        is deformed by s = u · extent, with u uniform in [−1, 1] and the same for all extents and kinds.

    Returns
    -------
    ProbeResult
        For each kind the metrics ``accuracy_under``, ``tolerated``, ``oracle_under``, ``templates``, ``templates_tolerated``,
        ``length``, ``growth``, ``growth_epsilon``; ``chance``. Those of ``tolerated`` are left out for a network that is right
        on no more undeformed tiles than chance. Arrays by kind: ``extent.<kind>``, ``accuracy.<kind>``,
        ``oracle.<kind>`` (extent); ``templates.<kind>`` (factor of ε, tile, extent), NaN where by the length more than 500 are
        needed; ``length.<kind>`` (tile, extent), in summed pixel difference; and members of the first tile from one end to the
        other, ``shown.<kind>`` (member, channel, row, col).

    Raises
    ------
    InputError
        If no test scene shows a tile, or a kind is named twice.
    """
    each_once("kinds", kinds)
    if len(data.task.classes) == 1:
        return tmi.ProbeResult.not_applicable(ONE_CLASS)
    task, scenes = data.task, _scenes(data, tiles, members)
    if not len(scenes):
        return tmi.ProbeResult.not_applicable("no test scene shows its class alone with the first tile of the class")
    shares = np.random.default_rng(seed).uniform(-1, 1, len(scenes))
    label = scenes.labels.numpy()
    most = min(256, getattr(network.module, "images_at_once", 256))  # so that parts end where the network's batches do
    result = ResultBuilder(INFO)
    for kind in kinds:
        try:
            spectra = _spectra(scenes, kind, shares)
        except InputError as error:
            result.cannot_fail(kind, str(error))
            continue
        if np.array_equal(spectra.images[0], spectra.images[-1]):
            result.cannot_fail(kind, f"{kind} changes no image")
            continue
        right = [_predictions(network.logits, images, task, most) == label for images in spectra.images]
        oracle = [_predictions(task.phi, images, task, most) == label for images in spectra.images]
        _add(result, kind, spectra, np.stack(right), np.stack(oracle), commonest_share(label))
    if result.metrics:
        result.add("chance", commonest_share(label))
        result.coords |= {"factor": FACTORS, "tile": [task.tile_name(index) for index in np.unique(scenes.tile.numpy()).tolist()]}
    return result.result()


class _Spectra(NamedTuple):
    """The spectra of one kind: their members in scenes, and what was counted."""

    images: NDArray[Any]  # (extent, image, channel, row, col)
    templates: Array  # (factor, tile, extent)
    lengths: Array  # (tile, extent)
    epsilons: Array  # (tile,)
    shown: Array  # (member, channel, row, col), of the first tile


def _scenes(data: tmi.Dataset, tiles: int, members: int) -> tmi.Scenes:
    """Put the first tile of each class into scenes of that class; those that then show another class too are left out."""
    scenes = labelled(data.test)
    label = scenes.labels.numpy()
    chosen = np.concatenate([np.flatnonzero(label == one)[:members] for one in range(min(tiles, len(data.task.classes)))])
    tile = np.searchsorted(data.task.tile_class, label[chosen])
    windows = np.array(data.task.windows)[tile]
    row, col = (np.minimum(place.numpy()[chosen], windows[:, k] - 1) for k, place in enumerate((scenes.row, scenes.col)))
    replaced = scenes[chosen].with_tiles(tile, row, col)
    kept = [part.unambiguous().numpy() for _, part in in_parts(replaced)]
    return replaced[np.concatenate([*kept, np.zeros(0, bool)])]


def _spectra(scenes: tmi.Scenes, kind: Kind, shares: Array) -> _Spectra:
    extents = LARGEST[kind] * _SHARES
    images = np.repeat(scenes.backgrounds.numpy()[None], len(extents), 0)
    used = np.unique(scenes.tile.numpy()).tolist()
    tiles = [scenes.task.tiles[index] for index in used]
    counted = []
    shown: list[Array] = []
    for index, tile in zip(used, tiles, strict=True):
        path = tile_path(tile, kind, LARGEST[kind])
        counted.append(_counted(path, tile, kind))
        shown = shown or list(path.at(LARGEST[kind] * np.linspace(-1, 1, 5))[0])
        for i in np.flatnonzero(scenes.tile.numpy() == index).tolist():
            values, supports = path.at(extents * shares[i])
            row, col = int(scenes.row[i]), int(scenes.col[i])
            place = images[:, i, :, row : row + tile.shape[1], col : col + tile.shape[2]]
            place[:] = np.where(supports, values, place) if scenes.paste == "support" else values
    templates, lengths = (np.stack(parts) for parts in zip(*counted, strict=True))
    return _Spectra(images, templates.swapaxes(0, 1), lengths, np.array([tile.epsilon for tile in tiles]), np.stack(shown))


# By tile and kind: the networks of a data set share these numbers, which take longer than their predictions.
_COUNTED: WeakKeyDictionary[tmi.FeatureTile, dict[Kind, tuple[Array, Array]]] = WeakKeyDictionary()


def _counted(path: TilePath, tile: tmi.FeatureTile, kind: Kind) -> tuple[Array, Array]:
    """Return the numbers of templates (factor, extent), NaN where they are too many to count, and the lengths (extent)."""
    known = _COUNTED.setdefault(tile, {})
    if kind not in known:
        extents = LARGEST[kind] * _SHARES
        lengths = np.array([path.length(extent) for extent in extents])
        templates = np.full((len(FACTORS), len(extents)), np.nan)
        for counts, factor in zip(templates, FACTORS, strict=True):
            counts[0] = 1
            few = lengths <= 2 * factor * tile.epsilon * _MOST
            if few.sum() > 1:
                counts[few] = cover(path.within(extents[few][-1]), factor * tile.epsilon).count(extents[few])
        known[kind] = templates, lengths
    return known[kind]


def _predictions(
    logits: Callable[[NDArray[Any]], Any], images: NDArray[Any], task: tmi.TemplateTask, most: int
) -> NDArray[np.int64]:
    parts = [np.asarray(logits(images[rows]), np.float64) for rows in parts_of(len(images), task, most=most)]
    return predictions(np.concatenate(parts))


def _add(
    result: ResultBuilder, kind: Kind, spectra: _Spectra, right: NDArray[np.bool_], oracle: NDArray[np.bool_], chance: float
) -> None:
    """Add the metrics and arrays of a kind; ``right`` and ``oracle`` say which predictions are right, (extent, image)."""
    extents, templates = LARGEST[kind] * _SHARES, spectra.templates.mean(1)
    still_right = right[:, right[0]].mean(1) if right[0].any() else np.zeros(len(extents))
    lost = np.flatnonzero(still_right < 0.9)
    tolerated = max(0, (int(lost[0]) if len(lost) else len(extents)) - 1)
    result.add(f"accuracy_under.{kind}", right[1:].mean())
    result.add(f"oracle_under.{kind}", oracle[1:].mean())
    result.add(f"templates.{kind}", templates[0, -1])
    if right[0].mean() > chance:  # one answer to every image would stay right on as many at every extent
        result.add(f"tolerated.{kind}", extents[tolerated])
        result.add(f"templates_tolerated.{kind}", templates[0, tolerated])
    else:
        result.notes.append(f"tolerated.{kind}: left out, for the network is right on no more undeformed tiles than chance")
    result.add(f"length.{kind}", (spectra.lengths[:, -1] / (2 * spectra.epsilons)).mean())
    few = []
    for name, x, y in (("growth", extents, templates[0]), ("growth_epsilon", np.array(FACTORS), templates[:, -1])):
        many = y >= _FITTED
        if many.sum() > 1:
            result.add(f"{name}.{kind}", np.polyfit(np.log(x[many]), np.log(y[many]), 1)[0])
        else:
            few.append(f"{name}.{kind}")
    if few:
        result.notes.append(f"{', '.join(few)}: left out, for fewer than two of the numbers are {_FITTED} templates or more")
    axis = f"extent_{kind}"
    result.arrays |= {
        f"extent.{kind}": (axis, extents),
        f"accuracy.{kind}": (axis, right.mean(1)),
        f"oracle.{kind}": (axis, oracle.mean(1)),
        f"templates.{kind}": (("factor", "tile", axis), spectra.templates),
        f"length.{kind}": (("tile", axis), spectra.lengths),
        f"shown.{kind}": (("member", "channel", "row", "col"), spectra.shown),
    }
