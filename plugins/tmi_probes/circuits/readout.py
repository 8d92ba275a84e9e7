"""The readout of a layer: its activations in, logits out; as a weight matrix where that map is linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

_AT_ONCE = 4_000_000  # activations put into the network at a time
_MOST = 5_000  # neurons of a layer whose readout is evaluated neuron by neuron
_ROUNDING = 1e-5  # of the sum of the terms' sizes, in float32


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

    Raises
    ------
    InputError
        If the layer's activations are a part of its output that is given by a function, for it cannot be replaced.
    """
    import torch

    step = max(1, _AT_ONCE // max(1, activations.shape[1]))
    part: NDArray[Any] = activations[:0]

    def replace(_module: Any, _inputs: Any, output: Any) -> Any:
        # K replacements for one image: the values of a path around the layer are broadcast to them.
        given: torch.Tensor = network.part(layer, output)
        replacements = torch.from_numpy(part).to(given.device, given.dtype).reshape(-1, *given.shape[1:])
        return network.with_activations(layer, output, replacements)

    network.check(image)  # before the hook: it evaluates the module as it is
    handle = network.module.get_submodule(layer).register_forward_hook(replace)
    try:
        logits = []
        for start in range(0, len(activations), step):
            part = activations[start : start + step]
            logits.append(network.logits(image).double().numpy())
    finally:
        handle.remove()
    return np.concatenate(logits)


def linear_form(
    network: tmi.Network, layer: str, activations: NDArray[Any], logits: Array, image: Any = None
) -> LinearReadout | None:
    """Return the readout of a layer if it is linear, else None.

    Parameters
    ----------
    network : Network
    layer : str
    activations : ndarray, shape (N, neurons)
        Of some images.
    logits : ndarray, shape (N, L)
        Of the same images: the readout must reproduce them up to rounding in float32.
    image : Tensor, shape (1, C, m, n), optional
        The first of these images. With it, a readout that is not one module's weight is evaluated neuron by neuron.
    """
    last = network.plain().module.get_submodule(network.layers[-1])
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
        if _reproduces(form, activations, logits):
            return form
    return None if image is None or shape[1] > _MOST else _evaluated(network, layer, activations, logits, image)


def _reproduces(form: LinearReadout, activations: NDArray[Any], logits: Array) -> bool:
    size = np.abs(activations) @ np.abs(form.weight.T) + np.abs(form.bias)
    return bool((np.abs(activations @ form.weight.T + form.bias - logits) <= _ROUNDING * size).all())


def _evaluated(network: tmi.Network, layer: str, activations: NDArray[Any], logits: Array, image: Any) -> LinearReadout | None:
    """Return the readout from the logits with no neuron active, and with one; None if it does not hold for random ablations."""
    neurons = activations.shape[1]
    some = activations[:4].astype(np.float64)
    parts = np.random.default_rng(0).random((4, *some.shape)).round() * some  # neurons ablated at random
    mixed = parts.reshape(-1, neurons)
    bias, *answers = logits_from(
        network, layer, image, np.concatenate([np.zeros((1, neurons)), mixed, np.tile(some, (4, 1)) - mixed])
    )
    halves = np.array(answers).reshape(2, len(mixed), -1)
    whole = np.tile(logits_from(network, layer, image, some), (4, 1))
    size = np.abs(halves).sum(0) + np.abs(whole) + np.abs(bias)
    # A linear readout adds: f(part) + f(rest) = f(whole) + f(0).
    if not (np.abs(halves.sum(0) - whole - bias) <= 1e2 * _ROUNDING * size).all():
        return None
    step = max(1, _AT_ONCE // neurons)
    impulses = (np.eye(min(step, neurons - first), neurons, first) for first in range(0, neurons, step))
    weight = np.concatenate([logits_from(network, layer, image, part) for part in impulses]) - bias
    form = LinearReadout(np.ascontiguousarray(weight.T), bias)
    examples = np.concatenate([activations, mixed])
    return form if _reproduces(form, examples, np.concatenate([logits, halves[0]])) else None
