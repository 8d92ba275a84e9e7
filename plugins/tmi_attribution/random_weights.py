"""The layers of a network that have weights, from the image to the logits, and copies in which some have random weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.networks.modes import evaluation_mode
from tmi.networks.plain import copied
from tmi.runtime.seeds import fixed_seed

if TYPE_CHECKING:
    import torch

Groups = dict[str, list[str]]


def with_parameters(network: tmi.Network, *, memory: float = 1.0) -> tmi.Network:
    """Return a network whose weights are parameters: itself, with computed weights folded in, or a construction in dense layers.

    Parameters
    ----------
    network : Network
    memory : float
        Gigabytes that the dense weights of a construction may take.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If none of the modules has weights, and for a construction that cannot be written in dense layers, or whose dense layers
        need more memory; see `tmi_networks.disguised`.
    """
    if any(True for _ in _weights(network.module)):
        return network.plain()
    if network.origin != "constructed":
        raise InputError("none of its modules has weights that could be random")
    from tmi_networks.disguised import disguise

    try:
        return disguise(network, [], seed=0, memory=memory)[0]
    except InputError as error:
        raise InputError(f"the construction has no weights to draw: {str(error).removeprefix('disguised: ')}") from None


def weighted_layers(network: tmi.Network, images: torch.Tensor) -> Groups:
    """Return the layers that have weights, in the order in which they are used, and the modules that hold them.

    Parameters
    ----------
    network : Network
        Its weights are parameters.
    images : Tensor, shape (N, C, m, n)
        The first shows in which order the modules are used.

    Returns
    -------
    dict of str to list of str
        Modules with weights of their own are grouped by the innermost named layer that contains them; others, by the innermost
        module around them that is called. ``"network"`` stands for the module as a whole: its own parameters are where the first
        of them is used.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    events: list[str | int] = []  # modules by name, where their call ends, and parameters by id, where they are used
    used = {id(value) for value in network.module.parameters()}

    class Uses(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if any(isinstance(value, torch.Tensor) for value in _leaves(result)):  # to ask for its dtype is no use
                events.extend(id(value) for value in _leaves((args, kwargs)) if id(value) in used)
            return result

    handles = [
        part.register_forward_hook(lambda _m, _x, _y, name=name: events.append(name))  # type: ignore[misc]
        for name, part in network.module.named_modules()
    ]
    try:
        with evaluation_mode(network.module), Uses():
            network.logits(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    # Where each is first: a network may use a layer again, to return its activations beside the logits.
    first = {event: position for position, event in reversed([*enumerate(events)])}
    groups: Groups = {}
    places: dict[str, int] = {}
    for name, part in _weights(network.module):
        around = [name, *_around(name)]
        layer = next((part for part in around if part in network.layers), next(part for part in around if part in first))
        groups.setdefault(layer, []).append(name)
        uses = [first[id(value)] for value in part.parameters(recurse=False) if id(value) in first]
        place = min(uses) if uses else first.get(name, first.get(layer, 0))
        places[layer] = max(place, places.get(layer, 0))
    return {layer or "network": groups[layer] for layer in sorted(groups, key=lambda layer: places[layer])}


def randomised(module: torch.nn.Module, groups: Groups, layers: Collection[str], seed: tuple[int, int]) -> Any:
    """Return a copy of a module in which some layers have random weights, as before training.

    Parameters
    ----------
    module : torch.nn.Module
    groups : dict of str to list of str
        From `weighted_layers`.
    layers : collection of str
        Which layers.
    seed : (int, int)
        A layer gets the same weights whichever others are random too.

    Returns
    -------
    torch.nn.Module
        The weights of a module of torch are drawn again as its class initialises them (``reset_parameters``; running means of a
        batch normalisation are reset too). Parameters of other modules are permuted at random, each within itself. One that stays
        as it was, as one of equal numbers does, is drawn from a normal distribution with mean 0 and its own root mean square,
        or where it is 0 that of its module, or 1.
    """
    import torch

    result = copied(module)
    for number, (layer, names) in enumerate(groups.items()):
        if layer not in layers:
            continue
        with fixed_seed(int(np.random.SeedSequence([*seed, number]).generate_state(1)[0])), torch.no_grad():
            for name in names:
                part = result.get_submodule(name)
                if callable(reset := getattr(part, "reset_parameters", None)):
                    reset()
                    continue
                own = [value for value in part.parameters(recurse=False) if value.is_floating_point() and value.numel()]
                whole = _size(torch.cat([value.flatten() for value in own]))
                for value in own:
                    permuted = value.flatten()[torch.randperm(value.numel())].view_as(value)
                    if torch.equal(permuted, value):
                        permuted = (_size(value) or whole or 1.0) * torch.randn_like(value)
                    value.copy_(permuted)
    return result


def _size(values: torch.Tensor) -> float:
    """Return the root mean square."""
    return float(values.square().mean().sqrt())


def _leaves(nested: Any) -> Iterator[Any]:
    """Yield what tuples, lists and dictionaries hold, in order."""
    if isinstance(nested, dict):
        nested = tuple(nested.values())
    if isinstance(nested, tuple | list):
        for part in nested:
            yield from _leaves(part)
    else:
        yield nested


def _weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the modules that have parameters of their own."""
    for name, part in module.named_modules():
        if any(value.is_floating_point() and value.numel() for value in part.parameters(recurse=False)):
            yield name, part


def _around(name: str) -> Iterator[str]:
    """Yield the names of the modules around a module, the innermost first; that of the whole is empty."""
    while name:
        name = name.rpartition(".")[0]
        yield name
