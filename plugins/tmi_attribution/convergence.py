"""Probe ``ig-convergence``: how fast Captum's integrated gradients approach the closed form, which Theorem 1's network has."""

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
    from numpy.typing import NDArray

_IMAGES = 256  # points on paths evaluated together
_STEPS: list[Count] = [10, 20, 50, 100, 200, 500, 1000]

_ERROR = "Mean Σ|numerical − exact| / Σ|exact| of integrated gradients, by the number of steps"
INFO = {
    "error": tmi.MetricInfo(f"{_ERROR}, from a black image", "lower", 0),
    "awake": tmi.MetricInfo(
        f"{_ERROR}, of the tile alone with ε so large that its neuron is active on the whole path", "lower", 0
    ),
}


def convergence(
    task: tmi.TemplateTask,
    scenes: tmi.Scenes,
    steps: Sequence[int],
    *,
    baseline: Literal["black", "background"] = "black",
    quadrature: Quadrature = "gausslegendre",
) -> NDArray[np.float64]:
    """Return the error of numerical integrated gradients for growing numbers of steps.

    The gradient jumps where a neuron becomes active and where a pixel reaches its value in the tile, so the error falls like
    1/steps. Where the one window of the image is active on the whole path and no pixel passes its value before the end, the error
    is rounding alone: Captum keeps the weights of its sum in float32.

    Parameters
    ----------
    task : TemplateTask
    scenes : Scenes
        All with a tile; the label's logit is attributed, in float64.
    steps : sequence of int
        Points on the path.
    baseline : {"black", "background"}
        Where the path begins: at a black image, or at the same scene without its tile.
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

    module = tmi.build("theorem1", task).module
    images, baselines = (part.images.double() for part in (scenes, scenes.without_tiles()))
    baselines = torch.zeros_like(images) if baseline == "black" else baselines
    truth = exact.integrated_gradients(task, images, baselines, scenes.labels)
    numerical = IntegratedGradients(within(module))
    errors = np.empty((len(steps), len(scenes)))
    for number, count in enumerate(steps):
        for rows in (slice(start, start + _IMAGES) for start in range(0, len(scenes), _IMAGES)):
            with recording():
                attributions = numerical.attribute(
                    images[rows],
                    baselines[rows],
                    scenes.labels[rows],
                    n_steps=count,
                    method=quadrature,
                    internal_batch_size=_IMAGES,
                )
            errors[number, rows] = np.abs(attributions.detach().numpy() - truth[rows]).sum((1, 2, 3))
    size = np.abs(truth).sum((1, 2, 3))
    relative: NDArray[np.float64] = errors / np.where(size > 0, size, np.nan)
    return relative


def ig_convergence(
    network: tmi.Network, data: tmi.Dataset, *, images: Count = 20, steps: list[Count] = _STEPS
) -> tmi.ProbeResult:
    """How the error of Captum's integrated gradients falls as the steps grow, against the closed form.

    Parameters
    ----------
    images : int
        The number of test images: the first ones are taken.
    steps : list of int
        Points on the path from a black image.

    Returns
    -------
    ProbeResult
        Metrics ``error.<steps>``, mean over the images, and ``awake.<steps>``, mean over their tiles, each alone as an image with
        ε so large that the gradient does not jump, so that only rounding is left. Arrays ``error`` (step, image) and ``awake``
        (step, tile). Not applicable to a network that is not constructed.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    each_once("steps", [str(count) for count in steps])
    scenes = labelled(data.test, images)
    if not exact.applies(network):
        return tmi.ProbeResult.not_applicable("the closed form of integrated gradients is known for constructed networks alone")
    shown = [scenes.task.tiles[index] for index in dict.fromkeys(scenes.tile.tolist())]
    errors = {
        "error": convergence(scenes.task, scenes, steps),
        "awake": np.concatenate([convergence(*_alone(tile), steps) for tile in shown], axis=1),
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
    arrays = {"error": (("step", "image"), errors["error"]), "awake": (("step", "tile"), errors["awake"])}
    return tmi.ProbeResult(metrics, arrays, {"step": list(steps)}, described(INFO, metrics), notes)


def _alone(tile: tmi.FeatureTile) -> tuple[tmi.TemplateTask, tmi.Scenes]:
    """Return a task of one tile, as large as its images, that a black image matches too, and its one scene."""
    wide = tile.with_epsilon(1.0 + float(tile.values[tile.support].sum()))
    task = tmi.TemplateTask([tmi.TileClass("alone", [wide])], tile.shape)
    return task, tmi.Scenes(task, np.zeros((1, *tile.shape)), 0, 0, 0)
