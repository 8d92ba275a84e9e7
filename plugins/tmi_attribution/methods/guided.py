"""Backpropagation in which each ReLU passes on positive gradients only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi

from .deeplift import quiet

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(needs=["gradient", "relu-modules"], images_at_once=64)
def guided_backprop(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation: an active ReLU passes positive gradients back (Springenberg et al. 2015)."""
    from captum.attr import GuidedBackprop

    with quiet():
        attributions: torch.Tensor = GuidedBackprop(module).attribute(fresh(images), target=targets)
        return attributions


@tmi.attribution_method(needs=["gradient", "relu-modules"], images_at_once=64)
def deconvolution(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Deconvolution: a ReLU, active or not, passes positive gradients back (Zeiler and Fergus 2014)."""
    from captum.attr import Deconvolution

    with quiet():
        attributions: torch.Tensor = Deconvolution(module).attribute(fresh(images), target=targets)
        return attributions


def fresh(images: torch.Tensor) -> torch.Tensor:
    """Return a copy of the images: if they enter a ReLU directly, Captum leaves its hook on them."""
    return images.detach().clone().requires_grad_(True)
