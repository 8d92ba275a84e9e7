"""Terms that are added to the cross-entropy in training: on the activations, on the filters, and on the feature maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .filter_loss import FilterLoss

if TYPE_CHECKING:
    import torch
    from torch import nn


class Weights(Protocol):
    """How much each term counts; 0 leaves it out."""

    @property
    def activation_l1(self) -> float: ...  # noqa: D102
    @property
    def orthogonality(self) -> float: ...  # noqa: D102
    @property
    def filter_loss(self) -> float: ...  # noqa: D102


@contextmanager
def penalty(module: nn.Module, weights: Weights) -> Iterator[Callable[[torch.Tensor], torch.Tensor] | None]:
    """Compute the terms of a module's loss inside the block.

    Parameters
    ----------
    module : nn.Module
        Its hidden activations are the outputs of its ReLUs. The filter loss is that of the last of them that gives maps.
    weights : Weights

    Yields
    ------
    callable or None
        ``(labels) -> term``, for the images that the module was applied to last; None where all weights are 0.
    """
    from torch import nn

    if not (weights.activation_l1 or weights.orthogonality or weights.filter_loss):
        yield None
        return
    seen: list[torch.Tensor] = []
    filter_loss = FilterLoss()

    def term(labels: torch.Tensor) -> torch.Tensor:
        total = labels.new_zeros((), dtype=seen[0].dtype)
        if weights.activation_l1:
            total = total + weights.activation_l1 * activation_l1(seen)
        if weights.orthogonality:
            total = total + weights.orthogonality * orthogonality(module)
        if weights.filter_loss:
            total = total + weights.filter_loss * filter_loss([maps for maps in seen if maps.ndim == 4][-1], labels)
        return total

    handles = [module.register_forward_pre_hook(lambda *_: seen.clear())]
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            handles.append(part.register_forward_hook(lambda _, __, output: seen.append(output)))
    try:
        yield term
    finally:
        for handle in handles:
            handle.remove()


def activation_l1(activations: list[torch.Tensor]) -> torch.Tensor:
    """Return the sum of the absolute activations of all layers, mean over the images (the first axis of each)."""
    import torch

    return torch.stack([values.abs().flatten(1).sum(1).mean() for values in activations]).sum()


def orthogonality(module: nn.Module) -> torch.Tensor:
    """Return ‖W Wᵀ − I‖², summed over the convolutions of a module; the rows of W are a convolution's filters.

    It is 0 where the filters are orthogonal and of length 1, which more filters than they have weights cannot be (Bansal, Chen
    and Wang 2018, "soft orthogonality").
    """
    import torch
    from torch import nn

    total = torch.zeros(())
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            filters = part.weight.flatten(1)
            total = total + (filters @ filters.T - torch.eye(len(filters))).square().sum()
    return total
