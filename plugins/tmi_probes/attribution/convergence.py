"""How fast Captum's integrated gradients come near the closed form: on Theorem 1's network both are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import exact
from .methods.path import Quadrature, within
from .preflight import recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

_IMAGES = 256  # points on the path held together


def convergence(
    task: tmi.TemplateTask,
    scenes: tmi.Scenes,
    steps: Sequence[int],
    *,
    baseline: Literal["black", "background"] = "black",
    quadrature: Quadrature = "gausslegendre",
) -> NDArray[np.float64]:
    """Return the error of numerical integrated gradients for growing numbers of steps.

    The gradient jumps where a neuron wakes and where a pixel meets its value, so the error falls like 1/steps. It is rounding
    alone where the one window of the image is awake on the whole path and no pixel passes its value before the end.

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
        Where the points lie and what they weigh.

    Returns
    -------
    ndarray of float64, shape (steps, N)
        ``Σ |numerical − exact| / Σ |exact|`` of each image; NaN where the exact attribution is 0 everywhere.
    """
    import torch
    from captum.attr import IntegratedGradients

    import tmi

    module = tmi.build("theorem1", task).module
    images, baselines = (part.images.double() for part in (scenes, scenes.without_tiles()))
    baselines = torch.zeros_like(images) if baseline == "black" else baselines
    truth = exact.integrated_gradients(task, images, baselines, scenes.labels)
    numerical = IntegratedGradients(within(module))
    errors = np.empty((len(steps), len(scenes)))
    for number, count in enumerate(steps):
        for some in (slice(start, start + _IMAGES) for start in range(0, len(scenes), _IMAGES)):
            with recording():
                found = numerical.attribute(
                    images[some],
                    baselines[some],
                    scenes.labels[some],
                    n_steps=count,
                    method=quadrature,
                    internal_batch_size=_IMAGES,
                )
            errors[number, some] = np.abs(found.detach().numpy() - truth[some]).sum((1, 2, 3))
    size = np.abs(truth).sum((1, 2, 3))
    relative: NDArray[np.float64] = errors / np.where(size > 0, size, np.nan)
    return relative
