"""Attributions averaged over noisy copies of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tmi
from tmi.params import Count, NotNegative

from .path import at_once, within

if TYPE_CHECKING:
    import torch

# Constructed networks have small tolerances: with more noise no copy of an image shows its tile.
_NOISE = 0.01


@tmi.attribution_method(needs=["gradient"])
def smooth_grad(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    seed: int,
    draws: Count = 20,
    noise: NotNegative = _NOISE,
) -> torch.Tensor:
    """Mean gradient over noisy copies of the image (Smilkov et al. 2017).

    Parameters
    ----------
    draws : Count
        Noisy copies.
    noise : NotNegative
        Standard deviation of the Gaussian noise, as a share of the pixels' range; the paper's is 0.1 to 0.2. A pixel outside [0,
        1] counts as the nearest value inside. A constructed network has a tolerance ε for the summed differences: noise that adds
        up to more over the pixels of a tile makes its neurons inactive.
    """
    return _saliency(module, images, targets, "smoothgrad", draws, noise)


@tmi.attribution_method(needs=["gradient"])
def smooth_grad_squared(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    seed: int,
    draws: Count = 20,
    noise: NotNegative = _NOISE,
) -> torch.Tensor:
    """Mean squared gradient over noisy copies of the image (Hooker et al. 2019).

    Parameters
    ----------
    draws : Count
        Noisy copies.
    noise : NotNegative
        Standard deviation of the noise, as in `smooth_grad`.
    """
    return _saliency(module, images, targets, "smoothgrad_sq", draws, noise)


@tmi.attribution_method(needs=["gradient"])
def var_grad(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    seed: int,
    draws: Count = 20,
    noise: NotNegative = _NOISE,
) -> torch.Tensor:
    """Variance of the gradient over noisy copies of the image (Adebayo et al. 2018), 0 where it is only rounding.

    Parameters
    ----------
    draws : Count
        Noisy copies.
    noise : NotNegative
        Standard deviation of the noise, as in `smooth_grad`.
    """
    import torch
    from captum.attr import Saliency

    attributions = _saliency(module, images, targets, "vargrad", draws, noise)
    # Captum subtracts the squared mean from the mean square; both are about as large as the gradient's square.
    square = Saliency(within(module)).attribute(images, target=targets) ** 2
    return attributions.where(attributions > 8 * torch.finfo(attributions.dtype).eps * square, 0)


@tmi.attribution_method(needs=["gradient"])
def smooth_integrated_gradients(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    seed: int,
    draws: Count = 5,
    noise: NotNegative = _NOISE,
    steps: Count = 20,
) -> torch.Tensor:
    """Mean of the integrated gradients of noisy copies of the image (Smilkov et al. 2017).

    Parameters
    ----------
    draws : Count
        Noisy copies.
    noise : NotNegative
        Standard deviation of the noise, as in `smooth_grad`.
    steps : Count
        Points on each line, as in `integrated_gradients`.
    """
    from captum.attr import IntegratedGradients, NoiseTunnel

    attributions: torch.Tensor = NoiseTunnel(IntegratedGradients(within(module))).attribute(
        images,
        nt_type="smoothgrad",
        nt_samples=draws,
        nt_samples_batch_size=min(draws, at_once(images)),
        stdevs=noise,
        target=targets,
        baselines=baselines,
        n_steps=steps,
        internal_batch_size=at_once(images),
    )
    return attributions


def _saliency(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, kind: str, draws: int, noise: float
) -> torch.Tensor:
    from captum.attr import NoiseTunnel, Saliency

    attributions: torch.Tensor = NoiseTunnel(Saliency(within(module))).attribute(
        images,
        nt_type=kind,
        nt_samples=draws,
        nt_samples_batch_size=min(draws, at_once(images)),
        stdevs=noise,
        target=targets,
        abs=False,
    )
    return attributions
