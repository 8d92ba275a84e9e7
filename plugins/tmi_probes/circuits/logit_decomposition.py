"""Logits as exact sums over units and over pixels: what decides, and why a change of background alters so little (section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..linear.exact_network import ExactNetwork, NoFormError
from ..pipeline.features import own_kind
from ..pipeline.logits import logits_of
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import in_float64, labelled, spread_over
from ..pipeline.units import activations_in_parts, inner_layer, sizes_of
from .positions import NAMES, Positions, Region, region_of
from .readout import LinearReadout, linear_form
from .variance_split import SPLIT_INFO, add_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Sum = Literal["margin", "logit"]
Baseline = Literal["zero", "background"]

_POSITIVE = 0.9  # share of the positive contributions that the fewest units reach

INFO = {
    "reconstruction_error": tmi.MetricInfo(
        "Largest difference between a logit and its terms with the bias, relative to the image's largest logit: of the units' "
        "terms over all logits, and of the pixels' by the local linear form; 0 up to rounding",
        "lower",
        0,
    ),
    "total": tmi.MetricInfo("What is decomposed: label's logit less the largest other, mean over images", None, unit="logit"),
    "participation": tmi.MetricInfo("Participation ratio (Σ|c|)² / Σc² of the units' terms c, mean over images", None, 1),
    "units_90": tmi.MetricInfo(
        "Fewest units whose terms reach 90 % of the sum of the positive ones, mean over images", "lower", 0
    ),
    "inside": tmi.MetricInfo("Share of the sum from units that read the tile alone: mean terms over the mean sum", None),
    "border": tmi.MetricInfo("Share of the sum from units that read the tile and the background", None),
    "outside": tmi.MetricInfo("Share of the sum from units that read the background alone", None),
    "bias": tmi.MetricInfo("Share of the sum from the bias: what is left where no unit differs from the baseline", None),
    "pixel_tile": tmi.MetricInfo("Share of the sum from the pixels of the tile, W x in the local linear form W x + b", None),
    "pixel_background": tmi.MetricInfo("Share of the sum from the pixels of the background", None),
    "pixel_bias": tmi.MetricInfo("Share of the sum from b of the local linear form", None),
} | SPLIT_INFO


def logit_decomposition(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 100,
    layer: str | None = None,
    of: Sum = "margin",
    baseline: Baseline = "zero",
    region: Region = "tile",
    forms: Count = 10,
    tiles: Count | Literal["all"] = 3,
    backgrounds: Count = 100,
    places: Count | Literal["all"] = "all",
    keep: Count = 3,
) -> tmi.ProbeResult:
    """Logits decomposed into the units and pixels that make them, and their variance into units that see the tile or do not.

    Where the logits are linear in a layer, a logit is the bias plus a term for each unit: activation times weight. By pixels it
    is W x + b, the exact local linear form. Both are exact, and checked. The variances over backgrounds and places take a unit's
    activation relative to its mean over backgrounds without tiles, so that which units see the tile alone moves no variance.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    layer : str, optional
        By default the last one before the logits.
    of : {"margin", "logit"}
        Decompose the label's logit less the strongest other, which decides the prediction, or the label's logit alone.
    baseline : {"zero", "background"}
        A unit's term is its weight times its activation, or times what its activation differs by from its mean over the same
        backgrounds without tiles; the weights times those means then count as bias.
    region : {"tile", "support"}
        What counts as the tile: all pixels that pasting it sets, so that the rest is background, or those of its support alone.
    forms : int
        For how many of the images the sum is decomposed by pixels, of as many classes as possible.
    tiles : int or "all"
        How many test scenes are shown on other backgrounds and at other places; "all": one of every tile.
    backgrounds : int
        How many other backgrounds for each of those.
    places : int or "all"
        How many places for each of those.
    keep : int
        For how many images the terms are kept as maps, of as many classes as possible.

    Returns
    -------
    ProbeResult
        Metrics ``reconstruction_error.units`` and ``.pixels``; ``total``; ``participation`` and ``units_90``, with those of
        another class's sum, drawn at random, as ``.chance``; the shares ``inside``, ``border``, ``outside`` and ``bias``, with
        the share of the units that lie there as ``.chance``; ``pixel_tile``, ``pixel_background``, ``pixel_bias``. Of the
        variance of a logit over backgrounds, and over places: ``variance``, ``variance_sees_tile``, ``variance_background_only``,
        ``covariance``, ``averaging``. Arrays: of each image ``parts`` (image, part), ``participation``, ``units_90``, ``label``,
        ``rival`` and ``tile_index``; means ``by_tile`` (measure, shown_tile) and ``by_class`` (measure, shown_class);
        ``variance_parts`` (change, variance_part, tile, class); ``pixel_parts`` (form, pixel_part); ``maps`` (kept, map_row,
        map_col), each place's terms summed, with ``images``, ``masks``. Not applicable to units where the logits are not linear
        in the layer or there is no layer before them, and to pixels where there is no local linear form.

    Raises
    ------
    InputError
        If no test scene shows a tile, or the layer gives the logits.
    UnknownNameError
        For a layer that the network does not have.
    """
    scenes = labelled(data.test, images)
    result = ResultBuilder(INFO)
    logits, label = logits_of(network, scenes), scenes.labels.numpy()
    rival = rivals(logits, label, of)
    chosen = inner_layer(network, layer)
    form = None if chosen is None else _readout(network, chosen, scenes, logits)
    if chosen is None:
        result.cannot_fail("units", "the network names no layer but the logits")
    elif form is None:
        result.cannot_fail("units", f"the logits are not linear in layer {chosen}")
    else:
        bare = _bare(network, chosen, scenes)
        units = _Units(network, chosen, form, scenes, region, bare if baseline == "background" else np.zeros_like(bare))
        units.measure(logits, rival, of, np.random.default_rng([seed, 1]))
        units.add_to(result)
        if units.lie_apart:
            add_splits(result, network, data.test, units.positions, form, bare, (tiles, backgrounds, places), region, seed)
        _add_maps(result, units, scenes[spread_over(label.tolist(), keep)], rival[spread_over(label.tolist(), keep)])
    _add_pixels(result, network, scenes, rival, region, spread_over(label.tolist(), forms))
    if result.arrays:
        result.arrays |= {"label": ("image", label), "rival": ("image", rival), "tile_index": ("image", scenes.tile)}
        result.coords["class"] = data.task.class_names
    return result.result()


def rivals(logits: Array, labels: NDArray[np.int64], of: Sum) -> NDArray[np.int64]:
    """Return the strongest other class of each image, the first of equals; −1 where nothing is subtracted from the logit."""
    if of == "logit" or logits.shape[1] == 1:
        return np.full(len(labels), -1)
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    strongest: NDArray[np.int64] = others.argmax(1)
    return strongest


def differences(values: Array, label: NDArray[np.int64], rival: NDArray[np.int64]) -> Array:
    """Return the rows (or entries) of labels less those of their rivals, of which −1 counts as 0: (L, …) gives (N, …)."""
    padded = np.concatenate([values, np.zeros_like(values[:1])])
    difference: Array = padded[label] - padded[rival]
    return difference


def fewest(terms: Array, share: float) -> NDArray[np.int64]:
    """Return how many terms of each row (N, U) reach a share of the sum of its positive ones, largest first."""
    largest = -np.sort(-np.maximum(terms, 0), axis=1)
    reached = largest.cumsum(1)
    total = reached[:, -1:]
    number: NDArray[np.int64] = (reached < share * total).sum(1) + (total[:, 0] > 0)
    return number


def participation(terms: Array) -> Array:
    """Return the participation ratio of each row (N, U): from 1, where one term is not 0, to U; NaN where all are 0."""
    squares = np.square(terms).sum(1)
    ratio = np.full(len(terms), np.nan)
    np.divide(np.square(np.abs(terms).sum(1)), squares, out=ratio, where=squares > 0)
    return ratio


def _readout(network: tmi.Network, layer: str, scenes: tmi.Scenes, logits: Array) -> LinearReadout | None:
    rows, activations = next(activations_in_parts(network, scenes, sizes_of(network, scenes, [layer])))
    return linear_form(network, layer, activations[layer].astype(np.float64), logits[rows], scenes[:1].images)


def _bare(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> Array:
    """Return each unit's mean activation on the backgrounds of the scenes, without tiles."""
    size = sizes_of(network, scenes, [layer])
    parts = activations_in_parts(network, scenes.without_tiles(), size)
    total: Array = sum(activations[layer].sum(0, dtype=np.float64) for _, activations in parts)
    return total / len(scenes)


class _Units:
    """The terms of the units of a layer, and where the units lie."""

    def __init__(
        self, network: tmi.Network, layer: str, form: LinearReadout, scenes: tmi.Scenes, region: Region, baseline: Array
    ) -> None:
        self.network, self.layer, self.form, self.scenes, self.region = network, layer, form, scenes, region
        self.baseline = baseline
        self.size = sizes_of(network, scenes, [layer])
        self.positions = Positions(network, layer)
        self.unknown = ""
        try:
            self.positions.of(region_of(scenes[:1], region))
        except InputError as error:
            self.unknown = str(error)
        count = len(scenes)
        self.parts, self.present = np.full((count, 4), np.nan), np.full((count, 3), np.nan)  # by position; the last is the bias
        self.total, self.error = np.zeros(count), np.zeros(count)
        self.participation, self.fewest = np.zeros((2, count)), np.zeros((2, count))  # of the label, of another class

    @property
    def lie_apart(self) -> bool:
        """Whether on some image some units lie elsewhere than others: inside, on the border or outside."""
        return not self.unknown and not (self.present == 1).any(1).all()

    def measure(self, logits: Array, rival: NDArray[np.int64], of: Sum, rng: np.random.Generator) -> None:
        """Measure every image."""
        label, weight = self.scenes.labels.numpy(), self.form.weight
        other = (label + rng.integers(1, max(2, logits.shape[1]), len(label))) % logits.shape[1]
        other_rival = rivals(logits, other, of)
        bias = self.form.bias + weight @ self.baseline
        self.parts[:, 3] = differences(bias, label, rival)
        for rows, activations in activations_in_parts(self.network, self.scenes, self.size):
            values = activations[self.layer] - self.baseline
            difference = np.abs(values @ weight.T + bias - logits[rows]).max(1)
            largest = np.abs(logits[rows]).max(1)
            self.error[rows] = np.divide(difference, largest, out=difference.copy(), where=largest > 0)
            terms = values * differences(weight, label[rows], rival[rows])
            self.total[rows] = terms.sum(1) + self.parts[rows, 3]
            for k, of_class in enumerate((terms, values * differences(weight, other[rows], other_rival[rows]))):
                self.participation[k, rows], self.fewest[k, rows] = participation(of_class), fewest(of_class, _POSITIVE)
            if not self.unknown:
                positions = self.positions.of(region_of(self.scenes[rows], self.region))
                for k in range(len(NAMES)):
                    self.parts[rows, k] = np.where(positions == k, terms, 0).sum(1)
                    self.present[rows, k] = (positions == k).mean(1)

    def add_to(self, result: ResultBuilder) -> None:
        """Add metrics and arrays."""
        several = self.form.weight.shape[0] > 1
        result.add("reconstruction_error.units", self.error.max())
        result.add("total", self.total.mean())
        for name, (own, other) in (("participation", self.participation), ("units_90", self.fewest)):
            if np.isfinite(own).any():  # not where every term is 0
                result.add(name, np.nanmean(own), chance=np.nanmean(other) if several and np.isfinite(other).any() else None)
            result.arrays[name] = ("image", own)
        shares = [*NAMES, "bias"] if self.lie_apart else ["bias"]
        if self.unknown:
            result.notes.append(f"inside, border, outside, variances: left out, for {self.unknown}")
        elif not self.lie_apart:
            result.notes.append(
                f"inside, border, outside, variances: not applicable, for all units of {self.layer} lie alike in each image"
            )
        if self.total.mean() > 0:
            for name in shares:
                k = [*NAMES, "bias"].index(name)
                chance = self.present[:, k].mean() if name in NAMES else None
                result.add(name, self.parts[:, k].mean() / self.total.mean(), chance=chance)
        else:
            result.notes.append(f"{', '.join(shares)}: left out, for the mean of what is decomposed is not above 0")
        result.arrays["parts"] = (("image", "part"), self.parts)
        result.coords["part"] = [*NAMES, "bias"]
        for name, groups, names in (
            ("tile", self.scenes.tile.numpy(), self.scenes.task.tile_name),
            ("class", self.scenes.labels.numpy(), self.scenes.task.class_names.__getitem__),
        ):
            shown, of_image = np.unique(groups, return_inverse=True)
            measures = np.column_stack([self.parts, self.total, self.participation[0], self.fewest[0]])
            means = np.stack([measures[of_image == k].mean(0) for k in range(len(shown))], axis=1)
            result.arrays[f"by_{name}"] = (("measure", f"shown_{name}"), means)
            result.coords[f"shown_{name}"] = [names(int(number)) for number in shown]
        result.coords["measure"] = [*NAMES, "bias", "total", "participation", "units_90"]


def _add_maps(result: ResultBuilder, units: _Units, scenes: tmi.Scenes, rival: NDArray[np.int64]) -> None:
    """Add the terms of a few images, summed over the units at each place, where the layer has places."""
    table = units.network.neurons(units.layer)
    shape = units.network.activations(scenes[:1].images, units.layer)[units.layer].shape[1:]
    by_window = table if own_kind(table) == "tile-place" else None
    if by_window is None and len(shape) != 3:
        return
    weight = differences(units.form.weight, scenes.labels.numpy(), rival)
    maps = []
    for i in range(len(scenes)):
        values = units.network.activations(scenes[[i]].images, units.layer)[units.layer].double().numpy().reshape(-1)
        terms = (values - units.baseline) * weight[i]
        if by_window is not None:
            row, col = (by_window[name].to_numpy(np.int64) for name in ("row", "col"))
            of_place = np.zeros((row.max() + 1, col.max() + 1))
            np.add.at(of_place, (row, col), terms)
        else:
            of_place = terms.reshape(shape).sum(0)
        maps.append(of_place)
    result.arrays |= {
        "maps": (("kept", "map_row", "map_col"), np.stack(maps)),
        "images": (("kept", "channel", "row", "col"), scenes.images),
        "masks": (("kept", "row", "col"), region_of(scenes, units.region).any(1)),
    }
    result.coords["kept"] = [scenes.task.tile_name(int(tile)) for tile in scenes.tile]


def _add_pixels(
    result: ResultBuilder, network: tmi.Network, scenes: tmi.Scenes, rival: NDArray[np.int64], region: Region, chosen: list[int]
) -> None:
    """Add the parts of the sum by pixels of the tile, of the background, and by b of the local linear form."""
    exact, label = ExactNetwork(network), scenes.labels.numpy()
    parts, errors = np.zeros((len(chosen), 3)), []
    try:
        for k, i in enumerate(chosen):
            scene = in_float64(scenes[[i]])
            subtracted = [int(rival[i])] if rival[i] >= 0 else []
            form = exact.form(scene.images, [int(label[i]), *subtracted])
            weight = form.weight[0] - (form.weight[1] if subtracted else 0)
            terms, of_tile = weight * scene.images[0].numpy(), region_of(scene, region)[0].numpy()
            bias = differences(form.bias, label[[i]], rival[[i]])[0]
            parts[k] = terms[of_tile].sum(), terms[~of_tile].sum(), bias
            errors.append(form.error)
    except NoFormError as absent:
        result.cannot_fail("pixels", str(absent))
        return
    result.add("reconstruction_error.pixels", max(errors))
    total = parts.sum(1).mean()
    for name, part in zip(("tile", "background", "bias"), parts.T, strict=True):
        if total > 0:
            result.add(f"pixel_{name}", part.mean() / total)
    if total <= 0:
        result.notes.append("shares of pixels: left out, for the mean of what is decomposed is not above 0")
    result.arrays["pixel_parts"] = (("form", "pixel_part"), parts)
    result.coords |= {"form": chosen, "pixel_part": ["tile", "background", "bias"]}
