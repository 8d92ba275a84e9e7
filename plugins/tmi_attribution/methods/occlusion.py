"""Occlusion: the logit's change when a square is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi
from tmi.errors import InputError
from tmi.params import Count

from .path import at_once

if TYPE_CHECKING:
    import torch


@tmi.attribution_method(images_at_once=8)
def occlusion(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    window: Count | None = None,
    stride: Count | None = None,
) -> torch.Tensor:
    """Change of the logit when a square shows the baseline, averaged over the squares of each pixel (Zeiler and Fergus 2014).

    Parameters
    ----------
    window : Count, optional
        Side of the square; by default an eighth of the image's smaller side.
    stride : Count, optional
        Pixels from one square to the next, at most the window, so that no pixel is left out; by default half the window, rounded
        up.

    Raises
    ------
    InputError
        If the window does not fit into the image, or the stride exceeds it.
    """
    import torch
    from captum.attr import Occlusion

    channels, *size = images.shape[1:]
    window = max(1, min(size) // 8) if window is None else window
    stride = (window + 1) // 2 if stride is None else stride
    if window > min(size):
        raise InputError(f"window: {window} is larger than the image, {size[0]}×{size[1]}")
    if stride > window:
        raise InputError(f"stride: {stride} is larger than the window, {window}: pixels would be left out")
    with torch.no_grad():
        attributions: torch.Tensor = Occlusion(module).attribute(
            images,
            (channels, window, window),
            (channels, stride, stride),
            baselines=baselines,
            target=targets,
            perturbations_per_eval=max(1, at_once(images) // len(images)),
        )
        return attributions
