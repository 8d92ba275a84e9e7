"""Prunability: how many weights a network needs, and what structure they have."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.networks.plain import copied
from tmi.params import Count, Share

from ..measures.blocks import blocks
from ..pipeline.logits import commonest_share, logits_of, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import labelled
from .weights import IMAGES, converted_parameters, with_other_weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SHARES = (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001, 0)
"""The shares of weights that are kept, in turn."""

INFO = {
    "accuracy": tmi.MetricInfo("Share of test images predicted right with all weights; a tie is not right", "higher", 0, 1),
    "weights": tmi.MetricInfo("Weights that may be pruned: all but biases", None, 0),
    "weights_needed": tmi.MetricInfo(
        "Least share of weights, kept by magnitude, from which on the accuracy stays within the asked share of the whole",
        "lower",
        0,
        1,
    ),
    "components": tmi.MetricInfo(
        "Connected parts of the graph between a layer's inputs and outputs that the needed weights make", "higher", 0
    ),
    "largest_component": tmi.MetricInfo("Share of its connected neurons that are in the largest part", "lower", 0, 1),
    "modularity": tmi.MetricInfo(
        "Bipartite modularity of that graph, each input with the output it is tied to most (Barber 2007)", "higher", -1, 1
    ),
}


def prunability(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    scope: Literal["global", "per-layer"] = "global",
    target: Share = 0.99,
) -> tmi.ProbeResult:
    """Accuracy against the share of weights kept by magnitude, and the block structure of what is left.

    Only copies are pruned. Biases are kept, and the remaining weights are not trained again. Weights that a layer computes, as
    with weight norm, are pruned as computed; those of a layer that computes with other weights than it holds are left out.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    scope : {"global", "per-layer"}
        Whether the largest weights of the whole network are kept, or the same share of each layer's.
    target : float
        The share of the whole network's accuracy to keep.

    Returns
    -------
    ProbeResult
        ``accuracy`` and ``accuracy.chance`` (the commonest class), ``weights``, ``weights_needed`` and ``weights_needed.chance``
        (weights kept at random). For each linear layer, of the needed weights, ``components``, ``largest_component`` and
        ``modularity``, with the value for all weights of the layer as ``.whole``, and for the logits the greatest possible as
        ``.oracle``: as many parts as classes. Arrays ``accuracy_kept`` and ``accuracy_random`` (share), and for each linear layer
        ``components``, ``largest_component``, ``modularity`` (layer, share), NaN where no weight is left. Not applicable to a
        task of one class.

    Raises
    ------
    InputError
        If no test scene shows a tile.

    Notes
    -----
    The weights of a constructed network are not parameters: its layers compute the theorem's sums. It is not pruned; the
    structure of its 0/1 logits is measured unpruned.
    """
    if len(data.task.classes) == 1:
        return tmi.ProbeResult.not_applicable(ONE_CLASS)
    scenes = labelled(data.test, images)
    network = network.plain()
    pruned = _Pruned(network, scenes, scope)
    result = ResultBuilder(INFO)
    result.notes += pruned.left_out
    result.add("accuracy", _accuracy(network, scenes), chance=commonest_share(scenes.labels.numpy()))
    kept = 0
    if pruned.count:
        result.add("weights", pruned.count)
        rng = np.random.default_rng(seed)
        random = ranks([rng.random(value.numel()) for value in pruned.weights.values()], pruned.together)
        curves = {}
        for name, rank in (("accuracy_kept", pruned.by_magnitude), ("accuracy_random", random)):
            curves[name] = np.array([_accuracy(pruned.network(pruned.masks(rank, share)), scenes) for share in SHARES])
            result.arrays[name] = ("share", curves[name])
        kept = needed(curves["accuracy_kept"], target)
        result.add("weights_needed", SHARES[kept], chance=SHARES[needed(curves["accuracy_random"], target)])
        result.coords["share"] = np.array(SHARES, float)
        result.notes += pruned.ties()
    else:
        result.notes += [] if pruned.left_out else [_why_not(network)]
    structures = _structures(network, pruned)
    for layer, by_share in structures.items():
        result.metrics |= _of_blocks(layer, by_share[:, kept])
        if pruned.count:
            result.metrics |= {f"{name}.whole": value for name, value in _of_blocks(layer, by_share[:, 0]).items()}
        if np.isnan(by_share[:, kept]).any():
            result.notes.append(f"{layer}: no weight is left of it, and so no structure")
    last = network.layers[-1]
    if last in structures:
        classes = len(data.task.classes)
        for name, oracle in zip(_STRUCTURE, (classes, 1 / classes, 1 - 1 / classes), strict=True):
            if f"{name}.{last}" in result.metrics:
                result.metrics[f"{name}.{last}.oracle"] = float(oracle)
    if structures and pruned.count:
        stacked = np.stack(list(structures.values()))
        result.arrays |= {name: (("layer", "share"), stacked[:, i]) for i, name in enumerate(_STRUCTURE)}
        result.coords["layer"] = list(structures)
    return result.result()


_STRUCTURE = ("components", "largest_component", "modularity")


def needed(accuracy: Array, target: float) -> int:
    """Return the position of the smallest share down to which the accuracy stays at ``target`` times the first or above.

    Parameters
    ----------
    accuracy : ndarray, shape (shares,)
        By descending share of the weights; the first is the whole network's.
    target : float
    """
    short = accuracy < target * accuracy[0] - 1e-12
    return int(short.argmax()) - 1 if short.any() else len(accuracy) - 1


def ranks(scores: list[Array], together: bool) -> list[NDArray[np.int64]]:
    """Rank entries from the highest score down, starting with 0: over all arrays together, or in each array.

    Parameters
    ----------
    scores : list of ndarray, shape (n,)
    together : bool

    Returns
    -------
    list of ndarray of int64, shape (n,)
        Of equal scores the first has the lower rank.
    """
    if not together:
        return [ranks([part], True)[0] for part in scores]
    every = np.concatenate(scores)
    rank = np.empty(len(every), np.int64)
    rank[np.argsort(-every, kind="stable")] = np.arange(len(every))
    return np.split(rank, np.cumsum([len(part) for part in scores])[:-1])


class _Pruned:
    """A copy of a network, whose weights are restored before each pruning.

    Attributes
    ----------
    weights : dict of str to Tensor
        Those that may be pruned.
    unread, left_out : set of str, list of str
        Those that may not, and for each layer that has some the reason.
    """

    def __init__(self, network: tmi.Network, scenes: tmi.Scenes, scope: str) -> None:
        self.original, self.together = network, scope == "global"
        weights = {name: value.detach() for name, value in network.module.named_parameters() if value.ndim > 1 and value.numel()}
        unread = {} if not weights else _unread(network, scenes[:IMAGES].images, weights)
        self.weights = {name: weight for name, weight in weights.items() if name not in unread}
        self.left_out = [f"{name.rpartition('.')[0] or name}: left out, for {reason}" for name, reason in unread.items()]
        self.unread = set(unread)
        self.count = sum(value.numel() for value in self.weights.values())
        self.copy: tmi.Network | None = None

    @cached_property
    def magnitudes(self) -> list[Array]:
        return [value.abs().double().cpu().numpy().ravel() for value in self.weights.values()]

    @cached_property
    def by_magnitude(self) -> list[NDArray[np.int64]]:
        return ranks(self.magnitudes, self.together)

    def masks(self, rank: list[NDArray[np.int64]], share: float) -> dict[str, NDArray[np.bool_]]:
        """Mark the share of the weights that rank first."""
        kept = [round(share * (self.count if self.together else len(part))) for part in rank]
        return {name: part < count for name, part, count in zip(self.weights, rank, kept, strict=True)}

    def network(self, masks: dict[str, NDArray[np.bool_]]) -> tmi.Network:
        """Return the copy with the weights outside the masks set to 0; every call returns the same copy."""
        import torch

        if self.copy is None:
            self.copy = self.original.with_module(copied(self.original.module))
        with torch.no_grad():
            for name, value in self.copy.module.named_parameters():
                if name in masks:
                    mask = torch.from_numpy(masks[name]).reshape(value.shape).to(value.device)
                    value.copy_(torch.where(mask, self.weights[name], 0))
        return self.copy

    def ties(self) -> list[str]:
        """Return a note where many weights have the same magnitude."""
        magnitudes = np.concatenate(self.magnitudes)
        distinct = np.unique(magnitudes[magnitudes > 0])
        if 0 < len(distinct) < np.sqrt(len(magnitudes)) and len(magnitudes) > 1:
            return [f"the {len(magnitudes)} weights have {len(distinct)} magnitudes only: of equal ones the first are kept"]
        return []


def _unread(network: tmi.Network, images: torch.Tensor, names: Collection[str]) -> dict[str, str]:
    """Return the parameters that are not what a layer computes with, each with the reason."""
    modules, converted = with_other_weights(network, images), converted_parameters(network, images)
    unused = _without_effect(network, images, names)
    reasons = {}
    for name in names:
        if name in unused:
            reasons[name] = "no logit depends on its weights"
        elif name in converted or name.rpartition(".")[0] in modules:
            reasons[name] = "it computes with other weights than it holds"
    return reasons


def _without_effect(network: tmi.Network, images: torch.Tensor, names: Collection[str]) -> set[str]:
    """Return the parameters from which no gradient reaches the logits of a copy, where any gradient does."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        module = copied(network.module).eval().requires_grad_(True)
        parameters = {name: value for name, value in module.named_parameters() if name in names}
        first = next(iter(parameters.values()))
        try:
            logits = module(images[:1].to(first.device, first.dtype))
            gradients = torch.autograd.grad(logits.sum(), list(parameters.values()), allow_unused=True)
        except RuntimeError:  # there is no gradient at all, or an operation without a derivative
            return set()
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None}


def _accuracy(network: tmi.Network, scenes: tmi.Scenes) -> float:
    return float((predictions(logits_of(network, scenes)) == scenes.labels.numpy()).mean())


def _why_not(network: tmi.Network) -> str:
    if network.origin != "constructed":
        return "not pruned: the network has no weights"
    if any(buffer.is_floating_point() for buffer in network.module.buffers()):
        return "not pruned: the weights of a layer built from the theorem are 0, ±1 or a sum's terms, so that magnitude is a tie"
    return "not pruned: the fused network computes its hidden layer by template matching, and has no weights"


def _structures(network: tmi.Network, pruned: _Pruned) -> dict[str, Array]:
    """Return the structure (measure, share) of each layer with one weight matrix; of all its weights where nothing is pruned."""
    structures = {}
    for layer in network.layers:
        named = _matrix(network, layer)
        if named is None:
            continue
        name, weight = named
        if name in pruned.unread:
            continue
        shares = [weight]
        if name in pruned.weights:
            masks = (pruned.masks(pruned.by_magnitude, share)[name] for share in SHARES)
            shares = [np.where(mask.reshape(weight.shape), weight, 0) for mask in masks]
        elif pruned.count:
            continue  # a matrix that is not a parameter, in a network with parameters
        measured = [blocks(part) for part in shares]
        values = [(np.nan,) * 3 if part is None else (part.components, part.largest, part.modularity) for part in measured]
        structures[layer] = np.array(values, float).T
    return structures


def _matrix(network: tmi.Network, layer: str) -> tuple[str, NDArray[Any]] | None:
    """Return the name and the values (outputs, inputs) of a layer's weight matrix, or None unless it has exactly one."""
    matrices: list[tuple[str, NDArray[Any]]] = []
    for name, module in network.module.get_submodule(layer).named_modules(prefix=layer):
        weight: torch.Tensor | None = getattr(module, "weight", None)
        # A module inside a module with weights holds the same weights.
        if weight is not None and weight.ndim == 2 and not any(name.startswith(f"{other}.") for other, _ in matrices):
            matrices.append((name, weight.detach().cpu().numpy()))
    return (f"{matrices[0][0]}.weight", matrices[0][1]) if len(matrices) == 1 else None


def _of_blocks(layer: str, values: Array) -> dict[str, float]:
    return {f"{name}.{layer}": float(value) for name, value in zip(_STRUCTURE, values, strict=True) if not np.isnan(value)}
