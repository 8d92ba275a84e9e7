"""The graph of operations that autograd records for one image, cut at chosen modules, and the non-linearities that it hides.

A linear operation returns the same gradient on every image, and its output changes as its gradient says.
`hidden_nonlinearities` and `wrong_gradients` find where that fails, as for a ReLU written as a product with a mask.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .common import recording

if TYPE_CHECKING:
    import torch

# Operations that rearrange numbers; the gradient of a number that goes to several places is the sum over them.
REARRANGING = frozenset(
    """
    AccumulateGrad Alias AsStrided Cat Clone Col2Im ConstantPadNd Contiguous Expand Flip Gather Im2Col Index IndexSelect Permute
    PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D Repeat ReplicationPad1D ReplicationPad2D Reshape ReshapeAlias Roll
    Select Slice Split SplitWithSizes Squeeze Stack T ToCopy Transpose Unbind Unfold UnsafeView Unsqueeze UpsampleNearest2D View
    """.split()  # noqa: SIM905 -- a list of so many quoted names is harder to read
)

# Operations that are linear in the image, rearrangements included.
LINEAR = REARRANGING | frozenset(
    """
    AdaptiveAvgPool2D Add AvgPool1D AvgPool2D AvgPool3D CudnnBatchNorm IndexAdd Mean MkldnnAdaptiveAvgPool2D NativeBatchNorm Neg
    Rsub Scatter ScatterAdd Sub Sum UpsampleBilinear2D
    """.split()  # noqa: SIM905 -- a list of so many quoted names is harder to read
)

# Products, linear as long as only one factor depends on the image; the slice says which inputs are the factors.
PRODUCTS = {
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

# Operations that may act as a ReLU: each is constant on one side.
RECTIFIERS = frozenset("Relu Threshold Clamp ClampMin ClampMax Hardtanh Maximum Minimum Sign".split())  # noqa: SIM905

# Operations that are not linear and do not act as a ReLU: smooth ones, leaky ones, max pooling.
NONLINEAR = frozenset(
    """
    AdaptiveMaxPool2D AdaptiveMaxPool3D Celu Cos CudnnBatchNorm Elu Erf Exp Expm1 Gelu Glu LeakyRelu LinalgVectorNorm Log
    Log1P LogSigmoid LogSoftmax Logsumexp MaxPool2DWithIndices MaxPool3DWithIndices Mish NativeBatchNorm NativeGroupNorm
    NativeLayerNorm Norm Pow Prelu PreluKernel Reciprocal RreluWithNoise Rsqrt Selu Sigmoid Silu Sin Softmax Softplus Softsign
    Sqrt Std StdMean Tanh Var VarMean
    """.split()  # noqa: SIM905 -- a list of so many quoted names is harder to read
)


@dataclass(eq=False)
class Graph:
    """The operations that computed the logits of one image, cut at certain modules.

    Attributes
    ----------
    flows : bool
        Whether the logits depend differentiably on the image.
    nodes : list
        Every operation outside the modules at which the graph is cut.
    uses : Counter
        How often each value is used; a value is a node of the graph and the number of its output.
    inputs : list of (str, value)
        The inputs of the modules at which the graph is cut, with their names, once for each call.
    outputs : dict of value to str
        Their outputs, and their names.
    starts, ends : list of Tensor
        The tensors where the graph begins, the image and the outputs of those modules, and where it ends, their inputs and the
        logits.
    """

    flows: bool
    nodes: list[Any] = field(default_factory=list)
    uses: Counter[Any] = field(default_factory=Counter)
    inputs: list[tuple[str, Any]] = field(default_factory=list)
    outputs: dict[Any, str] = field(default_factory=dict)
    starts: list[Any] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)


def graph_of(module: torch.nn.Module, image: torch.Tensor, cut: Callable[[torch.nn.Module], bool] | None = None) -> Graph:
    """Send one image through a copy of a module, and return its graph.

    Parameters
    ----------
    module : torch.nn.Module
    image : Tensor, shape (1, C, m, n)
    cut : callable, optional
        Says of a submodule whether the graph is cut there; by default at none.
    """
    import torch
    from torch.autograd.graph import get_gradient_edge

    with recording():
        # The weights record no gradients, so that every recorded operation depends on the image.
        module = copy.deepcopy(module).eval().requires_grad_(False)
        image = image.clone().requires_grad_(True)
        inputs: list[tuple[str, Any]] = []
        outputs: dict[Any, str] = {}
        starts, ends = [image], []

        def value(x: torch.Tensor) -> Any:
            edge = get_gradient_edge(x)
            return edge.node, edge.output_nr

        def enter(name: str, given: Any) -> None:
            tensors = [x for x in given if isinstance(x, torch.Tensor) and x.requires_grad]
            inputs.extend((name, value(x)) for x in tensors)
            ends.extend(tensors)

        def leave(name: str, output: Any) -> Any:
            if not isinstance(output, torch.Tensor) or not output.requires_grad:
                return output
            starts.append(output.detach().requires_grad_(True))
            output = starts[-1].clone()  # a later module may change it in place
            outputs[value(output)] = name
            return output

        for name, part in module.named_modules():
            if cut and name and cut(part):
                part.register_forward_pre_hook(lambda _m, given, name=name: enter(name, given))  # type: ignore[misc]
                part.register_forward_hook(lambda _m, _x, output, name=name: leave(name, output))  # type: ignore[misc]
        logits: torch.Tensor = module(image)
        if not logits.requires_grad:
            return Graph(False)
        last = [value(logits), *(given for _, given in inputs)]
        nodes = list(_walk([node for node, _ in last]))
        uses = Counter(last) + Counter(edge for node in nodes for edge in node.next_functions if edge[0] is not None)
        return Graph(True, nodes, uses, inputs, outputs, starts, [*ends, logits])


def other_images(image: torch.Tensor) -> list[torch.Tensor]:
    """Return images to compare with: three far ones, and two near ones, for at the kink of a pasted tile a gradient may be 0."""
    import torch

    change = torch.linspace(-1, 1, image.numel(), device=image.device, dtype=image.dtype).reshape(image.shape)
    near = [(image + size * change).clamp(0, 1) for size in (1e-3, -1e-3)]
    return [torch.zeros_like(image), torch.ones_like(image), 1 - image, *near]


def hidden_nonlinearities(graph: Graph, others: Sequence[Graph], known: Collection[Any]) -> list[str]:
    """Return the operations whose gradient differs between images, one sentence each.

    Parameters
    ----------
    graph : Graph
    others : sequence of Graph
        Of the same module, cut in the same way, on other images.
    known : collection of node
        Operations that are known not to be linear; they are left out.
    """
    if any(list(map(operation, other.nodes)) != list(map(operation, graph.nodes)) for other in others):
        return ["other images pass other operations, which hides a non-linearity; use the same modules for every image"]
    nodes = [
        node
        for node, *same in zip(graph.nodes, *(other.nodes for other in others), strict=True)
        if node not in known and not all(_equal(_gradient(node), _gradient(other)) for other in same)
    ]
    return [
        f"the custom autograd.Function {operation(node)} hides a non-linearity; use layers made of modules "
        '(for Theorem 1: realisation="literal")'
        if is_custom(node)
        else f"{operation(node)} hides a non-linearity: its gradient differs between images, as for a product with a mask; "
        "use modules, an nn.ReLU for each ReLU"
        for node in nodes
    ]


def wrong_gradients(graph: Graph, others: Sequence[Graph]) -> list[str]:
    """Return a sentence if a value does not change between images as its gradient says, as a detached one; else nothing.

    Parameters
    ----------
    graph : Graph
        Of linear operations.
    others : sequence of Graph
        Of the same module, cut in the same way, on other images.
    """
    import torch

    for number, end in enumerate(graph.ends):
        weight = _drawn(end.shape, end)
        with recording():
            gradients = torch.autograd.grad(end, graph.starts, weight, retain_graph=True, allow_unused=True)
        for other in others:
            change = weight * (other.ends[number] - end).detach()
            inputs = zip(gradients, graph.starts, other.starts, strict=True)
            expected = sum((gradient * (after - before)).sum() for gradient, before, after in inputs if gradient is not None)
            rounding = 1e-3 * change.abs().sum() + 1e-5 * (weight * end).abs().sum()
            if (expected - change.sum()).abs() > rounding:
                return [
                    "between its modules the network does not change as its gradient says: a value is detached, rounded or "
                    "hidden in a custom autograd.Function; use modules"
                ]
    return []


def _gradient(node: Any) -> tuple[Any, ...]:
    """Return the gradients of an operation's inputs, for a random gradient of its output, the same one each time."""
    import torch

    if operation(node) == "AccumulateGrad":  # an end of the graph
        return ()
    results = [_drawn(part.shape, part) for part in node._input_metadata]
    with torch.no_grad():
        gradients = getattr(node, "apply", node)(*results)
    return gradients if isinstance(gradients, tuple) else (gradients,)


def _drawn(shape: Sequence[int], like: Any) -> torch.Tensor:
    """Return the same random numbers each time, in the dtype and on the device of another tensor."""
    import torch

    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)


def _equal(gradients: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Return whether gradients are equal up to rounding."""
    import torch

    return all(
        a is b or (a is not None and b is not None and a.shape == b.shape and torch.allclose(a, b, equal_nan=True))
        for a, b in zip(gradients, others, strict=True)
    )


def is_product(node: Any) -> bool:
    """Return whether an operation multiplies two values that depend on the image, or divides by such a value."""
    name = operation(node)
    factors = [factor is not None for factor, _ in node.next_functions[PRODUCTS[name]]] if name in PRODUCTS else []
    return sum(factors) > 1 or (name == "Div" and factors[1])


def operation(node: Any) -> str:
    """Return the name of an operation, such as ``"Relu"``."""
    return re.sub(r"Backward\d*$", "", type(node).__name__)


def is_custom(node: Any) -> bool:
    """Return whether an operation is a custom autograd.Function."""
    from torch.autograd.function import BackwardCFunction

    return isinstance(node, BackwardCFunction)


def _walk(roots: list[Any]) -> Iterator[Any]:
    """Yield every node that leads to the roots, each once."""
    visited, waiting = set(), list(roots)
    while waiting:
        node = waiting.pop()
        if node in visited:
            continue
        visited.add(node)
        yield node
        waiting.extend(child for child, _ in node.next_functions if child is not None)
