"""Variants of scenes: how far the logits vary when only the background, or only the place of the tile, changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi

from ..pipeline.logits import logits_of, margins, of_label, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.units import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
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


@dataclass(frozen=True)
class Spread:
    """How far the logits of one scene vary over its variants; see `INFO` for what each number means."""

    logit_std: NDArray[np.float64]
    label_logit_std: float
    margin_std: float
    margin_min: float


@dataclass(frozen=True)
class Variants:
    """Variants of one scene, which are rendered a few at a time.

    Attributes
    ----------
    count : int
    of : callable
        ``(rows) -> Scenes``: those that a slice chooses.
    """

    count: int
    of: Callable[[slice], tmi.Scenes]


def at_places(scene: tmi.Scenes, row: NDArray[np.int64], col: NDArray[np.int64]) -> Variants:
    """Return one scene with its tile at many places (N,)."""
    return Variants(len(row), lambda rows: scene.repeated(len(row[rows])).moved(row[rows], col[rows]))


def on_backgrounds(scene: tmi.Scenes, backgrounds: Any, numbers: NDArray[np.int64]) -> Variants:
    """Return one scene on those of the backgrounds (N, C, m, n) that the numbers choose."""

    def of(rows: slice) -> tmi.Scenes:
        return scene.repeated(len(numbers[rows])).with_backgrounds(backgrounds[numbers[rows]])

    return Variants(len(numbers), of)


def spread(logits: NDArray[np.float64], label: int) -> Spread:
    """Measure how far logits vary.

    Parameters
    ----------
    logits : ndarray of float64, shape (variants, L)
    label : int
        The class that all variants show.

    Returns
    -------
    Spread
        Standard deviations (over the number of variants) that are exactly 0 where all values are equal; the margin's are NaN
        where there is only one class.
    """
    labels = np.full(len(logits), label)
    label_std = float(std(of_label(logits, labels)))
    if logits.shape[1] == 1:
        return Spread(std(logits), label_std, np.nan, np.nan)
    margin = margins(logits, labels)
    return Spread(std(logits), label_std, float(std(margin)), float(margin.min()))


def std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation along the first axis (over N), exactly 0 where all values are equal."""
    # The mean of equal numbers can differ from them by rounding; the mean of zeros cannot.
    deviation: NDArray[np.float64] = np.std(values - values[0], axis=0)
    return deviation


class _Different:
    """Whether images, added a few at a time, differ from an original and from each other."""

    def __init__(self, original: torch.Tensor) -> None:
        self.original, self.first = original, original
        self.from_original = self.from_each_other = self._any = False

    def add(self, images: torch.Tensor) -> None:
        if len(images) and not self._any:
            self._any, self.first = True, images[0].clone()
        self.from_original = self.from_original or bool((images != self.original).any())
        self.from_each_other = self.from_each_other or bool((images != self.first).any())


def compare(
    network: tmi.Network,
    originals: tmi.Scenes,
    variants: list[Variants],
    notes: list[str],
    what: Literal["place", "background"],
    backgrounds: list[NDArray[np.int64]] | None = None,
) -> tmi.ProbeResult:
    """Compare the logits of each scene's variants.

    Parameters
    ----------
    network : Network
    originals : Scenes
    variants : list of Variants
        The k-th are variants of the k-th original, and show its tile.
    notes : list of str
        Notes of the caller; those of the result follow them.
    what : {"place", "background"}
        What the variants change.
    backgrounds : list of ndarray of int, optional
        For each variant the number of its background.

    Returns
    -------
    ProbeResult
        See `tmi_probes.robustness.invariance.translation_robustness`. A tile whose variants all equal the
        original image is left out; not applicable where that is so of all tiles.
    """
    result = ResultBuilder(INFO)
    result.notes += notes
    labels = originals.labels.numpy()
    before = logits_of(network, originals)
    predicted = predictions(before)
    counts = [varied.count for varied in variants]
    shape = (len(variants), max(counts))
    # Tiles of different sizes have different numbers of places; the rest of a shorter row counts as not kept.
    logits = np.full((*shape, before.shape[1]), np.nan)
    kept = np.zeros(shape, bool)
    row, col, background = (np.full(shape, -1) for _ in range(3))
    worst, worst_margin = np.full(len(variants), -1), np.full(len(variants), np.nan)
    worst_images = originals.images.clone()
    spreads: list[Spread] = []
    varying: list[Spread] = []
    right: list[bool] = []
    same: list[bool] = []
    ambiguous = 0
    for k, varied in enumerate(variants):
        different = _Different(originals.images[k])
        for rows in parts_of(varied.count, originals.task):
            scenes = varied.of(rows)
            logits[k, rows], kept[k, rows] = logits_of(network, scenes), scenes.unambiguous().numpy()
            row[k, rows], col[k, rows] = scenes.row, scenes.col
            different.add(scenes.images[kept[k, rows]])
        if backgrounds is not None:
            background[k, : varied.count] = backgrounds[k]
        of_kept, tile = logits[k, kept[k]], originals.task.tile_name(int(originals.tile[k]))
        if not len(of_kept):
            ambiguous += 1
            result.notes.append(f"tile {tile}: left out, for every variant is ambiguous")
            continue
        if not different.from_original:
            result.notes.append(f"tile {tile}: not applicable, for there is no other {what} that changes its image")
            continue
        spreads.append(spread(of_kept, int(labels[k])))
        if different.from_each_other:  # the spread over equal images would be 0 for every network
            varying.append(spreads[-1])
        margin = margins(logits[k], np.full(shape[1], labels[k]))
        worst[k] = int(np.where(kept[k], margin, np.inf).argmin())
        worst_margin[k] = margin[worst[k]]
        worst_images[k] = varied.of(slice(worst[k], worst[k] + 1)).images[0]
        after = predictions(of_kept)
        right.extend(after == labels[k])
        same.extend(after == predicted[k])
    if not spreads and not ambiguous:
        return tmi.ProbeResult.not_applicable(f"there is no other {what} that changes an image")
    result.add("kept", kept.sum() / sum(counts))
    several = before.shape[1] > 1
    if varying:
        logit_std = np.stack([part.logit_std for part in varying])
        result.add("logit_std", logit_std.mean())
        result.add("logit_std_max", logit_std.max())
        result.add("logit_variance", np.square(logit_std).mean())
        result.add("label_logit_std", np.mean([part.label_logit_std for part in varying]))
        if several:
            result.add("margin_std", np.mean([part.margin_std for part in varying]))
    elif spreads:
        result.cannot_fail("standard deviations", f"each tile is shown on one {what} only")
    if spreads and several:
        result.add("margin_min", np.min([part.margin_min for part in spreads]))
        result.add("unchanged", np.mean(same))
        result.add("correct", np.mean(right))
    elif spreads:
        result.cannot_fail("margins, unchanged, correct", ONE_CLASS)
    result.arrays |= {
        "logits": (("tile", "variant", "class"), logits),
        "kept_variant": (("tile", "variant"), kept),
        "variant_row": (("tile", "variant"), row),
        "variant_col": (("tile", "variant"), col),
        "variant_background": (("tile", "variant"), background),
        "worst_variant": ("tile", worst),
        "worst_margin": ("tile", worst_margin),
        "worst_images": (("tile", "channel", "row", "col"), worst_images),
        "original_images": (("tile", "channel", "row", "col"), originals.images),
        "original_logits": (("tile", "class"), before),
        "original_row": ("tile", originals.row),
        "original_col": ("tile", originals.col),
        "tile_index": ("tile", originals.tile),
        "label": ("tile", labels),
    }
    result.coords["tile"] = [originals.task.tile_name(int(tile)) for tile in originals.tile]
    result.coords["class"] = originals.task.class_names
    return result.result()
