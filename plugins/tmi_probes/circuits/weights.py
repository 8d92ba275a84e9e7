"""Whether a linear or convolutional module computes what its weight and bias say, so that its weight may be read."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    import tmi

IMAGES = 8
"""So many images are compared."""

_ROUNDING = 1e-4  # of the sum of the products' sizes, in float32


def with_other_weights(network: tmi.Network, images: torch.Tensor, names: Collection[str] | None = None) -> list[str]:
    """Return the linear and convolutional modules that compute something else than their weight and bias say.

    Such are a module with a hook that changes its input or output, and a subclass with a forward pass of its own.

    Parameters
    ----------
    network : Network
    images : Tensor, shape (N, C, m, n)
        On the first few, each module's output is compared with the product of its input and its weight.
    names : collection of str, optional
        The modules to look at, by default all.

    Returns
    -------
    list of str
        Names of modules, in the order of their use. A module that is not called is not among them.
    """
    from torch import nn

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    parts = {
        name: part
        for name, part in network.module.named_modules()
        if isinstance(part, kinds) and (names is None or name in names)
    }
    given: dict[str, torch.Tensor] = {}
    other: dict[str, None] = {}

    def enter(name: str) -> Any:
        # Before every other hook, for those may change the input.
        return lambda _module, inputs: given.__setitem__(name, inputs[0].clone()) if inputs else None

    def leave(name: str) -> Any:
        def hook(part: Any, _inputs: Any, output: Any) -> None:
            if name not in given or not _is_product(part, given.pop(name), output):
                other[name] = None

        return hook

    handles = []
    for name, part in parts.items():
        handles += [part.register_forward_pre_hook(enter(name), prepend=True), part.register_forward_hook(leave(name))]
    try:
        network.logits(images[:IMAGES])
    finally:
        for handle in handles:
            handle.remove()
    return list(other)


def converted_parameters(network: tmi.Network, images: torch.Tensor) -> set[str]:
    """Return the parameters that meet the image only after an operation has changed their values.

    Such are weights that a module of its own scales, standardises, masks or rounds in its forward pass. Weights that are only
    rearranged, as by a transposition, are not among them.

    Parameters
    ----------
    network : Network
    images : Tensor, shape (N, C, m, n)
        The first is evaluated.
    """
    from .conversions import Conversions

    conversions = Conversions(network.module)
    handle = network.module.register_forward_pre_hook(lambda _module, inputs: conversions.follow(inputs), prepend=True)
    try:
        with conversions:
            network.logits(images[:1])
    finally:
        handle.remove()
    return conversions.converted


def _is_product(part: Any, x: torch.Tensor, output: Any) -> bool:
    """Whether an output is the product of an input and the module's weight, plus its bias, up to rounding."""
    import torch

    # A layer of a construction holds float64 and computes in its input's dtype.
    weight, bias = part.weight.to(x.dtype), None if part.bias is None else part.bias.to(x.dtype)
    try:
        expected = _product(part, x, weight, bias)
    except (RuntimeError, TypeError, AttributeError):  # a forward pass of its own takes inputs of another shape
        return False
    size = _product(part, x.abs(), weight.abs(), None if bias is None else bias.abs())
    same_shape = isinstance(output, torch.Tensor) and output.shape == expected.shape
    return same_shape and bool((((output - expected).abs() <= _ROUNDING * size) | (output.isnan() & expected.isnan())).all())


def _product(part: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return what ``torch.nn`` computes from a weight and a bias, with the module's stride, padding and so on."""
    from torch.nn import Linear
    from torch.nn.functional import linear

    if isinstance(part, Linear):
        return linear(x, weight, bias)
    # Of torch's class: a subclass may have replaced this step too.
    convolution: Any = next(kind for kind in type(part).__mro__ if kind.__module__ == "torch.nn.modules.conv")
    result: torch.Tensor = convolution._conv_forward(part, x, weight, bias)
    return result
