"""Gradients that only what is positive passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi

from .deeplift import quiet

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(needs=["gradient", "relu-modules"], images_at_once=64)
def guided_backprop(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation: a ReLU passes back what is positive, where it was active (Springenberg et al. 2015)."""
    from captum.attr import GuidedBackprop

    with quiet():
        found: torch.Tensor = GuidedBackprop(module).attribute(fresh(images), target=targets)
        return found


@tmi.attribution_method(needs=["gradient", "relu-modules"], images_at_once=64)
def deconvolution(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Deconvolution: a ReLU passes back what is positive, active or not (Zeiler and Fergus 2014)."""
    from captum.attr import Deconvolution

    with quiet():
        found: torch.Tensor = Deconvolution(module).attribute(fresh(images), target=targets)
        return found


def fresh(images: torch.Tensor) -> torch.Tensor:
    """Return a copy of the images for Captum to spoil: where they enter a ReLU, its hook stays on them."""
    return images.detach().clone().requires_grad_(True)
