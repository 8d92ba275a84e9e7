"""The layers of a network whose weights can be read: which there are, what they are called, and whether they form a chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tmi.networks.modes import evaluation_mode

from ..measures.sparsity import Pattern, pattern
from .weights import with_other_weights

if TYPE_CHECKING:
    import tmi

_DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CHANNEL_BY_CHANNEL = (nn.ReLU, nn.Flatten, nn.Identity, nn.MaxPool2d, nn.AvgPool2d, nn.Dropout)
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class WeightedLayer:
    """A module that is linear up to its ReLU, and its weights.

    Attributes
    ----------
    module : Module
    pattern : Pattern
    inputs, outputs : tuple of int
        The shapes of what it reads and gives for one image.
    stated : bool
        Whether the module states its weights by a method ``sparse_weight``.
    padded : bool
        Whether it is a convolution that reads beyond the borders of its maps.
    """

    module: nn.Module
    pattern: Pattern
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stated: bool
    padded: bool


def weighted_layers(network: tmi.Network, images: torch.Tensor) -> tuple[dict[str, WeightedLayer], list[str]]:
    """Return the layers whose weights can be read, by name in the order of their use, and a note for each that is left out.

    Parameters
    ----------
    network : Network
        Plain, see `tmi.Network.plain`.
    images : Tensor, shape (N, C, m, n)

    Returns
    -------
    layers : dict of str to WeightedLayer
        The name is that of the network's layer that contains the module and no other one with weights, else the module's own.
    notes : list of str
    """
    stated = {name: part for name, part in network.module.named_modules() if callable(getattr(part, "sparse_weight", None))}
    inside = tuple(f"{name}." if name else "" for name in stated)
    stated = {name: part for name, part in stated.items() if not _is_inside(name, inside)}
    dense = {
        name: part
        for name, part in network.module.named_modules()
        if isinstance(part, _DENSE) and name not in stated and not _is_inside(name, inside)
    }
    shapes = _shapes(network, images[:1], stated | dense)
    used = {name: part for name, part in (stated | dense).items() if name in shapes}
    read = [name for name in used if name in dense]
    other = with_other_weights(network, images, read) if read else []
    names = _names(network, list(shapes))
    notes = [f"{names[name]}: left out, for it computes with other weights than it holds" for name in other]
    layers = {}
    for name, (inputs, outputs) in shapes.items():
        if name not in other:
            part: Any = used[name]
            weight = part.sparse_weight() if name in stated else part.weight
            padded = name in dense and any(part.padding) if isinstance(part, _DENSE[1:]) else False
            found = pattern(weight, getattr(part, "groups", 1) if name in dense else 1)
            layers[names[name]] = WeightedLayer(part, found, inputs, outputs, name in stated, padded)
    return layers, notes


def is_chain(network: tmi.Network, layers: dict[str, WeightedLayer], images: torch.Tensor) -> bool:
    """Whether each layer's outputs are the next one's inputs, channel by channel, and nothing leads around a layer.

    Parameters
    ----------
    network : Network
    layers : dict of str to WeightedLayer
    images : Tensor, shape (N, C, m, n)
        On the first two the parts, one after another, must give the logits.
    """
    known = {id(layer.module) for layer in layers.values()}
    parts = list(_parts(network.module, known))
    if not all(id(part) in known or isinstance(part, _CHANNEL_BY_CHANNEL) for part in parts):
        return False
    if [id(part) for part in parts if id(part) in known] != [id(layer.module) for layer in layers.values()]:
        return False
    expected = network.logits(images[:2])
    first = next(network.module.parameters(), images)
    x = images[:2].to(first.device, first.dtype)
    with torch.no_grad(), evaluation_mode(network.module):
        for part in parts:
            try:
                x = part(x)
            except RuntimeError:  # its input is of another shape than the last part's output
                return False
    return x.shape == expected.shape and bool(((x.cpu() - expected).abs() <= _ROUNDING * (1 + expected.abs())).all())


def _parts(module: nn.Module, known: set[int]) -> Iterator[nn.Module]:
    """Yield the parts of a sequence of sequences, in order."""
    for part in module if isinstance(module, nn.Sequential) else [module]:
        if isinstance(part, nn.Sequential) and id(part) not in known:
            yield from _parts(part, known)
        else:
            yield part


def _is_inside(name: str, containers: tuple[str, ...]) -> bool:
    return any(name.startswith(container) and name + "." != container for container in containers)


def _names(network: tmi.Network, modules: list[str]) -> dict[str, str]:
    names = {name: name for name in modules}
    for layer in network.layers:
        within = [name for name in modules if name == layer or name.startswith(f"{layer}.")]
        if len(within) == 1:
            names[within[0]] = layer
    return names


def _shapes(
    network: tmi.Network, image: torch.Tensor, modules: dict[str, nn.Module]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the shapes of input and output of the modules that are called, in the order of their use."""
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def record(name: str) -> Any:
        def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
            if inputs and isinstance(output, torch.Tensor):
                shapes.setdefault(name, (tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        return hook

    network.check(image)  # before the hooks: it evaluates the module as it is
    handles = [part.register_forward_hook(record(name)) for name, part in modules.items()]
    try:
        network.logits(image)
    finally:
        for handle in handles:
            handle.remove()
    return shapes
