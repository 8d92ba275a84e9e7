"""The truth about neurons: the pixels one depends on, the neurons that stand for the shown tile, the most active neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError

from . import exact

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    Masks = NDArray[np.bool_]

_ELEMENTS = 2_000_000  # pixels in one pass
_ACTIVATIONS = 4_000_000  # in memory at a time
_IMAGES = 64  # images in one pass: the layers may be larger than the images

MEANING = ("tile", "row", "col")
"""Columns of `Network.neurons` that give a layer a truth of its own: each neuron stands for a tile at a place."""


def receptive_field(module: torch.nn.Module, layer: str, neurons: ArrayLike, image_shape: Sequence[int]) -> Masks:
    """Return which pixels neurons can depend on by the module's connections, for any weights.

    One pixel after another is set to NaN, in all channels. NaN spreads through sums and products, also with a weight of 0, so a
    neuron is NaN if it reads the pixel. This needs no knowledge of the architecture; only a module that compares or selects
    values can stop a NaN.

    Parameters
    ----------
    module : torch.nn.Module
        Images (N, C, m, n) to logits; a copy of it is used.
    layer : str
        Name of a submodule.
    neurons : array_like of int, shape (N,)
        Indices into the flattened layer.
    image_shape : (int, int, int)
        (C, m, n).

    Returns
    -------
    ndarray of bool, shape (N, m, n)

    Raises
    ------
    InputError
        If the module refuses NaN, as constructed ones do: of those it is known what the neurons stand for.
    """
    import torch

    channels, m, n = image_shape
    distinct, index = np.unique(np.asarray(neurons, dtype=np.int64), return_inverse=True)
    module = _in_float64(module)
    step = max(1, min(_IMAGES, _ELEMENTS // (channels * m * n)))
    reads = np.zeros((m * n, len(distinct)), bool)
    for pixels in torch.split(torch.arange(m * n), step):
        marked = torch.zeros(len(pixels), channels, m * n, dtype=torch.bool)
        marked[torch.arange(len(pixels)), :, pixels] = True
        reads[pixels.numpy()] = _reads(module, layer, marked.reshape(-1, channels, m, n))[:, distinct].numpy()
    field: Masks = reads.T.reshape(len(distinct), m, n)[index]
    return field


def readers(
    module: torch.nn.Module, layer: str, marked: torch.Tensor, part: Callable[[Any], torch.Tensor] | None = None
) -> Masks:
    """Return which neurons of a layer can depend on some of the marked values of an image, by the module's connections.

    All marked values are set to NaN at once, see `receptive_field`.

    Parameters
    ----------
    module : torch.nn.Module
        Images (N, C, m, n) to logits; a copy of it is used.
    layer : str
        Name of a submodule.
    marked : Tensor of bool, shape (N, C, m, n)
        Values of N images.
    part : callable, optional
        Takes the activations out of the layer's output, where that is no single tensor.

    Returns
    -------
    ndarray of bool, shape (N, neurons)

    Raises
    ------
    InputError
        If the module refuses NaN, as constructed ones do.
    """
    reads: Masks = _reads(_in_float64(module), layer, marked, part).numpy()
    return reads


def _in_float64(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy in float64 on the CPU: there convolutions are plain sums; fast ones may spread NaN to other neurons."""
    import copy

    import torch

    with torch.inference_mode(False):
        return copy.deepcopy(module).cpu().double().eval().requires_grad_(False)


def _reads(
    module: torch.nn.Module, layer: str, marked: torch.Tensor, part: Callable[[Any], torch.Tensor] | None = None
) -> torch.Tensor:
    """Return which neurons are NaN where the marked values of black images are: bool (N, neurons)."""
    import torch

    images = torch.zeros(marked.shape, dtype=torch.float64).masked_fill_(marked, torch.nan)
    return _output(module, layer, images, part).flatten(1).isnan()


def neuron_truth(network: tmi.Network, layer: str, neurons: ArrayLike, scenes: tmi.Scenes, *, anywhere: bool = False) -> Masks:
    """Return the pixels on which one neuron of each image depends.

    Parameters
    ----------
    network : Network
    layer : str
    neurons : array_like of int, shape (N,)
        Index into the flattened layer.
    scenes : Scenes
        N of them.
    anywhere : bool
        Whether the pixels are those that the neuron can read on any image, rather than on this one. It makes a difference for a
        neuron that several tiles share.

    Returns
    -------
    ndarray of bool, shape (N, m, n)
        Where the layer's neurons stand for tiles at places, the support of the neuron's tile at its place. In layer ``mixed`` of
        network `superposed`, where several tiles share a neuron, the supports of those whose detectors are active on the image:
        none where the neuron is 0. Else the neuron's receptive field.

    Raises
    ------
    InputError
        If there is not one neuron for each scene, a neuron is not in the layer, or the module refuses NaN.
    UnknownNameError
        For a layer that the network does not have.
    """
    chosen = np.asarray(neurons)
    if chosen.shape != (len(scenes),) or chosen.dtype.kind not in "iu":
        raise InputError(f"neurons: expected {len(scenes)} whole numbers, one for each scene, got {chosen.dtype} {chosen.shape}")
    known = network.neurons(layer)
    count = _size(network, layer, scenes) if len(scenes) else 0
    outside = (chosen < 0) | (chosen >= count)
    if outside.any():
        raise InputError(f"neurons: layer {layer!r} has {count} neurons, none of number {chosen[outside][0]}")
    shape = len(scenes), *network.task.image_shape
    if known is not None and set(MEANING) <= set(known):
        own = known[list(MEANING)].to_numpy(int)[chosen].T
        return exact.covered(network.task, shape, exact.Windows(np.arange(len(scenes)), *own))
    code = shared_neurons(network, layer)
    if code is None:
        return receptive_field(network.plain().module, layer, chosen, network.task.image_shape)
    windows = _sharing(network.task, code, chosen)
    if not anywhere:
        active = {*zip(*_active(network, scenes.images), strict=True)}
        windows = windows[:, [window in active for window in zip(*windows.tolist(), strict=True)]]
    return exact.covered(network.task, shape, exact.Windows(*windows))


def shared_neurons(network: tmi.Network, layer: str) -> csr_array | None:
    """Return the weights with which detectors of tiles at places write to the neurons of a layer, where several share a neuron.

    Parameters
    ----------
    network : Network
    layer : str

    Returns
    -------
    scipy.sparse.csr_array of float64, shape (windows, neurons), or None
        Windows in the order (tile, row, col), neurons of the flattened layer. None for all layers but ``mixed`` of network
        `superposed`: elsewhere directions may be known, but not on which images their features are active.
    """
    from tmi_networks.superposed.layers import Superposition, at_places

    if layer not in network.known_directions or not isinstance(network.module, Superposition):
        return None
    known = network.directions(layer)
    assert known is not None
    code: csr_array = at_places(network.task, network.module.code)[0] if known.by_place else known.sparse
    return code


def _windows(task: tmi.TemplateTask) -> NDArray[np.int64]:
    """Return tile, row and col of every window, (3, windows), in the order (tile, row, col)."""
    from tmi_networks.neurons import meanings

    columns = meanings(task)["hidden"]
    return np.stack([np.asarray(columns[name], np.int64) for name in MEANING])


def _sharing(task: tmi.TemplateTask, code: csr_array, neurons: NDArray[Any]) -> NDArray[np.int64]:
    """Return image, tile, row and col of the windows whose detectors write to the neuron of each image, (4, M)."""
    image, window = code.tocsc()[:, neurons].T.nonzero()
    return np.stack([image, *_windows(task)[:, window]]).astype(np.int64)


def _active(network: tmi.Network, images: torch.Tensor) -> list[list[int]]:
    """Return image, tile, row and col of the windows whose detectors are active; these have the inner tolerances ε + β."""
    task, beta = network.task, float(network.module.beta)  # type: ignore[arg-type]
    tiles = [tile.with_epsilon(tile.epsilon + beta) for tile in task.tiles]
    detectors = tmi.TemplateTask([tmi.TileClass("detectors", tiles)], task.image_shape, ink=task.ink)
    found = exact.possible_windows(detectors, images, images, np.zeros(len(images)))
    return [part.tolist() for part in (found.image, found.tile, found.row, found.col)]


def layer_truth(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> Masks | None:
    """Return which neurons of a layer stand for the tile that is shown, at its place.

    Parameters
    ----------
    network : Network
    layer : str
    scenes : Scenes

    Returns
    -------
    ndarray of bool, shape (N, neurons), or None
        In layer ``mixed`` of network `superposed` the neurons that the tile shares with others: the code of the tile at its
        place. None where it is not known what the neurons stand for, or they do not stand for tiles at places.

    Raises
    ------
    UnknownNameError
        For a layer that the network does not have.
    """
    known = network.neurons(layer)
    code = shared_neurons(network, layer)
    if known is not None and set(MEANING) <= set(known):
        of_neurons = known[list(MEANING)].to_numpy(int).T
    elif code is not None:
        of_neurons = _windows(network.task)
    else:
        return None
    shown: Masks = np.ones((len(scenes), of_neurons.shape[1]), bool)
    for name, values in zip(MEANING, of_neurons, strict=True):
        shown &= values == getattr(scenes, name).numpy()[:, None]
    return shown if code is None else (shown @ code) > 0


def most_active(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> NDArray[np.int64]:
    """Return the most active neuron of a layer on each scene, the first of equals.

    Parameters
    ----------
    network : Network
    layer : str
    scenes : Scenes

    Returns
    -------
    ndarray of int64, shape (N,)
        Index into the flattened layer.

    Raises
    ------
    UnknownNameError
        For a layer that the network does not have.
    """
    if not len(scenes):
        return np.zeros(0, np.int64)
    chunk = max(1, min(256, _ACTIVATIONS // _size(network, layer, scenes)))
    parts = [scenes.images[start : start + chunk] for start in range(0, len(scenes), chunk)]
    active = [network.activations(part, layer, batch_size=chunk)[layer].flatten(1).numpy().argmax(1) for part in parts]
    return np.concatenate(active)


def _size(network: tmi.Network, layer: str, scenes: tmi.Scenes) -> int:
    """Return how many neurons a layer has, counted on one image."""
    return network.activations(scenes.images[:1], layer)[layer].numel()


def _output(
    module: torch.nn.Module, layer: str, images: torch.Tensor, part: Callable[[Any], torch.Tensor] | None = None
) -> torch.Tensor:
    """Return the output of a submodule on images."""
    import torch

    outputs: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        of_layer: torch.Tensor = output if part is None else part(output)
        outputs.append(of_layer.detach().clone())  # a later module may change it in place

    handle = module.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.inference_mode(False), torch.no_grad():
            module(images)
    except InputError as error:
        raise InputError(f"layer {layer!r}: its receptive field cannot be found, for the module refuses NaN ({error})") from None
    finally:
        handle.remove()
    if not outputs:
        raise InputError(f"layer {layer!r}: the module did not use it")
    return outputs[-1]
