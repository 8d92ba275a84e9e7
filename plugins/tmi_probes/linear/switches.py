"""The pieces that a module's piecewise linear operations are in, on a batch of images, and whether all else in it is linear."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tmi_attribution.graph import LINEAR, PRODUCTS, Graph, hidden_nonlinearities, is_custom, is_product, operation, other_images

from ..pipeline.operations import OperationMode, arguments_of, name_of
from .pieces import CONTINUOUS, POOLING, is_held

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

_SELECTING = {"amax", "amin", "max", "min", *POOLING}

PIECEWISE_NODES = frozenset(
    """
    Abs AdaptiveMaxPool2D AdaptiveMaxPool3D Amax Amin Clamp ClampMax ClampMin Fmax Fmin FractionalMaxPool2D FractionalMaxPool3D
    Hardsigmoid Hardtanh LeakyRelu Max MaxPool2DWithIndices MaxPool3DWithIndices Maximum Min Minimum PreluKernel Relu
    RreluWithNoise Softshrink Threshold
    """.split()  # noqa: SIM905 -- a list of so many quoted names is harder to read
)
"""What autograd calls the operations of `CONTINUOUS`, and those that select."""

# Linear, the first ones while their masks do not depend on the image: `hidden_nonlinearities` compares that between images.
_LINEAR = LINEAR | frozenset(
    """
    MaskedFill MaskedScatter MaskedSelect NanToNum Where
    Addr Copy CopySlices Cumsum Diagonal MkldnnConvolution ReflectionPad3D ReplicationPad3D SelectScatter SliceScatter Trace Tril
    Triu UpsampleBicubic2D UpsampleLinear1D UpsampleNearest1D UpsampleNearest3D UpsampleTrilinear3D
    """.split()  # noqa: SIM905 -- as above
)

# Their results do not depend on the pixels; those of the last two only where one is infinite or NaN.
_OF_SHAPE = frozenset(
    """
    empty_like full_like ones_like rand_like randn_like zeros_like new_empty new_empty_strided new_full new_ones new_zeros
    isinf isnan
    """.split()  # noqa: SIM905 -- as above
)


@dataclass(frozen=True)
class Use:
    """One use of a piecewise linear operation.

    Attributes
    ----------
    number : int
        Which use of such an operation it is in the forward pass.
    operation : str
        Its name, such as ``"relu"``.
    where : str
        The innermost named module in which it is used; empty for the whole module.
    """

    number: int
    operation: str
    where: str

    @property
    def selects(self) -> bool:
        """Whether it selects some of its inputs, as max pooling does, and is not elementwise."""
        return self.operation in _SELECTING


@dataclass(frozen=True)
class State:
    """One use of an operation on N images.

    Attributes
    ----------
    values : ndarray, shape (N, neurons)
        Of an elementwise operation: numbers that change their sign where it passes a kink. Of one that selects, as max pooling:
        its inputs.
    selected : ndarray of int64, shape (N, windows), or None
        The position in ``values`` of the selected input.
    """

    values: NDArray[Any]
    selected: NDArray[np.int64] | None = None

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """The pieces of each image, as bytes (N, …): which values are above 0, or which inputs are selected."""
        if self.selected is None:
            return np.packbits(self.values > 0, axis=1)
        return self.selected.view(np.uint8)


class Watch(OperationMode):
    """Keeps, inside a ``with`` block, the states of uses of piecewise linear operations.

    Parameters
    ----------
    images : int
        N, the size of the batch.
    wanted : collection of int
        The numbers of the uses to keep; see `Use`.
    """

    def __init__(self, images: int, wanted: Collection[int]) -> None:
        super().__init__()
        self._images, self._wanted, self._count = images, wanted, 0
        self.states: list[State] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Evaluate the operation; keep its state if it is wanted."""
        kwargs = kwargs or {}
        name = name_of(func)
        number = self._count
        self._count += name in CONTINUOUS or name in _SELECTING
        if number == self._count or number not in self._wanted:
            return func(*args, **kwargs)
        given = arguments_of(func, args, kwargs)
        if name in CONTINUOUS:
            values = [value.detach().reshape(self._images, -1) for value in CONTINUOUS[name](given)]
            joined = values[0].clone() if len(values) == 1 else torch.cat(values, 1)
            self.states.append(State(joined.cpu().numpy()))
            return func(*args, **kwargs)
        inputs = given["self"].detach().clone()
        output = func(*args, **kwargs)
        self.states.append(State(inputs.reshape(self._images, -1).cpu().numpy(), self._selected(name, inputs, output, given)))
        return output

    def _selected(self, name: str, inputs: torch.Tensor, output: Any, given: dict[str, Any]) -> NDArray[np.int64]:
        position = torch.arange(inputs.numel(), device=inputs.device).reshape(inputs.shape) % (inputs.numel() // self._images)
        if name in POOLING:
            dims = POOLING[name]
            chosen = position.flatten(-dims).gather(-1, output[1].flatten(-dims))
        elif isinstance(output, tuple):
            index = output[1] if given["keepdim"] else output[1].unsqueeze(given["dim"])
            chosen = position.gather(given["dim"], index)
        else:
            reduced = [d % inputs.ndim for d in given["dim"]]
            last = list(range(-len(reduced), 0))
            flat, where = (torch.movedim(x, reduced, last).flatten(-len(reduced)) for x in (inputs, position))
            index = (flat if name == "amax" else -flat).argmax(-1, keepdim=True)
            chosen = where.gather(-1, index)
        return np.ascontiguousarray(chosen.reshape(self._images, -1).cpu().numpy())


class _Survey(OperationMode):
    """Lists the uses of piecewise linear operations, with the node that autograd makes for each, and where nodes are made.

    Autograd does not see a mask, an index, a rounded or a detached value. What depends on the image is therefore followed through
    every operation, by the memory it is kept in.
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self._followed = {_memory(image): image}  # kept, for memory that is freed would be used again
        self._unseen: dict[Any, str] = {}  # which of it depends on the image in a way that autograd does not see, and how
        self.path: list[str] = []
        self.uses: list[tuple[Use, str]] = []  # with what is wrong with it
        self.nodes: list[Any] = []
        self.where: dict[Any, str] = {}  # the innermost named module in which a node is made
        self._pending: tuple[Any, str, bool] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.settle()
        name = name_of(func)
        given = arguments_of(func, args, kwargs or {})
        read = {} if name in _OF_SHAPE else {_memory(x): x for x in _tensors(given.values()) if _memory(x) in self._followed}
        unseen = next((self._unseen[memory] for memory in read if memory in self._unseen), "")
        if not unseen and torch.is_grad_enabled() and len({_has_gradient(x) for x in read.values()}) > 1:
            unseen = self._here(f"{name} reads a value that depends on the image and has no gradient")
        output = func(*args, **(kwargs or {}))
        if read:
            self._follow(func, args, output, unseen)
        if name in CONTINUOUS or name in _SELECTING:
            problem = ""
            if name == "threshold" and given["threshold"] != given["value"]:
                problem = f"threshold jumps from {given['threshold']} to {given['value']}"
            if name in _SELECTING and not isinstance(output, tuple) and not given.get("dim"):
                problem = f"{name} is taken over all of a tensor, and with it over all images; name the dimensions"
            self.uses.append((Use(len(self.uses), name, self.path[-1] if self.path else ""), problem))
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, torch.Tensor):
            self._pending = first, self.path[-1] if self.path else "", name in CONTINUOUS or name in _SELECTING
        return output

    def _follow(self, func: Any, args: Any, output: Any, unseen: str) -> None:
        """Follow the results of an operation that reads values which depend on the image."""
        # Without gradients, as in a custom autograd.Function, the pieces of an operation are not seen either.
        steps = not torch.is_grad_enabled() and is_held(func, name_of(func), args, output)
        for result in _tensors([output]):
            memory = _memory(result)
            self._followed[memory] = result
            if unseen:
                self._unseen.setdefault(memory, unseen)
            elif steps or not (result.is_floating_point() or result.is_complex()):
                self._unseen.setdefault(
                    memory, self._here(f"the result of {name_of(func)} depends on the image and has no gradient")
                )

    def _here(self, problem: str) -> str:
        return in_layer(self.path[-1] if self.path else "", problem)

    def unseen(self, result: torch.Tensor) -> str:
        """Return how a result depends on the image without a gradient, after the name of the layer; empty if it does not."""
        return self._unseen.get(_memory(result), "")

    def settle(self) -> None:
        """Keep the node of the last operation; autograd makes it after the operation, and before the next one."""
        if self._pending is not None:
            output, where, use = self._pending
            self._pending = None
            if use:
                self.nodes.append(output.grad_fn)
            if output.grad_fn is not None:
                self.where[output.grad_fn] = where


def survey(module: nn.Module, image: torch.Tensor) -> tuple[list[Use], str]:
    """List the piecewise linear operations on which the logits depend, and say what else in a module is not linear.

    Parameters
    ----------
    module : torch.nn.Module
        No weight of it records gradients.
    image : Tensor of float64, shape (1, C, m, n)

    Returns
    -------
    uses : list of Use
    problem : str
        The first operation that is neither linear nor continuous and piecewise linear in the image, after the name of its layer,
        or that uses a value of the image without a gradient in autograd, as a mask that is added; empty if there is none.
    """
    with torch.inference_mode(False), torch.enable_grad():
        logits, found = _surveyed(module, image)
        if not logits.requires_grad:
            return [], "the logits do not depend differentiably on the image"
        nodes = _walk(logits.grad_fn)
        reached = set(nodes)
        uses = [(use, wrong) for (use, wrong), node in zip(found.uses, found.nodes, strict=True) if node in reached]
        problem = next((in_layer(use.where, wrong) for use, wrong in uses if wrong), "")
        problem = problem or next(
            (in_layer(found.where.get(node, ""), reason) for node in nodes if (reason := _not_linear(node))), ""
        )
        if not problem:
            others = [Graph(True, _walk(_surveyed(module, x)[0].grad_fn)) for x in other_images(image)]
            known = {node for node in nodes if operation(node) in PIECEWISE_NODES}
            problem = next(iter(hidden_nonlinearities(Graph(True, nodes), others, known)), "")
            layers = {found.where.get(node, "") for node in nodes if problem.startswith(f"{operation(node)} ")}
            problem = in_layer(layers.pop(), problem) if len(layers) == 1 else problem
        problem = problem or found.unseen(logits)
    return [use for use, _ in uses], problem


def in_layer(where: str, problem: str) -> str:
    """Return a problem after the name of its layer; the whole module has none."""
    return f"layer {where!r}: {problem}" if where else problem


def _surveyed(module: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, _Survey]:
    image = image.detach().clone().requires_grad_(True)
    survey = _Survey(image)
    with _paths(module, survey.path), survey:
        logits: torch.Tensor = module(image)
    survey.settle()
    return logits, survey


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Yield the tensors among the arguments or results of an operation, those in lists too."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _memory(tensor: torch.Tensor) -> int:
    """Return what tells apart the memory of tensors: views, and the results of in-place operations, share it."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _has_gradient(tensor: torch.Tensor) -> bool:
    return tensor.requires_grad or tensor.grad_fn is not None


@contextmanager
def _paths(module: nn.Module, path: list[str]) -> Iterator[None]:
    """Keep the names of the modules whose forward pass is under way, the innermost one last."""

    def enter(name: str) -> Any:
        return lambda _module, _inputs: path.append(name)

    def leave(_module: Any, _inputs: Any, _output: Any) -> None:
        path.pop()

    handles = []
    for name, part in module.named_modules():
        handles += [part.register_forward_pre_hook(enter(name), prepend=True), part.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _not_linear(node: Any) -> str:
    """Return why an operation is neither linear nor piecewise linear, as far as its name and inputs tell; else nothing."""
    name = operation(node)
    if is_product(node):
        return f"{name} multiplies or divides by a value that depends on the image"
    known = is_custom(node) or name in PRODUCTS or name in _LINEAR or name in PIECEWISE_NODES
    if name == "NotImplemented":
        name = "an operation without a derivative"
    return "" if known else f"{name} is not a continuous piecewise linear function"


def _walk(root: Any) -> list[Any]:
    """Return every node that leads to a node of autograd's graph, each once, in the same order for the same operations."""
    nodes: dict[Any, None] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node in nodes:
            continue
        nodes[node] = None
        waiting.extend(child for child, _ in node.next_functions if child is not None)
    return list(nodes)
