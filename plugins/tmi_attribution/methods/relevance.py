"""Layer-wise relevance propagation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tmi
from tmi.params import Positive

from ..preflight import PASSED_ON

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(needs=["gradient", "lrp-modules"])
def lrp(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, epsilon: Positive = 1e-9) -> torch.Tensor:
    """Layer-wise relevance propagation with the ε-rule (Bach et al. 2015).

    The relevance of biases is lost, so the attributions of a network with biases do not add up to its logit.

    Parameters
    ----------
    epsilon : Positive
        Added to the magnitude of every sum before the division by it; with a larger value small sums pass on less.
    """
    from captum.attr import LRP

    with ruled(module, epsilon):
        attributions: torch.Tensor = LRP(module).attribute(images, target=targets)
        return attributions


@contextmanager
def ruled(module: torch.nn.Module, epsilon: float = 1e-9) -> Iterator[None]:
    """Give the modules their rules inside the block, and remove afterwards what Captum's LRP leaves on them.

    `torch.nn.Flatten` and other modules that pass numbers on unchanged get a rule that Captum lacks: the relevance goes back to
    where the number came from, as the gradient of a rearrangement does.

    Parameters
    ----------
    module : torch.nn.Module
        Changed inside the block.
    epsilon : float
        Of the ε-rule, for the modules that sum.
    """
    from captum.attr._utils.lrp_rules import EpsilonRule, PropagationRule
    from torch import nn

    class PassedOn(PropagationRule):  # type: ignore[misc]
        def forward_hook(self, module: Any, inputs: Any, outputs: Any) -> None:
            """Set no hook: the gradient of the relevance is the relevance."""

        def _manipulate_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
            """Change no weight."""

    passed_on = tuple(getattr(nn, name) for name in PASSED_ON)
    sums = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    for part in module.modules():
        if isinstance(part, passed_on):
            part.rule = PassedOn()
        elif isinstance(part, sums):
            part.rule = EpsilonRule(epsilon)
    try:
        yield
    finally:
        for part in module.modules():
            for name in ("rule", "activations"):
                part.__dict__.pop(name, None)
