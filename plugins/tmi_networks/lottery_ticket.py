"""A small convolutional network, pruned by magnitude and trained again from its initial weights (Frankle and Carbin 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import tmi
from tmi.params import Count, Index, Positive, Share

from .cnn import Pool, check, layer_names, make_module
from .training import descend

if TYPE_CHECKING:
    import torch
    from torch import nn

Scope = Literal["global", "per-layer"]


def lottery_ticket(
    data: tmi.Dataset,
    *,
    seed: int,
    kept: Share = 0.1,
    rounds: Count = 1,
    reset: Literal["rewind", "random", "none"] = "rewind",
    scope: Scope = "global",
    filters: Count = 12,
    kernel: Count = 5,
    depth: Count = 1,
    pool: Pool = "none",
    hidden: Index = 0,
    epochs: Count = 15,
    lr: Positive = 0.03,
    batch_size: Count = 100,
) -> tmi.Network:
    """Train a network as `cnn` does, prune its smallest weights, reset the others, and train these alone.

    Frankle and Carbin (2019) call the weights that are kept, with their initial values, a winning ticket if they train to the
    accuracy of the whole network and others, drawn at random for the same connections, do not. Biases are not pruned.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights, the order of the images, which is the same in every training, and the random reset.
    kept : Share
        Share of the weights that is kept in the end.
    rounds : Count
        How many times weights are pruned, the same share of those left each time, with a training before and after; so there
        are ``rounds`` + 1 trainings.
    reset : {"rewind", "random", "none"}
        With which values the kept weights, and the biases, begin the last training: those before the first one, new random ones
        (the control), or those that they have. In the rounds before, "random" rewinds.
    scope : {"global", "per-layer"}
        Whether the largest weights of the whole network are kept, or the same share of each layer's.
    filters, kernel, depth, pool, hidden
        The network; see `cnn`.
    epochs, lr, batch_size
        Each training; see `cnn`.

    Returns
    -------
    Network
        Origin "trained", the layers of `cnn`, and the history ``loss`` and ``accuracy`` of the last training. Pruned weights are
        exactly 0.

    Raises
    ------
    InputError
        As `cnn`.
    """
    maps = check(data, kernel, depth, pool)
    from numpy.random import SeedSequence

    from tmi.runtime.seeds import fixed_seed

    def initial(seed: int) -> nn.Module:
        with fixed_seed(seed):
            return make_module(data.task, maps, filters, kernel, pool, hidden)

    def train(masks: Mapping[str, torch.Tensor] | None) -> dict[str, list[float]]:
        return descend(module, data.train, seed=seed, epochs=epochs, lr=lr, batch_size=batch_size, masks=masks)

    def fit() -> dict[str, list[float]]:
        history = train(None)
        masks = {name: weight.new_ones(weight.shape).bool() for name, weight in prunable(module).items()}
        for number in range(1, rounds + 1):
            masks = pruned(module, masks, kept ** (number / rounds), scope)
            if reset == "random" and number == rounds:
                module.load_state_dict(initial(int(SeedSequence([seed, 1]).generate_state(1)[0])).state_dict())
            elif reset != "none":
                module.load_state_dict(initial(seed).state_dict())
            history = train(masks)
        return history

    module = initial(seed)
    with fixed_seed(seed):
        history = tmi.train_once(module, fit)
    return tmi.Network(module, layer_names(depth, hidden), "trained", task=data.task, history=history)


def prunable(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of a module that may be pruned, by name: all but the biases."""
    return {name: value.detach() for name, value in module.named_parameters() if value.ndim > 1}


def pruned(module: nn.Module, masks: Mapping[str, torch.Tensor], share: float, scope: Scope) -> dict[str, torch.Tensor]:
    """Return masks of the weights of the largest magnitude among those that earlier masks keep.

    Parameters
    ----------
    module : Module
    masks : mapping of str to Tensor of bool
        By the name of a weight, and of its shape.
    share : float
        Of all the weights, the share that is kept; of each layer, with the scope "per-layer".
    scope : {"global", "per-layer"}
    """
    import torch

    weights = prunable(module)
    # Weights that were pruned before come last, though others may be 0 as well.
    sizes = {name: torch.where(masks[name], weight.abs(), -1).flatten() for name, weight in weights.items()}
    if scope == "per-layer":
        kept = {name: _largest(size, share) for name, size in sizes.items()}
    else:
        parts = _largest(torch.cat(list(sizes.values())), share).split([len(size) for size in sizes.values()])  # type: ignore[no-untyped-call]
        kept = dict(zip(sizes, parts, strict=True))
    return {name: kept[name].view(weight.shape) & masks[name] for name, weight in weights.items()}


def _largest(size: torch.Tensor, share: float) -> torch.Tensor:
    """Return which entries are the largest, as many as the share says; of equal ones the first."""
    import torch

    result = torch.zeros(len(size), dtype=torch.bool)
    result[size.sort(descending=True, stable=True).indices[: round(share * len(size))]] = True
    return result
