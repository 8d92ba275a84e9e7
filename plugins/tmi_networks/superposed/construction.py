"""The builder of Theorem 1's network in superposition: T tiles in fewer than T neurons a place, and known directions."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Positive
from tmi_networks.neurons import meanings

if TYPE_CHECKING:
    from torch import nn

    from tmi_networks.theorem1.filters import Filters

    from .codes import Code
    from .conditions import Limits


def superposed(
    data: tmi.Dataset | tmi.TemplateTask,
    *,
    seed: int,
    neurons: Count | None = None,
    tiles_per_neuron: Positive | None = None,
    code: Literal["binary", "dense"] = "binary",
    weight: Count = 3,
    scope: Literal["place", "layer"] = "place",
    realisation: Literal["fused", "literal"] = "fused",
    approximate: bool = False,
    show_hidden: bool = True,
    memory: Positive = 1.0,
) -> tmi.Network:
    """Construct Theorem 1's network in superposition: its T tiles are carried by d < T neurons at each place of the image.

    Detectors a = σ(e − t(window)) with the inner tolerances e = ε + β are written to d neurons, u = σ(Σ a · code), and read
    again, b = σ(code · u / |code|² − β). Two codes have at most the share μ in common. With β = μ · max ε / (1 − μ) a detector
    alone at its place reads σ(ε − t) exactly, and every other tile 0. So where no two tiles can be active at one place, the
    logits are φ for every image, with the gradient of Theorem 1's network, while each neuron of ``mixed`` answers to several
    tiles. That condition is checked: see ``approximate``.

    Parameters
    ----------
    data : Dataset or TemplateTask
        Only the task is used.
    seed : int
        Of the code.
    neurons : int, optional
        d, the neurons a place, or of the whole layer in scope "layer"; fewer than there are tiles (or pairs of tile and place).
        By default the least number, from the bound of Johnson and Schönheim upwards, for which codes that share one neuron at
        most are found. Where none below the tiles will do, it is the bound, or if that is no fewer than the tiles, the least
        number for which there are codes.
    tiles_per_neuron : float, optional
        Tiles that a neuron answers to on average, T · weight / d, in place of ``neurons``. Binary codes only.
    code : {"binary", "dense"}
        "binary": every tile has ``weight`` neurons, of which two tiles share as few as possible, and tiles that are near each
        other none where that is possible. "dense": every tile has weights above 0 on all neurons; its code has length 1, and μ
        is the largest cosine of two codes.
    weight : int
        w, the neurons of a tile, in binary codes.
    scope : {"place", "layer"}
        "place" has d neurons at each place, whose codes are those of the tiles. "layer" has d neurons in all and codes for
        every pair of tile and place: it is exact on images in which one detector is active (`active_detectors` counts them), and
        errs on others.
    realisation : {"fused", "literal"}
        How the detectors are computed, as in `theorem1`; the other layers are the same.
    approximate : bool
        Whether the network is built although it errs on some images, where tiles are too near each other for the condition. A
        warning then says by how much a logit can be above φ; it is never below. The attribute ``module.bound`` has it by class.
    show_hidden : bool
        Whether the detectors are among the layers, as ``hidden``. They are computed in any case.
    memory : Positive
        Gigabytes that the layers may take, as in `theorem1`.

    Returns
    -------
    Network
        Origin "constructed", layers ``conv`` (only if literal), ``hidden`` (N, H), ``mixed`` (N, d, rows, cols), or (N, d) in
        scope "layer", ``decoded`` (N, H) in the order (tile, row, col), and ``logits`` (N, L). What the neurons of all but
        ``mixed`` mean is known, and of ``mixed`` the directions: a row of `tmi.Network.directions` is the code of a tile. A place
        is where the top left corner of a window may be: as many rows, and as many columns, as any tile has windows.

    Raises
    ------
    InputError
        If there is no code, d is not below T, both or a bad number of neurons are given, the condition fails, or the layers
        would need more memory.

    Notes
    -----
    With D(t, t') = Σ |t − t'| over the common support, the least that t(x) + t'(x) can be, the condition is that no tile is
    active where another one is contained whose code has neurons in common with its own, D ≥ e + e' − β, and that tiles that can
    be active together bring no output above 0. D ≥ e + e' for all pairs is enough; see `tmi_networks.superposed.conditions`. The
    builder's β is up to 2 ‰ above the least one, so that rounding brings no other logit above 0.
    """
    task = data if isinstance(data, tmi.TemplateTask) else data.task
    from .codes import binary_code, default_code, dense_code

    windows = np.array(task.windows).prod(1)
    features = len(task.tiles) if scope == "place" else int(windows.sum())
    count = _neurons(
        features, neurons, tiles_per_neuron, code, weight, "tiles" if scope == "place" else "pairs of tile and place"
    )
    left, filters = _room(task, features, weight if code == "binary" else count, code, scope, realisation, memory)
    if code == "dense":
        chosen = dense_code(features, count, seed)
    elif neurons is None and tiles_per_neuron is None:
        chosen = default_code(features, weight, seed)
        count = chosen.matrix.shape[1]
    else:
        chosen = binary_code(features, count, weight, seed)
    if chosen.overlap >= 1:
        raise InputError(f"superposed: in {count} neurons two tiles have one code; take more neurons")
    if scope == "place":
        chosen, limits, exact = _checked(task, chosen, approximate)
        beta = limits.beta
        bound = np.bincount(task.tile_class, limits.errors() * windows) if not exact else np.zeros(len(task.classes))
    else:
        from .conditions import threshold

        exact, beta = False, threshold(max(tile.epsilon for tile in task.tiles), chosen.overlap)
        bound = np.full(len(task.classes), np.inf)
    module, first = _module(data, task, chosen, beta, scope, filters, left)
    module.computes_phi, module.beta, module.code, module.bound = exact, beta, chosen, bound  # type: ignore[assignment]
    if not exact and scope == "place":
        warnings.warn(
            f"superposed: tiles are too near each other for {count} neurons: a logit can be up to {bound.max():.3g} above φ",
            stacklevel=2,
        )
    known: dict[str, Any] = {**first, **_known(task, show_hidden)}
    shown = [*first, *(["hidden"] if show_hidden else []), "mixed", "decoded", "logits"]
    return tmi.Network(
        module, shown, "constructed", task=task, meanings=known, directions={"mixed": lambda: _directions(task, chosen, scope)}
    )


def active_detectors(network: tmi.Network, images: Any) -> Any:
    """Return how many detectors of a network in superposition are active on each image, over all tiles and windows.

    Where it is at most 1 the network of scope "layer" has exactly φ's logits.

    Parameters
    ----------
    network : Network
        Built by `superposed`.
    images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]

    Returns
    -------
    Tensor of int64, shape (N,)
    """
    import torch

    matches = tmi.match(images, _detectors(network.task, network.module.beta).tiles)  # type: ignore[arg-type]
    return torch.bincount(matches.image, minlength=len(images))


def _neurons(features: int, neurons: int | None, each: float | None, code: str, weight: int, what: str) -> int:
    """Return the number of neurons that the settings mean."""
    from .codes import least_neurons, other_code

    if features < 3:
        raise InputError(f"superposed: {features} {what} are too few to share neurons; superposition needs at least 3")
    if neurons is not None and each is not None:
        raise InputError("superposed: neurons and tiles_per_neuron are both given; give one of them")
    if each is not None and code == "dense":
        raise InputError("superposed: in a dense code every neuron answers to all tiles; give neurons, not tiles_per_neuron")
    if each is not None and each <= weight:
        raise InputError(
            f"superposed: tiles_per_neuron = {each:g} takes no fewer neurons than {what}, each of which has {weight}; give more"
        )
    if each is not None:
        neurons = max(1, min(features - 1, round(features * weight / each)))
    elif neurons is None:
        least = least_neurons(features, weight)
        neurons = min(least, features - 1) if code == "dense" else least
        if neurons >= features:
            raise InputError(
                f"superposed: {features} {what} are too few for codes of {weight} neurons, as {features - 1} neurons have no "
                f"{features} different sets of {weight}; {other_code(features)}"
            )
    if neurons >= features:
        raise InputError(f"superposed: {neurons} neurons are not fewer than the {features} {what}; take at most {features - 1}")
    return neurons


def _checked(task: tmi.TemplateTask, code: Code, approximate: bool) -> tuple[Code, Limits, bool]:
    """Return the code with words assigned to the tiles, its limits, and whether it is exact for every image."""
    from .conditions import Limits, assigned, distances

    distance, epsilon = distances(task), np.array([tile.epsilon for tile in task.tiles])
    code = assigned(code, distance, epsilon)
    limits = Limits(distance, code.shared, epsilon, code.overlap)
    pair = limits.failing_pair()
    if pair is None or approximate:
        return code, limits, pair is None
    share = limits.largest_share()
    names = " and ".join(task.tile_name(tile) for tile in pair)
    most = f"{float(f'{share * epsilon.max():.3g}'):g}" if share else "no"
    many = "every epsilon" if (epsilon == epsilon[0]).all() else f"the largest epsilon ({epsilon.max():g}, others in proportion)"
    remedy = f"{many} may be at most {most}" if share else "no epsilon would do"
    raise InputError(
        f"superposed: {code.matrix.shape[1]} neurons cannot tell tiles {names} apart, which differ by {distance[pair]:.4g} "
        f"at one place; {remedy}, else take more neurons or approximate = true"
    )


def _room(
    task: tmi.TemplateTask, features: int, each: int, code: str, scope: str, realisation: str, memory: float
) -> tuple[float, Filters | None]:
    """Return the bytes that the layers leave, with so many weights for each feature, and the filters of the literal ones.

    This comes before the code is made, which takes long where it is large.
    """
    filters = None
    # Both layers have each weight with its column both ways.
    layers = 2 * 2 * 16 * each * features * (float(np.array(task.windows).prod(1).mean()) if scope == "place" else 1.0)
    left = memory * 1e9 - layers
    if realisation == "literal":
        from tmi_networks.theorem1.filters import check_memory, needed_filters

        filters = needed_filters(task)
        left = check_memory("superposed", task, filters, memory, layers)
    elif left < 0:
        remedy = "less weight" if code == "binary" else "fewer neurons"
        raise InputError(
            f"superposed: the layers need {layers / 1e9:.3g} GB, more than memory = {memory:g}; take {remedy}, or raise memory"
        )
    making = 4 * 8e-9 * features**2  # four float64 matrices of all pairs at once
    if code == "dense" and making > memory:
        raise InputError(
            f"superposed: to make a dense code of {features} features takes {making:.3g} GB, more than memory = {memory:g}; "
            "take a binary code, or raise memory"
        )
    return left, filters


def _module(
    data: Any, task: tmi.TemplateTask, code: Code, beta: float, scope: str, filters: Filters | None, left: float
) -> tuple[Any, dict[str, Any]]:
    """Return the layers, literal ones where filters are given, and the meanings of those before ``hidden``."""
    from tmi_networks.fused import ClassSum, TileMatch

    from .layers import Superposition, code_layers

    detectors = _detectors(task, beta)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    first: dict[str, Any] = {}
    if filters is not None:
        from tmi.networks.rounding import warn_of_rounding
        from tmi_networks.theorem1.literal import literal_layers

        warn_of_rounding(data)
        layers.update(literal_layers(detectors, filters).named_children())
        first = {"conv": filters.meanings}
    else:
        layers["hidden"] = TileMatch(detectors)
    layers.pop("logits", None)  # of the literal layers: they come last here too
    layers.update(code_layers(task, code, beta, by_place=scope == "place"))
    layers["logits"] = ClassSum(task)
    module = Superposition(layers)
    if filters is not None:
        module.images_at_once = filters.images_at_once(left)  # type: ignore[assignment]
    return module, first


def _detectors(task: tmi.TemplateTask, beta: float) -> tmi.TemplateTask:
    """The tiles with their inner tolerances, as a task of one class: its tiles need not be told apart."""
    tiles = [tile.with_epsilon(tile.epsilon + beta) for tile in task.tiles]
    return tmi.TemplateTask([tmi.TileClass("detectors", tiles)], task.image_shape, ink=task.ink)


def _known(task: tmi.TemplateTask, show_hidden: bool) -> dict[str, Any]:
    """What the neurons of ``hidden``, ``decoded`` and ``logits`` mean."""
    columns = meanings(task)
    hidden = {"hidden": lambda: columns["hidden"]} if show_hidden else {}  # a function: explanations are by ``decoded``
    return {**hidden, "decoded": columns["hidden"], "logits": columns["logits"]}


def _directions(task: tmi.TemplateTask, code: Code, scope: str) -> tmi.Directions:
    if scope == "layer":
        return tmi.Directions(code.matrix, meanings(task)["hidden"])
    names = np.array(task.class_names, object)[task.tile_class]
    return tmi.Directions(code.matrix, {"tile": np.arange(len(task.tiles)), "class": names}, by_place=True)
