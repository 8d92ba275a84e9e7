"""Controls to compare methods with: maps that do not depend on the network, and the true mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Positive

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..truth import Truth

    Array = NDArray[np.float64]


@tmi.attribution_method(control=True, images_at_once=256)
def constant(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> Array:
    """1 everywhere: a map without information."""
    return np.ones((len(images), *images.shape[2:]))


@tmi.attribution_method(control=True)
def random(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, seed: int) -> Array:
    """Uniform noise in [0, 1)."""
    return np.random.default_rng(seed).random((len(images), *images.shape[2:]))


@tmi.attribution_method(control=True, images_at_once=256)
def sobel(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> Array:
    """Strength of the edges in each channel: the magnitude of the Sobel gradient."""
    from scipy.ndimage import correlate1d

    pixels = images.detach().cpu().double().numpy()

    # SciPy's own Sobel filter smooths along all other axes, channels and images included.
    def derivative(along: int, across: int) -> Array:
        slope: Array = correlate1d(correlate1d(pixels, [-1, 0, 1], axis=along), [1, 2, 1], axis=across)
        return slope

    edges: Array = np.hypot(derivative(2, 3), derivative(3, 2))
    return edges


@tmi.attribution_method(control=True, images_at_once=256)
def laplace(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> Array:
    """Difference of each pixel from its four neighbours, in each channel: the magnitude of the discrete Laplace operator."""
    from scipy.ndimage import correlate1d

    pixels = images.detach().cpu().double().numpy()
    differences: Array = np.abs(sum(correlate1d(pixels, [1, -2, 1], axis=axis) for axis in (2, 3)))
    return differences


@tmi.attribution_method(control=True, images_at_once=256)
def centre_prior(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, width: Positive = 0.25) -> Array:
    """A Gaussian around the image's centre: tiles are often in the middle.

    Parameters
    ----------
    width : Positive
        The standard deviation, as a share of each side.
    """
    rows, columns = (np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (width * side)) ** 2) for side in images.shape[2:])
    return np.tile(np.outer(rows, columns), (len(images), 1, 1))


@tmi.attribution_method(control=True, images_at_once=256)
def oracle(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, truth: Truth) -> Array:
    """The true mask: 1 on the pixels that decide, 0 elsewhere."""
    return truth.masks.astype(np.float64)
