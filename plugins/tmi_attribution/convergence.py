"""Probe ``ig-convergence``: how fast Captum's integrated gradients of a network approach the closed form of φ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

import tmi
from tmi.params import Count

from . import exact
from .common import described, each_once, finite, labelled, recording
from .methods.path import Quadrature, within

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Start = Literal["black", "background", "near"]

_IMAGES = 256  # points on paths evaluated together
_STEPS: list[Count] = [10, 20, 50, 100, 200, 500, 1000]

_ERROR = "Mean Σ|numerical − exact| / Σ|exact| of integrated gradients, by the number of steps"
INFO = {
    "error": tmi.MetricInfo(f"{_ERROR}, from a black image", "lower", 0),
    "awake": tmi.MetricInfo(
        f"{_ERROR}, from the image with a tile so little darker that its neuron is active on the whole path", "lower", 0
    ),
}


def convergence(
    network: tmi.Network,
    scenes: tmi.Scenes,
    steps: Sequence[int],
    *,
    start: Start = "black",
    quadrature: Quadrature = "gausslegendre",
) -> NDArray[np.float64]:
    """Return the error of a network's numerical integrated gradients for growing numbers of steps.

    The gradients are the network's own; the closed form is that of φ, which the network computes. The gradient jumps where a
    neuron becomes active and where a pixel reaches its value in the tile, so the error falls like 1/steps. Where the windows of
    the image are active on the whole path and no pixel passes its value before the end, the error is rounding alone: Captum keeps
    the weights of its sum in float32.

    Parameters
    ----------
    network : Network
        Its logits are φ of its task. A network without weights computes in float64, any other in the dtype of its weights.
    scenes : Scenes
        All with a tile; the label's logit is attributed.
    steps : sequence of int
        Points on the path.
    start : {"black", "background", "near"}
        Where the path begins: at a black image, at the same scene without its tile, or at the scene whose tile is darker by ε/2
        in sum, or by all that it has.
    quadrature : str
        The rule for the points and their weights. "gausslegendre" takes seconds to find thousands of points; the other rules take
        no time.

    Returns
    -------
    ndarray of float64, shape (steps, N)
        ``Σ |numerical − exact| / Σ |exact|`` for each image; NaN where the exact attribution is 0 everywhere.
    """
    import torch
    from captum.attr import IntegratedGradients

    module = network.plain().module
    weight = next((p for p in module.parameters() if p.is_floating_point()), None)
    like = torch.zeros(0, dtype=torch.float64) if weight is None else weight
    images, baselines = (part.to(like.device, like.dtype) for part in _path(scenes, start))
    truth = exact.integrated_gradients(network.task, images, baselines, scenes.labels)
    numerical = IntegratedGradients(within(module))
    at_once = min(_IMAGES, getattr(module, "images_at_once", _IMAGES))
    errors = np.empty((len(steps), len(scenes)))
    for number, count in enumerate(steps):
        for rows in (slice(first, first + at_once) for first in range(0, len(scenes), at_once)):
            with recording():
                attributions = numerical.attribute(
                    images[rows],
                    baselines[rows],
                    scenes.labels[rows].to(like.device),
                    n_steps=count,
                    method=quadrature,
                    internal_batch_size=at_once,
                )
            errors[number, rows] = np.abs(attributions.detach().cpu().numpy() - truth[rows]).sum((1, 2, 3))
    size = np.abs(truth).sum((1, 2, 3))
    relative: NDArray[np.float64] = errors / np.where(size > 0, size, np.nan)
    return relative


def _path(scenes: tmi.Scenes, start: Start) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images at which the paths end, and those at which they begin."""
    import torch

    if start == "black":
        return scenes.images, torch.zeros_like(scenes.images)
    if start == "background":
        return scenes.images, scenes.without_tiles().images
    ends = scenes.images.double()
    begins = ends.clone()
    for number, (tile, row, col) in enumerate(
        zip(*(part.tolist() for part in (scenes.tile, scenes.row, scenes.col)), strict=True)
    ):
        shown = scenes.task.tiles[tile]
        window = number, slice(None), slice(row, row + shown.shape[1]), slice(col, col + shown.shape[2])
        # The tile as it is, not as float32 rounds it: a pixel beyond its value would have a kink just before the end.
        values, support = torch.tensor(shown.values), torch.tensor(shown.support)
        ends[window] = torch.where(support, values, ends[window])
        share = min(1.0, 0.5 * shown.epsilon / max(1e-12, float(values[support].sum())))
        begins[window] = torch.where(support, values * (1 - share), begins[window])
    return ends, begins


def ig_convergence(
    network: tmi.Network, data: tmi.Dataset, *, images: Count = 20, steps: list[Count] = _STEPS
) -> tmi.ProbeResult:
    """How the error of a network's integrated gradients, by Captum, falls as the steps grow, against the closed form.

    Parameters
    ----------
    images : int
        The number of test images: the first ones are taken.
    steps : list of int
        Points on the path from a black image.

    Returns
    -------
    ProbeResult
        Metrics ``error.<steps>`` and ``awake.<steps>``, means over the images: from a black image, and from the image with a tile
        so little darker that the gradient does not jump on the path, so that only rounding is left. Arrays ``error`` and
        ``awake`` (step, image). Not applicable to a network that does not compute φ.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    each_once("steps", [str(count) for count in steps])
    scenes = labelled(data.test, images)
    if not exact.applies(network):
        return tmi.ProbeResult.not_applicable(
            "the closed form of integrated gradients is known for constructed networks that compute φ alone"
        )
    errors = {
        "error": convergence(network, scenes, steps),
        "awake": convergence(network, scenes, steps, start="near"),
    }
    notes: list[str] = []
    metrics = finite(
        {
            f"{name}.{count}": float(np.mean(row[np.isfinite(row)])) if np.isfinite(row).any() else np.nan
            for name, rows in errors.items()
            for count, row in zip(steps, rows, strict=True)
        },
        notes,
    )
    if not metrics:
        return tmi.ProbeResult.not_applicable("the exact attribution from a black image is 0 everywhere, so no error is relative")
    arrays = {name: (("step", "image"), rows) for name, rows in errors.items()}
    return tmi.ProbeResult(metrics, arrays, {"step": list(steps)}, described(INFO, metrics), notes)
