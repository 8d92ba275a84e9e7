"""A bound on the rounding of networks that sum |x − t| layer by layer, and a warning where ε is not far above it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask


class RoundingWarning(UserWarning):
    """An ε, or the gap from ε to another class, is so small that rounding may decide a network's answer."""


def rounding(task: TemplateTask, dtype: torch.dtype, additions: int = 0) -> NDArray[np.float64]:
    """Bound the error of ε − t in a network that computes ``|y − c|`` as σ(2y − 2c) − σ(y) + c and adds it up.

    Parameters
    ----------
    task : TemplateTask
    dtype : torch.float32 or torch.float64
    additions : int
        How often a term is rounded before it reaches the neuron: 0 where sums are taken in float64, as in literal
        Theorem 1; 4 a combining layer in Theorem 2, which adds four terms and a bias, so 4·r; the size of the support where terms
        are added one after another.

    Returns
    -------
    ndarray of float64, shape (T,)
        For each tile u·S·(2 + 3·additions) + u·ε, where S is the size of the support and u half the distance from 1 to the next
        number (2^−24 in float32): the filter 2y − 2c is at most 2 and rounded once; the terms of a pixel sum to at most 3, and
        each addition rounds once more; ε is rounded too. The bound is for windows with t near ε, where it matters; measured
        errors are about a tenth of it.
    """
    import torch

    unit = torch.finfo(dtype).eps / 2
    size = np.array([int(tile.support.sum()) for tile in task.tiles])
    epsilon = np.array([tile.epsilon for tile in task.tiles])
    bound: NDArray[np.float64] = unit * size * (2 + 3 * additions) + unit * epsilon
    return bound


def warn_of_rounding(data: Dataset | TemplateTask, additions: int = 0, dtype: torch.dtype | None = None) -> None:
    """Warn if ε, or the gap from ε to a tile of another class, is below the bound of rounding, so that rounding may decide.

    Parameters
    ----------
    data : Dataset or TemplateTask
    additions : int
        See `rounding`.
    dtype : torch.dtype, optional
        That of the images; by default that of the data set, or float32 for a task.

    Warns
    -----
    RoundingWarning
        One line that names the tile and the remedy. A run records it with the result.
    """
    import torch

    from tmi.tasks.task import TemplateTask

    task = data if isinstance(data, TemplateTask) else data.task
    if dtype is None:
        dtype = torch.float32 if isinstance(data, TemplateTask) else data.train.dtype
    bound = rounding(task, dtype, additions)
    epsilon = np.array([tile.epsilon for tile in task.tiles])
    name = str(dtype).removeprefix("torch.")
    remedy = "; use float64 images, or the fused network, which sums exactly" if dtype == torch.float32 else ""
    worst = int((epsilon - bound).argmin())
    if epsilon[worst] <= bound[worst]:
        warnings.warn(
            f"tile {task.tile_name(worst)}: epsilon = {epsilon[worst]:.3g} is within reach of {name} rounding, up to "
            f"{bound[worst]:.2g} in this network{remedy}",
            RoundingWarning,
            stacklevel=3,
        )
        return
    from tmi.tasks.separation import contained

    holder, tile, _, _, distance = contained(
        task.tiles, [t.with_epsilon(t.epsilon + b) for t, b in zip(task.tiles, bound, strict=True)]
    )
    near = np.flatnonzero(task.tile_class[holder] != task.tile_class[tile])
    if len(near):
        first = near[int((distance - epsilon[tile])[near].argmin())]
        one, other = task.tile_name(int(tile[first])), task.tile_name(int(holder[first]))
        warnings.warn(
            f"tile {one}: epsilon = {epsilon[tile[first]]:.6g} is within reach of {name} rounding of the distance to tile "
            f"{other} of another class, {distance[first]:.6g}{remedy}",
            RoundingWarning,
            stacklevel=3,
        )
