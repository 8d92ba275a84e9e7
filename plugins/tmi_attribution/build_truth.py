"""Puts the questions: which images, which baselines, and what is true of them, for a network and a level."""

from __future__ import annotations

import copy
import weakref
from typing import TYPE_CHECKING, Any, Literal

import tmi
from tmi.errors import InputError
from tmi.probing.attribution import Level
from tmi.probing.mutation import state_of

from . import exact, receptive
from .common import labelled, recording
from .truth import Truth

if TYPE_CHECKING:
    import torch

Baseline = Literal["black", "background"]

_REFERENCES = 16


class _Last:
    """The truth that was asked for last: methods that are run one after another share it, and what was computed for it."""

    network: weakref.ref[Any] | None = None
    data: weakref.ref[Any] | None = None
    settings: tuple[Any, ...] = ()
    truth: Truth | None = None


def truth_of(network: tmi.Network, data: tmi.Dataset, images: int, baseline: Baseline) -> Truth:
    """Return the truth about the first test images, for methods that attribute a logit to pixels.

    Parameters
    ----------
    network : Network
    data : Dataset
    images : int
    baseline : {"black", "background"}

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    # By content: weights may have been written, modules replaced; what else may have changed shows in an answer.
    answer = network.logits(data.test.images[:1]).numpy().tobytes() if len(data.test) else b""
    settings = images, baseline, repr(network.module), state_of(data, network), answer
    same = (
        _Last.truth is not None
        and _Last.network is not None
        and _Last.data is not None
        and _Last.network() is network
        and _Last.data() is data
        and _Last.settings == settings
    )
    if not same:
        _Last.truth = _truth(network, data, images, baseline)
        _Last.network, _Last.data, _Last.settings = weakref.ref(network), weakref.ref(data), settings
    assert _Last.truth is not None
    return _Last.truth


def _truth(network: tmi.Network, data: tmi.Dataset, count: int, baseline: Baseline) -> Truth:
    import torch

    scenes = labelled(data.test, count)
    weight = next((p for p in network.module.parameters() if p.is_floating_point()), None)
    # A constructed network computes in its images' dtype, a trained one in its weights'.
    like = scenes.images if weight is None else weight
    with recording():
        module = copy.deepcopy(network.module).eval().requires_grad_(False)
        below = scenes.without_tiles().images if baseline == "background" else torch.zeros_like(scenes.images)
        images, baselines = (part.to(like.device, like.dtype).clone() for part in (scenes.images, below))
        targets = scenes.labels.to(like.device).clone()
    truth = Truth(module, scenes, images, baselines, targets, scenes.masks.numpy(), baseline=baseline)
    if not exact.applies(network):
        return truth
    return truth.but(
        null=lambda: exact.null_region(network.task, images, baselines, targets),
        exact=lambda: exact.signed(network.task, images, targets),
        constructed=True,
    )


def at_level(truth: Truth, network: tmi.Network, level: Level, layer: str | None) -> Truth:
    """Return the truth about a layer's neurons, or about one neuron an image: the most active one.

    Parameters
    ----------
    truth : Truth
        About the pixels.
    network : Network
    level : {"input", "layer", "neuron"}
    layer : str or None

    Returns
    -------
    Truth
        At level "layer" of a layer of maps, or one whose neurons are not understood, still about the pixels.
    """
    if level == "input" or layer is None:
        return truth
    if level == "layer":
        masks = receptive.layer_truth(network, layer, truth.scenes)
        if masks is None:
            return truth
        return truth.but(masks=masks, null=None, exact=None, level="layer")
    neurons = receptive.most_active(network, layer, truth.scenes)
    masks = receptive.neuron_truth(network, layer, neurons, truth.scenes)
    return truth.but(masks=masks, null=~masks, exact=None, level="neuron", neurons=neurons)


def layer_for(network: tmi.Network, level: Level, needs: tuple[str, ...], layer: str | None, images: torch.Tensor) -> str | None:
    """Choose a layer where none is named: the last one of maps for a method that needs maps, else ``hidden`` or the first.

    Raises
    ------
    UnknownNameError
        If the network has no such layer.
    """
    if layer is not None:
        network.activations(images[:1], layer)
        return layer
    if "maps" in needs:
        shapes = {name: values.ndim for name, values in network.activations(images[:1]).items()}
        return next((name for name in reversed(network.layers) if shapes[name] == 4), None)
    if level == "input":
        return None
    if len(network.layers) == 1:
        raise InputError("layer: the network has no layer before its logits")
    return "hidden" if "hidden" in network.layers else network.layers[0]


def references_of(truth: Truth, data: tmi.Dataset) -> torch.Tensor:
    """Return a few other images of the task, scenes and bare backgrounds, like the truth's images in dtype and place."""
    import torch

    scenes = data.train if len(data.train) else data.test
    half = scenes[: _REFERENCES // 2], scenes[_REFERENCES // 2 : _REFERENCES].without_tiles()
    return torch.cat([part.images for part in half]).to(truth.images.device, truth.images.dtype)
