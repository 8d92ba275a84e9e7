"""Activation maximisation: the picture that a unit prefers, beside the known tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

import tmi
from tmi.params import Count, NotNegative

from ..pipeline.features import own_kind
from ..pipeline.result import ResultBuilder
from ..pipeline.samples import widened
from ..pipeline.scenes import in_float64, labelled
from .ascent import ascend, total_variation
from .fields import fields_of
from .resemblance import best_match, with_surrogates
from .top import Top, tops_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Kernels = list[tuple[Array, NDArray[np.bool_]]]

INFO = {
    "best_tile": tmi.MetricInfo(
        "Greatest correlation of a unit's preferred picture with any tile at any place, over the support that it reads; mean "
        "over the units",
        "higher",
        -1,
        1,
    ),
    "known_tile": tmi.MetricInfo(
        "Correlation of a unit's preferred picture with the tile that it stands for, at its place, over the support; mean "
        "over the units",
        "higher",
        -1,
        1,
    ),
    "own_class": tmi.MetricInfo("Share of the logits whose best-matching tile is one of their class", "higher", 0, 1),
    "gain": tmi.MetricInfo(
        "Activation on the preferred picture, as a multiple of the greatest on the scenes; mean over the units", None
    ),
    "from_scenes": tmi.MetricInfo(
        "Share of the units whose activation no ascent from noise raised, so that it began at a scene, disturbed by noise",
        None,
        0,
        1,
    ),
}
_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Preferred:
    """The preferred pictures of units of a layer.

    Attributes
    ----------
    units : ndarray of int64, shape (K,)
        Channels of a layer of maps, neurons of any other.
    pictures : ndarray of float64, shape (K, C, m, n)
    reads : ndarray of bool, shape (K, m, n)
        The pixels that the unit reads, a box.
    activation, greatest : ndarray of float64, shape (K,)
        On the picture, and the greatest on the scenes.
    from_scene : ndarray of bool, shape (K,)
    neurons : ndarray of int64, shape (K,)
        Index into the flattened layer.
    left_out : int
        Units for which no start had a gradient.
    """

    units: NDArray[np.int64]
    pictures: Array
    reads: NDArray[np.bool_]
    activation: Array
    greatest: Array
    from_scene: NDArray[np.bool_]
    neurons: NDArray[np.int64]
    left_out: int


def activation_maximisation(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    units: Count = 12,
    restarts: Count = 4,
    steps: Count = 200,
    total_variation: NotNegative = 0.0,
    images: Count = 1000,
    draws: Annotated[int, msgspec.Meta(ge=20)] = 20,
) -> tmi.ProbeResult:
    """The picture on which a unit is most active, by gradient ascent over all images in [0, 1], compared with the tiles.

    A unit of a layer of maps is a channel, at the place in the middle of the map. Ascent begins at a grey image
    and at images of noise; the best result counts. Where no such start has a gradient, as for a neuron that is 0 unless its tile
    is there, it begins at the unit's most activating scene, disturbed by the most noise that leaves it active. Pictures are the
    least regularised that can be: what activates a unit most need not look like what activates it on the data.

    Parameters
    ----------
    units : int
        How many units of a layer, drawn at random among those that are not constant on the scenes.
    restarts : int
        Number of starts of each unit: one grey, the others noise.
    steps : int
        Steps of each ascent; a step that does not raise the activation is not taken, and the next is shorter.
    total_variation : float
        Weight of the regulariser: the mean absolute difference of neighbouring pixels is subtracted from the activation. By
        default 0: no regulariser.
    images : int
        How many test images the most activating scene is taken from: the first ones that show a tile.
    draws : int
        How many random tiles with the power spectrum of each tile, for the distribution of chance.

    Returns
    -------
    ProbeResult
        For each layer ``best_tile.<layer>`` and, where it is known which tile at which place a unit stands for,
        ``known_tile.<layer>``; with ``.chance`` the same with random tiles of the tiles' power spectra, and for the first
        ``.untrained``, the same before training. ``gain.<layer>`` and ``from_scenes.<layer>``, and for the logits
        ``own_class.<layer>``. Arrays for the examined units ``unit.<layer>``: ``picture.<layer>`` (unit, channel, row, col), NaN
        where the unit does not read; ``tile.<layer>`` of the same shape, the known or best-matching tile at its place, NaN off
        its support; ``tile_index.<layer>``, −1 without one, ``correlation.<layer>`` with that tile, ``activation.<layer>``, and
        ``greatest.<layer>`` on the scenes.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    import torch

    scenes = labelled(data.test, images)
    result = ResultBuilder(INFO)
    kernels = with_surrogates(data.task, draws, np.random.default_rng([seed, 0]))
    before = network.untrained()
    with torch.inference_mode(False):
        tops = tops_of(network, network.layers, scenes, 1)
        earliest = tops_of(before, network.layers, scenes, 1) if before else {}
        for number, layer in enumerate(network.layers):
            options = (layer, scenes, units, restarts, steps, total_variation)
            found = _preferred(network, tops[layer], *options, np.random.default_rng([seed, 1, number]))
            if found.left_out:
                result.notes.append(f"{layer}: {found.left_out} units left out, for no start has a gradient that raises them")
            if not len(found.units):
                result.notes.append(f"{layer}: no unit has a preferred picture")
                continue
            earlier = _preferred(before, earliest[layer], *options, np.random.default_rng([seed, 1, number])) if before else None
            is_classes = layer == network.layers[-1] and tops[layer].size == len(data.task.classes) > 1
            _add(result, network, layer, found, earlier, kernels, is_classes=is_classes)
    return (
        result.result()
        if result.metrics
        else tmi.ProbeResult.not_applicable("no unit of any layer has a gradient that raises it")
    )


def _preferred(
    network: tmi.Network,
    top: Top,
    layer: str,
    scenes: tmi.Scenes,
    units: int,
    restarts: int,
    steps: int,
    variation: float,
    rng: np.random.Generator,
) -> Preferred:
    """Return the preferred pictures of units drawn from those that are not constant on the scenes."""
    import torch

    exact = widened(network, layer, scenes[:1])
    chosen = np.sort(rng.permutation(np.flatnonzero(top.scene[:, 0] >= 0))[:units])
    _, rows, cols = top.shape
    neurons = torch.from_numpy((chosen * rows + rows // 2) * cols + cols // 2)
    if not len(chosen):
        nothing = np.zeros(0)
        shape = scenes.task.image_shape
        return Preferred(chosen, np.zeros((0, *shape)), np.zeros((0, *shape[1:]), bool), nothing, nothing, nothing > 0, chosen, 0)
    dtype = torch.float64 if exact else torch.float32
    at = (exact or network, layer, top.size)

    def best(of: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_]]:
        """Ascend from starts (units, restarts, C, m, n); return the best picture of each unit, its value, and whether it rose."""
        flat, repeated = starts.flatten(0, 1), of.repeat_interleave(starts.shape[1])
        first = ascend(*at, repeated, flat, 0, variation)[1].reshape(starts.shape[:2])
        pictures, value = ascend(*at, repeated, flat, steps, variation)
        value, winner = value.reshape(starts.shape[:2]).max(1)
        return pictures.reshape(starts.shape)[torch.arange(len(of)), winner], value, (value > first.max(1).values).numpy()

    noise = torch.from_numpy(rng.random((restarts, *scenes.task.image_shape))).to(dtype)
    starts = torch.cat([torch.full_like(noise[:1], 0.5), noise[1:]])
    pictures, value, rose = best(neurons, starts.expand(len(chosen), *starts.shape))
    from_scene = ~rose
    if from_scene.any():
        stuck = torch.from_numpy(np.flatnonzero(from_scene))
        own = _in_the_middle(in_float64(scenes[top.scene[chosen[from_scene], 0]]).images.to(dtype), top, chosen[from_scene])
        disturbed = _disturbed(at, neurons[stuck], own, noise - 0.5, torch.from_numpy(top.least[chosen[from_scene]]))
        pictures[stuck], value[stuck], rose[from_scene] = best(neurons[stuck], disturbed)
    _, m, n = scenes.task.image_shape
    boxes = fields_of(network, layer, top.size, neurons.numpy())[:, :, None, None]
    row, col = np.arange(m)[:, None], np.arange(n)
    reads = (row >= boxes[:, 0]) & (col >= boxes[:, 1]) & (row < boxes[:, 2]) & (col < boxes[:, 3])
    activation = (value + variation * total_variation(pictures)).numpy()
    return Preferred(
        chosen[rose],
        pictures.double().numpy()[rose],
        reads[rose],
        activation[rose],
        top.activation[chosen[rose], 0],
        from_scene[rose],
        neurons.numpy()[rose],
        int((~rose).sum()),
    )


def _in_the_middle(images: torch.Tensor, top: Top, units: NDArray[np.int64]) -> torch.Tensor:
    """Return images rolled so that what channels read at their most active places is in the middle; without maps as they are."""
    import torch

    _, rows, cols = top.shape
    middle = replace(top, place=np.full_like(top.place, rows // 2 * cols + cols // 2))
    ends, starts = (
        np.stack(one.pixels((images.shape[1], images.shape[2], images.shape[3])), 2)[units, 0] for one in (middle, top)
    )
    shifts = (ends - starts).tolist()
    return torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])


def _disturbed(
    at: tuple[tmi.Network, str, int], neurons: torch.Tensor, images: torch.Tensor, noise: torch.Tensor, least: torch.Tensor
) -> torch.Tensor:
    """Return images (K, restarts, C, m, n) with noise, halved until the neuron is above its least value, else without noise."""
    import torch

    result = images[:, None].repeat(1, len(noise), 1, 1, 1)
    open_ = torch.ones(result.shape[:2], dtype=torch.bool)
    for halving in range(_HALVINGS):
        with_noise = (images[:, None] + noise / 2**halving).clamp(0, 1)
        value = ascend(*at, neurons.repeat_interleave(len(noise)), with_noise.flatten(0, 1), 0, 0.0)[1].reshape(open_.shape)
        active = open_ & (value > least[:, None])
        result[active] = with_noise[active]
        open_ &= ~active
        if not open_.any():
            break
    return result


def _add(
    result: ResultBuilder,
    network: tmi.Network,
    layer: str,
    found: Preferred,
    earlier: Preferred | None,
    kernels: Kernels,
    *,
    is_classes: bool,
) -> None:
    """Add the metrics and arrays of a layer; ``is_classes`` says that its units are the classes."""
    task = network.task
    result.add(f"from_scenes.{layer}", found.from_scene.mean())
    positive = found.greatest > 0
    if positive.any():
        result.add(f"gain.{layer}", (found.activation[positive] / found.greatest[positive]).mean())
    best, where = _best(found, kernels)
    tile = where[:, 0]
    own = _known(network, layer, found)
    if own is not None:
        known = np.stack([_correlations(p, kernels, *place) for p, place in zip(found.pictures, own, strict=True)])
        _score(result, f"known_tile.{layer}", known)
        best_or_known, where = known[:, 0], own
    else:
        best_or_known = best[:, 0]
    _score(result, f"best_tile.{layer}", best, _best(earlier, kernels)[0] if earlier and len(earlier.units) else None)
    if is_classes and (tile >= 0).any():
        result.add(
            f"own_class.{layer}",
            (task.tile_class[tile] == found.units)[tile >= 0].mean(),
            chance=(np.bincount(task.tile_class)[found.units] / len(task.tiles))[tile >= 0].mean(),
        )
    of_unit = (f"unit.{layer}", "channel", "row", "col")
    result.coords[f"unit.{layer}"] = found.units.tolist()
    result.arrays |= {
        f"picture.{layer}": (of_unit, np.where(found.reads[:, None], found.pictures, np.nan).astype(np.float32)),
        f"tile.{layer}": (of_unit, np.stack([_placed(task, *place) for place in where])),
        f"tile_index.{layer}": (of_unit[0], where[:, 0]),
        f"correlation.{layer}": (of_unit[0], best_or_known),
        f"activation.{layer}": (of_unit[0], found.activation),
        f"greatest.{layer}": (of_unit[0], found.greatest),
    }


def _score(result: ResultBuilder, name: str, correlations: Array, earlier: Array | None = None) -> None:
    """Add a mean over units of correlations (units, 1 + draws), the first with the tiles, the others with random ones."""
    defined = np.isfinite(correlations).all(1)
    if not defined.any():
        result.cannot_fail(name, "no tile has two values where a unit reads it")
        return
    means = correlations[defined].mean(0)
    before = None if earlier is None or not np.isfinite(earlier[:, 0]).any() else np.nanmean(earlier[:, 0])
    result.add(name, means[0], chance=means[1:], untrained=before)


def _best(found: Preferred, kernels: Kernels) -> tuple[Array, NDArray[np.int64]]:
    """Return the greatest correlations (units, 1 + draws) and the tile, row and column of the first (units, 3)."""
    matches = [best_match(picture, read, kernels) for picture, read in zip(found.pictures, found.reads, strict=True)]
    return np.stack([match[0] for match in matches]), np.array([match[1] for match in matches])


def _known(network: tmi.Network, layer: str, found: Preferred) -> NDArray[np.int64] | None:
    """Return tile, row and column that each unit stands for, int64 (units, 3); None where that is not known."""
    table = network.neurons(layer)
    if table is None or own_kind(table) != "tile-place":
        return None
    known: NDArray[np.int64] = table[["tile", "row", "col"]].to_numpy(np.int64)[found.neurons]
    return known


def _correlations(picture: Array, kernels: Kernels, tile: int, row: int, col: int) -> Array:
    """Return the correlations with the versions of a tile over its support at a place; NaN where one is constant."""
    values, support = kernels[tile]
    window = picture[:, row : row + support.shape[1], col : col + support.shape[2]][support]
    x = window - window.mean()
    y = values[:, support] - values[:, support].mean(1, keepdims=True)
    size = np.sqrt((x @ x) * np.square(y).sum(1))
    return np.where(size > 1e-9, y @ x / np.maximum(size, 1e-9), np.nan)


def _placed(task: tmi.TemplateTask, tile: int, row: int, col: int) -> NDArray[np.float32]:
    """Return an image with a tile's support at a place, NaN elsewhere; all NaN for tile −1."""
    image = np.full(task.image_shape, np.nan, np.float32)
    if tile >= 0:
        one = task.tiles[tile]
        image[:, row : row + one.shape[1], col : col + one.shape[2]] = np.where(one.support, one.values, np.nan)
    return image
