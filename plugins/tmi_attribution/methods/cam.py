"""Class activation maps: the maps of a layer, weighted and enlarged to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi

from .deeplift import quiet
from .guided import fresh

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(needs=["gradient", "maps"], images_at_once=64)
def grad_cam(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, layer: str, relu: bool = True
) -> torch.Tensor:
    """Grad-CAM: a layer's maps, each times its mean gradient, summed and enlarged (Selvaraju et al. 2017).

    One map for all channels, enlarged bilinearly to the image.

    Parameters
    ----------
    relu : bool
        Whether negative values are set to 0, as in the paper; otherwise the map is signed.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    method = LayerGradCam(module, module.get_submodule(layer))
    maps = method.attribute(images, target=targets, relu_attributions=relu)
    enlarged: torch.Tensor = LayerAttribution.interpolate(maps, tuple(images.shape[2:]), "bilinear")
    return enlarged


@tmi.attribution_method(needs=["gradient", "maps", "relu-modules"], images_at_once=64)
def guided_grad_cam(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, layer: str) -> torch.Tensor:
    """Guided Grad-CAM: guided backpropagation times Grad-CAM with its ReLU, enlarged bilinearly (Selvaraju et al. 2017)."""
    from captum.attr import GuidedGradCam

    method = GuidedGradCam(module, module.get_submodule(layer))
    with quiet():
        attributions: torch.Tensor = method.attribute(fresh(images), target=targets, interpolate_mode="bilinear")
        return attributions
