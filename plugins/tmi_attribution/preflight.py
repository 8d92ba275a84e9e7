"""Checks whether an attribution method is sound for a module: it is refused with a reason instead of giving wrong numbers.

Methods that work by hooks know modules alone: a non-linearity that is not a module of its own keeps its gradient, and the result
is wrong without a sign of it. So the preflight sends one image through a copy of the module, cuts the graph of operations at the
modules that the method knows, and checks every other operation; see `graph`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from .common import recording
from .graph import (
    LINEAR,
    NONLINEAR,
    PRODUCTS,
    REARRANGING,
    RECTIFIERS,
    Graph,
    graph_of,
    hidden_nonlinearities,
    is_custom,
    is_product,
    operation,
    other_images,
    wrong_gradients,
)

if TYPE_CHECKING:
    import torch

# Modules for which Captum's rescale rule is right. Its rule for Softmax sums over the whole batch.
_RESCALED = ("ReLU", "ELU", "LeakyReLU", "Sigmoid", "Tanh", "Softplus")

LRP_RULED = (
    "Linear",
    "Conv2d",
    "BatchNorm2d",
    "AvgPool2d",
    "AdaptiveAvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
)
"""Modules of torch.nn for which Captum's LRP has a rule."""

_LRP_THROUGH = ("ReLU", "Tanh", "Dropout")  # modules that pass the relevance on unchanged

PASSED_ON = ("Flatten", "Unflatten", "Identity", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
"""Modules of torch.nn that pass numbers on unchanged: Captum's LRP lacks a rule for them, and is given one."""

# The module that performs an operation, by the name of the operation.
_MODULE_OF = {
    "Relu": "ReLU",
    "Elu": "ELU",
    "LeakyRelu": "LeakyReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softplus": "Softplus",
    "Addmm": "Linear",
    "Mm": "Linear",
    "Convolution": "Conv2d",
    "MkldnnConvolution": "Conv2d",
    "NativeBatchNorm": "BatchNorm2d",
    "AvgPool2D": "AvgPool2d",
    "AdaptiveAvgPool2D": "AdaptiveAvgPool2d",
    "MaxPool2DWithIndices": "MaxPool2d",
}


def problems(needs: Sequence[str], module: torch.nn.Module, images: torch.Tensor, layer: str | None = None) -> list[str]:
    """Return why a method with certain needs would be wrong for the module of a checked network; see `tmi.Network.check`.

    Parameters
    ----------
    needs : sequence of str
        See `tmi.attribution_method`.
    module : torch.nn.Module
        A copy of it is examined.
    images : Tensor, shape (N, C, m, n)
        The first is sent through the copy.
    layer : str, optional
        The submodule that the method looks at.

    Returns
    -------
    list of str
        One reason each, with a remedy; empty if the method is sound.
    """
    image = images[:1].detach()
    needs = [need for need in needs if need in _CHECKS]  # "constructed" is a property of the network, not of the module
    if needs and not graph_of(module, image).flows:
        return ["its logits do not depend differentiably on the image; occlusion and the ablations need no gradient"]
    return list(dict.fromkeys(reason for need in needs for reason in _CHECKS[need](module, image, layer)))


def preflight(module: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Return why DeepLift would be wrong for a module: `problems` with the need "modules".

    An empty list means that every non-linearity is a module that DeepLift knows, such as an nn.ReLU.
    """
    return problems(["modules"], module, images)


def _rescaled(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return why DeepLift's attributions would be wrong."""
    classes = _classes(_RESCALED)
    graph, *others = (graph_of(module, x, lambda part: type(part) in classes) for x in (image, *other_images(image)))
    hooked = {name for name, _ in graph.inputs}
    reasons = _reused(graph) + _in_place(module, image) + _shared_inputs(graph) + _adjacent(graph, hooked, hooked)
    nonlinear = {node: reason for node in graph.nodes if (reason := _not_linear(node))}
    reasons += list(nonlinear.values()) + hidden_nonlinearities(graph, others, nonlinear)
    return reasons or wrong_gradients(graph, others)


def _not_linear(node: Any) -> str:
    """Return why an operation is not linear, as far as its name and its inputs tell; an empty string for a linear one."""
    name = operation(node)
    if is_custom(node):
        return ""
    if name in PRODUCTS:
        return (
            f"{name} multiplies or divides by a value that depends on the image, which is not linear" if is_product(node) else ""
        )
    if name.startswith(("MaxPool", "AdaptiveMaxPool")):
        return "max pooling beside ReLU is attributed wrongly by Captum; use average pooling or a strided convolution"
    if name == "Softmax":
        return "Captum's rule for softmax lets the images of a batch influence each other; attribute the logits instead"
    if _MODULE_OF.get(name) in _RESCALED:
        return f"a {name} operation is functional; use an nn.{_MODULE_OF[name]} module for each"
    return "" if name in LINEAR else f"{name} is not linear, and not a module that DeepLift knows"


def _relus(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return why guided backpropagation and deconvolution would be wrong: they do not know every ReLU."""
    from torch import nn

    def known(part: nn.Module) -> bool:
        return isinstance(part, nn.ReLU)

    graph, *others = (graph_of(module, x, known) for x in (image, *other_images(image)))
    relus = {name for name, _ in graph.inputs}
    names = {node: operation(node) for node in graph.nodes if not is_custom(node)}
    reasons = _reused(graph) + _in_place(module, image) + _shared_inputs(graph) + _adjacent(graph, relus, relus)
    reasons += [
        f"{name} acts as a ReLU without being a module; use an nn.ReLU module for each"
        for name in names.values()
        if name in RECTIFIERS
    ]
    nonlinear = {node for node, name in names.items() if name in RECTIFIERS | NONLINEAR or is_product(node)}
    return reasons + hidden_nonlinearities(graph, others, nonlinear)


def _relevance(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return why layer-wise relevance propagation would be wrong or raise an error."""
    from torch import nn

    ruled, through, passed_on = map(_classes, (LRP_RULED, _LRP_THROUGH, PASSED_ON))
    leaves = {name: part for name, part in module.named_modules() if name and not list(part.children())}
    reasons = [
        f"module {name!r} is a {type(part).__name__}, for which Captum's LRP has no rule; use {', '.join(LRP_RULED[:5])}, ReLU"
        for name, part in leaves.items()
        if type(part) not in ruled | through | passed_on
    ]
    graph = graph_of(module, image, lambda part: type(part) in ruled | through)
    reasons += _reused(graph) + _in_place(module, image)
    for node in graph.nodes:
        name = operation(node)
        if name not in REARRANGING:
            remedy = f"use an nn.{_MODULE_OF[name]} module for each" if name in _MODULE_OF else "LRP treats it as a rearrangement"
            reasons.append(f"{name} is not done by a module for which Captum's LRP has a rule; {remedy}")
    # A ReLU or a dropout may directly follow such a module, for where it gives 0 the relevance is 0 too; a Tanh may not.
    passing, tanh = ({name for name, part in leaves.items() if type(part) in classes} for classes in (through, {nn.Tanh}))
    reasons += _adjacent(graph, passing, tanh)
    by_rule = Counter(value for name, value in graph.inputs if type(leaves.get(name)) in ruled)
    # The module that takes a value computes its relevance: another use of the value would need another rule.
    mixed = [name for name, value in graph.inputs if graph.uses[value] > max(1, by_rule[value])]
    return reasons + [
        f"the input of module {name!r} is used elsewhere too, and its relevance would be wrong; {_COPY}" for name in mixed
    ]


def _maps(module: torch.nn.Module, image: torch.Tensor, layer: str | None) -> list[str]:
    """Return why a layer has no maps."""
    if layer is None:
        return ["no layer to look at: name one by the setting layer"]
    (output,) = _outputs(module, image, layer)
    if output.ndim != 4:
        return [f"layer {layer!r} gives {tuple(output.shape[1:])}, not maps (channels, rows, cols); name a convolution"]
    return [] if output.requires_grad else [f"layer {layer!r} does not depend differentiably on the image; name a later one"]


def _outputs(module: torch.nn.Module, image: torch.Tensor, layer: str) -> list[Any]:
    """Return the outputs of a layer, one for each use."""
    outputs: list[Any] = []
    with recording():
        module = copy.deepcopy(module).eval().requires_grad_(False)
        module.get_submodule(layer).register_forward_hook(lambda _m, _x, output: outputs.append(output))
        module(image.clone().requires_grad_(True))
    return outputs


def _in_place(module: torch.nn.Module, image: torch.Tensor, _layer: str | None = None) -> list[str]:
    """Return which modules work in place, and whose output a later operation changes in place."""
    import torch

    outputs: list[tuple[str, Any, int]] = []
    with recording():
        module = copy.deepcopy(module).eval().requires_grad_(False)

        def leave(name: str, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                outputs.append((name, output, output._version))

        for name, part in module.named_modules():
            part.register_forward_hook(lambda _m, _x, output, name=name: leave(name, output))  # type: ignore[misc]
        module(image.clone().requires_grad_(True))
    called = dict.fromkeys(name for name, _, _ in outputs)
    reasons = [
        f"module {name!r} works in place; make it inplace=False"
        for name in called
        if getattr(module.get_submodule(name), "inplace", False)
    ]
    changed = dict.fromkeys(name for name, output, version in outputs if output._version != version)
    return reasons or [
        f"the output of module {name!r} is changed in place; use operations that return a new tensor" for name in changed
    ]


_CHECKS: dict[str, Callable[[torch.nn.Module, torch.Tensor, str | None], list[str]]] = {
    "gradient": lambda _module, _image, _layer: [],  # `problems` checks it for every need
    "modules": _rescaled,
    "relu-modules": _relus,
    "lrp-modules": _relevance,
    "maps": _maps,
    "no-inplace": _in_place,
}

_COPY = "give the module a copy of it: x.clone()"


def _reused(graph: Graph) -> list[str]:
    """Return the modules that are used more than once."""
    calls = Counter(name for name, _ in graph.inputs)
    return [
        f"module {name!r} is used {times} times; give each use a module of its own" for name, times in calls.items() if times > 1
    ]


def _shared_inputs(graph: Graph) -> list[str]:
    """Return the modules whose input is used elsewhere too: Captum replaces the gradient of both uses by that of one."""
    shared = dict.fromkeys(name for name, value in graph.inputs if graph.uses[value] > 1)
    return [f"the input of module {name!r} is used elsewhere too, and that use would be lost; {_COPY}" for name in shared]


def _adjacent(graph: Graph, before: Collection[str], after: Collection[str]) -> list[str]:
    """Return the modules that follow each other directly: Captum's hooks on the value between them run in the wrong order."""
    return [
        f"module {name!r} takes the output of {graph.outputs[value]!r} itself, and Captum's hooks on it interfere; {_COPY}"
        for name, value in graph.inputs
        if name in after and graph.outputs.get(value) in before
    ]


def _classes(names: Sequence[str]) -> set[type]:
    from torch import nn

    return {getattr(nn, name) for name in names}
