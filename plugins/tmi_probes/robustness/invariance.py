"""Invariance of the logits to background and place, and the ratio of the two variances: the paper's Figure 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled, originals
from .variants import at_places, compare, on_backgrounds, std

if TYPE_CHECKING:
    from numpy.typing import NDArray


def background_robustness(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    tiles: Count | Literal["all"] = 3,
    backgrounds: Count = 100,
) -> tmi.ProbeResult:
    """Logits of a tile at one place under many backgrounds (Figure 4).

    Parameters
    ----------
    tiles : int or "all"
        How many test scenes to vary; of distinct classes and tiles as far as there are any. "all": one of every tile that the
        test set shows, in the order of the tiles.
    backgrounds : int
        How many backgrounds, taken from other test scenes; fewer if the test set is smaller.

    Returns
    -------
    ProbeResult
        See ``translation-robustness``. Not applicable where no other background changes an image.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    if len(data.test) < 2:
        labelled(data.test, 1)
        return tmi.ProbeResult.not_applicable("there is one test scene only, and so no other background")
    rng = np.random.default_rng(seed)
    chosen, notes = originals(data.test, tiles, rng)
    taken = [other_backgrounds(data.test, index, backgrounds, rng) for index in chosen]
    variants = [
        on_backgrounds(data.test[[index]], data.test.backgrounds, numbers) for index, numbers in zip(chosen, taken, strict=True)
    ]
    if len(data.test) - 1 < backgrounds:
        notes.append(f"{len(data.test) - 1} backgrounds instead of {backgrounds}: the test set has no more")
    return compare(network, data.test[chosen], variants, notes, "background", taken)


def translation_robustness(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    tiles: Count | Literal["all"] = 3,
    places: Count | Literal["all"] = 100,
) -> tmi.ProbeResult:
    """Logits of a tile on one background at many places (Figure 4).

    Parameters
    ----------
    tiles : int or "all"
        How many test scenes to vary; of distinct classes and tiles as far as there are any. "all": one of every tile that the
        test set shows, in the order of the tiles.
    places : int or "all"
        How many places, drawn without replacement; all legal ones where there are fewer.

    Returns
    -------
    ProbeResult
        Metrics ``logit_std``, ``logit_std_max``, ``logit_variance``, ``label_logit_std``, ``margin_std``, ``margin_min``,
        ``unchanged``, ``correct`` and ``kept``; arrays ``logits`` (tile, variant, class), ``kept_variant``, and of each variant
        its place and ``variant_background``, the number of the test scene whose background it has (−1: its own). The worst
        variant of each tile, that of least margin: ``worst_variant`` (−1 where none is kept), ``worst_margin``, and the images
        ``original_images`` and ``worst_images``. A variant that shows no class or several is left out of the metrics; ``kept``
        is the share of the others. Not applicable where each tile has one place only.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    rng = np.random.default_rng(seed)
    chosen, notes = originals(data.test, tiles, rng)
    variants = []
    for index in chosen:
        scene = data.test[[index]]
        variants.append(at_places(scene, *some_places(scene, places, rng)))
    return compare(network, data.test[chosen], variants, notes, "place")


def other_backgrounds(scenes: tmi.Scenes, index: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the numbers of other scenes, whose backgrounds one scene is shown on; fewer where there are fewer."""
    return rng.permutation(np.delete(np.arange(len(scenes)), index))[:count]


def some_places(
    scene: tmi.Scenes, count: int | Literal["all"], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows and columns of places for the tile of one scene, in order; fewer where there are fewer."""
    rows, cols = scene.task.windows[int(scene.tile)]
    taken = np.sort(rng.permutation(rows * cols)[: rows * cols if count == "all" else count])
    return taken // cols, taken % cols


RATIO_INFO = {
    "variance_translation": tmi.MetricInfo(
        "Variance of a logit over places, mean over tiles and logits (Figure 4)", "lower", 0, None, "logit²"
    ),
    "variance_background": tmi.MetricInfo(
        "Variance of a logit over backgrounds, mean over tiles and logits (Figure 4)", "lower", 0, None, "logit²"
    ),
    "variance_ratio": tmi.MetricInfo("variance_translation over variance_background", None, 0),
    "variance_ratio_min": tmi.MetricInfo("Least ratio of a tile's two variances, each summed over the logits", None, 0),
}


def variance_ratio(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    tiles: Count | Literal["all"] = 3,
    backgrounds: Count = 100,
    places: Count | Literal["all"] = "all",
) -> tmi.ProbeResult:
    """How much more logits vary over places than over backgrounds: the ratio of the variances of Figure 4.

    Parameters
    ----------
    tiles : int or "all"
        How many test scenes to vary; of distinct classes and tiles as far as there are any. "all": one of every tile that the
        test set shows, in the order of the tiles.
    backgrounds : int
        How many backgrounds, taken from other test scenes.
    places : int or "all"
        How many places; by default all legal ones.

    Returns
    -------
    ProbeResult
        Metrics ``variance_translation``, ``variance_background``, ``variance_ratio`` and ``variance_ratio_min``; the ratios are
        left out where no logit varies over backgrounds. Arrays ``variance`` (change, tile, class), and ``ratio`` (tile): of each
        tile the variances over places, summed over the logits, over those over backgrounds; NaN where those are 0, or a tile has
        one variant only. Not applicable where no other place and no other background changes an image.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    parts = {
        "background": background_robustness(network, data, seed=seed, tiles=tiles, backgrounds=backgrounds),
        "translation": translation_robustness(network, data, seed=seed, tiles=tiles, places=places),
    }
    result = ResultBuilder(RATIO_INFO)
    result.notes += [f"{name}: {note}" for name, part in parts.items() for note in part.notes if part.applicable]
    for name, part in parts.items():
        if not part.applicable:
            result.cannot_fail(f"variance_{name}", part.notes[0])
        elif "logit_variance" in part.metrics:
            result.add(f"variance_{name}", part.metrics["logit_variance"])
    if result.metrics.get("variance_background", 0) > 0 and "variance_translation" in result.metrics:
        result.add("variance_ratio", result.metrics["variance_translation"] / result.metrics["variance_background"])
    else:
        result.notes.append("variance_ratio: left out, for no logit varies over the backgrounds, or a variance is left out")
    applicable = {name: part for name, part in parts.items() if part.applicable}
    if applicable:
        variances = {name: _variances(part) for name, part in applicable.items()}
        result.arrays["variance"] = (("change", "tile", "class"), np.stack(list(variances.values())))
        if "variance_ratio" in result.metrics:
            below, above = (variances[name].sum(1) for name in parts)
            ratio = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
            result.arrays["ratio"] = ("tile", ratio)
            if np.isfinite(ratio).any():
                result.add("variance_ratio_min", np.nanmin(ratio))
        first = next(iter(applicable.values()))
        result.coords |= {"change": list(applicable), "tile": first.coords["tile"], "class": first.coords["class"]}
    return result.result()


def _variances(part: tmi.ProbeResult) -> NDArray[np.float64]:
    """Return the variances (tile, class) over the variants that are kept; NaN where fewer than two are."""
    logits, kept = part.arrays["logits"].values, part.arrays["kept_variant"].values
    return np.array(
        [
            np.square(std(of_tile[use])) if use.sum() > 1 else np.full(of_tile.shape[1], np.nan)
            for of_tile, use in zip(logits, kept, strict=True)
        ]
    )
