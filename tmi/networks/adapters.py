"""Adapts a module: removes wrappers, widens weights of low precision, and turns its answer into logits (N, L)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import InputError, did_you_mean

from .plain import copied

if TYPE_CHECKING:
    import torch
    from torch import nn

Output = int | str | Callable[[Any], Any]
"""Which part of an answer: a position in a tuple or list, a name in a dict or object, or a function of the answer."""

Form = Literal["squeeze", "sigmoid", "mean", "max"]
FORMS: tuple[Form, ...] = ("squeeze", "sigmoid", "mean", "max")
"""How a tensor becomes logits (N, L): see `tmi.Network`."""

_WRAPPED = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


def without_wrappers(module: nn.Module) -> nn.Module:
    """Return a module without wrappers around it or around its submodules: DataParallel, DistributedDataParallel, torch.compile.

    A ``torch.fx.GraphModule`` becomes a plain module, whose copies keep its hooks.

    Returns
    -------
    torch.nn.Module
        The module itself where there is nothing to remove. Else a copy that shares submodules and weights, so that the given
        module stays as it is.

    Notes
    -----
    Hooks on a layer need not run inside a compiled function, so that the module is evaluated as it was before.

    Raises
    ------
    InputError
        If it is no module.
    """
    from torch import nn

    if not isinstance(module, nn.Module):
        what, remedy = type(module).__name__, ""
        if isinstance(module, type):
            what, remedy = f"the class {module.__name__}", f"; make one by {module.__name__}(…)"
        raise InputError(f"module: expected a torch.nn.Module, got {what}{remedy}")
    return _without_wrappers(module, {})


def evaluating(module: nn.Module) -> nn.Module:
    """Put a module into evaluation mode and return it.

    Raises
    ------
    InputError
        For a module whose layers cannot be observed, TorchScript or a program of ``torch.export``, or whose weights are not
        initialised.
    """
    if any(kind.__name__ == "ScriptModule" for kind in type(module).__mro__):
        raise InputError("module: runs in TorchScript, which does not show the activations of layers; give the original module")
    from torch.nn.parameter import is_lazy

    if any(is_lazy(parameter) for parameter in (*module.parameters(), *module.buffers())):
        raise InputError("module: has weights without a shape; send a batch of images through it first")
    try:
        return module.eval()
    except Exception as error:  # a program of torch.export
        text = " ".join(str(error).split()).removesuffix(".")
        raise InputError(f"module: has no evaluation mode ({type(error).__name__}: {text}); give the original module") from None


def _without_wrappers(module: nn.Module, replacements: dict[int, nn.Module]) -> nn.Module:
    if id(module) in replacements:
        return replacements[id(module)]
    replacements[id(module)] = module  # a module that contains itself ends the recursion here
    inner = _inner_name(module)
    if inner is not None:
        result = _without_wrappers(getattr(module, inner), replacements)
    else:
        children = {n: None if child is None else _without_wrappers(child, replacements) for n, child in module._modules.items()}
        changed = any(children[name] is not child for name, child in module._modules.items())
        result = module
        traced = any(kind.__name__ == "GraphModule" for kind in type(module).__mro__)
        # `nn.Module.compile` leaves the compiled call in the module itself.
        if changed or traced or getattr(module, "_compiled_call_impl", None) is not None:
            result = _untraced(module) if traced else shallow_copy(module)
            result._modules = type(module._modules)(children)
            result._compiled_call_impl = None
    replacements[id(module)] = result
    return result


_OF_GRAPHS = ("_graph", "_code", "_replace_hooks", "_create_node_hooks", "_erase_node_hooks", "_deepcopy_hooks")


def _untraced(module: nn.Module) -> nn.Module:
    """Return a ``torch.fx.GraphModule`` as a plain module with the same parts, hooks and forward pass.

    A copy of a GraphModule has no hooks: neither those that prepare its images, nor those that turn its answer into logits.
    """
    from torch import nn

    result = type(type(module).__name__, (nn.Module,), {"forward": type(module).forward})()
    vars(result).update({name: value for name, value in vars(module).items() if name not in _OF_GRAPHS})
    return _with_own_hooks(result)


def name_without_wrappers(module: nn.Module, name: str) -> str:
    """Return a submodule's name without the parts that stand for wrappers: ``"module.conv"`` of a DataParallel is ``"conv"``."""
    parts = []
    for part in name.split("."):
        if part != _inner_name(module):
            parts.append(part)
        child = module._modules.get(part)
        module = module if child is None else child
    return ".".join(parts)


def _inner_name(module: nn.Module) -> str | None:
    """Return the name of the attribute that holds the wrapped module; None for a module that is no wrapper."""
    # By name: importing torch's compiler takes a second.
    return next((_WRAPPED[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in _WRAPPED), None)


def shallow_copy(module: nn.Module) -> nn.Module:
    """Return a copy that shares submodules, weights and buffers, with hooks of its own."""
    return _with_own_hooks(copy.copy(module))


def _with_own_hooks(module: nn.Module) -> nn.Module:
    for name, value in list(vars(module).items()):
        if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
            setattr(module, name, copy.copy(value))
    return module


def in_full_precision(module: nn.Module) -> nn.Module:
    """Return a copy in float32 of a module that has weights or buffers of lower precision; float32 holds their values exactly.

    Raises
    ------
    InputError
        If the module cannot be copied.
    """
    import torch

    tensors = (*module.parameters(), *module.buffers())
    if not any(tensor.is_floating_point() and tensor.element_size() < 4 for tensor in tensors):
        return module
    try:
        module = copied(module)
    except Exception as error:
        raise InputError(
            f"module: has weights of low precision and cannot be copied to float32 ({type(error).__name__}: {error}); "
            "give it as module.float()"
        ) from None
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point() and tensor.element_size() < 4:
            with suppress(NotImplementedError):  # torch cannot convert every dtype; the check says if the module fails
                tensor.data = tensor.data.to(torch.float32)
    return module


def has_generator(module: nn.Module) -> bool:
    """Return whether a module or one of its parts holds a generator of random numbers, of torch, NumPy or Python."""
    import random

    import numpy as np
    import torch

    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    return any(isinstance(value, kinds) for part in module.modules() for value in vars(part).values())


def part_of(value: Any, part: Output) -> Any:
    """Return a part of an answer.

    Raises
    ------
    InputError
        If the answer has no such part; the message lists those that it has.
    """
    if callable(part):
        return part(value)
    if isinstance(part, int) and isinstance(value, Sequence) and -len(value) <= part < len(value):
        return value[part]
    if isinstance(part, str):
        if isinstance(value, Mapping) and part in value:
            return value[part]
        if not isinstance(value, Mapping) and hasattr(value, part):
            return getattr(value, part)
    hint = did_you_mean(part, map(str, value)) if isinstance(part, str) and isinstance(value, Mapping) else ""
    raise InputError(f"{part!r} is not a part of {described(value)}{hint}")


def with_part(value: Any, part: Output, replacement: Any) -> Any:
    """Return an answer with one of its parts replaced.

    Raises
    ------
    InputError
        If the part is given by a function: it says where the part is, not how it is put back.
    """
    part_of(value, part)
    if isinstance(part, int):
        items = [*value]
        items[part] = replacement
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(part, str) and isinstance(value, Mapping):
        changed = copy.copy(value)
        changed[part] = replacement  # type: ignore[index]
        return changed
    if isinstance(part, str) and hasattr(value, "_replace"):
        return value._replace(**{part: replacement})
    raise InputError("its part is given by a function, so that it cannot be replaced; give its position or name")


class Readout:
    """A forward hook that turns a module's answer into logits.

    Parameters
    ----------
    output : int, str or callable, optional
        Which part of the answer; None for the whole.
    form : {"squeeze", "sigmoid", "mean", "max"}, optional
        See `tmi.Network`.
    """

    def __init__(self, output: Output | None, form: Form | None) -> None:
        self.output, self.form = output, form

    def __call__(self, _module: Any, _inputs: Any, answer: Any) -> Any:
        """Return the logits."""
        import torch

        if self.output is not None:
            try:
                answer = part_of(answer, self.output)
            except InputError as error:
                raise InputError(f"output: {error}") from None
        if self.form is None or not isinstance(answer, torch.Tensor):
            return answer
        if self.form == "sigmoid":
            logit = answer.reshape(-1, 1)
            return torch.cat([-logit / 2, logit / 2], 1)
        if answer.ndim < 2:
            return answer
        if self.form == "squeeze":
            axes = [axis for axis in range(1, answer.ndim) if answer.shape[axis] == 1]
            return answer.squeeze(axes[1:] if len(axes) == answer.ndim - 1 else axes)  # (N, 1, 1) becomes (N, 1)
        flat = answer.flatten(2) if answer.ndim > 2 else answer[:, :, None]
        return flat.mean(2) if self.form == "mean" else flat.amax(2)


def with_readout(module: nn.Module, output: Output | None, form: Form | None) -> nn.Module:
    """Return a module that gives logits: a copy that shares submodules and weights, with a `Readout` as a hook.

    Raises
    ------
    InputError
        For an unknown form.
    """
    if form is not None and form not in FORMS:
        raise InputError(f"form: expected one of {', '.join(FORMS)}, got {form!r}{did_you_mean(str(form), FORMS)}")
    result = shallow_copy(module)
    result.register_forward_hook(Readout(output, form))
    return result


def described(value: Any) -> str:
    """Describe an answer in words: ``"a tuple of tensor (2, 3), None"``."""
    import torch

    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {', '.join(map(repr, value))}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = ", ".join(described(part) if isinstance(part, torch.Tensor) else type(part).__name__ for part in value)
        return f"a {type(value).__name__} of {parts}"
    return f"a {type(value).__name__}"


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Return numbers of low precision, integers and truth values as float32; others as they are."""
    if tensor.is_floating_point() and tensor.element_size() >= 4:
        return tensor
    return tensor if tensor.is_complex() else tensor.float()
