"""What a network makes of a layer: that layer's activations in, logits out; as weights where it is linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

_ELEMENTS = 4_000_000  # activations put into the network at a time


@dataclass(frozen=True, eq=False)
class Linear:
    """Logits that are linear in a layer: ``weight @ activations + bias``.

    Attributes
    ----------
    weight : ndarray of float64, shape (L, neurons)
    bias : ndarray of float64, shape (L,)
    """

    weight: Array
    bias: Array


def inner_layer(network: tmi.Network, layer: str | None) -> str | None:
    """Return the layer to look at: the one given, else the last before the logits; None where the network names no other.

    Raises
    ------
    UnknownNameError
        For a layer that the network does not have.
    InputError
        For the layer of the logits.
    """
    if layer is None:
        return network.layers[-2] if len(network.layers) > 1 else None
    if layer not in network.layers:
        raise UnknownNameError(f"layer {layer!r}: {network!r} has none{did_you_mean(layer, network.layers[:-1])}")
    if layer == network.layers[-1]:
        raise InputError(f"layer {layer!r}: gives the logits; name one before it")
    return layer


def logits_from(network: tmi.Network, layer: str, image: Any, activations: NDArray[Any]) -> Array:
    """Return the logits that the network gives where a layer's activations are replaced.

    Parameters
    ----------
    network : Network
    layer : str
    image : Tensor, shape (1, C, m, n)
        Seen by what the replaced layer does not stand in the way of.
    activations : ndarray, shape (K, neurons)
        K replacements.

    Returns
    -------
    ndarray of float64, shape (K, L)
    """
    import torch

    step = max(1, _ELEMENTS // max(1, activations.shape[1]))
    part: NDArray[Any] = activations[:0]

    def replace(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        # A batch of K after one image: a path around the layer is broadcast to it.
        return torch.from_numpy(part).to(output.device, output.dtype).reshape(-1, *output.shape[1:])

    handle = network.module.get_submodule(layer).register_forward_hook(replace)
    try:
        found = []
        for start in range(0, len(activations), step):
            part = activations[start : start + step]
            found.append(network.logits(image).double().numpy())
    finally:
        handle.remove()
    return np.concatenate(found)


def linear_form(network: tmi.Network, layer: str, activations: NDArray[Any], logits: Array) -> Linear | None:
    """Return the weights by which the logits are linear in a layer, or None where they are not.

    Parameters
    ----------
    network : Network
    layer : str
    activations : ndarray, shape (N, neurons)
        Of some images.
    logits : ndarray, shape (N, L)
        Of the same images: what the weights must give, up to rounding in float32.
    """
    last = network.module.get_submodule(network.layers[-1])
    shape = (logits.shape[1], activations.shape[1])
    for module in last.modules():
        weight = getattr(module, "weight", None)
        if weight is None or tuple(weight.shape) != shape:
            continue
        bias = getattr(module, "bias", None)
        form = Linear(
            weight.detach().cpu().double().numpy(),
            np.zeros(shape[0]) if bias is None else bias.detach().cpu().double().numpy(),
        )
        size = np.abs(activations) @ np.abs(form.weight.T) + np.abs(form.bias)
        if (np.abs(activations @ form.weight.T + form.bias - logits) <= 1e-5 * size).all():
            return form
    return None
