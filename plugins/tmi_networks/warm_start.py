"""Warm start: a constructed network whose weights are parameters, trained from its construction by gradient descent."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, NotNegative, Positive

from .training import descend

if TYPE_CHECKING:
    import torch
    from torch import nn

Start = Literal["construction", "random"]


def warm_start(
    data: tmi.Dataset,
    *,
    seed: int,
    start: Start = "construction",
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
        Decides random weights, the noise, and the order of the images.
    start : {"construction", "random"}
        The weights before training: those of Theorem 1, or torch's default initial weights in layers of the same shapes.
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
        Gigabytes that the weights and their gradients may take.

    Returns
    -------
    Network
        Origin "trained", weights float32, layers ``conv``, ``hidden`` with the neurons of Theorem 1 in the order (tile, row, col)
        and ``logits``, and the history ``loss`` and ``accuracy`` of `cnn`. No meaning of a neuron is claimed: whether it still
        has one is the question. From the construction, without noise and with ``epochs=0``, the logits are φ up to float32
        rounding.

    Raises
    ------
    InputError
        For a bare task, training scenes without a class, noise on random weights, layers that need more memory, or when the loss
        or a weight stops being a finite number.
    """
    if not isinstance(data, tmi.Dataset):
        raise InputError(f"warm-start: needs a Dataset with training images, got {type(data).__name__}")
    if bare := int((data.train.labels < 0).sum()):
        raise InputError(f"warm-start: {bare} of {len(data.train)} training scenes have no tile, and so no class to learn")
    if start == "random" and noise:
        raise InputError('noise: applies to the start "construction"; random weights have nothing that noise would disturb')
    from tmi.runtime.seeds import fixed_seed

    module = dense_construction(data.task, memory)
    weights = {name: value for name, value in module.named_parameters() if value.ndim > 1}
    masks = {name: value != 0 for name, value in weights.items()} if masked else None

    def fit() -> dict[str, list[float]]:
        return descend(module, data.train, seed=seed, epochs=epochs, lr=lr, batch_size=batch_size, masks=masks)

    with fixed_seed(seed):
        if start == "random":
            _reset(module)
        else:
            _disturb(weights, noise)
        history = tmi.train_once(module, fit)
    return tmi.Network(module, ["conv", "hidden", "logits"], "trained", task=data.task, history=history)


def dense_construction(task: tmi.TemplateTask, memory: float) -> nn.Sequential:
    """Return literal Theorem 1 as a convolution and dense linear layers, whose weights are float32 parameters.

    Parameters
    ----------
    task : TemplateTask
    memory : float
        Gigabytes that the weights and their gradients may take.

    Raises
    ------
    InputError
        If they would take more.
    """
    from .theorem1.filters import needed_filters

    filters = needed_filters(task)
    windows = sum(rows * cols for rows, cols in task.windows)
    needed = 2 * 4 * windows * (filters.outputs + len(task.classes)) / 1e9
    if needed > memory:
        raise InputError(
            f"warm-start: the dense layers of {task!r} need {needed:.3g} GB with their gradients, more than memory = {memory:g}; "
            "use smaller tiles or images, or raise memory"
        )
    import torch
    from torch import nn

    from .theorem1.literal import literal_layers

    literal: Any = literal_layers(task, filters)
    conv, hidden, logits = literal.conv[0], literal.hidden[0], literal.logits
    parts: OrderedDict[str, Any] = OrderedDict()
    # On the meta device: no random numbers are drawn for weights that are replaced.
    parts["conv"] = nn.Sequential(nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, device="meta"), nn.ReLU())
    parts["flatten"] = nn.Flatten()
    parts["hidden"] = nn.Sequential(nn.Linear(hidden.in_features, hidden.out_features, device="meta"), nn.ReLU())
    parts["logits"] = nn.Linear(logits.in_features, logits.out_features, device="meta")
    module = nn.Sequential(parts).to_empty(device="cpu")
    # ε − Σ c of the values c as float32 rounds them, as the convolution has them.
    _set(parts["conv"][0], conv.weight, conv.bias)
    _set(parts["hidden"][0], hidden.matrix().to_dense(), hidden.bias_float32)
    _set(parts["logits"], logits.weight, torch.zeros(logits.out_features))
    return module


def _set(layer: nn.Conv2d | nn.Linear, weight: torch.Tensor, bias: torch.Tensor) -> None:
    layer.weight.data.copy_(weight)
    assert layer.bias is not None
    layer.bias.data.copy_(bias)


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
