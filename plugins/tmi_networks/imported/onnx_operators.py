"""Operators of ONNX as functions of torch, and the table of all that are known.

Reference: the operator definitions of ONNX, https://onnx.ai/onnx/operators. Each function gets the conversion, the node, and its
attributes, and returns the node of the result, or a tuple of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional

from .onnx_layers import (
    Operator,
    add,
    average_pool,
    batch_norm,
    clip,
    conv,
    flatten,
    gemm,
    layer,
    layer_norm,
    matmul,
    max_pool,
    prelu,
    softmax,
)

if TYPE_CHECKING:
    from .onnx_conversion import Conversion


def function(target: Callable[..., Any]) -> Operator:
    """Return the converter of an operator that is a function of its inputs."""
    return lambda c, node, _a: c.call(target, *(c.node(name) for name in node.input))


def repeated(target: Callable[..., Any]) -> Operator:
    """Return the converter of an operator that combines any number of inputs, two at a time."""

    def convert(c: Conversion, node: Any, _a: dict[str, Any]) -> fx.Node:
        first, *others = (c.node(name) for name in node.input)
        for other in others:
            first = c.call(target, first, other)
        return first

    return convert


def reshape(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return an nn.Flatten, or a reshape in which the number of images is free."""
    x, shape = c.node(node.input[0]), c.constants.get(node.input[1])
    if shape is None or (a.get("allowzero", 0) and 0 in shape.tolist()):
        return c.call(_reshaped, x, c.node(node.input[1]))
    sizes = shape.tolist()
    # A model that was written for one image, or for a fixed number, says that number here.
    if c.batch is not None and sizes and sizes[0] == c.batch and len(sizes) > 1 and -1 not in sizes[1:]:
        sizes = [0, *sizes[1:]]
    if (
        len(sizes) == 2
        and sizes[0] in (0, -1, c.batch)
        and c.ranks.get(node.input[0], 4) > 2
        and (sizes[0] != -1 or sizes[1] > 0)
    ):
        if sizes[0] == -1:
            return c.call(torch.reshape, x, sizes)
        return c.layer(node, nn.Flatten())
    return c.call(_reshaped, x, sizes)


def _reshaped(x: torch.Tensor, shape: Any) -> torch.Tensor:
    """Reshape; a 0 keeps the size of that axis."""
    sizes = shape.tolist() if isinstance(shape, torch.Tensor) else list(shape)
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def _axes(c: Conversion, node: Any, a: dict[str, Any]) -> list[int] | None:
    axes = a.get("axes") if "axes" in a else c.constant(node, 1)
    return None if axes is None else [int(axis) for axis in axes]


def squeeze(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the input without axes of length 1."""
    axes = _axes(c, node, a)
    if axes is None:
        raise NotImplementedError("without axes, for it would remove that of the images for one image")
    return c.call(torch.squeeze, c.node(node.input[0]), axes)


def unsqueeze(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the input with axes of length 1."""
    result = c.node(node.input[0])
    for axis in sorted(_axes(c, node, a) or []):
        result = c.call(torch.unsqueeze, result, axis)
    return result


def reduce(target: Callable[..., Any]) -> Operator:
    """Return the converter of an operator that reduces axes."""

    def convert(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
        axes = _axes(c, node, a)
        if not axes:
            raise NotImplementedError("over all axes, for images would be mixed")
        return c.call(target, c.node(node.input[0]), axes, keepdim=bool(a.get("keepdims", 1)))

    return convert


def concat(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the inputs one after another."""
    return c.call(torch.cat, [c.node(name) for name in node.input], a["axis"])


def gather(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return entries along an axis; negative indices count from its end, in torch as in ONNX."""
    indices, axis = c.constant(node, 1), a.get("axis", 0)
    assert indices is not None
    index = c.node(node.input[1]) if indices.ndim else int(indices)
    place = (*[slice(None)] * axis, index) if axis >= 0 else (..., index, *[slice(None)] * (-1 - axis))
    return c.call(operator.getitem, c.node(node.input[0]), place)


def slice_(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return a part along some axes."""
    names = enumerate(("starts", "ends", "axes", "steps"), 1)
    values = [a[name] if name in a else c.constant(node, position) for position, name in names]
    starts, ends, axes, steps = (None if value is None else [int(n) for n in value] for value in values)
    assert starts is not None
    assert ends is not None
    result = c.node(node.input[0])
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[number] if axes else number, steps[number] if steps else 1
        if step < 1 or axis < 0:
            raise NotImplementedError("backwards")
        result = c.call(operator.getitem, result, (*[slice(None)] * axis, slice(start, min(end, 2**62), step)))
    return result


def split(c: Conversion, node: Any, a: dict[str, Any]) -> tuple[fx.Node, ...]:
    """Return parts along an axis."""
    sizes = a.get("split", c.constant(node, 1))
    if sizes is None:
        raise NotImplementedError("without sizes")
    parts = c.call(torch.split, c.node(node.input[0]), [int(n) for n in sizes], a.get("axis", 0))
    return tuple(c.call(operator.getitem, parts, number) for number in range(len(node.output)))


def pad(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the input with a border."""
    if a.get("mode", "constant") != "constant" or (len(node.input) > 3 and node.input[3]):
        raise NotImplementedError("in another mode than constant, or along chosen axes")
    pads, value = (a[name] if name in a else c.constant(node, place) for place, name in ((1, "pads"), (2, "value")))
    assert pads is not None
    numbers = [int(n) for n in pads]
    begin, end = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    sides = [n for pair in zip(reversed(begin), reversed(end), strict=True) for n in pair]
    return c.call(functional.pad, c.node(node.input[0]), sides, value=0.0 if value is None else float(value))


def transpose(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the input with its axes in another order."""
    if "perm" not in a:
        raise NotImplementedError("without an order of axes")
    return c.call(torch.permute, c.node(node.input[0]), list(a["perm"]))


def shape_of(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the sizes of the axes."""
    return c.call(_shape, c.node(node.input[0]), a.get("start", 0), a.get("end"))


def _shape(x: torch.Tensor, start: int, end: int | None) -> torch.Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def cast(c: Conversion, node: Any, a: dict[str, Any]) -> fx.Node:
    """Return the input in another type of numbers; numbers with a fraction stay in that in which the module computes."""
    from onnx import TensorProto

    if a["to"] in (TensorProto.FLOAT, TensorProto.DOUBLE):
        return c.call(_as_fraction, c.node(node.input[0]))
    if a["to"] not in (TensorProto.INT64, TensorProto.INT32):
        raise NotImplementedError("to this type of numbers")
    return c.call(torch.Tensor.to, c.node(node.input[0]), torch.int64 if a["to"] == TensorProto.INT64 else torch.int32)


def _as_fraction(x: torch.Tensor) -> torch.Tensor:
    return x if x.is_floating_point() else x.float()


def same(c: Conversion, node: Any, _a: dict[str, Any]) -> fx.Node:
    """Return the input."""
    return c.node(node.input[0])


OPERATORS: dict[str, Operator] = {
    "Abs": function(torch.abs),
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Celu": layer(lambda a: nn.CELU(a.get("alpha", 1.0))),
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": function(torch.div),
    "Dropout": same,
    "Elu": layer(lambda a: nn.ELU(a.get("alpha", 1.0))),
    "Erf": function(torch.erf),
    "Exp": function(torch.exp),
    "Flatten": flatten,
    "Gather": gather,
    "Gelu": layer(lambda a: nn.GELU(a.get("approximate", "none"))),
    "Gemm": gemm,
    "GlobalAveragePool": layer(lambda _: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": layer(lambda _: nn.AdaptiveMaxPool2d(1)),
    "HardSwish": layer(lambda _: nn.Hardswish()),
    "Identity": same,
    "LayerNormalization": layer_norm,
    "LeakyRelu": layer(lambda a: nn.LeakyReLU(a.get("alpha", 0.01))),
    "Log": function(torch.log),
    "LogSoftmax": softmax(nn.LogSoftmax),
    "MatMul": matmul,
    "Max": repeated(torch.maximum),
    "MaxPool": max_pool,
    "Min": repeated(torch.minimum),
    "Mish": layer(lambda _: nn.Mish()),
    "Mul": function(torch.mul),
    "Neg": function(torch.neg),
    "PRelu": prelu,
    "Pad": pad,
    "Pow": function(torch.pow),
    "Reciprocal": function(torch.reciprocal),
    "ReduceMax": reduce(torch.amax),
    "ReduceMean": reduce(torch.mean),
    "ReduceSum": reduce(torch.sum),
    "Relu": layer(lambda _: nn.ReLU()),
    "Reshape": reshape,
    "Selu": layer(lambda _: nn.SELU()),
    "Shape": shape_of,
    "Sigmoid": layer(lambda _: nn.Sigmoid()),
    "Slice": slice_,
    "Softmax": softmax(nn.Softmax),
    "Softplus": layer(lambda _: nn.Softplus()),
    "Split": split,
    "Sqrt": function(torch.sqrt),
    "Squeeze": squeeze,
    "Sub": function(torch.sub),
    "Sum": repeated(torch.add),
    "Tanh": layer(lambda _: nn.Tanh()),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""By the name of an operator, the function that converts it."""
