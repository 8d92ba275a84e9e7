"""Gradients, with respect to the image, of the inputs of a network's piecewise linear operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.graph import GradientEdge

from tmi.networks.modes import evaluation_mode
from tmi_attribution.graph import operation

from ..pipeline.operations import arguments_of, name_of
from .exact_network import ExactNetwork, NoFormError, gradients
from .switches import PIECEWISE_NODES, State, Watch, in_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OF_TWO = {"maximum", "minimum", "fmax", "fmin"}
_AT_ONCE = 4_000_000  # numbers of an operation's input with one of them set


class _Traced(Watch):
    """Keeps the state, the arguments and autograd's node of each wanted use."""

    def __init__(self, images: int, wanted: Sequence[int]) -> None:
        super().__init__(images, wanted)
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.nodes: list[Any] = []
        self._pending: Any = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.settle()
        before = len(self.states)
        output = super().__torch_dispatch__(func, types, args, kwargs)
        if len(self.states) > before:
            self.calls.append((func, arguments_of(func, args, kwargs or {})))
            self._pending = output[0] if isinstance(output, tuple) else output
        return output

    def settle(self) -> None:
        """Keep the node of the last use; autograd makes it after the operation, and before the next one."""
        if self._pending is not None:
            self.nodes.append(self._pending.grad_fn)
            self._pending = None


class Trace:
    """A forward pass of some images whose graph is kept: w·x + c of each operation's inputs, and the gradient w of any of them.

    Parameters
    ----------
    exact : ExactNetwork
    images : Tensor of float64, shape (N, C, m, n)
        At most `ExactNetwork.at_once` of them.

    Attributes
    ----------
    uses : list of Use
    states : list of State
        The states of the uses: for an elementwise operation the numbers that change their sign where it passes a kink.
    logits : Tensor of float64, shape (N, L)

    Raises
    ------
    NoFormError
        If the images pass other operations than the first image that the network was examined on.
    """

    def __init__(self, exact: ExactNetwork, images: torch.Tensor) -> None:
        self.uses = exact.uses(images)
        traced = _Traced(len(images), [use.number for use in self.uses])
        with gradients(), evaluation_mode(exact.module), traced:
            self._x = exact.copied(images).requires_grad_(True)
            self.logits = exact.answer(self._x)
        traced.settle()
        if len(traced.nodes) != len(self.uses):
            raise NoFormError("some images pass other operations than others, so that their pieces cannot be compared")
        self.states: list[State] = traced.states
        self._nodes, self._calls = traced.nodes, traced.calls
        for use, node in zip(self.uses, self._nodes, strict=True):
            others = [edge for edge, _ in node.next_functions[1:] if edge is not None]
            if operation(node) not in PIECEWISE_NODES or (others and use.operation not in _OF_TWO):
                raise NoFormError(in_layer(use.where, f"the gradients of the inputs of {use.operation} cannot be computed there"))

    def of_logits(self, plus: torch.Tensor, minus: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the difference of two logits, numbers (N,) each, for each image: (N, pixels)."""
        with gradients():
            rows = torch.arange(len(plus))
            difference = self.logits[rows, plus.clone()] - self.logits[rows, minus.clone()]
            return self._flat(torch.autograd.grad(difference.sum(), self._x, retain_graph=True, allow_unused=True)[0])

    def of_input(self, number: int, plus: torch.Tensor, minus: torch.Tensor | None = None) -> torch.Tensor:
        """Return the gradient of one of the values of a use for each image.

        Parameters
        ----------
        number : int
            Which of ``uses``.
        plus, minus : Tensor of int64, shape (N,)
            Positions in the use's values, one for each image; with ``minus`` the gradient of the difference.

        Returns
        -------
        Tensor of float64, shape (N, pixels)
        """
        use, node = self.uses[number], self._nodes[number]
        rows = torch.arange(len(plus))
        width = self.states[number].values.shape[1]
        edges = node.next_functions[: 2 if use.operation in _OF_TWO else 1]
        outputs, seeds = [], []
        for sign, (function, output) in zip((1.0, -1.0), edges, strict=False):
            if function is None:
                continue
            shape = tuple(function._input_metadata[output].shape)
            # The values of an elementwise operation are its results' in shape, to which its inputs may have been broadcast.
            wide = shape if use.selects else tuple(node._input_metadata[0].shape)
            size = torch.Size(wide).numel() // len(plus)
            if width % max(size, 1):
                raise NoFormError(in_layer(use.where, f"{use.operation} has inputs of another shape than its results"))
            seed = torch.zeros(len(plus), size, dtype=torch.float64, device=self._x.device)
            seed[rows, plus % size] += sign
            if minus is not None:
                seed[rows, minus % size] -= sign
            outputs.append(GradientEdge(function, output))
            seeds.append(seed.reshape(wide).sum_to_size(shape))
        with gradients():
            return self._flat(torch.autograd.grad(outputs, self._x, seeds, retain_graph=True, allow_unused=True)[0])

    def depends(self, number: int) -> bool:
        """Whether a use's input depends on another use, so that its gradient differs between images."""
        others = {node for other, node in enumerate(self._nodes) if other != number}
        waiting, visited = [self._nodes[number]], set()
        while waiting:
            node = waiting.pop()
            if node in visited or node is None:
                continue
            visited.add(node)
            if node in others:
                return True
            waiting.extend(child for child, _ in node.next_functions)
        return False

    def rivals(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which inputs a use that selects compares: pairs of window and input, int64 (pairs,) each.

        They are found by setting one input after another: the windows that contain it select it.
        """
        func, given = self._calls[number]
        inputs, state = given["self"][:1], self.states[number]
        width, windows = inputs.numel(), 0 if state.selected is None else state.selected.shape[1]
        size = -1.0 if name_of(func) in ("amin", "min") else 1.0
        step = max(1, _AT_ONCE // max(1, width))
        window, member = [], []
        for start in range(0, width, step):
            some = min(step, width - start)
            impulses = torch.zeros(some, width, dtype=torch.float64)
            impulses[torch.arange(some), start + torch.arange(some)] = size
            arguments = {**given, "self": impulses.reshape(some, *inputs.shape[1:])}
            declared = {a.name: a.kwarg_only for a in func._schema.arguments}
            named = {name: arguments[name] for name, alone in declared.items() if alone}
            output = func(*(arguments[name] for name, alone in declared.items() if not alone), **named)
            output = (output[0] if isinstance(output, tuple) else output).reshape(some, -1)
            if output.shape[1] != windows:
                raise NoFormError(in_layer(self.uses[number].where, f"the windows of {name_of(func)} cannot be found"))
            row, column = (output == size).nonzero(as_tuple=True)
            window.append(column)
            member.append(start + row)
        return torch.cat(window), torch.cat(member)

    def _flat(self, gradient: torch.Tensor | None) -> torch.Tensor:
        return torch.zeros_like(self._x).flatten(1) if gradient is None else gradient.flatten(1)


def of_all_logits(exact: ExactNetwork, images: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield, a few images at a time, W and b of one fixed combination of all logits, drawn at random.

    Two linear functions of the logits that differ give, but for a chance of 0, combinations that differ.

    Parameters
    ----------
    exact : ExactNetwork
    images : Tensor of float64, shape (N, C, m, n)

    Yields
    ------
    weight : Tensor of float64, shape (n, pixels)
    bias : Tensor of float64, shape (n,)
    """
    share: torch.Tensor | None = None
    for part in torch.split(images, exact.at_once(images[:1])):
        with gradients(), evaluation_mode(exact.module):
            x = exact.copied(part).requires_grad_(True)
            logits = exact.answer(x)
            if share is None:
                share = torch.randn(logits.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(logits)
            value = logits @ share
            (weight,) = torch.autograd.grad(value.sum(), x)
        flat = weight.flatten(1)
        yield flat.cpu(), (value.detach() - (flat * x.detach().flatten(1)).sum(1)).cpu()
