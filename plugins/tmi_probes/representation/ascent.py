"""Gradient ascent of a unit's activation over images in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tmi.networks.modes import evaluation_mode

from ..pipeline.units import parts_of

if TYPE_CHECKING:
    import torch

    import tmi

_FIRST_STEP, _LARGEST_STEP, _LONGER, _SHORTER = 0.1, 0.5, 1.5, 0.5


def ascend(
    network: tmi.Network, layer: str, size: int, neurons: torch.Tensor, images: torch.Tensor, steps: int, variation: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Change each image so that a neuron is more active on it.

    Each step goes along the gradient, divided by its largest absolute value, and cuts the image off to [0, 1]. A step that does
    not raise the objective is not taken and the next one is half as long; after one that does, it is half as long again. So the
    objective never falls, and kinks do not stop the ascent: the steps become short enough.

    Parameters
    ----------
    network : Network
    layer : str
    size : int
        Number of the layer's neurons, which bounds how many images are evaluated at a time.
    neurons : Tensor of int64, shape (K,)
        One for each image, an index into the flattened layer.
    images : Tensor, shape (K, C, m, n)
    steps : int
    variation : float
        Weight of the regulariser: the total variation of the image, the mean absolute difference of neighbouring pixels, is
        subtracted from the activation with this weight.

    Returns
    -------
    images : Tensor, shape (K, C, m, n)
    objective : Tensor, shape (K,)
        The activation less the regulariser.
    """
    import torch

    most = min(64, getattr(network.module, "images_at_once", 64))
    parts = [
        _ascend(network, layer, neurons[rows], images[rows], steps, variation)
        for rows in parts_of(len(images), network.task, size, most)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _ascend(
    network: tmi.Network, layer: str, neurons: torch.Tensor, images: torch.Tensor, steps: int, variation: float
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    objective = _objective(network, layer, neurons, variation)
    step = torch.full((len(images), 1, 1, 1), _FIRST_STEP, dtype=images.dtype)
    value, slope = objective(images)
    for _ in range(steps):
        length = slope.abs().amax((1, 2, 3), keepdim=True)
        if not bool((length > 0).any()):
            break
        proposed = (images + step * slope / length.clamp(min=math.ulp(0.0))).clamp(0, 1)
        reached, new_slope = objective(proposed)
        better = (reached > value)[:, None, None, None]
        images, slope = torch.where(better, proposed, images), torch.where(better, new_slope, slope)
        value = torch.where(better.flatten(), reached, value)
        step = torch.where(better, (step * _LONGER).clamp(max=_LARGEST_STEP), step * _SHORTER)
    return images, value


def _objective(
    network: tmi.Network, layer: str, neurons: torch.Tensor, variation: float
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return a function of images: what is maximised for each (K,), and its gradient."""
    import torch

    submodule = network.module.get_submodule(layer)

    def objective(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs: list[torch.Tensor] = []

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            # A copy: a later in-place ReLU would write into the output itself.
            outputs.append(network.part(layer, output).flatten(1).clone())

        handle = submodule.register_forward_hook(keep)
        try:
            with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(network.module):
                inputs = images.detach().clone().requires_grad_(True)
                network.module(inputs)
                value = outputs[0].gather(1, neurons[:, None])[:, 0] - variation * total_variation(inputs)
                if not value.requires_grad:
                    return value, torch.zeros_like(images)
                (slope,) = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
        finally:
            handle.remove()
        return value.detach(), torch.zeros_like(images) if slope is None else slope.nan_to_num(0.0, 0.0, 0.0)

    return objective


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of neighbouring pixels of each image (K, C, m, n); 0 for an image of one pixel."""
    import torch

    differences = torch.cat([images.diff(dim=axis).abs().flatten(1) for axis in (2, 3)], 1)
    return differences.mean(1) if differences.shape[1] else images.new_zeros(len(images))
