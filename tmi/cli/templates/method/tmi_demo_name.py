"""The attribution method demo-name for tmi."""

from __future__ import annotations

from typing import Any

import tmi
from tmi.params import Count


@tmi.hookimpl
def tmi_attribution_methods() -> dict[str, str]:
    """Name the attribution methods of this package, and where their functions are."""
    return {"demo-name": "tmi_demo_name:demo_name"}


@tmi.attribution_method(needs=["gradient"])
def demo_name(module: Any, images: Any, targets: Any, *, window: Count = 3) -> Any:
    """Gradient of the logit times the difference between the pixel and the mean of its neighbourhood.

    Parameters
    ----------
    window : int
        Rows and columns of the neighbourhood; an odd number.
    """
    import torch

    if window % 2 == 0:
        raise tmi.InputError(f"window: expected an odd number, got {window}")
    module(images).gather(1, targets[:, None]).sum().backward()
    mean = torch.nn.functional.avg_pool2d(images, window, stride=1, padding=window // 2, count_include_pad=False)
    return (images.grad * (images - mean)).detach()
