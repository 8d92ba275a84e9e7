"""Is an attribution method sound for a module? A refusal with its reason, instead of a silently wrong number.

DeepLift replaces gradients at the modules it knows; a non-linearity that is not such a module keeps its gradient, and the result
is wrong without a word. So the preflight sends one image through a copy of the module and compares the recorded graph with the
modules that were called.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

HOOKED = ("deeplift",)
"""The methods that work by hooks on modules and need `preflight`."""

# Captum's rescale rule knows these modules; by the name of the operation that they record.
_KNOWN = {
    "Relu": "ReLU",
    "Elu": "ELU",
    "LeakyRelu": "LeakyReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softplus": "Softplus",
    "Softmax": "Softmax",
}

# Linear in the image, or a rearrangement of it.
_LINEAR = frozenset(
    """
    AccumulateGrad AdaptiveAvgPool2D Add Alias AsStrided AvgPool1D AvgPool2D AvgPool3D Cat Clone Col2Im ConstantPadNd
    Contiguous CudnnBatchNorm Expand Flip Gather Im2Col Index IndexAdd IndexSelect Mean MkldnnAdaptiveAvgPool2D
    NativeBatchNorm Neg Permute PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D Repeat ReplicationPad1D
    ReplicationPad2D Reshape ReshapeAlias Roll Rsub Scatter ScatterAdd Select Slice Split SplitWithSizes Squeeze Stack Sub
    Sum T ToCopy Transpose Unbind Unfold UnsafeView Unsqueeze UpsampleBilinear2D UpsampleNearest2D View
    """.split()  # noqa: SIM905 -- sixty names in quotes would be harder to read
)

# Linear as long as the image enters one factor only: which inputs are the factors.
_PRODUCTS = {
    "Mul": slice(0, 2),
    "Div": slice(0, 2),
    "Mm": slice(0, 2),
    "Bmm": slice(0, 2),
    "Mv": slice(0, 2),
    "Dot": slice(0, 2),
    "Linear": slice(0, 2),
    "Convolution": slice(0, 2),
    "MkldnnLinear": slice(0, 2),
    "Addmm": slice(1, 3),
    "Addmv": slice(1, 3),
    "Addbmm": slice(1, 3),
    "Baddbmm": slice(1, 3),
    "SparseAddmm": slice(1, 3),
}


def without_gradient(module: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return why no gradient reaches the images, or an empty list.

    Parameters
    ----------
    module : torch.nn.Module
    images : Tensor, shape (N, C, m, n)
    """
    logits, _ = _graph(_copy(module), images)
    return [] if logits.requires_grad else ["its logits do not depend differentiably on the image; occlusion needs no gradient"]


def preflight(module: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Say why methods that hook modules, such as DeepLift, would be wrong for a module.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is: a copy is examined.
    images : Tensor, shape (N, C, m, n)
        The first is sent through the copy.

    Returns
    -------
    list of str
        One reason each, with how to mend it; empty if nothing speaks against it.
    """
    import torch

    module = _copy(module)
    modules = {name: part for name, part in module.named_modules() if type(part).__name__ in _KNOWN.values()}
    calls: Counter[str] = Counter()
    one = images[:1].detach()
    handles = [part.register_forward_hook(lambda _m, _x, _y, name=name: calls.update([name])) for name, part in modules.items()]
    try:
        logits, nodes = _graph(module, one)
    finally:
        for handle in handles:
            handle.remove()
    if not logits.requires_grad:
        return ["its logits do not depend differentiably on the image"]
    called = Counter(type(modules[name]).__name__ for name in calls.elements())
    reasons = [
        f"module {name!r} is used {times} times; give each use a module of its own" for name, times in calls.items() if times > 1
    ]
    reasons += [
        f"module {name!r} works in place; make it inplace=False"
        for name, part in modules.items()
        if getattr(part, "inplace", False)
    ]
    # An affine operation has one gradient, whatever the image.
    others = [_graph(module, other)[1] for other in (torch.zeros_like(one), torch.ones_like(one), 1 - one)]
    return reasons + _unseen(nodes, called) + _hidden(nodes, others)


@contextmanager
def recording() -> Iterator[None]:
    """Record gradients inside the block, whatever the caller has switched off."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


def _unseen(nodes: list[Any], called: Counter[str]) -> list[str]:
    """Return the non-linear operations of a graph that belong to no module that DeepLift knows."""
    reasons = []
    operations: Counter[str] = Counter()
    for node in nodes:
        name = _operation(node)
        if _is_custom(node):
            continue
        if name in _PRODUCTS:
            factors = [factor for factor, _ in node.next_functions[_PRODUCTS[name]] if factor is not None]
            if len(factors) > 1 or (name == "Div" and node.next_functions[1][0] is not None):
                reasons.append(f"{name} multiplies or divides by what depends on the image, which is not linear")
        elif name.startswith(("MaxPool", "AdaptiveMaxPool")):
            reasons.append(
                "max pooling beside ReLU is attributed wrongly by Captum; use average pooling or a strided convolution"
            )
        elif name not in _LINEAR:
            operations[name] += 1
    for name, times in operations.items():
        kind = _KNOWN.get(name)
        if kind is None:
            reasons.append(f"{name} is not linear, and no module that DeepLift knows")
        elif times > called[kind]:
            reasons.append(
                f"{times - called[kind]} of {times} {name} operations are functional; use an nn.{kind} module for each"
            )
    return list(dict.fromkeys(reasons))


def _hidden(nodes: list[Any], others: list[list[Any]]) -> list[str]:
    """Return the custom functions that are not affine: their gradient differs between the graphs of different images."""
    import torch

    reasons = []
    same = [list(map(_operation, graph)) == list(map(_operation, nodes)) for graph in others]
    for position, node in enumerate(nodes):
        if not _is_custom(node):
            continue
        given = [torch.ones(part.shape, dtype=part.dtype, device=part.device) for part in node._input_metadata]
        affine = all(same) and all(_alike(node.apply(*given), graph[position].apply(*given)) for graph in others)
        if not affine:
            reasons.append(
                f"the custom autograd.Function {_operation(node)} hides a non-linearity; use layers made of modules "
                '(for Theorem 1: realisation="literal")'
            )
    return list(dict.fromkeys(reasons))


def _alike(one: Any, other: Any) -> bool:
    pairs = zip(*(part if isinstance(part, tuple) else (part,) for part in (one, other)), strict=True)
    return all(a is b or (a is not None and b is not None and bool(a.eq(b).all())) for a, b in pairs)


def _operation(node: Any) -> str:
    return re.sub(r"Backward\d*$", "", type(node).__name__)


def _is_custom(node: Any) -> bool:
    from torch.autograd.function import BackwardCFunction

    return isinstance(node, BackwardCFunction)


def _copy(module: torch.nn.Module) -> torch.nn.Module:
    # Without gradients of its own: then every recorded operation depends on the image.
    with recording():
        return copy.deepcopy(module).eval().requires_grad_(False)


def _graph(module: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
    """Send one image through a module: its logits, and every node of the graph that leads from the image to them."""
    with recording():
        image = images[:1].detach().clone().requires_grad_(True)
        logits: torch.Tensor = module(image)
    return logits, list(_walk(logits.grad_fn))


def _walk(root: Any) -> Iterator[Any]:
    seen, waiting = set(), [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(child for child, _ in node.next_functions if child is not None)
