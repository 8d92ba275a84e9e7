"""Superpixels switched between image and baseline: ablation, permutation, Shapley values and local linear models.

The superpixels are the cells of a grid. A cell's attribution is divided evenly among its pixels and channels, so that the
attributions of a complete method add up to the change of the logit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

import tmi
from tmi.params import Count, NotNegative

from .path import at_once, portions

if TYPE_CHECKING:
    import torch

Few = Annotated[int, msgspec.Meta(ge=1, le=2)]
"""1 or 2: four cells have 24 orders, nine have 362,880."""


@tmi.attribution_method(images_at_once=8)
def feature_ablation(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, baselines: torch.Tensor, cells: Count = 5
) -> torch.Tensor:
    """Change of the logit when one cell shows the baseline.

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    """
    import torch
    from captum.attr import FeatureAblation

    grid = superpixels(images, cells)
    with torch.no_grad():
        attributions = FeatureAblation(module).attribute(
            images, baselines, target=targets, feature_mask=grid, perturbations_per_eval=max(1, at_once(images) // len(images))
        )
    return shared(attributions, grid)


@tmi.attribution_method()
def feature_permutation(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    references: torch.Tensor,
    seed: int,
    cells: Count = 5,
    draws: Count = 10,
) -> torch.Tensor:
    """Mean change of the logit when one cell is replaced by that of another image (Breiman 2001, for a single image).

    Captum permutes a cell among the images of a batch. Here it is drawn from the references, so that images do not influence each
    other.

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    draws : Count
        References for each image and cell, drawn with replacement.
    """
    import torch
    from captum.attr import FeaturePermutation

    def drawn(x: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        return torch.where(cell, references[torch.randint(len(references), (len(x),))], x)

    grid = superpixels(images, cells)
    method = FeaturePermutation(module, drawn)
    total = torch.zeros_like(images, requires_grad=False)
    with torch.no_grad():
        for count in portions(draws, at_once(images)):
            copies = images.repeat_interleave(count, 0)
            attributions = method.attribute(
                copies,
                target=targets.repeat_interleave(count),
                feature_mask=grid,
                perturbations_per_eval=max(1, at_once(images) // len(copies)),
            )
            total += attributions.unflatten(0, (len(images), count)).sum(1)
    return shared(total / draws, grid)


@tmi.attribution_method(complete="baselines")
def shapley_sampling(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    seed: int,
    cells: Count = 5,
    draws: Count = 10,
) -> torch.Tensor:
    """Shapley values of the cells, over random orders in which they appear (Strumbelj and Kononenko 2010).

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    draws : Count
        Random orders.
    """
    import torch
    from captum.attr import ShapleyValueSampling

    grid = superpixels(images, cells)
    with torch.no_grad():
        attributions = ShapleyValueSampling(module).attribute(
            images, baselines, target=targets, feature_mask=grid, n_samples=draws, perturbations_per_eval=at_once(images)
        )
    return shared(attributions, grid)


@tmi.attribution_method(complete="baselines", images_at_once=8)
def shapley_exact(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, baselines: torch.Tensor, cells: Few = 2
) -> torch.Tensor:
    """Exact Shapley values of a few large cells, over every order in which they can appear (Shapley 1953).

    Parameters
    ----------
    cells : int
        Rows, and columns, of the grid.
    """
    import torch
    from captum.attr import ShapleyValues

    grid = superpixels(images, cells)
    with torch.no_grad():
        attributions = ShapleyValues(module).attribute(
            images, baselines, target=targets, feature_mask=grid, perturbations_per_eval=max(1, at_once(images) // len(images))
        )
    return shared(attributions, grid)


@tmi.attribution_method(complete="baselines")
def kernel_shap(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    seed: int,
    cells: Count = 5,
    draws: Count = 100,
) -> torch.Tensor:
    """Shapley values of the cells by weighted least squares on random subsets of them (Lundberg and Lee 2017).

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    draws : Count
        Subsets, including the full and the empty one. With fewer subsets than cells the values are not determined.
    """
    import torch
    from captum.attr import FeatureAblation, KernelShap

    grid = superpixels(images, cells)
    with torch.no_grad():
        if grid.max() == 0:  # a single cell has the whole change
            return shared(FeatureAblation(module).attribute(images, baselines, target=targets, feature_mask=grid), grid)
        attributions = KernelShap(module).attribute(
            images, baselines, target=targets, feature_mask=grid, n_samples=draws, perturbations_per_eval=at_once(images)
        )
    return shared(attributions, grid)


@tmi.attribution_method()
def lime(
    module: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    baselines: torch.Tensor,
    seed: int,
    cells: Count = 5,
    draws: Count = 100,
    alpha: NotNegative = 0.001,
) -> torch.Tensor:
    """Coefficients of a sparse linear model of the logit, fitted to random subsets of the cells (Ribeiro et al. 2016).

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    draws : Count
        Subsets.
    alpha : NotNegative
        Weight of the lasso's penalty, in units of the logit. All coefficients are 0 if the logit varies less than that, which
        Captum's 0.01 causes on networks with small logits.
    """
    import torch
    from captum._utils.models.linear_model import SkLearnLasso, SkLearnLinearRegression
    from captum.attr import Lime

    grid = superpixels(images, cells)
    method = Lime(module, SkLearnLasso(alpha=alpha) if alpha else SkLearnLinearRegression())
    with torch.no_grad():
        attributions = method.attribute(
            images, baselines, target=targets, feature_mask=grid, n_samples=draws, perturbations_per_eval=at_once(images)
        )
    return shared(attributions, grid)


def superpixels(images: torch.Tensor, cells: int) -> torch.Tensor:
    """Number the cells of a grid over the image.

    Parameters
    ----------
    images : Tensor, shape (N, C, m, n)
    cells : int
        Rows, and columns, of the grid, at most the number of pixels. The cells' sides differ by at most one pixel.

    Returns
    -------
    Tensor of int64, shape (1, 1, m, n)
        From 0, row by row.
    """
    import torch

    rows, columns = images.shape[2:]
    down, across = min(cells, rows), min(cells, columns)
    row = torch.arange(rows, device=images.device) * down // rows
    column = torch.arange(columns, device=images.device) * across // columns
    return (row[:, None] * across + column)[None, None]


def shared(attributions: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Divide evenly among the pixels and channels of a cell what Captum gives to each pixel."""
    sizes = grid.flatten().bincount() * attributions.shape[1]
    return attributions / sizes[grid]
