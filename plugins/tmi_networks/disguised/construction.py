"""The same function in other neurons: a network whose neurons are permuted, rescaled, split, hidden among others or rotated."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Builder, Positive

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Disguise = Literal["permutation", "rescaling", "split", "cancelling", "basis"]
DISGUISES: tuple[Disguise, ...] = ("permutation", "rescaling", "split", "cancelling", "basis")

TOLERANCE = 1e-6
"""The largest difference of logits, as a share of the largest logit, that a disguised network may have."""

_ALL: list[Disguise] = [*DISGUISES]
_IMAGES = 32  # on which the logits are compared


def disguised(
    data: tmi.Dataset | tmi.TemplateTask,
    *,
    seed: int,
    of: Builder,
    disguises: list[Disguise] = _ALL,
    dtype: Literal["float64", "float32"] = "float64",
    memory: Positive = 1.0,
) -> tmi.Network:
    """Build a network and give it other neurons that compute the same function.

    The network is first written in torch's own dense layers. Then the neurons between each two linear layers are exchanged:

    - "permutation": the neurons, or the channels of maps, in another order.
    - "rescaling": each neuron times a power of two from 1/8 to 8, which the next layer undoes; a ReLU passes positive factors.
    - "split": a neuron becomes one to three neurons, with shares of 1/2 and 1/4 that add up to 1.
    - "cancelling": for every four neurons a pair of neurons is added. Both have the same incoming weights, a random mixture of
      the other neurons', and opposite outgoing weights.
    - "basis": activations a become Q·a with a random orthogonal Q, which the next linear layer undoes. Where neither ReLU nor
      maximum lies between two linear layers, Q and Qᵀ are multiplied into their weights. Elsewhere QᵀQ, the identity, is inserted
      after the last named layer, or after the last ReLU where none is named: Q becomes the end of that layer, and Qᵀ is
      multiplied into the next linear layer, or inserted before the next ReLU or maximum.

    Images and logits keep their coordinates. Powers of two make all but "cancelling" and "basis" exact up to the order of sums.

    Parameters
    ----------
    data : Dataset or TemplateTask
        What the network that is disguised needs.
    seed : int
        Decides the network, as if it were built alone, and the disguise.
    of : str
        The network, with settings of its own in brackets: "cnn(filters=4)", "theorem1(realisation='literal')".
    disguises : list of str
        Which disguises, in this order, each at most once.
    dtype : {"float64", "float32"}
        Of the weights, whichever the network had.
    memory : Positive
        Gigabytes that the dense weights may take.

    Returns
    -------
    Network
        Origin, layers and history of the network that is disguised. Its layers are sequences of torch's own layers, with weights
        that are parameters. What was known stays known: permuted and rescaled neurons keep their `Network.neurons`, in the new
        order; after other disguises `Network.directions` holds the direction that each old neuron or direction has become. The
        neurons that "cancelling" adds are active too, so that these directions do not give all of a layer's activations. They
        still decode them: what the added neurons contribute is orthogonal to the directions, whose pseudo-inverse gives the old
        activations, except where "rescaling" or "split" comes after both "cancelling" and "basis".

    Raises
    ------
    InputError
        If a module of the network is not supported, no neurons lie between two linear layers, a disguise is named twice, the
        dense layers need more memory, or logits differ by more than ``TOLERANCE``, as they may in float32.
    """
    import inspect

    seeded = {"seed": seed} if "seed" in inspect.signature(of.function).parameters else {}
    original = of.function(data, **seeded, **of.params)
    network, _ = disguise(original, disguises, seed=seed, dtype=dtype, memory=memory)
    check_logits(original, network, _images(data))
    return network


def disguise(
    network: tmi.Network,
    disguises: Sequence[Disguise],
    *,
    seed: int,
    dtype: Literal["float64", "float32"] = "float64",
    memory: float = 1.0,
) -> tuple[tmi.Network, dict[str, Array]]:
    """Return a network in other neurons, and how its neurons represent the old ones.

    Parameters
    ----------
    network : Network
    disguises : sequence of str
        None at all gives the network in torch's own dense layers.
    seed : int
    dtype, memory
        See `disguised`.

    Returns
    -------
    network : Network
    mixing : dict of str to ndarray, shape (new neurons, old neurons)
        For each layer that is disguised, the weights of the old neurons' activations in the new ones'. Of maps, for channels. The
        rows of added neurons are 0. Its pseudo-inverse gives the old activations, unless rescaling or splitting a layer in
        another basis has made the directions of added neurons oblique to the others.

    Raises
    ------
    InputError
        As `disguised`, but for the logits, which are not compared.
    """
    from .exchange import Exchange
    from .torch_layers import Budget, torch_layers

    if len(set(disguises)) < len(disguises):
        raise InputError(f"disguises: expected each at most once, got {', '.join(disguises)}")
    original, budget = network.plain(), Budget(memory)
    module = torch_layers(original.module, network.task.image_shape, budget)
    exchange = Exchange(module, network.layers, network.task.image_shape, budget)
    if disguises and not exchange.pairs():
        raise InputError(f"disguised: {network!r} has no neurons between two linear layers, so nothing can be exchanged")
    # A disguise draws the same numbers whichever others are named beside it.
    for name in disguises:
        exchange.apply(name, np.random.default_rng([seed, DISGUISES.index(name)]))
    meanings, directions = _known(original, exchange.mixing)
    module = module.float() if dtype == "float32" else module
    if hasattr(original.module, "computes_phi"):
        module.computes_phi = original.module.computes_phi
    result = tmi.Network(
        module.requires_grad_(True),
        network.layers,
        network.origin,
        task=network.task,
        meanings=meanings,
        directions=directions,
        history=network.history,
    )
    return result, exchange.mixing


def check_logits(original: tmi.Network, network: tmi.Network, images: torch.Tensor) -> float:
    """Return the largest difference of two networks' logits on images, as a share of the largest logit.

    Raises
    ------
    InputError
        If it is above ``TOLERANCE``.
    """
    import torch

    from tmi.networks.plain import copied

    with torch.no_grad():
        wanted = copied(original.module).double()(images.double())
    error = float((network.logits(images.double()).double() - wanted).abs().max() / (wanted.abs().max() or 1))
    if not error <= TOLERANCE:  # NaN fails this
        raise InputError(
            f'disguised: logits differ by {error:.2g} of the largest one, more than {TOLERANCE:g}; use dtype "float64"'
        )
    return error


def _images(data: tmi.Dataset | tmi.TemplateTask) -> torch.Tensor:
    """Return scenes and random images, in float64."""
    import torch

    task = data if isinstance(data, tmi.TemplateTask) else data.task
    scenes = tmi.Scenes.draw(task, _IMAGES, rng=np.random.default_rng(0)) if isinstance(data, tmi.TemplateTask) else data.test
    random = torch.rand(_IMAGES // 2, *task.image_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.cat([scenes[:_IMAGES].images.double(), random])


def _known(original: tmi.Network, mixing: dict[str, Array]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is known of the new neurons: the meanings of neurons, and directions, by layer."""
    meanings, directions = dict(original.meanings), dict(original.known_directions)
    for layer, known in mixing.items():
        columns = meanings.pop(layer, None)
        permuted = (known >= 0).all() and ((known > 0).sum(0) == 1).all() and ((known > 0).sum(1) == 1).all()
        if permuted and columns is not None and layer not in directions:
            meanings[layer] = functools.partial(_permuted, original, layer, known.argmax(1), known.shape[1])
        elif columns is not None or layer in directions:
            directions[layer] = functools.partial(_mixed, original, layer, known)
    return meanings, directions


def _permuted(original: tmi.Network, layer: str, order: NDArray[np.int64], channels: int) -> dict[str, Any]:
    table = original.neurons(layer)
    assert table is not None
    places = len(table) // channels
    return {str(name): column.to_numpy() for name, column in table.iloc[list(_flat(order, places))].items()}


def _flat(channels: NDArray[np.int64], places: int) -> Iterator[int]:
    return (channel * places + place for channel in channels.tolist() for place in range(places))


def _mixed(original: tmi.Network, layer: str, known: Array) -> tmi.Directions:
    from scipy.sparse import csr_array, eye_array, kron

    before = original.directions(layer)
    assert before is not None
    places = before.sparse.shape[1] // known.shape[1]
    now = before.sparse @ kron(csr_array(known), eye_array(places), format="csr").T
    return tmi.Directions(csr_array(now), before.features, before.by_place)
