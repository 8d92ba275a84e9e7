"""The gradient of the logit, and the gradient times the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(needs=["gradient"], images_at_once=64)
def saliency(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradient of the logit, with its sign (Simonyan et al. 2014)."""
    from captum.attr import Saliency

    attributions: torch.Tensor = Saliency(module).attribute(images, target=targets, abs=False)
    return attributions


@tmi.attribution_method(needs=["gradient"], images_at_once=64)
def input_x_gradient(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradient of the logit times the image (Shrikumar et al. 2016)."""
    from captum.attr import InputXGradient

    attributions: torch.Tensor = InputXGradient(module).attribute(images, target=targets)
    return attributions
