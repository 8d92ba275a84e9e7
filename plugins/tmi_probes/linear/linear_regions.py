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
    "sample_regions": tmi.MetricInfo("Number of linear pieces of the function on the test images", "lower", 1),
    "sample_regions_share": tmi.MetricInfo("sample_regions over the number of images; 1 if no two share a piece", "lower", 0, 1),
    "sample_patterns": tmi.MetricInfo(
        "Number of activation patterns of the network, all piecewise linear operations together, on the test images: at least "
        "sample_regions",
        "lower",
        1,
    ),
    "sample_patterns_share": tmi.MetricInfo("sample_patterns over the number of images", "lower", 0, 1),
    "sample_layer_share": tmi.MetricInfo("Number of activation patterns of a layer over the number of images", "lower", 0, 1),
    "path_regions": tmi.MetricInfo(
        "Number of linear pieces of the function on the straight path to the same scene on another background, or with the tile "
        "moved by one pixel; mean over paths, exact",
        "lower",
        1,
    ),
    "path_regions_max": tmi.MetricInfo("The same, the largest over the paths", "lower", 1),
    "path_patterns": tmi.MetricInfo(
        "Number of activation patterns of the network on the same path, mean over paths, exact: at least path_regions", "lower", 1
    ),
    "path_patterns_max": tmi.MetricInfo("The same, the largest over the paths", "lower", 1),
}
STEPS = 101
"""Points of the drawn curves."""

_SAME = 1e-9  # of the largest number: two linear functions nearer than this differ by rounding alone
_NUMBERS = 500_000_000  # inputs of an operation computed at the breakpoints of a path: they take a minute
_AT_ONCE = 2048  # images of a path rendered at a time


def linear_regions(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    paths: Count = 2,
    most: Count = 20_000,
) -> tmi.ProbeResult:
    """How many linear pieces a function has, and how many activation patterns its network: on test images, and on paths.

    Two counts, for a network may switch without any change of its function. Activation patterns are the pieces of every operation
    together: ReLU, LeakyReLU, PReLU, ReLU6, Hardtanh, clamping, absolute value, maximum, max pooling and the like, as modules or
    functions. On a path every value at which one changes its piece is found exactly, not on a grid. A region is convex, so a
    straight path meets each once: there is one region more than breakpoints. Pieces of the function are patterns with different
    W x + b: of neighbouring ones on a path, those between which W changes. For a constructed network they follow from its
    formula: which windows are active, and on which side of the tile's value each pixel of their support lies. The value filters
    of its literal layers switch far more often, without any change of the function.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    paths : int
        From how many test scenes paths start: one to another background, one to a neighbouring place.
    most : int
        A path with more breakpoints than this is not followed into the operations after it; a note says so. In a network with
        more than 25,000 inputs of an operation fewer are followed, as many as take a minute.

    Returns
    -------
    ProbeResult
        Of the function metrics ``sample_regions``, ``sample_regions_share``, and by path (``background``, ``translation``)
        ``path_regions`` and ``path_regions_max``; of the network ``sample_patterns``, ``sample_patterns_share``,
        ``sample_layer_share`` by layer, ``path_patterns`` and ``path_patterns_max``. A fused constructed network has no patterns
        but those of ``sample_layer_share``: it compares windows with tiles in one operation. Arrays ``pattern`` (image), equal
        for images on one piece of the function, ``breakpoints.<path>`` (path, breakpoint) of the function, NaN where there are
        fewer, and the label's logit on the path, ``label_logit.<path>`` (path, step). A layer is the named layer that contains
        the operation's module, else that module, else the operation and its number, as in ``relu1``. Not applicable to a network
        that was not constructed and is not continuous and piecewise linear; the note names the operation.

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
    patterns, layers = _layer_patterns(network, scenes) if exact.by_formula else _patterns(exact, scenes)
    if exact.by_formula:
        result.notes.append("patterns of the network: left out, for it compares windows with tiles in one operation")
    whole = _formula_patterns(scenes) if constructed else _functions(exact, scenes, patterns)
    if len(np.unique(pictures(scenes))) > 1:
        for name, kinds in (("regions", whole), ("patterns", patterns)):
            if kinds:
                result.add(f"sample_{name}", len(set(kinds)))
                result.add(f"sample_{name}_share", len(set(kinds)) / len(scenes))
        for layer, patterns in layers.items():
            result.add(f"sample_layer_share.{layer}", len(set(patterns)) / len(scenes))
    else:
        what = "sample_regions, sample_regions_share, sample_patterns, sample_patterns_share, sample_layer_share"
        result.cannot_fail(what, "all images are equal")
    result.arrays["pattern"] = ("image", _numbered(whole))
    ends = {}
    if data.task.has_tiles:
        result.arrays["tile_index"] = ("image", scenes.tile)
        chosen, few = originals(data.test, paths, np.random.default_rng(seed))
        result.notes += few
        ends = _paths(data.test, chosen, np.random.default_rng([seed, 1]), result.notes)
    else:
        result.cannot_fail("path_regions, path_patterns", "the images have no tiles to move, and no backgrounds to exchange")
    for kind, (labels, start, end) in ends.items():
        differs = (start != end).flatten(1).any(1).numpy()
        if not differs.any():
            result.cannot_fail(f"path_regions.{kind}, path_patterns.{kind}", f"no other {kind} changes an image")
            continue
        labels, start, end = labels[differs], start[differs], end[differs]
        found = [_breakpoints(exact, start[[k]], end[[k]], most, kind, result.notes) for k in range(len(start))]
        breaks = [of_function for of_function, _ in found]
        counts = [len(alpha) + 1 for alpha in breaks]
        switches = [len(of_network) + 1 for _, of_network in found if of_network is not None]
        for name, pieces in (("regions", counts), ("patterns", switches)):
            if pieces:
                result.add(f"path_{name}.{kind}", np.mean(pieces))
                result.add(f"path_{name}_max.{kind}", max(pieces))
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
    exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, most: int, kind: str, notes: list[str]
) -> tuple[Array, Array | None]:
    """Return the breakpoints of the function on a path, and those of the network; None for a network of one operation."""
    switches, complete = None, True
    if not exact.by_formula:
        widest = max((exact.state(start, use).values.shape[1] for use in exact.uses(start)), default=1)
        most = min(most, _NUMBERS // widest)
        switches, complete = of_layers(exact, start, end, most)
    if not complete:
        notes.append(f"path_patterns.{kind}: a lower bound, for a path has over {most} breakpoints before the last operation")
    if exact.is_phi:
        return of_formula(exact.task, start[0].numpy(), end[0].numpy()), switches
    assert switches is not None
    if not complete:
        notes.append(f"path_regions.{kind}: a lower bound likewise")
    return switches[_changes_function(exact, start, end, switches)], switches


def _changes_function(exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, alpha: Array) -> NDArray[np.bool_]:
    """Return at which breakpoints W of the logits changes: it is compared in the middle of the pieces on both sides."""
    import torch

    from .gradients import of_all_logits

    edges = np.concatenate([[0.0], alpha, [1.0]])
    middles = torch.from_numpy((edges[1:] + edges[:-1]) / 2)
    changes: list[NDArray[np.bool_]] = []
    last: torch.Tensor | None = None
    for some in torch.split(middles, _AT_ONCE):
        for weight, _ in of_all_logits(exact, on_path(start, end, some)):
            weight = weight if last is None else torch.cat([last, weight])
            last = weight[-1:]
            change, size = (weight[1:] - weight[:-1]).abs().amax(1), weight.abs().amax()
            changes.append((change > _SAME * size).numpy())
    return np.concatenate(changes)


def _functions(exact: ExactNetwork, scenes: tmi.Scenes, patterns: list[bytes]) -> list[bytes]:
    """Return a digest of each image's linear function W x + b of the logits; images of one pattern have the same one."""
    import torch

    from .gradients import of_all_logits

    if not patterns:  # an affine network
        return [b""] * len(scenes)
    first = list({pattern: i for i, pattern in reversed(list(enumerate(patterns)))}.values())[::-1]
    axes: torch.Tensor | None = None
    parts = []
    for _, part in in_parts(scenes[first]):
        for weight, bias in of_all_logits(exact, in_float64(part).images):
            if axes is None:
                axes = torch.randn(weight.shape[1], 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
            parts.append(torch.cat([weight @ axes, bias[:, None]], 1))
    values = torch.cat(parts).numpy()
    rounded = np.round(values / (_SAME * max(np.abs(values).max(), np.finfo(float).tiny)))
    of_pattern = {patterns[i]: row.tobytes() for i, row in zip(first, rounded + 0.0, strict=True)}
    return [of_pattern[pattern] for pattern in patterns]


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
