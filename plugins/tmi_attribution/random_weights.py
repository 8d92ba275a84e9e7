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
        module around them that is called. ``"network"`` stands for the module as a whole.
    """
    calls: list[str] = []
    handles = [
        part.register_forward_hook(lambda _m, _x, _y, name=name: calls.append(name))  # type: ignore[misc]
        for name, part in network.module.named_modules()
    ]
    try:
        with evaluation_mode(network.module):
            network.logits(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    # Where the first call of each ended: a network may use a layer again, to return its activations beside the logits.
    called = {name: position for position, name in reversed([*enumerate(calls)])}
    groups: Groups = {}
    for name, _ in _weights(network.module):
        around = [name, *_around(name)]
        layer = next((part for part in around if part in network.layers), next(part for part in around if part in called))
        groups.setdefault(layer, []).append(name)
    place = {layer: max(called.get(name, called.get(layer, 0)) for name in names) for layer, names in groups.items()}
    return {layer or "network": groups[layer] for layer in sorted(groups, key=lambda layer: place[layer])}


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
        batch normalisation are reset too). Parameters of other modules are permuted at random, each within itself.
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
                for value in part.parameters(recurse=False):
                    value.copy_(value.flatten()[torch.randperm(value.numel())].view_as(value))
    return result


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
