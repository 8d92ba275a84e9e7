"""Warm start: a constructed network whose weights are parameters, trained from its construction by gradient descent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, NotNegative, Positive

from .checkpoints import Checkpoint, Keep
from .training import check_data, descend

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tmi.plugins.together import Request

Start = Literal["construction", "superposed", "random"]


@tmi.together("tmi_networks.warm_start:train", "tmi_networks.warm_start:group")
def warm_start(
    data: tmi.Dataset,
    *,
    seed: int,
    start: Start = "construction",
    neurons: Count | None = None,
    noise: NotNegative = 0.0,
    masked: bool = False,
    epochs: Index = 20,
    lr: Positive = 0.003,
    batch_size: Count = 10,
    memory: Positive = 1.0,
) -> tmi.Network:
    """Train a network of the shape of a literal construction by stochastic gradient descent, from its weights or from others.

    The layers are those of `theorem1` with realisation "literal", as plain convolutions and dense linear layers: the zeros of the
    construction are weights like all others. Their activations therefore are compared neuron by neuron with the construction's,
    as probe ``kept-meaning`` does. Gradient descent is that of `cnn`: the cross-entropy of the logits, without momentum.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides random weights, the code of `superposed`, the noise, and the order of the images.
    start : {"construction", "superposed", "random"}
        The weights before training: those of Theorem 1; those of `superposed`, which has two more layers; or torch's default
        initial weights in layers of the shapes of Theorem 1.
    neurons : int, optional
        Neurons a place of the start "superposed"; by default as `superposed` chooses.
    noise : float
        Normal noise that is added to the weights of each layer before training, its biases excepted: the standard deviation as a
        share of the root mean square of the layer's weights, zeros included, so that it is ‖noise‖/‖W‖ as expected. Almost all
        of it is in weights that are 0 in the construction.
    masked : bool
        Whether weights that are 0 in the construction are set to 0 and stay 0, whatever the start: training then changes the
        strength of the construction's connections and adds none.
    epochs : int
        Passes over the training images; 0 is the start itself.
    lr : float
        Learning rate.
    batch_size : int
        Images a step; the last batch of an epoch may be smaller.
    memory : float
        Gigabytes that the dense weights may take while they are made; training takes less.

    Returns
    -------
    Network
        Origin "trained", weights float32, layers ``conv``, ``hidden`` with the neurons of Theorem 1 in the order (tile, row, col)
        and ``logits``, before them ``mixed`` and ``decoded`` if superposed, and the history ``loss`` and ``accuracy`` of `cnn`.
        No meaning of a neuron is claimed: whether it still has one is the question. From a construction, without noise and with
        ``epochs=0``, the logits are φ up to float32 rounding.

    Raises
    ------
    InputError
        For a bare task, no training images or some without a class, noise on random weights, neurons that are not those of a
        superposed start, fewer than 6 tiles for that, layers that need more memory, or when the loss or a weight stops being a
        finite number.
    """
    check_data("warm-start", data)
    if start == "random" and noise:
        raise InputError("noise: random weights have nothing that noise would disturb; choose another start")
    if neurons is not None and start != "superposed":
        raise InputError(f'neurons: the start "{start}" has those of Theorem 1; choose the start "superposed"')
    module, layers, masks = _start(data.task, seed, start, neurons, noise, masked, memory)

    def fit() -> dict[str, list[float]]:
        return descend(module, data.train, seed=seed, epochs=epochs, lr=lr, batch_size=batch_size, masks=masks)

    history = tmi.train_once(module, fit)
    return tmi.Network(module, layers, "trained", task=data.task, history=history)


def group(data: tmi.Dataset, seed: int, params: Mapping[str, Any]) -> Hashable:
    """Return what is equal for networks of one training: all settings but ``epochs``."""
    return seed, *(value for name, value in params.items() if name != "epochs")


def train(requests: Sequence[Request]) -> list[Checkpoint | None]:
    """Train once for several numbers of epochs; see `tmi.together`.

    Parameters
    ----------
    requests : sequence of Request
        Of which `group` is equal.
    """
    data, seed, params = requests[0].data, requests[0].seed, requests[0].params
    epochs = {request.params["epochs"] for request in requests}
    names = ("start", "neurons", "noise", "masked", "memory")
    module, _, masks = _start(data.task, seed, *(params[name] for name in names))
    keep = Keep(module, epochs)
    steps = {name: params[name] for name in ("lr", "batch_size")}
    with suppress(InputError):  # where training diverges, the builder raises the same error
        descend(module, data.train, seed=seed, epochs=max(epochs), masks=masks, after_epoch=keep, **steps)
    return [keep.kept.get(request.params["epochs"]) for request in requests]


def _start(
    task: tmi.TemplateTask, seed: int, start: Start, neurons: int | None, noise: float, masked: bool, memory: float
) -> tuple[nn.Sequential, tuple[str, ...], dict[str, torch.Tensor] | None]:
    """Return the module before training, its layers, and the masks of the weights that training may change."""
    _check_memory(task, memory)
    from tmi.runtime.seeds import fixed_seed

    from .superposed import superposed
    from .theorem1 import theorem1

    if start == "superposed":
        if len(task.tiles) < 6:  # 5 neurons have 10 sets of 3, and 4 have 4
            raise InputError(
                'warm-start: the start "superposed" gives each tile 3 of fewer neurons than tiles, which takes at least '
                f"6 tiles, not {len(task.tiles)}; choose another start"
            )
        construction = superposed(task, seed=seed, neurons=neurons, realisation="literal", memory=memory)
        rows, cols = np.array(task.windows).max(0)
        directions = construction.directions("mixed")
        assert directions is not None
        _check_memory(task, memory, directions.sparse.shape[1] * int(rows * cols))
    else:
        construction = theorem1(task, realisation="literal", memory=memory)
    module = dense(construction)
    weights = {name: value for name, value in module.named_parameters() if value.ndim > 1}
    masks = {name: value != 0 for name, value in weights.items()} if masked else None
    with fixed_seed(seed):
        if start == "random":
            _reset(module)
        else:
            _disturb(weights, noise)
    return module, construction.layers, masks


def dense(network: tmi.Network) -> nn.Sequential:
    """Return a literal construction as a convolution and dense linear layers with biases, whose weights are float32 parameters.

    Parameters
    ----------
    network : Network
        Of `theorem1` or `superposed`, with realisation "literal".
    """
    import torch
    from torch import nn

    from .disguised.torch_layers import Budget, torch_layers

    module = torch_layers(network.module, network.task.image_shape, Budget(math.inf)).float()
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.bias is None:
            part.bias = nn.Parameter(torch.zeros(part.out_features))
    return module


def _check_memory(task: tmi.TemplateTask, memory: float, mixed: int = 0) -> None:
    """Check the size of the large dense weights, first made in float64: ``hidden``, ``mixed`` of so many neurons, ``decoded``."""
    from .theorem1.filters import needed_filters

    windows = sum(rows * cols for rows, cols in task.windows)
    needed = (8 + 4) * windows * (needed_filters(task).outputs + 2 * mixed) / 1e9
    if needed > memory:
        raise InputError(
            f"warm-start: the dense layers of {task!r} need {needed:.3g} GB, more than memory = {memory:g}; "
            "use smaller tiles or images, or raise memory"
        )


def _reset(module: nn.Module) -> None:
    """Draw torch's default initial weights."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.reset_parameters()


def _disturb(weights: dict[str, nn.Parameter], noise: float) -> None:
    """Add normal noise to each tensor of weights, with ``noise`` times its root mean square as the standard deviation."""
    import torch

    for value in weights.values() if noise else ():
        spread = noise * value.detach().square().mean().sqrt()
        value.data.add_(torch.randn(value.shape) * spread)
