"""Is an attribution method sound for a module? A refusal with its reason, instead of a silently wrong number.

Methods that work by hooks see modules alone: a non-linearity that is not a module of its own keeps its gradient, and the result
is wrong without a word. So the preflight sends one image through a copy of the module, cuts the recorded graph at the modules
that a method knows, and looks at every operation that is left. What is linear hands the same gradient back on every image, and
changes as its gradient says: that gives away a ReLU that is written as a product with a mask, or hidden in a function.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .common import recording

if TYPE_CHECKING:
    import torch

# Captum's rescale rule is right for these modules. It has one for Softmax too, but that sums over the whole batch.
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

_LRP_THROUGH = ("ReLU", "Tanh", "Dropout")  # it lets the relevance through

PASSED_ON = ("Flatten", "Unflatten", "Identity", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
"""Modules of torch.nn that hand numbers on as they are: LRP is given the rule for them that Captum lacks."""

# A rearrangement of numbers: where one goes to several places, its gradient is the sum over them.
_REARRANGING = frozenset(
    """
    AccumulateGrad Alias AsStrided Cat Clone Col2Im ConstantPadNd Contiguous Expand Flip Gather Im2Col Index IndexSelect Permute
    PixelShuffle PixelUnshuffle ReflectionPad1D ReflectionPad2D Repeat ReplicationPad1D ReplicationPad2D Reshape ReshapeAlias Roll
    Select Slice Split SplitWithSizes Squeeze Stack T ToCopy Transpose Unbind Unfold UnsafeView Unsqueeze UpsampleNearest2D View
    """.split()  # noqa: SIM905 -- so many names in quotes would be harder to read
)

# Linear in the image, or a rearrangement of it.
_LINEAR = _REARRANGING | frozenset(
    """
    AdaptiveAvgPool2D Add AvgPool1D AvgPool2D AvgPool3D CudnnBatchNorm IndexAdd Mean MkldnnAdaptiveAvgPool2D NativeBatchNorm Neg
    Rsub Scatter ScatterAdd Sub Sum UpsampleBilinear2D
    """.split()  # noqa: SIM905 -- so many names in quotes would be harder to read
)

# Linear as long as the image enters one factor only: which inputs are the factors.
_PRODUCTS = {
    "Mul": slice(0, 2),
    "Div": slice(0, 2),
    "Mm": slice(0, 2),
    "Bmm": slice(0, 2),
    "Mv": slice(0, 2),
    "Dot": slice(0, 2),
    "Linear": slice(0, 2),
    "Convolution": slice(0, 2),
    "MkldnnLinear": slice(0, 2),
    "Addmm": slice(1, 3),
    "Addmv": slice(1, 3),
    "Addbmm": slice(1, 3),
    "Baddbmm": slice(1, 3),
    "SparseAddmm": slice(1, 3),
}

# What a ReLU may be called when it is no nn.ReLU: each is constant on one side.
_RECTIFIERS = frozenset("Relu Threshold Clamp ClampMin ClampMax Hardtanh Maximum Minimum Sign".split())  # noqa: SIM905

# Not linear, but no ReLU in disguise either: smooth, leaky, or max pooling.
_BENT = frozenset(
    """
    AdaptiveMaxPool2D AdaptiveMaxPool3D Celu Cos CudnnBatchNorm Elu Erf Exp Expm1 Gelu Glu LeakyRelu LinalgVectorNorm Log
    Log1P LogSigmoid LogSoftmax Logsumexp MaxPool2DWithIndices MaxPool3DWithIndices Mish NativeBatchNorm NativeGroupNorm
    NativeLayerNorm Norm Pow Prelu PreluKernel Reciprocal RreluWithNoise Rsqrt Selu Sigmoid Silu Sin Softmax Softplus Softsign
    Sqrt Std StdMean Tanh Var VarMean
    """.split()  # noqa: SIM905 -- so many names in quotes would be harder to read
)

# By the name of the operation, the module that does it.
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
    """Say why a method with certain needs would be wrong for a module.

    Parameters
    ----------
    needs : sequence of str
        See `tmi.probing.attribution.NEEDS`.
    module : torch.nn.Module
        Left as it is: a copy is examined.
    images : Tensor, shape (N, C, m, n)
        The first is sent through the copy.
    layer : str, optional
        The submodule that the method looks at.

    Returns
    -------
    list of str
        One reason each, with how to mend it; empty if nothing speaks against it.
    """
    image = images[:1].detach()
    found = _by_itself(module, image) + ([] if layer is None else _used_once(module, image, layer))
    if found:
        return found
    needs = [need for need in needs if need in _CHECKS]  # "constructed" is no question about the module
    if needs and not _record(module, image).flows:
        return ["its logits do not depend differentiably on the image; occlusion and the ablations need no gradient"]
    found = [reason for need in needs for reason in _CHECKS[need](module, image, layer)]
    return list(dict.fromkeys(found))


def preflight(module: torch.nn.Module, images: torch.Tensor) -> list[str]:
    """Say why DeepLift would be wrong for a module: `problems` with the need "modules"."""
    return problems(["modules"], module, images)


@dataclass(eq=False)
class _Record:
    """What happened to one image, cut at certain modules.

    Attributes
    ----------
    flows : bool
        Whether the logits depend differentiably on the image.
    nodes : list
        Every recorded operation outside the modules at which it was cut.
    uses : Counter
        How often each value is used; a value is a node of the graph and the number of its output.
    inputs : list of (str, value)
        The modules at which it was cut, as often as they were called, and what they were given.
    outputs : dict of value to str
        What they returned.
    starts, ends : list of Tensor
        Where the graph begins, the image and what those modules returned, and where it ends, what they were given and the logits.
    """

    flows: bool
    nodes: list[Any] = field(default_factory=list)
    uses: Counter[Any] = field(default_factory=Counter)
    inputs: list[tuple[str, Any]] = field(default_factory=list)
    outputs: dict[Any, str] = field(default_factory=dict)
    starts: list[Any] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)


def _record(module: torch.nn.Module, image: torch.Tensor, cut: Callable[[torch.nn.Module], bool] | None = None) -> _Record:
    """Send one image through a copy of a module, whose graph ends wherever ``cut`` says so of a submodule."""
    import torch
    from torch.autograd.graph import get_gradient_edge

    with recording():
        # Without gradients of its own: then every recorded operation depends on the image.
        module = copy.deepcopy(module).eval().requires_grad_(False)
        image = image.clone().requires_grad_(True)
        inputs: list[tuple[str, Any]] = []
        outputs: dict[Any, str] = {}
        starts, ends = [image], []

        def value(x: torch.Tensor) -> Any:
            edge = get_gradient_edge(x)
            return edge.node, edge.output_nr

        def enter(name: str, given: Any) -> None:
            taken = [x for x in given if isinstance(x, torch.Tensor) and x.requires_grad]
            inputs.extend((name, value(x)) for x in taken)
            ends.extend(taken)

        def leave(name: str, output: Any) -> Any:
            if not isinstance(output, torch.Tensor) or not output.requires_grad:
                return output
            starts.append(output.detach().requires_grad_(True))
            output = starts[-1].clone()  # so that it may be changed in place
            outputs[value(output)] = name
            return output

        for name, part in module.named_modules():
            if cut and name and cut(part):
                part.register_forward_pre_hook(lambda _m, given, name=name: enter(name, given))  # type: ignore[misc]
                part.register_forward_hook(lambda _m, _x, output, name=name: leave(name, output))  # type: ignore[misc]
        logits: torch.Tensor = module(image)
        if not logits.requires_grad:
            return _Record(False)
        last = [value(logits), *(taken for _, taken in inputs)]
        nodes = list(_walk([node for node, _ in last]))
        uses = Counter(last) + Counter(edge for node in nodes for edge in node.next_functions if edge[0] is not None)
        return _Record(True, nodes, uses, inputs, outputs, starts, [*ends, logits])


def _rescaled(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return what DeepLift would get wrong."""
    known = _classes(_RESCALED)
    seen, *others = (_record(module, some, lambda part: type(part) in known) for some in (image, *_others(image)))
    hooked = {name for name, _ in seen.inputs}
    reasons = _once(seen) + _unchanged(module, image) + _alone(seen) + _touching(seen, hooked, hooked)
    bent = {node: reason for node in seen.nodes if (reason := _not_linear(node))}
    return reasons + list(bent.values()) + _hidden(seen, others, bent) or _astray(seen, others)


def _not_linear(node: Any) -> str:
    """Return what DeepLift would get wrong about an operation, as far as its name and its inputs tell."""
    name = _operation(node)
    if _is_custom(node):
        return ""
    if name in _PRODUCTS:
        return f"{name} multiplies or divides by what depends on the image, which is not linear" if _of_factors(node) else ""
    if name.startswith(("MaxPool", "AdaptiveMaxPool")):
        return "max pooling beside ReLU is attributed wrongly by Captum; use average pooling or a strided convolution"
    if name == "Softmax":
        return "Captum's rule for softmax lets the images of a batch influence each other; attribute the logits before"
    if _MODULE_OF.get(name) in _RESCALED:
        return f"a {name} operation is functional; use an nn.{_MODULE_OF[name]} module for each"
    return "" if name in _LINEAR else f"{name} is not linear, and no module that DeepLift knows"


def _relus(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return what guided backpropagation and deconvolution would get wrong: every ReLU that they do not see."""
    from torch import nn

    def known(part: nn.Module) -> bool:
        return isinstance(part, nn.ReLU)

    seen, *others = (_record(module, some, known) for some in (image, *_others(image)))
    relus = {name for name, _ in seen.inputs}
    named = {node: _operation(node) for node in seen.nodes if not _is_custom(node)}
    reasons = [
        f"{name} cuts off as a ReLU does, unseen; use an nn.ReLU module for each"
        for name in named.values()
        if name in _RECTIFIERS
    ]
    bent = {node for node, name in named.items() if name in _RECTIFIERS | _BENT or _of_factors(node)}
    wired = _once(seen) + _unchanged(module, image) + _alone(seen) + _touching(seen, relus, relus)
    return wired + reasons + _hidden(seen, others, bent)


def _relevance(module: torch.nn.Module, image: torch.Tensor, _layer: str | None) -> list[str]:
    """Return what layer-wise relevance propagation would get wrong or raise for."""
    from torch import nn

    ruled, through, passed_on = map(_classes, (LRP_RULED, _LRP_THROUGH, PASSED_ON))
    leaves = {name: part for name, part in module.named_modules() if name and not list(part.children())}
    reasons = [
        f"module {name!r} is a {type(part).__name__}, for which Captum's LRP has no rule; use {', '.join(LRP_RULED[:5])}, ReLU"
        for name, part in leaves.items()
        if type(part) not in ruled | through | passed_on
    ]
    seen = _record(module, image, lambda part: type(part) in ruled | through)
    reasons += _once(seen) + _unchanged(module, image)
    for node in seen.nodes:
        name = _operation(node)
        if name not in _REARRANGING:
            mend = f"use an nn.{_MODULE_OF[name]} module for each" if name in _MODULE_OF else "LRP takes it for a rearrangement"
            reasons.append(f"{name} is done by no module for which Captum's LRP has a rule; {mend}")
    # Through a ReLU or a dropout relevance passes either way: where a number is 0, so is its relevance.
    reasons += _touching(seen, *({n for n, part in leaves.items() if type(part) in some} for some in (through, {nn.Tanh})))
    by_rule = Counter(value for name, value in seen.inputs if type(leaves.get(name)) in ruled)
    # The relevance of a value is made up at the module that takes it: no other may take it a second time, or in another way.
    mixed = [name for name, value in seen.inputs if seen.uses[value] > max(1, by_rule[value])]
    return reasons + [
        f"the input of module {name!r} is used elsewhere too, and its relevance would be wrong; {_APART}" for name in mixed
    ]


def _maps(module: torch.nn.Module, image: torch.Tensor, layer: str | None) -> list[str]:
    """Return why a layer has no maps to weigh."""
    if layer is None:
        return ["no layer to look at: name one by the setting layer"]
    (output,) = _outputs(module, image, layer)
    if output.ndim != 4:
        return [f"layer {layer!r} gives {tuple(output.shape[1:])}, not maps (channels, rows, cols); name a convolution"]
    return [] if output.requires_grad else [f"layer {layer!r} does not depend differentiably on the image; name a later one"]


def _used_once(module: torch.nn.Module, image: torch.Tensor, layer: str) -> list[str]:
    """Return why a layer has no single output: Captum takes one of several, or changes them all."""
    import torch

    if layer not in dict(module.named_modules(remove_duplicate=False)):
        return [f"the module has no layer {layer!r}; name one of {', '.join(dict(module.named_children()))}"]
    outputs = _outputs(module, image, layer)
    if len(outputs) != 1:
        return [f"layer {layer!r} is used {len(outputs)} times; name one that is used once"]
    given = type(outputs[0]).__name__
    return [] if isinstance(outputs[0], torch.Tensor) else [f"layer {layer!r} gives a {given}, not a tensor; name another"]


def _outputs(module: torch.nn.Module, image: torch.Tensor, layer: str) -> list[Any]:
    """Return what a layer gives, each time that it is used."""
    outputs: list[Any] = []
    with recording():
        module = copy.deepcopy(module).eval().requires_grad_(False)
        module.get_submodule(layer).register_forward_hook(lambda _m, _x, output: outputs.append(output))
        module(image.clone().requires_grad_(True))
    return outputs


def _by_itself(module: torch.nn.Module, image: torch.Tensor) -> list[str]:
    """Return whether the logits of an image depend on what else is in its batch, beyond rounding."""
    import torch

    with recording(), torch.no_grad():
        module = copy.deepcopy(module).eval()
        alone, beside = module(image)[0], module(torch.cat([image, 1 - image]))[0]
    if torch.allclose(alone, beside, rtol=1e-3, atol=1e-4, equal_nan=True):
        return []
    return [
        "the logits of an image differ between alone and beside another image, and so would its attributions; normalise by "
        "running statistics (track_running_stats=True), and draw nothing at random"
    ]


def _unchanged(module: torch.nn.Module, image: torch.Tensor, _layer: str | None = None) -> list[str]:
    """Return which modules work in place, and whose output is changed in place by what follows."""
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
    "gradient": lambda _module, _image, _layer: [],  # asked first, whatever else is needed
    "modules": _rescaled,
    "relu-modules": _relus,
    "lrp-modules": _relevance,
    "maps": _maps,
    "no-inplace": _unchanged,
}

_APART = "hand the module a copy of it: x.clone()"


def _once(seen: _Record) -> list[str]:
    calls = Counter(name for name, _ in seen.inputs)
    return [
        f"module {name!r} is used {times} times; give each use a module of its own" for name, times in calls.items() if times > 1
    ]


def _alone(seen: _Record) -> list[str]:
    """Return the modules whose input something else uses too: Captum replaces the gradient of both uses by that of one."""
    shared = dict.fromkeys(name for name, value in seen.inputs if seen.uses[value] > 1)
    return [f"the input of module {name!r} is used elsewhere too, and that use would be lost; {_APART}" for name in shared]


def _touching(seen: _Record, before: Collection[str], after: Collection[str]) -> list[str]:
    """Return the modules that follow each other directly: Captum's hooks on the value between them run in the wrong order."""
    return [
        f"module {name!r} takes the very output of {seen.outputs[value]!r}, and Captum's hooks get in each other's way; {_APART}"
        for name, value in seen.inputs
        if name in after and seen.outputs.get(value) in before
    ]


def _others(image: torch.Tensor) -> list[torch.Tensor]:
    """Return images to compare with, three far and two near: at a kink, where a tile is pasted, a gradient may be 0 by chance."""
    import torch

    change = torch.linspace(-1, 1, image.numel(), device=image.device, dtype=image.dtype).reshape(image.shape)
    near = [(image + size * change).clamp(0, 1) for size in (1e-3, -1e-3)]
    return [torch.zeros_like(image), torch.ones_like(image), 1 - image, *near]


def _hidden(seen: _Record, others: Sequence[_Record], bent: Collection[Any]) -> list[str]:
    """Return the operations, but for those known to be bent, that hand another gradient back on other images."""
    if any(list(map(_operation, other.nodes)) != list(map(_operation, seen.nodes)) for other in others):
        return ["other operations are done on other images, which hides a non-linearity; use the same modules for every image"]
    found = [
        node
        for node, *same in zip(seen.nodes, *(other.nodes for other in others), strict=True)
        if node not in bent and not all(_alike(_handed_back(node), _handed_back(other)) for other in same)
    ]
    return [
        f"the custom autograd.Function {_operation(node)} hides a non-linearity; use layers made of modules "
        '(for Theorem 1: realisation="literal")'
        if _is_custom(node)
        else f"{_operation(node)} hides a non-linearity: its gradient differs between images, as that of a product with a mask; "
        "use modules, an nn.ReLU for each ReLU"
        for node in found
    ]


def _astray(seen: _Record, others: Sequence[_Record]) -> list[str]:
    """Return whether what is between the modules changes otherwise than its gradient says, as by what is detached."""
    import torch

    for number, end in enumerate(seen.ends):
        weight = _drawn(end.shape, end)
        with recording():
            gradients = torch.autograd.grad(end, seen.starts, weight, retain_graph=True, allow_unused=True)
        for other in others:
            change = weight * (other.ends[number] - end).detach()
            moves = zip(gradients, seen.starts, other.starts, strict=True)
            told = sum((g * (there - here)).sum() for g, here, there in moves if g is not None)
            rounding = 1e-3 * change.abs().sum() + 1e-5 * (weight * end).abs().sum()
            if (told - change.sum()).abs() > rounding:
                return [
                    "between its modules the network changes otherwise than its gradient says, as by what is detached, "
                    "rounded or hidden in a custom autograd.Function; use modules"
                ]
    return []


def _handed_back(node: Any) -> tuple[Any, ...]:
    """Return the gradient by what an operation is given, if that by its result is drawn at random, in the same way each time."""
    import torch

    if _operation(node) == "AccumulateGrad":  # an end of the graph
        return ()
    results = [_drawn(part.shape, part) for part in node._input_metadata]
    with torch.no_grad():
        given = getattr(node, "apply", node)(*results)
    return given if isinstance(given, tuple) else (given,)


def _drawn(shape: Sequence[int], like: Any) -> torch.Tensor:
    """Return the same random numbers each time, of the type of another tensor."""
    import torch

    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    import torch

    return all(
        a is b or (a is not None and b is not None and a.shape == b.shape and torch.allclose(a, b, equal_nan=True))
        for a, b in zip(one, other, strict=True)
    )


def _of_factors(node: Any) -> bool:
    """Return whether an operation multiplies two values that depend on the image, or divides by one."""
    name = _operation(node)
    factors = [factor is not None for factor, _ in node.next_functions[_PRODUCTS[name]]] if name in _PRODUCTS else []
    return sum(factors) > 1 or (name == "Div" and factors[1])


def _classes(names: Sequence[str]) -> set[type]:
    from torch import nn

    return {getattr(nn, name) for name in names}


def _operation(node: Any) -> str:
    return re.sub(r"Backward\d*$", "", type(node).__name__)


def _is_custom(node: Any) -> bool:
    from torch.autograd.function import BackwardCFunction

    return isinstance(node, BackwardCFunction)


def _walk(roots: list[Any]) -> Iterator[Any]:
    """Yield every node that leads to the roots, each once."""
    seen, waiting = set(), list(roots)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(child for child, _ in node.next_functions if child is not None)
