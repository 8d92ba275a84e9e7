"""Which logit is attributed on each image: the label's, another one's, or that of a named class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.errors import InputError, UnknownNameError, did_you_mean

from . import exact

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .truth import Truth

LABEL = "label"
CHOICES = (LABEL, "predicted", "runner-up")
"""The values of the setting ``target`` beside the names of the classes."""


def targets_of(target: str, network: tmi.Network, scenes: tmi.Scenes) -> torch.Tensor:
    """Return the class whose logit is attributed on each image.

    Parameters
    ----------
    target : str
        "label"; "predicted", the class of the greatest logit; "runner-up", that of the greatest logit other than the label's; or
        the name of a class. Of equal logits the first counts.
    network : Network
    scenes : Scenes
        N of them, each with a label.

    Returns
    -------
    Tensor of int64, shape (N,)

    Raises
    ------
    UnknownNameError
        For another text.
    InputError
        For the runner-up among fewer than two classes.
    """
    import torch

    if target == LABEL:
        return scenes.labels.clone()
    names = network.task.class_names
    if target not in CHOICES:
        if target not in names:
            raise UnknownNameError(
                f"target: {target!r} is no class and none of {', '.join(CHOICES)}{did_you_mean(target, names)}"
            )
        return torch.full_like(scenes.labels, names.index(target))
    logits = network.logits(scenes.images).clone()
    if target == "runner-up":
        if len(names) < 2:
            raise InputError("target: the task has one class, so that no other is the runner-up")
        logits[torch.arange(len(logits)), scenes.labels] = -torch.inf
    return logits.argmax(1)


def masks_of(scenes: tmi.Scenes, targets: torch.Tensor, images: torch.Tensor, *, constructed: bool) -> NDArray[np.bool_]:
    """Return the pixels that decide the attributed logit, bool (N, m, n); none where they are not known.

    Parameters
    ----------
    scenes : Scenes
    targets : Tensor of int64, shape (N,)
    images : Tensor, shape (N, C, m, n)
        In the dtype in which the network computes.
    constructed : bool
        Whether the network computes φ of the task.

    Returns
    -------
    ndarray of bool
        For the label the support of the pasted tile. For another class of a constructed network the supports of its active
        windows: no pixel where there is none, for then the logit is 0. For another class of any other network no pixel.
    """
    masks: NDArray[np.bool_] = scenes.masks.numpy()
    others = np.flatnonzero((targets.cpu() != scenes.labels).numpy())
    if len(others):
        masks = masks.copy()
        masks[others] = exact.active_pixels(scenes.task, images[others], targets[others]) if constructed else False
    return masks


def remarks(target: str, truth: Truth, names: Sequence[str]) -> list[str]:
    """Return what a reader must know about the images whose attributed logit is not the label's.

    Parameters
    ----------
    target : str
    truth : Truth
    names : sequence of str
        Of the classes.
    """
    others = int((~truth.of_label).sum())
    if not others or truth.level == "neuron":
        return []
    counts = {name: int((truth.targets == index).sum()) for index, name in enumerate(names)}
    most = sorted((name for name in names if counts[name]), key=lambda name: -counts[name])
    named = ", ".join(f"{name} ({counts[name]})" for name in most[:5]) + (f" and {len(most) - 5} more" if len(most) > 5 else "")
    notes = [f"target {target}: the logit of {named} is attributed; on {others} of {len(truth)} images it is not the label's"]
    unknown = int((~truth.of_label & ~truth.masks.reshape(len(truth), -1).any(1)).sum())
    if truth.constructed:
        reason = "no pixel decides, for the logit has no active window,"
    else:
        reason = "it is not known which pixels decide, since the network is trained and the target not the label,"
    if unknown:
        of = f"{unknown} of {len(truth)} images"
        notes.append(f"target {target}: {reason} on {of}, to which measures of localisation are not applicable")
    return notes
