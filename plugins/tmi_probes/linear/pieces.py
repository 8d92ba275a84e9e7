"""Piecewise linear operations: where their kinks are, and the evaluation of a module with each of them held in its piece.

The operations are seen where torch dispatches them, so that modules, functions, methods and in-place forms are all the same. An
operation that is not in the tables below is evaluated as it is, also where others are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tmi.errors import InputError

from ..pipeline.operations import OperationMode, arguments_of, name_of

Given = dict[str, Any]
"""The arguments of an operation by name, defaults included."""


def _beyond(*bounds: str) -> Callable[[Given], list[torch.Tensor]]:
    """Return the distances of an input above its bounds, given by the names of arguments; a bound None is none."""

    def values(given: Given) -> list[torch.Tensor]:
        return [given["self"] - given[bound] for bound in bounds if given.get(bound) is not None]

    return values


def _leaky(given: Given) -> list[torch.Tensor]:
    """Return the input, which is constant where the slopes on both sides of 0 are the same, for there is no kink."""
    slope = given.get("weight", given.get("negative_slope", (given.get("lower", 0) + given.get("upper", 0)) / 2))
    x = given["self"]
    return [torch.where(torch.as_tensor(slope, dtype=x.dtype, device=x.device) == 1, torch.ones_like(x), x)]


CONTINUOUS: dict[str, Callable[[Given], list[torch.Tensor]]] = {
    "relu": lambda given: [given["self"]],
    "abs": lambda given: [given["self"]],
    "leaky_relu": _leaky,
    "_prelu_kernel": _leaky,
    "rrelu_with_noise": _leaky,
    "threshold": _beyond("threshold"),
    "hardtanh": _beyond("min_val", "max_val"),
    "clamp": _beyond("min", "max"),
    "clamp_min": _beyond("min"),
    "clamp_max": _beyond("max"),
    "hardsigmoid": lambda given: [given["self"] + 3, given["self"] - 3],
    "softshrink": lambda given: [given["self"] + given["lambd"], given["self"] - given["lambd"]],
    "maximum": _beyond("other"),
    "minimum": _beyond("other"),
    "fmax": _beyond("other"),
    "fmin": _beyond("other"),
}
"""Elementwise operations, and the values whose signs say on which of its pieces an element is: it has a kink where one is 0."""

_ELEMENTWISE = {*CONTINUOUS, "copysign", "fmod", "frac", "hardshrink", "remainder"}
_STEPS = {"sign", "sgn", "heaviside", "floor", "ceil", "round", "trunc"}
_EXTREMES = {"amax", "amin", "max", "min"}
_WITH_INDICES = {"max", "min", "sort", "topk", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin"}
POOLING = {
    "max_pool2d_with_indices": 2,
    "max_pool3d_with_indices": 3,
    "adaptive_max_pool2d": 2,
    "adaptive_max_pool3d": 3,
    "fractional_max_pool2d": 2,
    "fractional_max_pool3d": 3,
}
"""The operations of max pooling, which return indices too, and their spatial dimensions."""


@dataclass
class _Held:
    """One operation on one image: how its result follows from other inputs while it stays in its piece."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: Given
    output: Any
    replay: Callable[[Given], Any] | None = None

    def prepare(self) -> None:
        """Find the piece; autograd gives the slopes, so that at a kink they are those of torch."""
        name, given = name_of(self.operation), arguments_of(self.operation, self.args, self.kwargs)
        values = self.output[0] if isinstance(self.output, tuple) else self.output
        if name in POOLING:
            self.replay = _pooled(self.output[1], POOLING[name])
        elif name in _WITH_INDICES and isinstance(self.output, tuple):
            self.replay = _taken(self.output[1], values.ndim == given["self"].ndim)
        elif name in _ELEMENTWISE or name in _EXTREMES | _WITH_INDICES:
            self.replay = self._tangent(name, given, values)
        else:
            output = self.output
            self.replay = lambda _given: output
        self.args, self.kwargs, self.output = (), {}, None

    def _tangent(self, name: str, given: Given, values: torch.Tensor) -> Callable[[Given], torch.Tensor]:
        """Return Σ slope · input + intercept, summed over the inputs of an operation, and over what it reduces."""
        reduced = name not in _ELEMENTWISE
        inputs = {
            key: (value if reduced else torch.broadcast_to(value, values.shape)).detach().clone().requires_grad_(True)
            for key, value in given.items()
            if isinstance(value, torch.Tensor) and value.is_floating_point() and key != "noise"
        }
        given = given | inputs
        declared = self.operation._schema.arguments
        with torch.enable_grad():
            again = _functional(self.operation, name)(
                *(given[a.name] for a in declared if not a.kwarg_only),
                **{a.name: given[a.name] for a in declared if a.kwarg_only},
            )
            found = torch.autograd.grad(again.sum(), list(inputs.values()), allow_unused=True)
        slopes = {
            key: torch.zeros_like(x) if slope is None else slope for (key, x), slope in zip(inputs.items(), found, strict=True)
        }

        def linear(now: Given) -> torch.Tensor:
            total = torch.zeros_like(values)
            for key, slope in slopes.items():
                part = slope * now[key]
                if reduced:
                    dims = now.get("dim")
                    part = part.sum() if dims is None or dims == [] else part.sum(dims, keepdim=now["keepdim"])
                total = total + part
            return total

        intercept = values - linear({**given, **{key: x.detach() for key, x in inputs.items()}})
        return lambda now: linear(now) + intercept


def _functional(operation: Any, name: str) -> Any:
    """Return the overload of an operation that returns a new tensor."""
    packet = getattr(torch.ops.aten, name)
    overload = operation._overloadname
    return getattr(packet, overload) if overload in packet.overloads() else packet


def _pooled(indices: torch.Tensor, dims: int) -> Callable[[Given], tuple[torch.Tensor, torch.Tensor]]:
    def replay(now: Given) -> tuple[torch.Tensor, torch.Tensor]:
        return now["self"].flatten(-dims).gather(-1, indices.flatten(-dims)).reshape(indices.shape), indices.clone()

    return replay


def _taken(indices: torch.Tensor, kept: bool) -> Callable[[Given], tuple[torch.Tensor, torch.Tensor]]:
    def replay(now: Given) -> tuple[torch.Tensor, torch.Tensor]:
        x, dim = now["self"], now["dim"]
        if not x.ndim:
            return x.clone(), indices.clone()
        taken = x.gather(dim, indices if kept else indices.unsqueeze(dim))
        return taken if kept else taken.squeeze(dim), indices.clone()

    return replay


def is_held(operation: Any, name: str, args: tuple[Any, ...], output: Any) -> bool:
    """Whether an operation is held: one that is piecewise linear, or that makes truth values or integers of real numbers."""
    first = next((a for a in args if isinstance(a, torch.Tensor)), None)
    if first is None or operation.is_view:
        return False
    if name in _ELEMENTWISE or name in _STEPS or name in _EXTREMES or name in _WITH_INDICES or name in POOLING:
        return first.is_floating_point()
    results = output if isinstance(output, tuple | list) else (output,)
    discrete = [isinstance(r, torch.Tensor) and not r.is_floating_point() and not r.is_complex() for r in results]
    return all(discrete) and any(isinstance(a, torch.Tensor) and a.is_floating_point() for a in args)


class Recording(OperationMode):
    """Records, inside a ``with`` block, the piece of every piecewise linear operation; `held` evaluates with these pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[_Held] = []
        self._prepared = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Evaluate the operation, and keep what determines its piece."""
        kwargs = kwargs or {}
        name = name_of(func)
        kept = tuple(a.detach().clone() if isinstance(a, torch.Tensor) and _can_change(func, name) else a for a in args)
        output = func(*args, **kwargs)
        if is_held(func, name, args, output):
            kept = tuple(a.detach() if isinstance(a, torch.Tensor) else a for a in kept)
            results = tuple(r.detach().clone() for r in output) if isinstance(output, tuple | list) else output.detach().clone()
            self._held.append(_Held(func, kept, kwargs, results))
        return output

    @contextmanager
    def held(self) -> Iterator[None]:
        """Evaluate, inside the block, every recorded operation as the linear function that it is in its recorded piece.

        Raises
        ------
        InputError
            If the module uses other operations than when it was recorded.
        """
        if not self._prepared:
            for held in self._held:
                held.prepare()
            self._prepared = True
        with _Replay(self._held) as replay:
            yield
        replay.finish()


def _can_change(operation: Any, name: str) -> bool:
    """Whether the inputs of an operation that is held may be overwritten later, by itself or by another one in place."""
    return name in _ELEMENTWISE or name in _EXTREMES | _WITH_INDICES


class _Replay(OperationMode):
    def __init__(self, held: list[_Held]) -> None:
        super().__init__()
        self._held, self._next = held, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        held = self._held[self._next] if self._next < len(self._held) else None
        if held is None or held.operation is not func:
            output = func(*args, **kwargs)
            if is_held(func, name_of(func), args, output):
                raise _another_path()
            return output
        self._next += 1
        assert held.replay is not None
        output = held.replay(arguments_of(func, args, kwargs))
        changed = next((a for a in func._schema.arguments if a.is_write), None)
        if changed is None:
            return output.clone() if isinstance(output, torch.Tensor) else output
        target: torch.Tensor = arguments_of(func, args, kwargs)[changed.name]
        return target.copy_(output)

    def finish(self) -> None:
        if self._next != len(self._held):
            raise _another_path()


def _another_path() -> InputError:
    return InputError("the module uses other operations on other images, so that its linear form cannot be evaluated")
