"""Which parameters a module converts before it applies them to an image; seen where torch dispatches its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..pipeline.operations import OperationMode, name_of

# Operations that make a new tensor of the same values.
_REARRANGING = frozenset("cat clone contiguous copy flip index index_select repeat roll stack _to_copy".split())  # noqa: SIM905


class Conversions(OperationMode):
    """Finds, inside a ``with`` block, the parameters that are converted before an operation combines them with an image.

    A tensor is known by its storage, which its views share. A parameter that is also combined as it is does not count: a
    recurrent layer multiplies its weights by its first state too, which is no image's.

    Parameters
    ----------
    module : torch.nn.Module

    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._converted: set[str] = set()
        self._applied: set[str] = set()
        # For each storage that no image has reached: the parameters whose values it holds, and those converted to make it.
        self._same: dict[int, set[str]] = {}
        self._made: dict[int, set[str]] = {}
        self._of_image: set[int] = set()
        self._kept: list[torch.Tensor] = []  # the storage of a tensor that is freed may be used again
        for name, parameter in module.named_parameters():
            self._same.setdefault(_storage(parameter), set()).add(name)

    @property
    def converted(self) -> set[str]:
        """Names of the parameters found."""
        return self._converted - self._applied

    def follow(self, images: Any) -> None:
        """Count everything that is computed from these tensors as an image's."""
        for tensor in _tensors(images):
            self._kept.append(tensor)
            self._of_image.add(_storage(tensor))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Evaluate the operation, and note what its result is made of."""
        kwargs = kwargs or {}
        given = [_storage(tensor) for tensor in _tensors([args, kwargs])]
        output = func(*args, **kwargs)
        same, made = (set().union(*(held.get(storage, ()) for storage in given)) for held in (self._same, self._made))
        if not self._of_image.isdisjoint(given):
            self._converted |= made
            self._applied |= same
            self.follow(output)
            return output
        rearranged = name_of(func) in _REARRANGING
        for tensor in _tensors(output) if same or made else ():
            storage = _storage(tensor)
            if storage not in given:
                self._kept.append(tensor)
                self._same[storage], self._made[storage] = (same - made, made) if rearranged else (set(), made | same)
        return output


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else id(tensor)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _tensors(member)
