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

    Relevance that falls to a bias is lost, so that the attributions of a network with biases do not add up to its logit.

    Parameters
    ----------
    epsilon : Positive
        What is added to the size of every sum before it divides; a larger one lets small sums pass on less.
    """
    from captum.attr import LRP

    with ruled(module, epsilon):
        found: torch.Tensor = LRP(module).attribute(images, target=targets)
        return found


@contextmanager
def ruled(module: torch.nn.Module, epsilon: float = 1e-9) -> Iterator[None]:
    """Give the modules their rules for one call of Captum's LRP, and take away what it leaves behind.

    `torch.nn.Flatten` and others that hand numbers on as they are get the rule that Captum lacks: relevance goes back to where
    the number came from, which is what the gradient of a rearrangement does.

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
