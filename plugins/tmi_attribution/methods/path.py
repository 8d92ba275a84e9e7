"""Gradients summed between a baseline and the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import tmi
from tmi.params import Count, NotNegative

if TYPE_CHECKING:
    import torch

AT_ONCE = 64
"""Points in one pass of the module, which bounds the memory for any number of points."""

_PIXELS = 800_000  # of the points in one pass: fewer points of images that are large

Quadrature = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]


@tmi.attribution_method(needs=["gradient"], complete="baselines")
def integrated_gradients(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    steps: Count = 50,
    quadrature: Quadrature = "gausslegendre",
) -> torch.Tensor:
    """Integral of the gradient along the straight line from the baseline, times the difference (Sundararajan et al. 2017).

    Parameters
    ----------
    steps : Count
        Points on the line. A constructed network with a small ε is active near its end only, where few points may lie.
    quadrature : str
        The rule for the points and their weights.
    """
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(within(module))
    attributions: torch.Tensor = method.attribute(
        images, baselines, target=targets, n_steps=steps, method=quadrature, internal_batch_size=max(at_once(images), len(images))
    )
    return attributions


@tmi.attribution_method(needs=["gradient"], complete="baselines")
def gradient_shap(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    seed: int,
    draws: Count = 20,
    noise: NotNegative = 0.0,
) -> torch.Tensor:
    """Mean gradient at random points between baseline and image, times the difference (Erion et al. 2021).

    It is complete only on average over the draws.

    Parameters
    ----------
    draws : Count
        Random points.
    noise : NotNegative
        Standard deviation of Gaussian noise added to the image, as a share of the pixels' range.
    """
    from captum.attr import GradientShap

    method = GradientShap(within(module))
    total = sum(
        count * method.attribute(images, baselines, target=targets, n_samples=count, stdevs=noise)
        for count in portions(draws, at_once(images))
    )
    attributions: torch.Tensor = total / draws
    return attributions


def within(module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the module as a function that clips pixels to [0, 1] and passes the gradient on as if it did not.

    A constructed network refuses pixels outside [0, 1], which noise and rounding produce.
    """

    def logits(images: torch.Tensor) -> torch.Tensor:
        attributions: torch.Tensor = module(images + (images.clamp(0, 1) - images).detach())
        return attributions

    return logits


def at_once(images: torch.Tensor, most: int = AT_ONCE) -> int:
    """Return how many points or images (N, C, m, n) to put into one pass of the module: at most ``most``, fewer large ones."""
    return max(1, min(most, _PIXELS // max(1, images[:1].numel())))


def portions(draws: int, most: int = AT_ONCE) -> list[int]:
    """Return numbers of draws, each at most ``most``, that add up to ``draws``."""
    return [min(most, draws - start) for start in range(0, draws, most)]
