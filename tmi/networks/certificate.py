"""The certificate of a constructed network: how far an image may change, in L1, without a change of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError
from tmi.tasks.images import check_images

from .comparison import every_tile, render, tolerance

if TYPE_CHECKING:
    import torch

    from tmi.tasks.task import TemplateTask

    from .layers import LayeredModule

_NEURONS_AT_ONCE = 2**21  # windows that may match at a time: bounds the memory to some hundred megabytes


def certificate(network: LayeredModule, images: Any, labels: Any = None) -> torch.Tensor:
    """Return the sound L1 radius of a constructed network's answer on each image; see `tmi.Network.certificate`."""
    import torch

    check_is_phi(network, "certificate")
    task = network.task
    images = check_images(images, task.image_shape).detach().cpu()
    given = _labels(labels, len(images), len(task.classes))
    step = max(1, _NEURONS_AT_ONCE // int(np.array(task.windows).prod(1).sum()))
    parts = [torch.empty(0, dtype=torch.float64)]
    for first in range(0, len(images), step):
        part = images[first : first + step]
        shown = task.labels(part)
        asked = shown if given is None else given[first : first + step]
        parts.append(torch.where(asked == shown, _radius(task, part, shown), 0.0))
    return torch.cat(parts)


def nearness(task: TemplateTask, images: torch.Tensor) -> torch.Tensor:
    """Return z = ε − t of the nearest window of each class, down to the least value on which a certificate can depend.

    Parameters
    ----------
    task : TemplateTask
    images : Tensor, float32 or float64, shape (N, C, m, n), in [0, 1]

    Returns
    -------
    Tensor of float64, shape (N, L)
        The greatest z over the class's tiles and all windows, or −E if that is greater, with E the greatest ε of the task. No
        neuron exceeds E, and a certificate is at most the activation of a neuron of the label.
    """
    import torch

    from tmi.tasks.matching.matches import match

    top = max(tile.epsilon for tile in task.tiles)
    rounded = np.float32 if images.dtype == torch.float32 else np.float64
    # With ε + E for ε the match finds every window with z > −E. Tiles are rounded as the network rounds them, sums are float64.
    wider = [type(tile)(tile.values.astype(rounded), tile.epsilon + top, tile.support) for tile in task.tiles]
    matches = match(images.double(), wider)
    place = matches.image * len(task.classes) + torch.from_numpy(task.tile_class)[matches.tile]
    z = torch.full((len(images) * len(task.classes),), -top, dtype=torch.float64)
    z.scatter_reduce_(0, place, matches.slack - top, "amax")
    return z.view(len(images), len(task.classes))


def check_is_phi(network: LayeredModule, what: str) -> None:
    """Refuse a network that was not constructed, or whose logits are not φ of its task.

    Raises
    ------
    InputError
    """
    if network.origin != "constructed":
        raise InputError(
            f"{what}: {network!r} was {network.origin}; only of constructed networks is it known what their neurons stand for"
        )
    if not is_phi(network):
        raise InputError(f"{what}: the logits of {network!r} are not φ of its task, so nothing is known of it")


def is_phi(network: LayeredModule) -> bool:
    """Whether the network was constructed and its logits are φ of its task on test images.

    Every tile is shown exactly, half contained and just outside, in corners and off the border, and in a small task at every
    window: see `tmi.networks.comparison.every_tile`. The logits may differ from φ by 1e-6 of ε, or of the largest
    distance that the tile can have where that is smaller; by 1e-3 of it where the network computes in float32. A module whose
    attribute ``computes_phi`` is False says itself that it errs on some images.

    Notes
    -----
    The verdict is not cached: weights and hooks may change between two calls. A network that is wrong for a single window out of
    more than `tmi.networks.comparison.EVERY_WINDOW` may pass.
    """
    import torch

    if network.origin != "constructed" or not getattr(network.module, "computes_phi", True):
        return False
    task = network.task
    for images, pasted in render(task, every_tile(task), seed=0):
        logits = network.logits(images)
        # A network of float32 weights sees the images rounded, and so does φ here.
        phi = task.phi(images.to(logits.dtype) if logits.dtype == torch.float32 else images).double()
        if logits.shape != phi.shape or not logits.dtype.is_floating_point:
            return False
        dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        if not bool(((logits.double() - phi).abs() <= tolerance(task, pasted, dtype, phi)).all()):  # NaN fails this
            return False
    return True


def _radius(task: TemplateTask, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The smaller of the label's greatest z and of every other class's −z; 0 for an image of no class or several."""
    import torch

    z = nearness(task, images)
    is_label = torch.arange(z.shape[1]) == labels[:, None]
    own = z.masked_fill(~is_label, -torch.inf).amax(1)
    others = -z.masked_fill(is_label, -torch.inf).amax(1)  # infinite where there is no other class
    return torch.where(labels >= 0, torch.minimum(own, others).clamp_min(0), 0.0)


def _labels(labels: Any, count: int, classes: int) -> torch.Tensor | None:
    import torch

    if labels is None:
        return None
    values = torch.as_tensor(labels).cpu()
    if values.shape != (count,) or values.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise InputError(f"labels: expected {count} whole numbers, one an image, got {values.dtype} {tuple(values.shape)}")
    if count and not (int(values.min()) >= -1 and int(values.max()) < classes):
        raise InputError(f"labels: expected −1 to {classes - 1}, got {int(values.min())} to {int(values.max())}")
    return values.long()
