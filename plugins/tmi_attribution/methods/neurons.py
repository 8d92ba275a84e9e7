"""Captum's methods that attribute a neuron's activation to pixels; each image may ask about a neuron of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tmi
from tmi.params import Count

from .deeplift import mean_over, quiet
from .path import at_once, portions, within
from .superpixels import shared, superpixels

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Selector = Callable[[Tensor], Tensor]


@tmi.attribution_method(level="neuron", needs=["gradient"], images_at_once=64)
def neuron_gradient(module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor) -> Tensor:
    """The gradient of the neuron's activation."""
    from captum.attr import NeuronGradient

    method = NeuronGradient(module, module.get_submodule(layer))
    return by_neuron(images, neurons, lambda x, neuron, _rows: method.attribute(x, neuron))


@tmi.attribution_method(level="neuron", needs=["gradient"], images_at_once=8)
def neuron_integrated_gradients(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor, baselines: Tensor, steps: Count = 50
) -> Tensor:
    """Integral of the neuron's gradient from the baseline to the image (Sundararajan et al. 2017).

    Parameters
    ----------
    steps : int
        Points on the path.
    """
    from captum.attr import NeuronIntegratedGradients

    method = NeuronIntegratedGradients(within(module), module.get_submodule(layer))
    how: dict[str, Any] = {"n_steps": steps, "internal_batch_size": at_once(images)}
    return by_neuron(images, neurons, lambda x, neuron, rows: method.attribute(x, neuron, baselines[rows], **how))


@tmi.attribution_method(level="neuron", needs=["gradient"], images_at_once=8)
def neuron_conductance(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor, baselines: Tensor, steps: Count = 50
) -> Tensor:
    """The part of the target's integrated gradients that flows from each pixel through the neuron (Dhamdhere et al. 2018).

    Parameters
    ----------
    steps : int
        Points on the path.
    """
    from captum.attr import NeuronConductance

    method = NeuronConductance(within(module), module.get_submodule(layer))
    # The weights of Captum's default rule do not add up to 1.
    how: dict[str, Any] = {"n_steps": steps, "method": "gausslegendre", "internal_batch_size": at_once(images)}
    return by_neuron(
        images, neurons, lambda x, neuron, rows: method.attribute(x, neuron, baselines[rows], target=targets[rows], **how)
    )


@tmi.attribution_method(level="neuron", needs=["gradient", "modules"], images_at_once=8)
def neuron_deeplift(module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor, baselines: Tensor) -> Tensor:
    """DeepLift of the neuron's activation with the rescale rule (Shrikumar et al. 2017)."""
    from captum.attr import NeuronDeepLift

    method = NeuronDeepLift(module, module.get_submodule(layer))
    return by_neuron(images, neurons, lambda x, neuron, rows: method.attribute(x, neuron, baselines[rows]))


@tmi.attribution_method(level="neuron", needs=["gradient", "modules"], images_at_once=2)
def neuron_deeplift_shap(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor, references: Tensor
) -> Tensor:
    """Mean of the neuron's DeepLift over the references (Lundberg and Lee 2017)."""
    from captum.attr import NeuronDeepLiftShap

    method = NeuronDeepLiftShap(module, module.get_submodule(layer))

    def mean(x: Tensor, neuron: Selector, _rows: Tensor) -> Tensor:
        return mean_over(references, x, lambda some: method.attribute(x, neuron, some))

    return by_neuron(images, neurons, mean)


@tmi.attribution_method(level="neuron", needs=["gradient"])
def neuron_gradient_shap(
    module: Module,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str,
    neurons: Tensor,
    baselines: Tensor,
    seed: int,
    draws: Count = 20,
) -> Tensor:
    """Mean gradient of the neuron at random points between baseline and image, times the difference (Erion et al. 2021).

    Parameters
    ----------
    draws : Count
        Random points.
    """
    import torch
    from captum.attr import NeuronGradientShap

    method = NeuronGradientShap(within(module), module.get_submodule(layer))

    def mean(x: Tensor, neuron: Selector, rows: Tensor) -> Tensor:
        attributions = [
            count * method.attribute(x, neuron, baselines[rows], n_samples=count) for count in portions(draws, at_once(images))
        ]
        return torch.stack(attributions).sum(0) / draws

    return by_neuron(images, neurons, mean)


@tmi.attribution_method(level="neuron", needs=["gradient", "relu-modules"], images_at_once=64)
def neuron_guided_backprop(module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor) -> Tensor:
    """Gradient of the neuron in which every active ReLU passes on positive gradients only (Springenberg et al. 2015)."""
    from captum.attr import NeuronGuidedBackprop

    method = NeuronGuidedBackprop(module, module.get_submodule(layer))
    return by_neuron(images, neurons, lambda x, neuron, _rows: method.attribute(x, neuron))


@tmi.attribution_method(level="neuron", needs=["gradient", "relu-modules"], images_at_once=64)
def neuron_deconvolution(module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor) -> Tensor:
    """Gradient of the neuron in which every ReLU is applied to the gradient instead of its input (Zeiler and Fergus 2014)."""
    from captum.attr import NeuronDeconvolution

    method = NeuronDeconvolution(module, module.get_submodule(layer))
    return by_neuron(images, neurons, lambda x, neuron, _rows: method.attribute(x, neuron))


@tmi.attribution_method(level="neuron", images_at_once=8)
def neuron_feature_ablation(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, neurons: Tensor, baselines: Tensor, cells: Count = 5
) -> Tensor:
    """Change of the neuron's activation when one cell of a grid shows the baseline, shared evenly among its pixels.

    Parameters
    ----------
    cells : Count
        Rows, and columns, of the grid.
    """
    from captum.attr import NeuronFeatureAblation

    grid = superpixels(images, cells)
    method = NeuronFeatureAblation(module, module.get_submodule(layer))
    how: dict[str, Any] = {"feature_mask": grid, "perturbations_per_eval": max(1, at_once(images) // len(images))}
    return shared(by_neuron(images, neurons, lambda x, neuron, rows: method.attribute(x, neuron, baselines[rows], **how)), grid)


def by_neuron(images: Tensor, neurons: Tensor, attribute: Callable[[Tensor, Selector, Tensor], Tensor]) -> Tensor:
    """Attribute the images that ask about the same neuron together, since Captum selects one neuron a call.

    Parameters
    ----------
    images : Tensor, shape (N, C, m, n)
    neurons : Tensor of int64, shape (N,)
        Index into the flattened layer.
    attribute : callable
        ``(images, selector, rows) -> attributions``, for the images of given rows.
    """
    import warnings

    import torch

    attributions = torch.zeros_like(images, requires_grad=False)
    for neuron in sorted(set(neurons.tolist())):
        rows = (neurons == neuron).nonzero()[:, 0]
        some = images.detach()[rows].requires_grad_(True)
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The neuron_selector provided is a callable")
            attributions[rows] = attribute(some, _selector(neuron), rows).detach()
    return attributions


def _selector(neuron: int) -> Selector:
    return lambda activations: activations.flatten(1)[:, neuron]
