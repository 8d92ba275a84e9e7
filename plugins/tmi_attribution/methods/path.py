"""Gradients gathered between a baseline and the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import tmi
from tmi.params import Count, NotNegative

if TYPE_CHECKING:
    import torch

AT_ONCE = 64
"""Points in one pass of the module: what bounds the memory, however many there are an image."""

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
        Points on the line. A constructed network with a small ε is active on its last stretch only, which few points may miss.
    quadrature : str
        Where the points lie and what they weigh.
    """
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(within(module))
    found: torch.Tensor = method.attribute(
        images, baselines, target=targets, n_steps=steps, method=quadrature, internal_batch_size=max(AT_ONCE, len(images))
    )
    return found


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

    It is complete on average over the draws only.

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
        count * method.attribute(images, baselines, target=targets, n_samples=count, stdevs=noise) for count in portions(draws)
    )
    found: torch.Tensor = total / draws
    return found


def within(module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the module as a function that takes pixels outside [0, 1] for the nearest inside, and lets the gradient pass.

    A constructed network refuses images beyond [0, 1], to which noise carries them, and rounding on the way from a baseline.
    """

    def logits(images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = module(images + (images.clamp(0, 1) - images).detach())
        return found

    return logits


def portions(draws: int, most: int = AT_ONCE) -> list[int]:
    """Return how many draws to take at a time: parts of at most ``most`` that add up to ``draws``."""
    return [min(most, draws - start) for start in range(0, draws, most)]
