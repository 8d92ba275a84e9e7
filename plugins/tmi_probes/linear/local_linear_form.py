"""The exact local linear form: around an image a piecewise linear network is f(x) = W x + b, and W shows what a logit follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.params import Count

from ..measures.cosine import cosine, mean_cosine
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import in_float64, labelled, originals, pictures, spread_over
from .exact_network import EXACT, ExactNetwork, Form, NoFormError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INFO = {
    "reconstruction_error": tmi.MetricInfo(
        "Largest |W x + b − f(x)| relative to the largest logit, over the images, and for each at another image with every "
        "operation held in its piece; 0 up to rounding for a piecewise linear network",
        "lower",
        0,
    ),
    "exact": tmi.MetricInfo("Share of images on which that error is at most 1e-6", "higher", 0, 1),
    "similarity_tile": tmi.MetricInfo(
        "Mean cosine of the label's W under the tile, over pairs of images of one tile", "higher", -1, 1
    ),
    "similarity_classes": tmi.MetricInfo(
        "Mean cosine of the label's W under the tile, over pairs of images of two classes, to compare the other similarities "
        "with",
        None,
        -1,
        1,
    ),
    "similarity_backgrounds": tmi.MetricInfo(
        "Mean cosine of the label's W before and after a change of background", "higher", -1, 1
    ),
    "similarity_places": tmi.MetricInfo(
        "Mean cosine of the label's W under the tile before and after a move of the tile", "higher", -1, 1
    ),
    "zero_form": tmi.MetricInfo("Share of images on which the label's W is 0 everywhere", "lower", 0, 1),
    "support_share": tmi.MetricInfo("Share of Σ|W| of the label's logit in the tile's support, mean over images", "higher", 0, 1),
    "support_share_chance": tmi.MetricInfo("The same share of a constant W", None, 0, 1),
}


def local_linear_form(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 40,
    tiles: Count = 3,
    backgrounds: Count = 10,
    places: Count = 10,
    keep: Count = 4,
) -> tmi.ProbeResult:
    """Exact local linear forms f(x) = W x + b of the logits, checked, and their similarity from image to image.

    W comes from one backward pass a logit. b is the network at x = 0 with every piecewise linear operation held in the piece that
    it has at the image, whatever adds to the logits there: biases, a normalisation of the input, buffers. Both are computed in
    float64, one image at a time.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    tiles : int
        How many test scenes are shown on other backgrounds and at other places.
    backgrounds : int
        How many other backgrounds for each of those.
    places : int
        How many other places for each of those, drawn without replacement.
    keep : int
        For how many images W is kept in the arrays, of as many classes as possible.

    Returns
    -------
    ProbeResult
        Metrics ``reconstruction_error``, ``exact``; of the label's W ``similarity_tile``, ``similarity_classes``,
        ``similarity_backgrounds``, ``similarity_places``, ``zero_form``, ``support_share``, ``support_share_chance``. Arrays
        ``error`` (image), ``bias`` and ``logits`` (image, class), ``label``; for the kept images ``weights`` (kept, channel, row,
        col), ``images`` and ``masks``; ``cosine_backgrounds`` and ``cosine_places`` (tile, …), NaN where there are fewer. Not
        applicable to a network whose logits do not depend differentiably on the image, or that cannot compute in float64.

    Raises
    ------
    InputError
        If no test scene shows a tile.

    Notes
    -----
    At a kink the form follows the derivative that torch, or the network, defines there: a ReLU at 0 counts as inactive.
    """
    exact, result = ExactNetwork(network), ResultBuilder(INFO)
    scenes, has_tiles = labelled(data.test, images), data.task.has_tiles
    kept = spread_over(scenes.labels.tolist(), keep)
    covered = 0  # pixels of all supports
    rows: list[tuple[Any, ...]] = []
    under: list[Array] = []
    weights: list[NDArray[np.float32]] = []
    try:
        for number in range(len(scenes)):  # one image and one W at a time: all of them may not fit into memory
            scene = in_float64(scenes[[number]])
            (form,) = _forms(exact, scene)
            masks = scene.masks.numpy() if has_tiles else np.zeros((1, *data.task.image_shape[1:]), bool)
            absolute = np.abs(form.weight)
            inside = (absolute.sum(1) * masks).sum((1, 2))[0]
            covered += int(masks.sum())
            rows.append((form.bias, form.logits, form.error, absolute.sum((1, 2, 3))[0], inside))
            under += _under(scene, form.weight) if has_tiles else [form.weight[0]]
            if number in kept:
                weights.append(form.weight[0].astype(np.float32))
    except NoFormError as absent:
        return tmi.ProbeResult.not_applicable(str(absent))
    bias, logits, error, size, inside = map(np.array, zip(*rows, strict=True))
    shown = size > 0
    share = inside[shown] / size[shown]
    result.add("reconstruction_error", error.max())
    result.add("exact", np.mean(error <= EXACT))
    result.add("similarity_classes", _mean_by_shape(under, scenes.labels.numpy(), same=False))
    result.add("zero_form", np.mean(size == 0))
    if has_tiles:
        _add_of_tiles(result, scenes, under, share, covered / (len(scenes) * masks[0].size))
        chosen, few = originals(data.test, tiles, np.random.default_rng(seed))
        _add_varied(result, _varied(exact, data.test, chosen, backgrounds, places, np.random.default_rng([seed, 1])))
        result.notes += few
        result.arrays |= {"tile_index": ("image", scenes.tile), "masks": (("kept", "row", "col"), scenes[kept].masks)}
        result.coords["tile"] = [data.task.tile_name(int(tile)) for tile in data.test.tile[chosen]]
    else:
        of_tiles = "similarity_tile, similarity_backgrounds, similarity_places, support_share"
        result.cannot_fail(of_tiles, "the images have no tiles")
    if not shown.all():
        result.notes.append(
            f"W of the label is 0 on {int((~shown).sum())} of {len(size)} images, which the similarities leave out"
        )
    result.arrays |= {
        "error": ("image", error),
        "bias": (("image", "class"), bias),
        "logits": (("image", "class"), logits),
        "label": ("image", scenes.labels),
        "weights": (("kept", "channel", "row", "col"), np.stack(weights)),
        "images": (("kept", "channel", "row", "col"), in_float64(scenes[kept]).images.float()),
    }
    result.coords |= {"class": data.task.class_names, "kept": kept}
    return result.result()


def _add_of_tiles(result: ResultBuilder, scenes: tmi.Scenes, under: list[Array], share: Array, chance: float) -> None:
    """Add what compares W with the tiles."""
    shown_pictures = np.stack([scenes.tile.numpy(), pictures(scenes)])
    if len(np.unique(shown_pictures, axis=1).T) > len(np.unique(shown_pictures[0])):
        result.add("similarity_tile", _mean_by_shape(under, scenes.tile.numpy()))
    else:
        result.cannot_fail("similarity_tile", "all images of a tile are equal")
    if chance == 1:
        result.cannot_fail("support_share", "the support is the whole image")
    else:
        result.add("support_share", _mean(share))
        result.add("support_share_chance", chance)


def _add_varied(result: ResultBuilder, cosines: dict[str, Array]) -> None:
    """Add cosines of W before and after a change of background or place."""
    if np.isfinite(cosines["background"]).any():
        result.add("similarity_backgrounds", _mean(cosines["background"]))
    else:
        result.cannot_fail("similarity_backgrounds", "no other background changes an image, or W is 0")
    result.add("similarity_places", _mean(cosines["place"]))
    result.arrays |= {
        "cosine_backgrounds": (("tile", "other_background"), cosines["background"]),
        "cosine_places": (("tile", "other_place"), cosines["place"]),
    }


def _forms(exact: ExactNetwork, scenes: tmi.Scenes) -> Iterator[Form]:
    """Yield the form around each image, with W of the label, (1, C, m, n)."""
    for number in range(len(scenes)):
        yield exact.form(scenes.images[number : number + 1], [int(scenes.labels[number])])


def _varied(
    exact: ExactNetwork, scenes: tmi.Scenes, chosen: list[int], backgrounds: int, places: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Return cosines of W before and after a change of background, or of place: (tile, variant) each."""
    import torch

    cosines = {"background": np.full((len(chosen), backgrounds), np.nan), "place": np.full((len(chosen), places), np.nan)}
    for k, index in enumerate(chosen):
        scene = in_float64(scenes[[index]])
        (before,) = _forms(exact, scene)
        others = rng.permutation(np.delete(np.arange(len(scenes)), index))[:backgrounds]
        changed = (scene.with_backgrounds(scenes.backgrounds[[other]].double()) for other in others.tolist())
        for i, variant in enumerate(changed):
            if torch.equal(variant.images, scene.images):
                continue
            (after,) = _forms(exact, variant)
            cosines["background"][k, i] = cosine(before.weight, after.weight)[0]
        rows, cols = scenes.task.windows[int(scene.tile)]
        here = int(scene.row) * cols + int(scene.col)
        other_places = rng.permutation(np.delete(np.arange(rows * cols), here))[:places]
        own = np.stack(_under(scene, before.weight))
        for i, place in enumerate(other_places):
            moved = scene.moved([place // cols], [place % cols])
            (after,) = _forms(exact, moved)
            cosines["place"][k, i] = cosine(own, np.stack(_under(moved, after.weight)))[0]
    return cosines


def _under(scenes: tmi.Scenes, weight: Array) -> list[Array]:
    """Cut each W down to the pixels under the scene's tile."""
    cut = []
    for values, tile, row, col in zip(weight, scenes.tile.tolist(), scenes.row.tolist(), scenes.col.tolist(), strict=True):
        _, high, wide = scenes.task.tiles[tile].shape
        cut.append(values[:, row : row + high, col : col + wide].copy())  # a view would keep all of W
    return cut


def _mean_by_shape(windows: list[Array], groups: NDArray[np.int64], *, same: bool = True) -> float:
    """Return the mean cosine over pairs; only windows of the same shape can be compared."""
    shapes = [window.shape for window in windows]
    values = []
    for shape in dict.fromkeys(shapes):
        members = [i for i, other in enumerate(shapes) if other == shape]
        values.append(mean_cosine(np.stack([windows[i] for i in members]), groups[members], same=same))
    return _mean(np.array(values))


def _mean(values: Array) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
