"""Networks as sequences of torch's own layers with dense weights in float64, whose neurons can be exchanged."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from tmi.errors import InputError

from ..fused import ClassSum, TileMatch
from ..superposed.layers import Decoded, Mixed
from ..theorem1.literal import SparseSums, ValueFilters, WindowSums
from ..theorem2.layers import Groups, PatchDistances, PixelValues, Rounded, Threshold
from ..theorem2.literal import PatchNetwork

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers with neurons of their own."""

MIXABLE = (nn.Flatten, nn.Identity, nn.ZeroPad2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
"""Layers that are linear and treat all channels alike, so that a change of basis of the channels passes through them."""

RECTIFYING = (nn.ReLU, nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
"""Layers that treat every channel by itself, and c·x like x for c > 0."""

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

SUPPORTED = "Conv1d, Conv2d, Linear, BatchNorm, ReLU, pooling, Flatten, Sequential, and the literal layers of the constructions"


class Budget:
    """The memory that dense weights may take.

    Parameters
    ----------
    memory : float
        In gigabytes.
    """

    def __init__(self, memory: float) -> None:
        self.memory, self.numbers = memory, 0.0

    def take(self, *shape: int) -> None:
        """Account for a weight of this shape in float64, before it is made.

        Raises
        ------
        InputError
            If the weights together would be larger than the memory.
        """
        self.numbers += float(np.prod(shape, dtype=float))
        if 8e-9 * self.numbers > self.memory:
            raise InputError(
                f"disguised: the dense layers need at least {8e-9 * self.numbers:.3g} GB, more than memory = {self.memory:g}; "
                "take a smaller task or network, or raise memory"
            )

    def release(self, weight: torch.Tensor) -> None:
        """Account for a weight that another one has taken the place of."""
        self.numbers -= weight.numel()


def torch_layers(module: nn.Module, image_shape: tuple[int, int, int], budget: Budget) -> nn.Sequential:
    """Return a module of torch's own layers in float64 that computes the same, with submodules of the same names.

    Weights are dense parameters, groups of convolutions are blocks of zeros, a batch normalisation is a 1×1 convolution, and a
    dropout does nothing.

    Parameters
    ----------
    module : Module
        Sequences of the layers that are named in ``SUPPORTED``, nested as one likes.
    image_shape : (int, int, int)
        Channels, rows and columns of the images.
    budget : Budget

    Raises
    ------
    InputError
        For a module that is not supported, or layers that need more memory.
    """
    hooked = next((name for name, part in module.named_modules() if part._forward_hooks or part._forward_pre_hooks), None)
    if hooked is not None:
        where = f"module {hooked!r}" if hooked else "the network"
        raise InputError(f"disguised: {where} has hooks, or answers by output= or form=; give a network of plain layers")
    image = torch.zeros(1, *image_shape, dtype=torch.float64)
    with torch.no_grad():
        result, _ = _converted("", module, image, budget)
    return result if isinstance(result, nn.Sequential) else nn.Sequential(OrderedDict(layer=result))


def linear_layer(weight: torch.Tensor, bias: torch.Tensor | None, like: nn.Module | None = None, **how: Any) -> nn.Module:
    """Return the layer of torch with these weights: Linear (out, in), Conv1d (out, in, k), or Conv2d (out, in, k, l).

    Parameters
    ----------
    weight, bias : Tensor
    like : Module, optional
        A convolution whose stride, padding and dilation the layer gets.
    **how
        The same, one by one.
    """
    out, into, *kernel = weight.shape
    if isinstance(like, nn.Conv1d | nn.Conv2d):
        how = {name: getattr(like, name) for name in ("stride", "padding", "dilation", "padding_mode")}
    # On the meta device: no random numbers are drawn for weights that are replaced.
    made: Any
    if not kernel:
        made = nn.Linear(into, out, bias=bias is not None, device="meta")
    else:
        kind = nn.Conv1d if len(kernel) == 1 else nn.Conv2d
        made = kind(into, out, tuple(kernel), bias=bias is not None, device="meta", **how)  # type: ignore[arg-type]
    made.weight = nn.Parameter(weight.detach().double().contiguous())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().double().contiguous())
    result: nn.Module = made
    return result


def leaves(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of nested sequences, in the order in which they are called, with their full names."""
    for name, child in module._modules.items():
        if isinstance(child, nn.Sequential):
            yield from leaves(child, f"{prefix}{name}.")
        elif child is not None:
            yield f"{prefix}{name}", child


def _converted(name: str, module: nn.Module, x: torch.Tensor, budget: Budget) -> tuple[nn.Module, torch.Tensor]:
    """Return a module in torch's own layers, and its output on the image x."""
    if isinstance(module, nn.Sequential) and type(module).forward in (nn.Sequential.forward, PatchNetwork.forward):
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for child_name, child in module._modules.items():
            if child is not None:
                parts[child_name], x = _converted(f"{name}.{child_name}".lstrip("."), child, x, budget)
        return nn.Sequential(parts), x
    convert = next((function for kinds, function in _CONVERSIONS if type(module) in kinds), None)
    made = None if convert is None else convert(module, x, budget)
    if made is None:
        where = f"module {name!r} is" if name else "the network is"
        raise InputError(f"disguised: {where} a {type(module).__name__}{_remedy(module, x)}; supported are {SUPPORTED}")
    result = made[0] if len(made) == 1 else nn.Sequential(*made)
    return result, result(x)


def _remedy(module: nn.Module, x: torch.Tensor) -> str:
    if isinstance(module, TileMatch):
        return ", which has no neurons to exchange: name the network with realisation='literal'"
    if isinstance(module, (*MIXABLE, *RECTIFYING)) and _is_over_channels(module, x):
        return f" that combines different neurons, for its input has {x.ndim} axes"
    return ", for its tiles are evaluated in groups: raise the memory of theorem2" if isinstance(module, Groups) else ""


def _is_over_channels(module: nn.Module, x: torch.Tensor) -> bool:
    """Whether a pooling or padding takes (N, channels, …) for the maps of one image, which torch accepts."""
    axes = {"1d": 3, "2d": 4}.get(type(module).__name__[-2:], x.ndim)
    return x.ndim != axes


# Each conversion returns the layers that take the place of a module, or None where the module cannot be converted.


def _linear(module: Any, x: torch.Tensor, budget: Budget) -> list[nn.Module] | None:
    if isinstance(module, nn.Linear) and x.ndim != 2:
        return None
    weight, groups = module.weight.double(), getattr(module, "groups", 1)
    budget.take(*weight.shape, groups)
    if groups > 1:
        blocks = weight.new_zeros(len(weight), weight.shape[1] * groups, *weight.shape[2:])
        for number, rows in enumerate(torch.arange(len(weight)).chunk(groups)):
            blocks[rows, number * weight.shape[1] : (number + 1) * weight.shape[1]] = weight[rows]
        weight = blocks
    return [linear_layer(weight, module.bias, module)]


def _norm(module: Any, x: torch.Tensor, budget: Budget) -> list[nn.Module] | None:
    if module.running_mean is None:
        return None
    budget.take(module.num_features, module.num_features)
    scale = (module.running_var.double() + module.eps).rsqrt()
    shift = -module.running_mean.double() * scale
    if module.affine:
        scale, shift = scale * module.weight.double(), shift * module.weight.double() + module.bias.double()
    return [linear_layer(torch.diag(scale).view(*[len(scale)] * 2, *[1] * (x.ndim - 2)), shift)]


def _kept(module: nn.Module, x: torch.Tensor, _budget: Budget) -> list[nn.Module] | None:
    if isinstance(module, nn.Flatten) and (module.start_dim < 1 or module.end_dim != -1):
        return None
    if isinstance(module, nn.Unflatten) and (module.dim != 1 or not isinstance(module.unflattened_size, tuple)):
        return None
    if getattr(module, "return_indices", False) or _is_over_channels(module, x):
        return None
    made = copy.deepcopy(module)
    if isinstance(made, nn.ReLU):
        made.inplace = False  # attribution methods need the layer's input
    return [made]


def _nothing(_module: nn.Module, _x: torch.Tensor, _budget: Budget) -> list[nn.Module]:
    return [nn.Identity()]


def _rounded(module: Rounded, x: torch.Tensor, budget: Budget) -> list[nn.Module] | None:
    return _linear(module["float64"], x, budget)


def _class_sum(module: ClassSum, x: torch.Tensor, budget: Budget) -> list[nn.Module]:
    budget.take(module.out_features, module.in_features)
    return [linear_layer(module.weight, None)]


def _sparse_sums(module: SparseSums, x: torch.Tensor, budget: Budget) -> list[nn.Module]:
    budget.take(module.out_features, module.in_features)
    return [linear_layer(module.sparse_weight().to_dense(), getattr(module, "bias", None))]


def _pixel_values(module: PixelValues, x: torch.Tensor, budget: Budget) -> list[nn.Module]:
    rows, cols = x.shape[2:]
    conv = module.conv["float64"]
    return [
        nn.ZeroPad2d((0, module.padded[1] - cols, 0, module.padded[0] - rows)),
        linear_layer(conv.weight, conv.bias),  # type: ignore[arg-type]
        nn.ReLU(),
    ]


def _patch_distances(module: PatchDistances, x: torch.Tensor, budget: Budget) -> list[nn.Module]:
    parts: list[Any] = list(module.slices)
    counts = [len(part.conv.weight) for part in parts]
    budget.take(sum(counts), module.inputs, 2, 2)
    weight = torch.zeros(sum(counts), module.inputs, 2, 2, dtype=torch.float64)
    for first, part in zip(np.cumsum(counts) - counts, parts, strict=True):
        entries = part.entries()
        weight[first + entries.target, entries.source, entries.tap[0], entries.tap[1]] = torch.from_numpy(entries.weight)
    bias = None if parts[0].conv.bias is None else torch.cat([part.conv.bias for part in parts])
    return [linear_layer(weight, bias, dilation=module.dilation), nn.ReLU()]


def _threshold(module: Threshold, x: torch.Tensor, budget: Budget) -> list[nn.Module]:
    tiles = len(module.reads)
    weight = torch.zeros(tiles, x.shape[1], 1, 1, dtype=torch.float64)
    weight[torch.arange(tiles), module.reads] = -1
    assert module.conv.bias is not None
    made = [linear_layer(weight, module.conv.bias), nn.Flatten()]
    places = tiles * module.places[0] * module.places[1]
    if len(module.inside) < places:  # tiles of different sizes have different numbers of windows
        budget.take(len(module.inside), places)
        chosen = torch.zeros(len(module.inside), places, dtype=torch.float64)
        chosen[torch.arange(len(module.inside)), module.inside] = 1
        made.append(linear_layer(chosen, None))
    return made


_CONVERSIONS: list[tuple[tuple[type, ...], Callable[..., list[nn.Module] | None]]] = [
    ((*LINEAR, ValueFilters), _linear),
    (_NORMS, _norm),
    ((*MIXABLE, *RECTIFYING, nn.Unflatten), _kept),
    (_DROPOUT, _nothing),
    ((Rounded,), _rounded),
    ((ClassSum,), _class_sum),
    ((WindowSums, Mixed, Decoded), _sparse_sums),
    ((PixelValues,), _pixel_values),
    ((PatchDistances,), _patch_distances),
    ((Threshold,), _threshold),
]
