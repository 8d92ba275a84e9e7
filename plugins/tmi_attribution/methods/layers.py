"""Captum's methods that attribute the target's logit to the neurons of a layer, the outputs of a submodule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..preflight import LRP_RULED
from .deeplift import mean_over, quiet
from .path import at_once, portions, within
from .relevance import ruled
from .superpixels import superpixels

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Several = Annotated[int, msgspec.Meta(ge=2)]
"""An integer of at least 2: Captum does not permute fewer."""


@tmi.attribution_method(level="layer", images_at_once=64)
def layer_activation(module: Module, images: Tensor, targets: Tensor, *, layer: str) -> Tensor:
    """The activations themselves, the same for every target."""
    from captum.attr import LayerActivation

    attributions: Tensor = LayerActivation(module, module.get_submodule(layer)).attribute(images)
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient"], images_at_once=64)
def layer_gradient_x_activation(module: Module, images: Tensor, targets: Tensor, *, layer: str) -> Tensor:
    """The logit's gradient by each neuron, times the neuron's activation."""
    from captum.attr import LayerGradientXActivation

    method = LayerGradientXActivation(module, module.get_submodule(layer))
    attributions: Tensor = method.attribute(images, target=targets)
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient", "no-inplace"], complete="baselines", images_at_once=8)
def layer_integrated_gradients(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor, steps: Count = 50
) -> Tensor:
    """Integral of the gradient along the straight path of the layer's activations, from the baseline's to the image's.

    Parameters
    ----------
    steps : int
        Points on the path.
    """
    from captum.attr import LayerIntegratedGradients

    method = LayerIntegratedGradients(module, module.get_submodule(layer))
    attributions: Tensor = method.attribute(images, baselines, target=targets, n_steps=steps, internal_batch_size=at_once(images))
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient"], complete="baselines", images_at_once=8)
def layer_conductance(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor, steps: Count = 50
) -> Tensor:
    """The part of integrated gradients that flows through each neuron (Dhamdhere et al. 2018).

    Parameters
    ----------
    steps : int
        Pieces of the straight path from baseline to image.
    """
    from captum.attr import LayerConductance

    method = LayerConductance(within(module), module.get_submodule(layer))
    # Captum's default rule leaves out both ends of the path, and the change there.
    attributions: Tensor = method.attribute(
        images,
        baselines,
        target=targets,
        n_steps=steps,
        method="riemann_trapezoid",
        internal_batch_size=max(at_once(images), 2 * len(images)),
    )
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient"], images_at_once=8)
def internal_influence(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor, steps: Count = 50
) -> Tensor:
    """Mean gradient by each neuron on the straight path from baseline to image (Leino et al. 2018).

    Parameters
    ----------
    steps : int
        Points on the path.
    """
    from captum.attr import InternalInfluence

    method = InternalInfluence(within(module), module.get_submodule(layer))
    attributions: Tensor = method.attribute(images, baselines, target=targets, n_steps=steps, internal_batch_size=at_once(images))
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient", "modules"], complete="baselines", images_at_once=8)
def layer_deeplift(module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor) -> Tensor:
    """DeepLift with the rescale rule, as far down as the layer (Shrikumar et al. 2017)."""
    from captum.attr import LayerDeepLift

    with quiet():
        attributions: Tensor = LayerDeepLift(module, module.get_submodule(layer)).attribute(images, baselines, target=targets)
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient", "modules"], complete="references", images_at_once=2)
def layer_deeplift_shap(module: Module, images: Tensor, targets: Tensor, *, layer: str, references: Tensor) -> Tensor:
    """Mean of DeepLift over the references (Lundberg and Lee 2017), as far down as the layer."""
    from captum.attr import LayerDeepLiftShap

    method = LayerDeepLiftShap(module, module.get_submodule(layer))
    with quiet():
        return mean_over(references, images, lambda some: method.attribute(images, some, target=targets))


@tmi.attribution_method(level="layer", needs=["gradient"])
def layer_gradient_shap(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor, seed: int, draws: Count = 20
) -> Tensor:
    """Mean gradient at random points between baseline and image, times the change of each neuron (Erion et al. 2021).

    Parameters
    ----------
    draws : Count
        Random points.
    """
    import torch
    from captum.attr import LayerGradientShap

    method = LayerGradientShap(within(module), module.get_submodule(layer))
    attributions = [
        count * method.attribute(images, baselines, n_samples=count, stdevs=0.0, target=targets).detach()
        for count in portions(draws, at_once(images))
    ]
    return torch.stack(attributions).sum(0) / draws


@tmi.attribution_method(level="layer", needs=["gradient", "maps"], images_at_once=64)
def layer_grad_cam(module: Module, images: Tensor, targets: Tensor, *, layer: str) -> Tensor:
    """Each map times its mean gradient (Selvaraju et al. 2017), before the maps are summed and negative values set to 0."""
    from captum.attr import LayerGradCam

    method = LayerGradCam(module, module.get_submodule(layer))
    attributions: Tensor = method.attribute(images, target=targets, attr_dim_summation=False)
    return attributions


@tmi.attribution_method(level="layer", needs=["gradient", "lrp-modules"])
def layer_lrp(module: Module, images: Tensor, targets: Tensor, *, layer: str) -> Tensor:
    """Layer-wise relevance propagation with the ε-rule, as far down as the layer (Bach et al. 2015).

    Raises
    ------
    InputError
        If the logit does not depend on the layer.
    """
    from captum.attr import LRP, LayerLRP

    part = module.get_submodule(layer)
    if type(part).__name__ in LRP_RULED:
        with ruled(module):
            attributions: Tensor = LayerLRP(module, part).attribute(images, target=targets)
            return attributions
    # Captum returns the relevance of modules with a rule only. Elsewhere it is the gradient of Captum's pass times the logit.
    gradients: list[Tensor] = []

    def read(_part: Module, _inputs: object, output: Tensor) -> Tensor:
        if output.requires_grad:
            output.register_hook(gradients.append)  # type: ignore[no-untyped-call]
        return output.clone()  # later modules set their hooks on the clone, so that they run before this one

    handle = part.register_forward_hook(read)
    try:
        with ruled(module):
            LRP(module).attribute(images, target=targets)
    finally:
        handle.remove()
    if not gradients:
        raise InputError(f"layer-lrp: the logit does not depend on layer {layer!r}")
    logits = _logit(module)(images, targets).detach()
    return gradients[0] * logits.view(-1, *[1] * (gradients[0].ndim - 1))


@tmi.attribution_method(level="layer", images_at_once=8)
def layer_feature_ablation(
    module: Module, images: Tensor, targets: Tensor, *, layer: str, baselines: Tensor, groups: Count = 64
) -> Tensor:
    """Change of the logit when a group of neurons has the baseline's activations, shared evenly among them.

    Parameters
    ----------
    groups : Count
        The greatest number of groups, of about equal size: the cells of a grid over the layer's maps, all channels together, or
        runs of neighbours. A layer with no more neurons than groups is ablated neuron by neuron.
    """
    from captum.attr import LayerActivation, LayerFeatureAblation

    part = module.get_submodule(layer)
    below = LayerActivation(module, part).attribute(baselines).detach()
    numbers = grouped(below, groups)
    attributions = LayerFeatureAblation(_logit(module), part).attribute(
        images,
        below,
        additional_forward_args=targets,
        layer_mask=numbers,
        perturbations_per_eval=max(1, at_once(images) // len(images)),
    )
    return shared(attributions, numbers)


@tmi.attribution_method(level="layer")
def layer_feature_permutation(
    module: Module,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str,
    references: Tensor,
    seed: int,
    draws: Several = 10,
    groups: Count = 64,
) -> Tensor:
    """Mean change of the logit when a group of neurons has the activations of another image, shared evenly among them.

    Captum permutes a group among the images of a batch. Here it is drawn from the references, so that images do not influence
    each other.

    Parameters
    ----------
    draws : int
        References for each image and group, drawn with replacement; at least 2.
    groups : Count
        The greatest number of groups; see layer-feature-ablation.
    """
    from functools import partial

    import torch
    from captum.attr import FeaturePermutation, LayerActivation, LayerFeaturePermutation

    part = module.get_submodule(layer)
    others = LayerActivation(module, part).attribute(references).detach()
    numbers = grouped(others, groups)

    def drawn(own: Tensor, group: Tensor) -> Tensor:
        return torch.where(group, others[torch.randint(len(others), (len(own),))], own)

    class AmongReferences(LayerFeaturePermutation):  # type: ignore[misc]
        @property
        def attributor(self) -> Callable[..., FeaturePermutation]:
            return partial(FeaturePermutation, perm_func=drawn)

    attributions = AmongReferences(_logit(module), part).attribute(
        images.repeat_interleave(draws, 0),
        additional_forward_args=targets.repeat_interleave(draws),
        layer_mask=numbers,
        perturbations_per_eval=max(1, at_once(images) // (draws * len(images))),
    )
    return shared(attributions.unflatten(0, (len(images), draws)).mean(1), numbers)


def grouped(activations: Tensor, groups: int) -> Tensor:
    """Number the groups in which neurons are changed together.

    Parameters
    ----------
    activations : Tensor, shape (N, C, rows, cols) or (N, …)
    groups : int
        Their greatest number.

    Returns
    -------
    Tensor of int64, shape (1, 1, rows, cols) or (1, …)
        From 0: the cells of a grid over maps, else runs of neighbours.
    """
    import torch

    if activations.ndim == 4:
        return superpixels(activations, math.isqrt(groups))
    shape = activations.shape[1:]
    count = shape.numel()
    return (torch.arange(count, device=activations.device) * min(groups, count) // count).view(1, *shape)


def shared(attributions: Tensor, numbers: Tensor) -> Tensor:
    """Divide evenly among the neurons of a group what Captum gives to each of them."""
    sizes = numbers.expand(1, *attributions.shape[1:]).flatten().bincount()
    return attributions / sizes[numbers]


def _logit(module: Module) -> Callable[[Tensor, Tensor], Tensor]:
    # Captum would pass the targets of N images to batches of several copies of them.
    return lambda images, targets: module(images).gather(1, targets[:, None])[:, 0]
