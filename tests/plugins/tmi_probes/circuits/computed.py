"""Networks whose weights are computed, beside the same with plain weights; and layers that compute with other weights."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import tmi

from ..toys import network, small_cnn


class Tripled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 3 * weight


def computed_weights() -> tuple[tmi.Network, tmi.Network]:
    """Return a network with weight norm, pruning and a parametrisation, and one with the same weights as parameters."""
    computed, same = small_cnn(seed=4), small_cnn(seed=4)
    nn.utils.weight_norm(computed.conv[0])
    prune.l1_unstructured(computed.hidden[0], "weight", 0.4)
    parametrizations.weight_norm(computed.logits)
    parametrize.register_parametrization(computed.hidden[0], "bias", Tripled())
    with torch.no_grad():
        computed.conv[0].weight_g *= 2
        computed.logits.parametrizations.weight.original0 += 1
        computed(torch.zeros(1, 1, 8, 8))
        for ours, theirs in (
            (same.conv[0], computed.conv[0]),
            (same.hidden[0], computed.hidden[0]),
            (same.logits, computed.logits),
        ):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)
    return (network(module, "conv", "hidden", "logits") for module in (computed, same))


def layer_of(module: nn.Module, layer: str) -> nn.Module:
    part = module.get_submodule(layer)
    return part if layer == "logits" else part[0]


def _replaced_forward(module: nn.Module, layer: str) -> None:
    part = layer_of(module, layer)
    kind = type(part)

    class Standardised(kind):
        def forward(self, x):
            mean = self.weight.mean(tuple(range(1, self.weight.ndim)), keepdim=True)
            return torch.func.functional_call(self.plain[0], {"weight": self.weight - mean, "bias": self.bias}, (x,))

    part.plain = [kind(*_size(part))]  # in a list, so that it is no submodule
    part.__class__ = Standardised


def _size(part: nn.Module) -> tuple[int, ...]:
    if isinstance(part, nn.Linear):
        return part.in_features, part.out_features
    return part.in_channels, part.out_channels, part.kernel_size


OTHER_WEIGHTS: dict[str, Callable[[nn.Module, str], object]] = {
    "a hook on the output": lambda module, layer: layer_of(module, layer).register_forward_hook(lambda _m, _x, y: 2 * y),
    "a hook on the input": lambda module, layer: layer_of(module, layer).register_forward_pre_hook(lambda _m, x: (x[0] + 1,)),
    "a hook with keywords": lambda module, layer: layer_of(module, layer).register_forward_hook(
        lambda _m, _x, _k, y: y.flip(1), with_kwargs=True
    ),
    "a forward pass of its own": _replaced_forward,
}
"""Changes to a layer of `small_cnn` after which its weight and bias do not say what it computes."""
