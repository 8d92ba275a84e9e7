"""Builds a `Truth` for a network and a data set: images, baselines, masks and what else is known, at one of three levels."""

from __future__ import annotations

import copy
import hashlib
import weakref
from typing import TYPE_CHECKING, Any

import tmi
from tmi.errors import InputError

from . import exact, receptive
from .common import labelled, recording
from .targets import LABEL, masks_of, targets_of
from .truth import Baseline, Level, Truth

if TYPE_CHECKING:
    import torch

_REFERENCES = 16


# The truth that was built last, with its network, data set and settings: methods that run one after another on one network share
# it and its cached values.
_last: list[Any] = []


def truth_of(
    network: tmi.Network, data: tmi.Dataset, images: int, baseline: Baseline, target: str = LABEL, *, masks: bool = True
) -> Truth:
    """Return the truth about the first test images, for methods that attribute a logit to pixels.

    Parameters
    ----------
    network : Network
    data : Dataset
    images : int
        How many.
    baseline : {"black", "background"}
    target : str
        Which logit; see `tmi_attribution.targets.targets_of`.
    masks : bool
        Whether the pixels that decide are needed; if not, images without tiles have empty masks.

    Raises
    ------
    InputError
        If no test scene shows a tile, or there is no such target.
    NoTilesError
        If the images have no tiles, and masks are needed or the baseline is the background.
    """
    # The objects may be the same and their content not: weights may have been written, modules replaced or hooked.
    answer = network.logits(data.test.images[:1]).numpy().tobytes() if len(data.test) else b""
    if masks and not data.task.has_tiles:
        _ = data.test.masks  # raises the error
    settings = images, baseline, target, repr(network.module), _digest(network, data), answer
    if not (_last and _last[0]() is network and _last[1]() is data and _last[2] == settings):
        _last[:] = weakref.ref(network), weakref.ref(data), settings, _truth(network, data, images, baseline, target)
    truth: Truth = _last[3]
    return truth


class _Hash:
    """A file that keeps nothing of what is written into it but the hash."""

    def __init__(self) -> None:
        self.blake2b = hashlib.blake2b()

    def write(self, data: Any) -> int:
        """Add bytes to the hash."""
        self.blake2b.update(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def _digest(network: tmi.Network, data: tmi.Dataset) -> bytes:
    """Return a hash of the module's tensors and of the scenes that a truth is built from."""
    import torch

    scenes = data.test, data.train[:_REFERENCES]
    hashed = _Hash()
    # torch writes tensors of every layout and dtype.
    torch.save(
        [
            dict(network.module.named_parameters()),
            dict(network.module.named_buffers()),
            [(part.images, part.labels, part.masks if data.task.has_tiles else None, part.backgrounds) for part in scenes],
        ],
        hashed,  # type: ignore[arg-type]
    )
    return hashed.blake2b.digest()


def _truth(network: tmi.Network, data: tmi.Dataset, count: int, baseline: Baseline, target: str) -> Truth:
    import torch

    scenes = labelled(data.test, count)
    weight = next((p for p in network.module.parameters() if p.is_floating_point()), None)
    # A constructed network computes in its images' dtype, a trained one in its weights'.
    like = scenes.images if weight is None else weight
    with recording():
        module = copy.deepcopy(network.plain().module).eval().requires_grad_(False)
        below = scenes.without_tiles().images if baseline == "background" else torch.zeros_like(scenes.images)
        images, baselines = (part.to(like.device, like.dtype).clone() for part in (scenes.images, below))
        targets = targets_of(target, network, scenes).to(like.device)
    constructed = exact.applies(network)
    if data.task.has_tiles:
        masks = masks_of(scenes, targets, images, constructed=constructed)
    else:
        masks = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool).numpy()
    truth = Truth(module, scenes, images, baselines, targets, masks, baseline=baseline)
    if not constructed:
        return truth
    return truth.replaced(
        null=lambda: exact.null_region(network.task, images, baselines, targets),
        exact=lambda: exact.signed(network.task, images, targets),
        constructed=True,
    )


def at_level(truth: Truth, network: tmi.Network, level: Level, layer: str | None) -> Truth:
    """Return the truth about a layer's neurons, or about one neuron of each image: the most active one.

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
        The given one at level "layer" of a layer of which it is not known what its neurons stand for.
    """
    if level == "input" or layer is None:
        return truth
    if level == "layer":
        masks = receptive.layer_truth(network, layer, truth.scenes)
        if masks is None:
            return truth
        # The neurons that stand for the shown tile decide the label's logit alone.
        masks = masks & truth.of_label[:, None]
        return truth.replaced(masks=masks, null=None, exact=None, level="layer")
    neurons = receptive.most_active(network, layer, truth.scenes)
    masks, readable = (receptive.neuron_truth(network, layer, neurons, truth.scenes, anywhere=each) for each in (False, True))
    return truth.replaced(masks=masks, null=~readable, exact=None, level="neuron", neurons=neurons)


def layer_for(network: tmi.Network, level: Level, needs: tuple[str, ...], layer: str | None, images: torch.Tensor) -> str | None:
    """Choose a layer where none is named: the last one of maps for a method that needs maps, else ``hidden`` or the first.

    Parameters
    ----------
    network : Network
    level : {"input", "layer", "neuron"}
    needs : tuple of str
        What the method needs; see `tmi.attribution_method`.
    layer : str or None
        The named one.
    images : Tensor, shape (N, C, m, n)
        The first of them shows which layers are maps.

    Returns
    -------
    str or None
        None for a method that looks at no layer, and where no layer is one of maps.

    Raises
    ------
    UnknownNameError
        If the network has no layer of that name.
    InputError
        If the logits are its only layer, or the layer gives several tensors.
    """
    if layer is not None:
        network.activations(images[:1], layer)
        if layer in network.parts:
            raise InputError(f"layer {layer!r}: gives several tensors, which cannot be attributed to; name another layer")
        return layer
    if "maps" in needs:
        axes = {name: values.ndim for name, values in network.activations(images[:1]).items()}
        return next((name for name in reversed(network.layers) if axes[name] == 4 and name not in network.parts), None)
    if level == "input":
        return None
    if len(network.layers) == 1:
        raise InputError("layer: the network has no layer before its logits")
    single = [name for name in network.layers[:-1] if name not in network.parts]
    if not single:
        raise InputError("layer: every layer before the logits gives several tensors, which cannot be attributed to")
    return "hidden" if "hidden" in single else single[0]


def references_of(truth: Truth, data: tmi.Dataset) -> torch.Tensor:
    """Return a few other images of the task, scenes and bare backgrounds where it has tiles, in the truth's dtype and device."""
    import torch

    scenes = data.train if len(data.train) else data.test
    half = scenes[: _REFERENCES // 2], scenes[_REFERENCES // 2 : _REFERENCES]
    if data.task.has_tiles:
        half = half[0], half[1].without_tiles()
    return torch.cat([part.images for part in half]).to(truth.images.device, truth.images.dtype)
