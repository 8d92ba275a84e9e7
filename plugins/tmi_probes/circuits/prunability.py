"""Prunability: how many weights a network needs, and what structure is left of them."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count, Share

from ..measures.blocks import blocks
from ..pipeline.scenes import described, labelled, logits_of, predictions

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SHARES = (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001, 0)
"""The shares of weights that are kept, one after another."""

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

    Only copies are pruned. Biases are kept, and the weights that stay are not trained again.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    scope : {"global", "per-layer"}
        Whether the largest weights of the whole network are kept, or the same share of each layer's.
    target : float
        The share of the whole network's accuracy that is to be kept.

    Returns
    -------
    ProbeResult
        ``accuracy`` and ``accuracy.chance`` (the commonest class), ``weights``, ``weights_needed`` and ``weights_needed.chance``
        (weights kept at random). For each linear layer, of the needed weights, ``components``, ``largest_component`` and
        ``modularity``, with what the layer of all weights has as ``.whole``, and for the logits the greatest possible as
        ``.oracle``: as many parts as classes. Arrays ``accuracy_kept`` and ``accuracy_random`` (share), and for each linear layer
        ``components``, ``largest_component``, ``modularity`` (layer, share), NaN where no weight is left.

    Raises
    ------
    InputError
        If no test scene shows a tile.

    Notes
    -----
    The weights of a constructed network are not parameters: its layers compute the theorem's sums. It is not pruned; the
    structure of its 0/1 logits is measured as it is.
    """
    scenes = labelled(data.test, images)
    label = scenes.labels.numpy()
    pruned = _Pruned(network, scope)
    whole = _accuracy(network, scenes)
    metrics: dict[str, float] = {"accuracy": whole, "accuracy.chance": np.bincount(label).max() / len(label)}
    arrays: dict[str, Any] = {}
    notes: list[str] = []
    at = 0
    if pruned.count:
        metrics["weights"] = pruned.count
        rng = np.random.default_rng(seed)
        random = ranks([rng.random(value.numel()) for value in pruned.weights.values()], pruned.together)
        curves = {}
        for name, rank in (("accuracy_kept", pruned.by_magnitude), ("accuracy_random", random)):
            curves[name] = np.array([_accuracy(pruned.network(pruned.masks(rank, share)), scenes) for share in SHARES])
            arrays[name] = (("share",), curves[name])
        metrics["weights_needed"] = SHARES[needed(curves["accuracy_kept"], target)]
        metrics["weights_needed.chance"] = SHARES[needed(curves["accuracy_random"], target)]
        at = needed(curves["accuracy_kept"], target)
        notes += pruned.ties()
    else:
        notes.append(_why_not(network))
    found = _structures(network, pruned)
    for layer, by_share in found.items():
        metrics |= _of_blocks(layer, by_share[:, at])
        if pruned.count:
            metrics |= {f"{name}.whole": value for name, value in _of_blocks(layer, by_share[:, 0]).items()}
        if np.isnan(by_share[:, at]).any():
            notes.append(f"{layer}: no weight is left of it, and so no structure")
    last = network.layers[-1]
    if last in found:
        classes = len(data.task.classes)
        best = (classes, 1 / classes, 1 - 1 / classes)
        oracle = dict(zip((f"{name}.{last}" for name in _STRUCTURE), best, strict=True))
        metrics |= {f"{name}.oracle": float(value) for name, value in oracle.items() if name in metrics}
    if found and pruned.count:
        stacked = np.stack(list(found.values()))
        arrays |= {name: (("layer", "share"), stacked[:, i]) for i, name in enumerate(_STRUCTURE)}
    coords: dict[str, Any] = {"share": np.array(SHARES, float)} if pruned.count else {}
    if found and pruned.count:
        coords["layer"] = list(found)
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), tuple(notes))


_STRUCTURE = ("components", "largest_component", "modularity")


def needed(accuracy: Array, target: float) -> int:
    """Return the number of the smallest share from which on the accuracy keeps what is asked; shares descend.

    Parameters
    ----------
    accuracy : ndarray, shape (shares,)
        The first is the whole network's.
    target : float
    """
    short = accuracy < target * accuracy[0] - 1e-12
    return int(short.argmax()) - 1 if short.any() else len(accuracy) - 1


def ranks(scores: list[Array], together: bool) -> list[NDArray[np.int64]]:
    """Rank entries from the highest score down, from 0: those of all arrays together, or of each by itself.

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
        return [ranks([one], True)[0] for one in scores]
    every = np.concatenate(scores)
    rank = np.empty(len(every), np.int64)
    rank[np.argsort(-every, kind="stable")] = np.arange(len(every))
    return np.split(rank, np.cumsum([len(one) for one in scores])[:-1])


class _Pruned:
    """A copy of a network, whose weights are put back before each pruning."""

    def __init__(self, network: tmi.Network, scope: str) -> None:
        self.original, self.together = network, scope == "global"
        self.weights = {
            name: value.detach() for name, value in network.module.named_parameters() if value.ndim > 1 and value.numel()
        }
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
        kept = [round(share * (self.count if self.together else len(one))) for one in rank]
        return {name: one < count for name, one, count in zip(self.weights, rank, kept, strict=True)}

    def network(self, masks: dict[str, NDArray[np.bool_]]) -> tmi.Network:
        """Return the copy with the weights outside the masks set to 0; it is the same copy each time."""
        import torch

        if self.copy is None:
            module = copy.deepcopy(self.original.module)
            self.copy = tmi.Network(module, self.original.layers, self.original.origin, task=self.original.task)
        with torch.no_grad():
            for name, value in self.copy.module.named_parameters():
                if name in masks:
                    mask = torch.from_numpy(masks[name]).reshape(value.shape).to(value.device)
                    value.copy_(torch.where(mask, self.weights[name], 0))
        return self.copy

    def ties(self) -> list[str]:
        """Say so where magnitude cannot tell the weights apart."""
        every = np.concatenate(self.magnitudes)
        sizes = np.unique(every[every > 0])
        if 0 < len(sizes) < np.sqrt(len(every)) and len(every) > 1:
            return [f"the {len(every)} weights have {len(sizes)} magnitudes only: of equal ones the first are kept"]
        return []


def _accuracy(network: tmi.Network, scenes: tmi.Scenes) -> float:
    return float((predictions(logits_of(network, scenes)) == scenes.labels.numpy()).mean())


def _why_not(network: tmi.Network) -> str:
    if network.origin != "constructed":
        return "not pruned: the network has no weights"
    if any(buffer.is_floating_point() for buffer in network.module.buffers()):
        return "not pruned: the weights of a layer built from the theorem are 0, ±1 or a sum's terms, so that magnitude is a tie"
    return "not pruned: the fused network computes its hidden layer by template matching, and has no weights"


def _structures(network: tmi.Network, pruned: _Pruned) -> dict[str, Array]:
    """For each layer with one matrix of weights its structure (measure, share); of all weights where nothing is pruned."""
    result = {}
    for layer in network.layers:
        found = _matrix(network, layer)
        if found is None:
            continue
        name, weight = found
        shares = [weight]
        if name in pruned.weights:
            masks = (pruned.masks(pruned.by_magnitude, share)[name] for share in SHARES)
            shares = [np.where(mask.reshape(weight.shape), weight, 0) for mask in masks]
        elif pruned.count:
            continue  # a matrix that is no parameter, beside others that are
        measured = [blocks(one) for one in shares]
        values = [(np.nan,) * 3 if one is None else (one.components, one.largest, one.modularity) for one in measured]
        result[layer] = np.array(values, float).T
    return result


def _matrix(network: tmi.Network, layer: str) -> tuple[str, NDArray[Any]] | None:
    """Return the only matrix of weights of a layer (outputs, inputs), and the name of its parameter."""
    found: list[tuple[str, NDArray[Any]]] = []
    for name, module in network.module.get_submodule(layer).named_modules(prefix=layer):
        weight: torch.Tensor | None = getattr(module, "weight", None)
        # What is inside of a module with weights are those weights again.
        if weight is not None and weight.ndim == 2 and not any(name.startswith(f"{other}.") for other, _ in found):
            found.append((name, weight.detach().cpu().numpy()))
    return (f"{found[0][0]}.weight", found[0][1]) if len(found) == 1 else None


def _of_blocks(layer: str, values: Array) -> dict[str, float]:
    return {f"{name}.{layer}": float(value) for name, value in zip(_STRUCTURE, values, strict=True) if not np.isnan(value)}
