"""Background and translation robustness (Figure 4): what the logits do when only the background, or only the place, changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..pipeline.scenes import finite, labelled, logits_of, of_label, of_others, predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "logit_std": tmi.MetricInfo(
        "Standard deviation of a logit over the variants, mean over tiles and logits", "lower", 0, None, "logit"
    ),
    "logit_std_max": tmi.MetricInfo(
        "Largest standard deviation of a logit over the variants of a tile", "lower", 0, None, "logit"
    ),
    "logit_variance": tmi.MetricInfo(
        "Variance of a logit over the variants, mean over tiles and logits", "lower", 0, None, "logit²"
    ),
    "label_logit_std": tmi.MetricInfo("Standard deviation of the label's logit, mean over tiles", "lower", 0, None, "logit"),
    "margin_std": tmi.MetricInfo(
        "Standard deviation of label's logit less the largest other, mean over tiles", "lower", 0, None, "logit"
    ),
    "margin_min": tmi.MetricInfo("Smallest label's logit less the largest other, over all variants", "higher", unit="logit"),
    "unchanged": tmi.MetricInfo("Share of variants that are predicted as the original image is", "higher", 0, 1),
    "correct": tmi.MetricInfo("Share of variants that are predicted right", "higher", 0, 1),
    "kept": tmi.MetricInfo(
        "Share of variants that still belong to exactly the tile's class; the others are left out", None, 0, 1
    ),
}


def background_robustness(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, tiles: Count = 3, backgrounds: Count = 100
) -> tmi.ProbeResult:
    """Logits of a tile at one place under many backgrounds (Figure 4).

    Parameters
    ----------
    tiles : int
        How many test scenes to vary; of distinct classes and tiles as far as there are any.
    backgrounds : int
        How many backgrounds, taken from other test scenes; fewer if the test set is smaller.

    Returns
    -------
    ProbeResult
        See ``translation-robustness``.

    Raises
    ------
    InputError
        If no test scene shows a tile, or there is one test scene only.
    """
    if len(data.test) < 2:
        raise InputError("data: there is one test scene only, so that there is no other background")
    rng = np.random.default_rng(seed)
    chosen, notes = originals(data.test, tiles, rng)
    taken = []
    for index in chosen:
        others = np.delete(np.arange(len(data.test)), index)
        taken.append(rng.permutation(others)[:backgrounds])
    variants = [
        data.test[[index]].repeated(len(numbers)).with_backgrounds(data.test.backgrounds[numbers])
        for index, numbers in zip(chosen, taken, strict=True)
    ]
    if len(data.test) - 1 < backgrounds:
        notes.append(f"{len(data.test) - 1} backgrounds instead of {backgrounds}: the test set has no more")
    return compare(network, data.test[chosen], variants, notes, taken)


def translation_robustness(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, tiles: Count = 3, places: Count | Literal["all"] = 100
) -> tmi.ProbeResult:
    """Logits of a tile on one background at many places (Figure 4).

    Parameters
    ----------
    tiles : int
        How many test scenes to vary; of distinct classes and tiles as far as there are any.
    places : int or "all"
        How many places; all legal ones where there are no more, else so many of them drawn without replacement.

    Returns
    -------
    ProbeResult
        Metrics ``logit_std``, ``logit_std_max``, ``logit_variance``, ``label_logit_std``, ``margin_std``, ``margin_min``,
        ``unchanged``, ``correct`` and ``kept``; arrays ``logits`` (tile, variant, class), ``kept_variant``, and of each variant
        its place and ``variant_background``, the number of the test scene whose background it has (−1: its own). The worst
        variant of each tile, of least margin: ``worst_variant`` (−1 where none is kept), ``worst_margin``, and the images
        ``original_images`` and ``worst_images``. A variant that shows no class or several is left out of the metrics, and
        counted.

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
        rows, cols = data.task.windows[int(scene.tile)]
        count = rows * cols if places == "all" else places
        taken = np.sort(rng.permutation(rows * cols)[:count])
        variants.append(scene.repeated(len(taken)).moved(taken // cols, taken % cols))
    return compare(network, data.test[chosen], variants, notes)


RATIO_INFO = {
    "variance_translation": tmi.MetricInfo(
        "Variance of a logit over places, mean over tiles and logits (Figure 4)", "lower", 0, None, "logit²"
    ),
    "variance_background": tmi.MetricInfo(
        "Variance of a logit over backgrounds, mean over tiles and logits (Figure 4)", "lower", 0, None, "logit²"
    ),
    "variance_ratio": tmi.MetricInfo("variance_translation over variance_background", None, 0),
}


def variance_ratio(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    tiles: Count = 3,
    backgrounds: Count = 100,
    places: Count | Literal["all"] = "all",
) -> tmi.ProbeResult:
    """How much more logits vary over places than over backgrounds: the ratio of the variances of Figure 4.

    Parameters
    ----------
    tiles : int
        How many test scenes to vary; of distinct classes and tiles as far as there are any.
    backgrounds : int
        How many backgrounds, taken from other test scenes.
    places : int or "all"
        How many places; by default all legal ones.

    Returns
    -------
    ProbeResult
        Metrics ``variance_translation``, ``variance_background`` and ``variance_ratio``, which is left out where no logit varies
        over backgrounds; arrays ``variance`` (change, tile, class).

    Raises
    ------
    InputError
        If no test scene shows a tile, or there is one test scene only.
    """
    parts = {
        "background": background_robustness(network, data, seed=seed, tiles=tiles, backgrounds=backgrounds),
        "translation": translation_robustness(network, data, seed=seed, tiles=tiles, places=places),
    }
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
    metrics = {
        f"variance_{name}": part.metrics["logit_variance"] for name, part in parts.items() if "logit_variance" in part.metrics
    }
    if metrics.get("variance_background", 0) > 0 and "variance_translation" in metrics:
        metrics["variance_ratio"] = metrics["variance_translation"] / metrics["variance_background"]
    else:
        notes.append("variance_ratio: left out, for no logit varies over the backgrounds, or no variant is of one class only")
    metrics = finite(metrics, notes)
    variance = []
    for part in parts.values():
        logits, kept = part.arrays["logits"].values, part.arrays["kept_variant"].values
        variance.append(
            [
                np.square(_std(of[use])) if use.any() else np.full(of.shape[1], np.nan)
                for of, use in zip(logits, kept, strict=True)
            ]
        )
    arrays: dict[str, Any] = {"variance": (("change", "tile", "class"), np.array(variance))}
    first = parts["background"]
    coords: dict[str, Any] = {"change": list(parts), "tile": first.coords["tile"], "class": first.coords["class"]}
    return tmi.ProbeResult(metrics, arrays, coords, {n: RATIO_INFO[n] for n in metrics}, tuple(notes))


@dataclass(frozen=True)
class Spread:
    """How the logits of one scene vary over its variants; see `INFO` for what each number means."""

    logit_std: NDArray[np.float64]
    label_logit_std: float
    margin_std: float
    margin_min: float


def spread(logits: NDArray[np.float64], label: int) -> Spread:
    """Measure how logits vary.

    Parameters
    ----------
    logits : ndarray of float64, shape (variants, L)
    label : int
        The class that all variants show.

    Returns
    -------
    Spread
        Standard deviations (over the number of variants) that are exactly 0 where all values are equal; the margin's are NaN
        where there is one class only.
    """
    labels = np.full(len(logits), label)
    own = of_label(logits, labels)
    if logits.shape[1] == 1:
        return Spread(_std(logits), float(_std(own)), np.nan, np.nan)
    margin = _margins(logits, label)
    return Spread(_std(logits), float(_std(own)), float(_std(margin)), float(margin.min()))


def _margins(logits: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """The label's logit less the largest other, or less 0 where there is one class only."""
    labels = np.full(len(logits), label)
    others = of_others(logits, labels).max(1) if logits.shape[1] > 1 else 0.0
    margin: NDArray[np.float64] = of_label(logits, labels) - others
    return margin


def _std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # The mean of equal numbers can differ from them by rounding; the mean of zeros cannot.
    result: NDArray[np.float64] = np.std(values - values[0], axis=0)
    return result


def originals(scenes: tmi.Scenes, tiles: int, rng: np.random.Generator) -> tuple[list[int], list[str]]:
    """Draw scenes to vary: of classes not yet seen first, then of tiles not yet seen, then any.

    Parameters
    ----------
    scenes : Scenes
    tiles : int
        How many.
    rng : numpy.random.Generator

    Returns
    -------
    chosen : list of int
    notes : list of str
        Says so where there are fewer.

    Raises
    ------
    InputError
        If no scene shows a tile.
    """
    labelled(scenes, 1)
    order = rng.permutation(np.flatnonzero(scenes.labels.numpy() >= 0)).tolist()
    label, tile = scenes.labels.tolist(), scenes.tile.tolist()
    chosen: list[int] = []
    for identity in (label, tile, list(range(len(scenes)))):
        seen = {identity[i] for i in chosen}
        for i in order:
            if identity[i] not in seen and len(chosen) < tiles:
                seen.add(identity[i])
                chosen.append(i)
    notes = [] if len(chosen) == tiles else [f"{len(chosen)} tiles instead of {tiles}: the test set has no more scenes"]
    return chosen, notes


def compare(
    network: tmi.Network,
    originals: tmi.Scenes,
    variants: list[tmi.Scenes],
    notes: list[str],
    backgrounds: list[NDArray[np.int64]] | None = None,
) -> tmi.ProbeResult:
    """Compare the logits of each scene's variants.

    Parameters
    ----------
    network : Network
    originals : Scenes
    variants : list of Scenes
        The k-th belong to the k-th original, and show its tile.
    notes : list of str
    backgrounds : list of ndarray of int, optional
        Of each variant the number of its background.

    Returns
    -------
    ProbeResult
        See `translation_robustness`.
    """
    labels = originals.labels.numpy()
    before = logits_of(network, originals)
    predicted = predictions(before)
    shape = (len(variants), max(map(len, variants)))
    # Tiles of different sizes have differently many places: what is short of the longest is not kept.
    logits = np.full((*shape, before.shape[1]), np.nan)
    kept = np.zeros(shape, bool)
    row, col, background = (np.full(shape, -1) for _ in range(3))
    worst, worst_margin = np.full(len(variants), -1), np.full(len(variants), np.nan)
    worst_images = originals.images.clone()
    spreads, right, same = [], [], []
    for k, scenes in enumerate(variants):
        n = len(scenes)
        logits[k, :n], kept[k, :n] = logits_of(network, scenes), scenes.unambiguous().numpy()
        row[k, :n], col[k, :n] = scenes.row, scenes.col
        if backgrounds is not None:
            background[k, :n] = backgrounds[k]
        chosen = logits[k, kept[k]]
        if not len(chosen):
            notes.append(f"tile {originals.task.tile_name(int(originals.tile[k]))}: left out, for every variant is ambiguous")
            continue
        found = spread(chosen, int(labels[k]))
        spreads.append(found)
        margin = _margins(logits[k], int(labels[k]))
        worst[k] = int(np.where(kept[k], margin, np.inf).argmin())
        worst_margin[k] = margin[worst[k]]
        worst_images[k] = scenes.images[worst[k]]
        after = predictions(chosen)
        right.extend(after == labels[k])
        same.extend(after == predicted[k])
    metrics = {"kept": kept.sum() / sum(map(len, variants))}
    if spreads:
        std = np.stack([s.logit_std for s in spreads])
        metrics |= {
            "logit_std": std.mean(),
            "logit_std_max": std.max(),
            "logit_variance": np.square(std).mean(),
            "label_logit_std": np.mean([s.label_logit_std for s in spreads]),
            "margin_std": np.mean([s.margin_std for s in spreads]),
            "margin_min": np.min([s.margin_min for s in spreads]),
            "unchanged": np.mean(same),
            "correct": np.mean(right),
        }
    metrics = finite(metrics, notes)
    arrays: dict[str, Any] = {
        "logits": (("tile", "variant", "class"), logits),
        "kept_variant": (("tile", "variant"), kept),
        "variant_row": (("tile", "variant"), row),
        "variant_col": (("tile", "variant"), col),
        "variant_background": (("tile", "variant"), background),
        "worst_variant": (("tile",), worst),
        "worst_margin": (("tile",), worst_margin),
        "worst_images": (("tile", "channel", "row", "col"), worst_images),
        "original_images": (("tile", "channel", "row", "col"), originals.images),
        "original_logits": (("tile", "class"), before),
        "original_row": (("tile",), originals.row),
        "original_col": (("tile",), originals.col),
        "tile_index": (("tile",), originals.tile),
        "label": (("tile",), labels),
    }
    coords: dict[str, Any] = {
        "tile": [originals.task.tile_name(int(tile)) for tile in originals.tile],
        "class": originals.task.class_names,
    }
    info = {name: info for name, info in INFO.items() if name in metrics}
    return tmi.ProbeResult(metrics, arrays, coords, info, tuple(notes))
