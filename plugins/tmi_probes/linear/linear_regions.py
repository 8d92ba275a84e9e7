"""Linear regions: how many linear pieces a network has on a sample of images, and along paths between images."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import in_float64, labelled, originals, pictures
from ..pipeline.units import activations_in_parts, in_parts, sizes_of
from .breakpoints import of_formula, of_layers, on_path
from .exact_network import ExactNetwork, NoFormError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .switches import Use

    Array = NDArray[np.float64]

INFO = {
    "sample_regions": tmi.MetricInfo(
        "Number of activation patterns, all piecewise linear operations together, on the test images", "lower", 1
    ),
    "sample_regions_share": tmi.MetricInfo("sample_regions over the number of images; 1 if no two share a piece", "lower", 0, 1),
    "sample_layer_share": tmi.MetricInfo("Number of activation patterns of a layer over the number of images", "lower", 0, 1),
    "path_regions": tmi.MetricInfo(
        "Number of linear pieces on the straight path to the same scene on another background, or with the tile moved by one "
        "pixel; mean over paths, exact",
        "lower",
        1,
    ),
    "path_regions_max": tmi.MetricInfo("The same, the largest over the paths", "lower", 1),
}
STEPS = 101
"""Points of the drawn curves."""


def linear_regions(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    paths: Count = 2,
    most: Count = 20_000,
) -> tmi.ProbeResult:
    """How many linear pieces a network uses: on the test images, and on paths to another background or another place.

    The pieces of every operation are counted: ReLU, LeakyReLU, PReLU, ReLU6, Hardtanh, clamping, absolute value, maximum, max
    pooling and the like, as modules or functions. On a path every value at which one changes its piece is found exactly, not on a
    grid. A region is convex, so a straight path meets each once: there is one region more than breakpoints. The pieces of a
    constructed network, fused or literal, are those of its formula: which windows are active, and on which side of the tile's
    value each pixel of their support lies. The value filters of the literal layers switch far more often, without any change of
    the function.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    paths : int
        From how many test scenes paths start: one to another background, one to a neighbouring place.
    most : int
        A path with more breakpoints than this is not followed into the operations after it; a note says so.

    Returns
    -------
    ProbeResult
        Metrics ``sample_regions``, ``sample_regions_share``, ``sample_layer_share`` by layer, ``path_regions`` and
        ``path_regions_max`` by path (``background``, ``translation``). Arrays ``pattern`` (image), equal for images on one piece,
        ``breakpoints.<path>`` (path, breakpoint), NaN where there are fewer, and the label's logit on the path,
        ``label_logit.<path>`` (path, step). A layer is the named layer that contains the operation's module, else that module,
        else the operation and its number, as in ``relu1``. Not applicable to a network that was not constructed and is not
        continuous and piecewise linear; the note names the operation.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    scenes = labelled(data.test, images)
    exact, result = ExactNetwork(network), ResultBuilder(INFO)
    constructed = exact.is_phi
    if not constructed:
        try:
            exact.check_pieces(in_float64(scenes[:1]).images)
        except NoFormError as reason:
            return tmi.ProbeResult.not_applicable(str(reason))
    whole, layers = _layer_patterns(network, scenes) if exact.by_formula else _patterns(exact, scenes)
    if constructed:
        whole = _formula_patterns(scenes)
    elif not layers:  # an affine network has one piece
        whole = [b""] * len(scenes)
    if len(np.unique(pictures(scenes))) > 1:
        result.add("sample_regions", len(set(whole)))
        result.add("sample_regions_share", len(set(whole)) / len(scenes))
        for layer, patterns in layers.items():
            result.add(f"sample_layer_share.{layer}", len(set(patterns)) / len(scenes))
    else:
        result.cannot_fail("sample_regions, sample_regions_share, sample_layer_share", "all images are equal")
    result.arrays |= {"pattern": ("image", _numbered(whole)), "tile_index": ("image", scenes.tile)}
    chosen, few = originals(data.test, paths, np.random.default_rng(seed))
    result.notes += few
    ends = _paths(data.test, chosen, np.random.default_rng([seed, 1]), result.notes)
    for kind, (labels, start, end) in ends.items():
        differs = (start != end).flatten(1).any(1).numpy()
        if not differs.any():
            result.cannot_fail(f"path_regions.{kind}", f"no other {kind} changes an image")
            continue
        labels, start, end = labels[differs], start[differs], end[differs]
        breaks = [_breakpoints(exact, start[[k]], end[[k]], most, kind, constructed, result.notes) for k in range(len(start))]
        counts = [len(alpha) + 1 for alpha in breaks]
        result.add(f"path_regions.{kind}", np.mean(counts))
        result.add(f"path_regions_max.{kind}", max(counts))
        padded = np.full((len(breaks), max(counts) - 1), np.nan)
        for row, alpha in zip(padded, breaks, strict=True):
            row[: len(alpha)] = alpha
        result.arrays[f"breakpoints.{kind}"] = ((f"path_{kind}", f"breakpoint_{kind}"), padded)
        result.arrays[f"label_logit.{kind}"] = ((f"path_{kind}", "step"), _curves(exact, start, end, labels))
    result.notes = list(dict.fromkeys(result.notes))
    return result.result()


def _patterns(exact: ExactNetwork, scenes: tmi.Scenes) -> tuple[list[bytes], dict[str, list[bytes]]]:
    """Return a digest of the pieces that each image's operations are in, of all of them together and by layer."""
    names = _names(exact.uses(in_float64(scenes[:1]).images), exact.network.layers)
    whole: list[bytes] = []
    layers: dict[str, list[bytes]] = {name: [] for name in names}
    if names:
        for states in (states for _, part in in_parts(scenes) for _, states in exact.states(in_float64(part).images)):
            pieces = [state.bytes for state in states]
            for layer in layers:
                own = [part for part, name in zip(pieces, names, strict=True) if name == layer]
                layers[layer] += [_digest(*row) for row in zip(*own, strict=True)]
            whole += [_digest(*row) for row in zip(*pieces, strict=True)]
    return whole, layers


def _names(uses: list[Use], layers: tuple[str, ...]) -> list[str]:
    """Return the layer of each use: the named layer that contains its module, the module's own name, or the operation's."""
    names = []
    for use in uses:
        outside = sum(other.operation == use.operation and not other.where for other in uses[: uses.index(use)])
        inside = next((layer for layer in layers if use.where == layer or use.where.startswith(f"{layer}.")), use.where)
        names.append(inside or f"{use.operation.strip('_')}{outside + 1}")
    return names


def _layer_patterns(network: tmi.Network, scenes: tmi.Scenes) -> tuple[list[bytes], dict[str, list[bytes]]]:
    """Return the same by layer for a fused constructed network, whose layers have no ReLU module: which neurons are above 0."""
    sizes = sizes_of(network, scenes, network.layers[:-1])
    layers: dict[str, list[bytes]] = {name: [] for name in sizes}
    for _, activations in activations_in_parts(network, scenes, sizes) if sizes else ():
        for layer, values in activations.items():
            layers[layer] += [_digest(row) for row in np.packbits(values > 0, axis=1)]
    return [], layers


def _formula_patterns(scenes: tmi.Scenes) -> list[bytes]:
    """Return a digest of each image's piece of φ: its active windows, and on which side of the tile's value each pixel lies."""
    parts: list[list[bytes]] = [[] for _ in range(len(scenes))]
    tiles = scenes.task.tiles
    for rows, part_of_scenes in in_parts(scenes):
        images = in_float64(part_of_scenes).images
        matches = tmi.match(images, tiles)
        columns = (matches.image, matches.tile, matches.row, matches.col)
        for image, tile, row, col in zip(*(column.tolist() for column in columns), strict=True):
            template = tiles[tile]
            _, high, wide = template.shape
            y = images[image, :, row : row + high, col : col + wide].numpy()[template.support]
            sides = np.packbits(np.concatenate([y > template.values[template.support], y > 0]))
            parts[rows.start + image].append(np.array([tile, row, col]).tobytes() + sides.tobytes())
    return [blake2b(b"".join(part), digest_size=16).digest() for part in parts]


def _digest(*parts: NDArray[np.uint8]) -> bytes:
    return blake2b(b"".join(part.tobytes() for part in parts), digest_size=16).digest()


def _numbered(patterns: list[bytes]) -> NDArray[np.int64]:
    """Number the patterns in order of appearance."""
    first = {pattern: number for number, pattern in enumerate(dict.fromkeys(patterns))}
    return np.array([first[pattern] for pattern in patterns])


def _paths(
    scenes: tmi.Scenes, chosen: list[int], rng: np.random.Generator, notes: list[str]
) -> dict[str, tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
    """Return labels, starts and ends of the paths, by kind."""
    ends = {}
    start = in_float64(scenes[chosen])
    if len(scenes) > 1:
        others = [int(rng.choice(np.delete(np.arange(len(scenes)), index))) for index in chosen]
        ends["background"] = (
            start.labels.numpy(),
            start.images,
            start.with_backgrounds(scenes.backgrounds[others].double()).images,
        )
    else:
        notes.append("path_regions.background: left out, for there is no other background")
    row, col = start.row.numpy().copy(), start.col.numpy().copy()
    windows = np.array(scenes.task.windows)[start.tile.numpy()]
    across = windows[:, 1] > 1
    col[across] += np.where(col[across] + 1 < windows[across, 1], 1, -1)
    down = ~across & (windows[:, 0] > 1)
    row[down] += np.where(row[down] + 1 < windows[down, 0], 1, -1)
    movable = np.flatnonzero(across | down)
    if len(movable) < len(chosen):
        notes.append(f"path_regions.translation: {len(chosen) - len(movable)} tiles have one place only and are left out")
    if len(movable):
        moving = start[movable]
        ends["translation"] = moving.labels.numpy(), moving.images, moving.moved(row[movable], col[movable]).images
    return ends


def _breakpoints(
    exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, most: int, kind: str, constructed: bool, notes: list[str]
) -> Array:
    if constructed:
        return of_formula(exact.task, start[0].numpy(), end[0].numpy())
    alpha, complete = of_layers(exact, start, end, most)
    if not complete:
        notes.append(f"path_regions.{kind}: a lower bound, for a path has over {most} breakpoints before the last operation")
    return alpha


def _curves(exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, labels: NDArray[np.int64]) -> Array:
    import torch

    alpha = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    curves = []
    for k, label in enumerate(labels.tolist()):
        images = on_path(start[[k]], end[[k]], alpha)
        # Literal layers compute φ as well, but slower.
        logits = np.asarray(exact.task.phi(images)) if exact.is_phi else exact.logits(images)
        curves.append(logits[:, label])
    return np.stack(curves)
