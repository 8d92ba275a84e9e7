"""A module with plain weights: weight norm, spectral norm, parametrisations, pruning and weight hooks are folded in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError

from .modes import evaluation_mode

if TYPE_CHECKING:
    import torch
    from torch import nn

    Slot = tuple[nn.Module, str]
    Call = tuple[tuple[Any, ...], dict[str, Any]]


def plain(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return a module whose weights are ordinary parameters, with the values that its layers compute with.

    Folded in are ``torch.nn.utils.parametrize`` (and with it ``torch.nn.utils.parametrizations``), the hooks of
    ``torch.nn.utils.weight_norm``, ``spectral_norm`` and ``prune``, and every other forward pre-hook that sets a weight without
    regard to the image. The parameters from which those weights were computed are removed where nothing else uses them.

    Parameters
    ----------
    module : torch.nn.Module
        It is evaluated, and otherwise left as it is.
    images : Tensor, shape (N, C, m, n)
        Two or more, on the device and in the dtype of the module; each is evaluated alone.

    Returns
    -------
    torch.nn.Module
        The module itself where there is nothing to fold in, else a copy in evaluation mode. Parameters that were shared are
        shared in the copy.

    Raises
    ------
    InputError
        If the copy does not compute what the module computes.
    """
    import torch
    from torch.nn.utils import parametrize

    if not any(part._forward_pre_hooks or parametrize.is_parametrized(part) for part in module.modules()):
        return module
    with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(module):
        expected = [module(image[None]).detach() for image in images]
        result = copied(module).eval()
        folded = _fold_hooks(result, images) + _fold_parametrisations(result)
        if not folded:
            return module
        _remove_unused(result, {part for part, _ in folded}, images)
        with torch.no_grad():
            answers = [result(image[None]) for image in images]
    for answer, wanted in zip(answers, expected, strict=True):
        tolerance = 100 * torch.finfo(wanted.dtype).eps * float(wanted.abs().max() if wanted.numel() else 0)
        if answer.shape != wanted.shape or not torch.allclose(answer, wanted, rtol=0, atol=tolerance, equal_nan=True):
            names = {id(part): name for name, part in result.named_modules()}
            layers = ", ".join(dict.fromkeys(f"{names[id(part)]}.{name}".lstrip(".") for part, name in folded))
            raise InputError(
                f"network: with the computed weights {layers} as plain parameters it gives other logits; remove their "
                "parametrisation or hook before, as torch.nn.utils.parametrize.remove_parametrizations does"
            )
    return result


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy, also of a module that holds computed tensors, which ``copy.deepcopy`` refuses to copy.

    Parameters
    ----------
    module : torch.nn.Module
        Such as one with ``torch.nn.utils.weight_norm``, which leaves the computed weight in an attribute.

    Returns
    -------
    torch.nn.Module
        Its computed tensors have the values of the original's, and no gradient history.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for tensor in _tensors((vars(part), part._buffers)):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(module, memo)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a value, or in lists, tuples and dicts."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _tensors(member)


def _fold_parametrisations(module: nn.Module) -> list[Slot]:
    """Replace every parametrised tensor by its value; return which."""
    from torch.nn.utils import parametrize

    parts: dict[nn.Module, Any] = {part: part.parametrizations for part in module.modules() if parametrize.is_parametrized(part)}
    slots = [(part, name) for part, names in parts.items() for name in names]
    values = [getattr(part, name).detach().clone() for part, name in slots]
    sources = [{id(p) for p in parts[part][name].parameters()} for part, name in slots]
    for part in parts:
        # Not by `parametrize.remove_parametrizations`: it changes the class, which a copy has in common with the original.
        part.__class__ = parametrize.type_before_parametrizations(part)
        del part.parametrizations
    _register(slots, values, sources)
    return slots


def _fold_hooks(module: nn.Module, images: torch.Tensor) -> list[Slot]:
    """Remove every forward pre-hook that sets a weight to the same value on all images; return the weights."""
    calls = _calls(module, images)
    weights: dict[Slot, torch.Tensor] = {}
    setters: list[tuple[nn.Module, int]] = []
    for owner, of_owner in calls.items():
        values = {slot: getattr(*slot).detach().clone() for part in owner.modules() for slot in _slots(part)}
        for number, hook in list(owner._forward_pre_hooks.items()):
            with_kwargs = number in owner._forward_pre_hooks_with_kwargs
            slots = [slot for slot in values if _is_set_by(hook, owner, of_owner, slot, values, with_kwargs)]
            if slots:
                setters.append((owner, number))
                weights |= {slot: values[slot] for slot in slots}
    slots = list(weights)
    sources = [{id(p) for p in part._parameters.values() if p is not None} for part, _ in slots]
    for owner, number in setters:
        owner._forward_pre_hooks.pop(number)
        owner._forward_pre_hooks_with_kwargs.pop(number, None)
    for part, name in slots:
        vars(part).pop(name, None)
        part._parameters.pop(name, None)
    _register(slots, list(weights.values()), sources)
    return slots


def _calls(module: nn.Module, images: torch.Tensor) -> dict[nn.Module, list[Call]]:
    """Return the arguments with which the first hook of each module with forward pre-hooks is called."""
    calls: dict[nn.Module, list[Call]] = {}

    def keep(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(part, []).append((args, kwargs))

    handles = [
        part.register_forward_pre_hook(keep, prepend=True, with_kwargs=True)
        for part in module.modules()
        if part._forward_pre_hooks
    ]
    for image in images:
        module(image[None])
    for handle in handles:
        handle.remove()
    return calls


def _slots(part: nn.Module) -> list[Slot]:
    """Return a module's own parameters, and its floating-point tensors that are neither parameters nor buffers."""
    import torch

    tensors = {**vars(part), **part._parameters}
    return [(part, name) for name, value in tensors.items() if isinstance(value, torch.Tensor) and value.is_floating_point()]


def _is_set_by(
    hook: Callable[..., Any],
    owner: nn.Module,
    calls: list[Call],
    slot: Slot,
    values: dict[Slot, torch.Tensor],
    with_kwargs: bool,
) -> bool:
    """Whether a hook sets a weight to its value, whatever it was before and on every image; all values are restored."""
    import torch

    part, name = slot
    try:
        for args, kwargs in calls:
            _set(part, name, torch.full_like(values[slot], torch.nan))
            hook(owner, args, kwargs) if with_kwargs else hook(owner, args)
            now = getattr(part, name, None)
            if not isinstance(now, torch.Tensor) or now.shape != values[slot].shape or not torch.equal(now, values[slot]):
                return False
    except Exception:
        return False  # it cannot be called by itself
    finally:
        for (of, other), value in values.items():  # another weight may have been computed from this one
            _set(of, other, value.clone())
    return True


def _set(part: nn.Module, name: str, value: torch.Tensor) -> None:
    parameter = part._parameters.get(name)
    if parameter is None:
        setattr(part, name, value)
    else:
        parameter.data = value


def _register(slots: list[Slot], values: list[torch.Tensor], sources: list[set[int]]) -> None:
    """Register values as parameters; equal ones that were computed from the same parameters are one parameter again."""
    import torch
    from torch import nn

    made: list[tuple[nn.Parameter, set[int]]] = []
    for (part, name), value, source in zip(slots, values, sources, strict=True):
        shared = (p for p, other in made if source & other and p.shape == value.shape and torch.equal(p, value))
        parameter: nn.Parameter = next(shared, nn.Parameter(value))
        made.append((parameter, source))
        if name in part._buffers:
            del part._buffers[name]
        part.register_parameter(name, parameter)


def _remove_unused(module: nn.Module, parts: set[nn.Module], images: torch.Tensor) -> None:
    """Delete the parameters of these parts on which no logit depends: those from which a folded weight was computed."""
    import torch

    parameters = {id(p): p for part in parts for p in part._parameters.values() if p is not None and p.is_floating_point()}
    flags = {key: p.requires_grad for key, p in parameters.items()}
    for p in parameters.values():
        p.requires_grad_(True)
    total = sum(module(image[None]).sum() for image in images)
    needed = set(parameters)
    if isinstance(total, torch.Tensor) and total.requires_grad:
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        needed = {key for key, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    for key, p in parameters.items():
        p.requires_grad_(flags[key])
    for part in parts:
        for name, own in list(part._parameters.items()):
            if id(own) in parameters and id(own) not in needed:
                del part._parameters[name]
