"""The readout of a layer: its activations in, logits out; as a weight matrix where that map is linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

_AT_ONCE = 4_000_000  # activations put into the network at a time


@dataclass(frozen=True, eq=False)
class LinearReadout:
    """Logits that are linear in a layer: ``weight @ activations + bias``.

    Attributes
    ----------
    weight : ndarray of float64, shape (L, neurons)
    bias : ndarray of float64, shape (L,)
    """

    weight: Array
    bias: Array


def logits_from(network: tmi.Network, layer: str, image: Any, activations: NDArray[Any]) -> Array:
    """Return the logits of the network with a layer's activations replaced.

    Parameters
    ----------
    network : Network
    layer : str
    image : Tensor, shape (1, C, m, n)
        The input of the paths that lead around the layer.
    activations : ndarray, shape (K, neurons)
        K replacements.

    Returns
    -------
    ndarray of float64, shape (K, L)
    """
    import torch

    step = max(1, _AT_ONCE // max(1, activations.shape[1]))
    part: NDArray[Any] = activations[:0]

    def replace(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        # K replacements for one image: the values of a path around the layer are broadcast to them.
        return torch.from_numpy(part).to(output.device, output.dtype).reshape(-1, *output.shape[1:])

    handle = network.module.get_submodule(layer).register_forward_hook(replace)
    try:
        logits = []
        for start in range(0, len(activations), step):
            part = activations[start : start + step]
            logits.append(network.logits(image).double().numpy())
    finally:
        handle.remove()
    return np.concatenate(logits)


def linear_form(network: tmi.Network, layer: str, activations: NDArray[Any], logits: Array) -> LinearReadout | None:
    """Return the readout of a layer if it is linear, else None.

    Parameters
    ----------
    network : Network
    layer : str
    activations : ndarray, shape (N, neurons)
        Of some images.
    logits : ndarray, shape (N, L)
        Of the same images: the readout must reproduce them up to rounding in float32.
    """
    last = network.module.get_submodule(network.layers[-1])
    shape = (logits.shape[1], activations.shape[1])
    for module in last.modules():
        weight = getattr(module, "weight", None)
        if weight is None or tuple(weight.shape) != shape:
            continue
        bias = getattr(module, "bias", None)
        form = LinearReadout(
            weight.detach().cpu().double().numpy(),
            np.zeros(shape[0]) if bias is None else bias.detach().cpu().double().numpy(),
        )
        size = np.abs(activations) @ np.abs(form.weight.T) + np.abs(form.bias)
        if (np.abs(activations @ form.weight.T + form.bias - logits) <= 1e-5 * size).all():
            return form
    return None
