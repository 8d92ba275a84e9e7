"""Operators of ONNX as layers: modules of ``torch.nn``, with weights or without.

Reference: the operator definitions of ONNX, https://onnx.ai/onnx/operators. Each function gets the conversion, the node, and its
attributes, and returns the node of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional

if TYPE_CHECKING:
    from .onnx_conversion import Conversion

Operator = Callable[["Conversion", Any, dict[str, Any]], Any]


def _filled(module: nn.Module, **values: torch.Tensor | None) -> nn.Module:
    for name, value in values.items():
        if name in module._buffers:
            module._buffers[name] = value
        else:
            module.register_parameter(name, None if value is None else nn.Parameter(value))
    return module


def _padding(c: Conversion, node: Any, a: dict[str, Any], kernel: Sequence[int], value: float) -> tuple[Any, Any]:
    """Return the input of a window operation, padded where both sides differ, and the padding that is the same on both sides."""
    x = c.node(node.input[0])
    auto = a.get("auto_pad", "NOTSET")
    begin, end = (
        list(a.get("pads", [0] * 2 * len(kernel)))[: len(kernel)],
        list(a.get("pads", [0] * 2 * len(kernel)))[len(kernel) :],
    )
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if list(a.get("strides", [1])) != [1] * len(a.get("strides", [1])):
            return c.call(_same_padding, x, list(kernel), list(a["strides"]), auto == "SAME_UPPER", value), [0] * len(kernel)
        total = [d * (k - 1) for k, d in zip(kernel, a.get("dilations", [1] * len(kernel)), strict=True)]
        begin = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
        end = [t - b for t, b in zip(total, begin, strict=True)]
    if begin == end:
        return x, begin
    sides = [n for pair in zip(reversed(begin), reversed(end), strict=True) for n in pair]
    return c.call(functional.pad, x, sides, value=value), [0] * len(kernel)


def _same_padding(x: torch.Tensor, kernel: list[int], strides: list[int], upper: bool, value: float) -> torch.Tensor:
    """Pad so that there are ⌈size/stride⌉ windows along each axis."""
    sides: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(strides), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        sides += [total // 2, total - total // 2] if upper else [total - total // 2, total // 2]
    return functional.pad(x, sides, value=value)


def conv(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return a convolution: nn.Conv1d, nn.Conv2d or nn.Conv3d."""
    weight = c.constant(node, 1)
    assert weight is not None
    kind: Any = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[weight.ndim]
    kernel, groups = list(weight.shape[2:]), a.get("group", 1)
    x, padding = _padding(c, node, a, kernel, 0.0)
    strides, dilations = (list(a.get(name, [1] * len(kernel))) for name in ("strides", "dilations"))
    module = kind(weight.shape[1] * groups, weight.shape[0], kernel, strides, padding, dilations, groups, device="meta")
    return c.layer(node, _filled(module, weight=weight, bias=c.constant(node, 2)), x)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    module = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    return _filled(module, weight=weight.contiguous(), bias=None if bias is None else bias.expand(len(weight)).contiguous())


def gemm(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.Linear: α·A·B + β·C."""
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    assert weight is not None
    if weight.ndim != 2:
        raise NotImplementedError(f"with weights {tuple(weight.shape)}, which are no matrix")
    if a.get("transA", 0) or (bias is not None and bias.numel() not in (1, weight.shape[0 if a.get("transB", 0) else 1])):
        raise NotImplementedError("with transA or a bias that differs between images")
    weight = (weight if a.get("transB", 0) else weight.T) * a.get("alpha", 1.0)
    return c.layer(node, _linear(weight, None if bias is None else bias.flatten() * a.get("beta", 1.0)))


def matmul(c: Conversion, node: Any, _a: dict[str, Any]) -> fx.Node:
    """Return an nn.Linear where the second factor is a constant matrix."""
    weight = c.constants.get(node.input[1])
    if weight is not None and weight.ndim == 2:
        return c.layer(node, _linear(weight.T, None))
    return c.call(torch.matmul, c.node(node.input[0]), c.node(node.input[1]))


def add(c: Conversion, node: Any, _a: dict[str, Any]) -> fx.Node:
    """Return a sum; a constant that is added to an nn.Linear becomes its bias."""
    for name, other in (node.input, reversed(node.input)):
        before, bias = c.values.get(name), c.constants.get(other)
        if before is not None and bias is not None and before.op == "call_module" and c.uses[name] == 1:
            layer = c.modules[str(before.target)]
            if (
                isinstance(layer, nn.Linear)
                and layer.bias is None
                and tuple(bias.shape) in ((layer.out_features,), (1, layer.out_features))
            ):
                layer.bias = nn.Parameter(bias.flatten())
                return before
    return c.call(torch.add, *map(c.node, node.input))


def batch_norm(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.BatchNorm1d or nn.BatchNorm2d."""
    if a.get("training_mode", 0):
        raise NotImplementedError("in training mode; export the model in evaluation mode")
    scale, bias, mean, variance = (c.constant(node, position) for position in (1, 2, 3, 4))
    assert scale is not None
    kind = nn.BatchNorm1d if c.ranks.get(node.input[0], 4) < 4 else nn.BatchNorm2d
    module = kind(len(scale), eps=a.get("epsilon", 1e-5))
    return c.layer(node, _filled(module, weight=scale, bias=bias, running_mean=mean, running_var=variance))


def layer_norm(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.LayerNorm over the last axes."""
    scale, bias = c.constant(node, 1), c.constant(node, 2)
    assert scale is not None
    return c.layer(node, _filled(nn.LayerNorm(list(scale.shape), eps=a.get("epsilon", 1e-5)), weight=scale, bias=bias))


def max_pool(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.MaxPool2d."""
    kernel: Any = list(a["kernel_shape"])
    if len(kernel) != 2 or len(node.output) > 1:
        raise NotImplementedError("along other than two axes, or with indices")
    x, padding = _padding(c, node, a, kernel, float("-inf"))
    strides, dilations = (tuple(a.get(name, [1, 1])) for name in ("strides", "dilations"))
    return c.layer(node, nn.MaxPool2d(kernel, strides, padding, dilations, ceil_mode=bool(a.get("ceil_mode", 0))), x)


def average_pool(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.AvgPool2d."""
    kernel: Any = list(a["kernel_shape"])
    includes, strides = bool(a.get("count_include_pad", 0)), a.get("strides", (1, 1))
    if len(kernel) != 2 or any(n != 1 for n in a.get("dilations", [1])):
        raise NotImplementedError("along other than two axes, or with dilations")
    x, padding = _padding(c, node, a, kernel, 0.0)
    if x is not c.node(node.input[0]) and not includes:
        raise NotImplementedError("with other padding on one side than on the other")
    return c.layer(node, nn.AvgPool2d(kernel, tuple(strides), padding, bool(a.get("ceil_mode", 0)), includes), x)


def clip(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.ReLU, an nn.ReLU6 or an nn.Hardtanh, or torch.clamp with one bound."""
    bounds = (a[name] if name in a else c.constant(node, position) for position, name in ((1, "min"), (2, "max")))
    low, high = (None if bound is None else float(bound) for bound in bounds)
    if low == 0 and (high is None or high > 1e30):
        return c.layer(node, nn.ReLU())
    if low is not None and high is not None:
        return c.layer(node, nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high))
    return c.call(torch.clamp, c.node(node.input[0]), low, high)


def softmax(kind: type[nn.Module]) -> Operator:
    """Return the converter of Softmax or LogSoftmax."""

    def convert(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
        axis = a.get("axis", -1 if c.opset >= 13 else 1)
        if c.opset < 13 and c.ranks.get(node.input[0], 2) != 2:
            raise NotImplementedError("of opset 12 and earlier on more than two axes")
        return c.layer(node, kind(axis))

    return convert


def layer(make: Callable[[dict[str, Any]], nn.Module]) -> Operator:
    """Return the converter of an operator that is a module without weights."""
    return lambda c, node, a: c.layer(node, make(a))


def prelu(c: Conversion, node: Any, _a: dict[str, Any]) -> fx.Node:
    """Return an nn.PReLU."""
    slope = c.constant(node, 1)
    assert slope is not None
    return c.layer(node, _filled(nn.PReLU(slope.numel()), weight=slope.flatten()))


def flatten(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.Flatten."""
    if a.get("axis", 1) != 1:
        raise NotImplementedError("along another axis than 1")
    return c.layer(node, nn.Flatten())
