"""The choice of layers: which submodules ran, those that names, patterns and kinds stand for, and the one of the logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from tmi.errors import InputError, UnknownNameError, did_you_mean

from .adapters import Output, name_without_wrappers, part_of
from .modes import evaluation_mode

if TYPE_CHECKING:
    import torch
    from torch import nn


class Call(NamedTuple):
    """A submodule that ran.

    Attributes
    ----------
    is_layer : bool
        Whether it ran once and gave one tensor with an entry an image.
    output : object
        What it gave in its last use.
    """

    is_layer: bool
    output: Any


def run(
    module: nn.Module, image: torch.Tensor, parts: Mapping[str, Output], channels: int | None = None
) -> tuple[dict[str, Call], Any]:
    """Send an image through a module; return the submodules that ran, in the order in which they finished, and the answer."""
    import torch

    times: Counter[str] = Counter()
    outputs: dict[str, Any] = {}

    def keep(name: str, output: Any) -> None:
        times[name] += 1
        outputs.pop(name, None)  # the last use counts
        outputs[name] = output

    try:
        with torch.no_grad():
            answer = _observed(module, _copied(image, module), keep)
    except InputError:
        raise
    except Exception as error:
        raise InputError(_failure(module, image, channels, error)) from error

    def is_layer(name: str, output: Any) -> bool:
        is_tensor = isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == len(image)
        return times[name] == 1 and (is_tensor or name in parts)

    return {name: Call(is_layer(name, output), output) for name, output in outputs.items()}, answer


def _copied(image: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Return a copy in the dtype and on the device of the module's weights: the module may change its input in place."""
    return image.to(next((weight for weight in module.parameters() if weight.is_floating_point()), image), copy=True)


def _observed(module: nn.Module, image: torch.Tensor, keep: Callable[[str, Any], None]) -> Any:
    """Return a module's answer; ``keep`` gets the name and the output of each submodule that runs."""
    handles = [
        part.register_forward_hook(lambda _m, _x, output, name=name: keep(name, output))  # type: ignore[misc]
        for name, part in module.named_modules()
        if name
    ]
    try:
        with evaluation_mode(module):
            return module(image)
    finally:
        for handle in handles:
            handle.remove()


def layer_of_logits(
    module: nn.Module, image: torch.Tensor, calls: Mapping[str, Call], answer: Any, parts: Mapping[str, Output]
) -> str:
    """Return the submodule without parts that runs last among those from which the logits are computed.

    The graph of the gradient says what the logits are computed from: the output of an auxiliary head is not part of it. All
    ways from the image to the logits must go through that submodule. Without a gradient, its output must be the logits.

    Raises
    ------
    InputError
        If no submodule is certain to be that one.
    """
    import torch

    leaves = {name: part for name, part in module.named_modules() if name in calls and not list(part.children())}
    usable = [name for name in reversed(list(calls)) if name in leaves and calls[name].is_layer]
    if not usable or not isinstance(answer, torch.Tensor):  # which the check of the network refuses, with the remedy
        return usable[0] if usable else ""
    operations: dict[str, Any] = {}

    def keep(name: str, output: Any) -> None:
        if name in parts:
            output = part_of(output, parts[name])
        operations[name] = getattr(output, "grad_fn", None)  # now, for an operation in place may change it

    of_image = of_logits = None
    with suppress(Exception), torch.inference_mode(False), torch.enable_grad():  # some modules run without gradients alone
        source = _copied(image, module).requires_grad_().clone()
        of_image, of_logits = source.grad_fn, _observed(module, source, keep).grad_fn
    used = _reached(of_logits)
    layer: str | None = next((name for name in usable if operations.get(name) in used), None)
    if layer is None:
        values = ((name, calls[name].output) for name in usable if isinstance(calls[name].output, torch.Tensor))
        layer = next((name for name, value in values if torch.equal(value.flatten(), answer.flatten())), None)
    else:
        past = _reached(of_logits, operations[layer])
        # An activation without weights that runs several times, and so is no layer, may come after the layer.
        others = [name for name, part in leaves.items() if calls[name].is_layer or list(part.parameters())]
        if of_image in past or any(operations.get(name) in past for name in others):
            layer = None
    if layer is None:
        raise InputError(
            "layers: no part of the module gives the logits alone, so that their layer cannot be told; name all layers, with "
            f'that of the logits last, as layers=[…, "{usable[0]}"]'
        )
    return layer


def _reached(start: Any, without: Any = None) -> set[Any]:
    """Return the operations from which the result of one is computed, with itself, on all ways that avoid another."""
    result: set[Any] = set()
    waiting = [start]
    while waiting:
        operation = waiting.pop()
        if operation is not None and operation is not without and operation not in result:
            result.add(operation)
            waiting += [before for before, _ in operation.next_functions]
    return result


def named_layers(
    module: nn.Module, wanted: Sequence[str], calls: Mapping[str, Call], original: nn.Module
) -> tuple[list[str], bool]:
    """Return the layers that names, patterns and kinds stand for, and whether all are names."""
    submodules = dict(module.named_modules(remove_duplicate=False))
    usable = [name for name, call in calls.items() if call.is_layer]
    result: dict[str, None] = {}
    are_names = True
    for item in wanted:
        name = name_without_wrappers(original, item)
        if name in submodules and name:
            result[name] = None
            continue
        are_names = False
        if any(sign in item for sign in "*?["):
            matching = [name for name in submodules if fnmatchcase(name, item)]
        else:
            matching = [name for name, part in submodules.items() if _is_kind(part, item)]
        if not matching:
            kinds = {type(part).__name__ for part in submodules.values() if not list(part.children())}
            raise UnknownNameError(
                f"layer {item!r}: the module has none{did_you_mean(item, {*filter(None, submodules), *kinds})}"
            )
        layers = [name for name in usable if name in matching]
        if not layers:
            raise InputError(
                f"layer {item!r}: of {', '.join(matching[:3])}{' and others' if len(matching) > 3 else ''} none runs once "
                "and gives one tensor; name the modules around them"
            )
        result |= dict.fromkeys(layers)
    return list(result), are_names


def default_layers(module: nn.Module, calls: Mapping[str, Call]) -> list[str]:
    """Return the layers that are examined where none are named; see `wrap`."""
    submodules = dict(module.named_modules())
    usable = [name for name, call in calls.items() if call.is_layer]
    leaves = {name for name, part in submodules.items() if not list(part.children())}
    around = {name: _around(name, usable) for name in calls if _is_activation(submodules[name])}
    chosen = set(filter(None, around.values()))
    if not chosen:
        blocks = [name for name in usable if name not in leaves]
        chosen = {name for name in blocks if not any(other.startswith(f"{name}.") for other in blocks)}
    if not chosen:
        chosen = {name for name in usable if _is_kind(submodules[name], "conv") or _is_kind(submodules[name], "linear")}
    if not usable:
        remedy = "give it parts that do" if leaves - {""} else f"put the {type(module).__name__} into a torch.nn.Sequential"
        raise InputError(f"layers: no part of the module runs exactly once and gives one tensor; {remedy}")
    return [name for name in usable if name in chosen]


def _around(name: str, usable: Sequence[str]) -> str:
    """Return a submodule if it runs once, else the innermost module around it that does; empty if there is none."""
    while name and name not in usable:
        name = name.rpartition(".")[0]
    return name


def _is_activation(part: nn.Module) -> bool:
    return type(part).__module__ == "torch.nn.modules.activation" and not list(part.children())


def _is_kind(part: nn.Module, word: str) -> bool:
    return bool(word) and not list(part.children()) and type(part).__name__.lower().startswith(word.lower())


def _failure(module: nn.Module, image: torch.Tensor, channels: int | None, error: Exception) -> str:
    """Return a sentence for a module that fails on an image, with the option that may help."""
    text = " ".join(str(error).split()).removesuffix(".")[:200]
    convolution = next((part for part in module.modules() if type(part).__name__ == "Conv2d"), None)
    needed, available = None if convolution is None else convolution.in_channels, channels or image.shape[1]
    remedy = ""
    if needed not in (None, available):
        remedy = f"; its first convolution takes {needed} channels, and the images have {available}: channels={needed}"
    elif "shapes cannot be multiplied" in text or "size" in text:
        remedy = "; if it was made for images of another size, give that as input_size=(rows, columns)"
    return f"module: fails on an image {tuple(image.shape[1:])} ({type(error).__name__}: {text}){remedy}"
