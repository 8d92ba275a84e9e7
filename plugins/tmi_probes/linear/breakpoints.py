"""The breakpoints at which a network changes its linear piece on a straight path between two images: exact, not on a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import tmi

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .exact_network import ExactNetwork
    from .switches import Use

    Array = NDArray[np.float64]

_SAME = 1e-12  # two α nearer than this differ by rounding alone
_AT_ONCE = 4_000_000  # numbers computed at a time


def of_layers(exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, most: int) -> tuple[Array, bool]:
    """Return every α in (0, 1) at which a piecewise linear operation changes its piece on the path (1 − α)·start + α·end.

    Operation after operation: between the breakpoints of those before it, the input of an operation is linear in α, so that its
    values at the breakpoints determine where it passes a kink.

    Parameters
    ----------
    exact : ExactNetwork
    start, end : Tensor of float64, shape (1, C, m, n)
    most : int
        A path with more breakpoints is not followed into later operations.

    Returns
    -------
    alpha : ndarray of float64
        Sorted, each once.
    complete : bool
        False where ``most`` was exceeded before the last operation.
    """
    points = np.array([0.0, 1.0])
    for use in exact.uses(start):
        if len(points) - 2 > most:
            return points[1:-1], False
        points = _merged([points, *(_choices if use.selects else _crossings)(exact, start, end, points, use)])
    return points[1:-1], True


def on_path(start: torch.Tensor, end: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return the images (N, C, m, n) at shares α of the path; a pixel that is equal at both ends keeps its exact value."""
    return (start + alpha[:, None, None, None] * (end - start)).clamp(0, 1)


def _states(
    exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, points: Array, use: Use
) -> Iterator[tuple[Array, Array, NDArray[np.int64] | None]]:
    """Yield points of the path, and the values and selections of a use there, some at a time.

    Each part begins with the last point of the part before it.
    """
    import torch

    width = exact.state(start, use).values.shape[1]
    step = max(1, min(2048, _AT_ONCE // max(start.numel(), width)))
    last: tuple[Array, Array, NDArray[np.int64] | None] | None = None
    for first in range(0, len(points), step):
        alpha = points[first : first + step]
        state = exact.state(on_path(start, end, torch.from_numpy(alpha)), use)
        values, selected = state.values, state.selected
        if last is not None:  # the interval between the previous part and this one
            alpha, values = np.concatenate([last[0], alpha]), np.concatenate([last[1], values])
            selected = None if selected is None or last[2] is None else np.concatenate([last[2], selected])
        last = alpha[-1:], values[-1:], None if selected is None else selected[-1:]
        yield alpha, values, selected


def _crossings(exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, points: Array, use: Use) -> list[Array]:
    """Return where a value of an elementwise operation changes its sign."""
    crossings = []
    for alpha, values, _ in _states(exact, start, end, points, use):
        before, after = values[:-1], values[1:]
        where, neuron = np.nonzero((before > 0) != (after > 0))
        a, b = before[where, neuron], after[where, neuron]
        crossings.append(alpha[where] + (alpha[where + 1] - alpha[where]) * (a / (a - b)))
    return crossings


def _choices(exact: ExactNetwork, start: torch.Tensor, end: torch.Tensor, points: Array, use: Use) -> list[Array]:
    """Return where an operation that selects, such as max pooling, begins to select another input.

    Between two points every input is a line. Where other inputs are selected at both, their lines cross between; at the crossing
    either both are the largest, or a third one is, which is looked for on both sides.
    """
    tried = points
    while True:
        crossings = []
        for alpha, values, selected in _states(exact, start, end, tried, use):
            where, a, b = _changes(values, selected)
            crossings.append(alpha[where] + (alpha[where + 1] - alpha[where]) * (a / (a - b)))
        more = _merged([tried, *crossings])
        if len(more) == len(tried):
            break
        tried = more
    # Between these points every selection stays the same: it changes where it differs on both sides.
    changed = []
    for middle, values, selected in _states(exact, start, end, (tried[1:] + tried[:-1]) / 2, use):
        where, _, _ = _changes(values, selected)
        first = int(np.searchsorted(tried, middle[0]))
        changed.append(tried[first + np.unique(where)])
    return changed


def _changes(values: Array, selected: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], Array, Array]:
    """Return between which neighbouring points another input is selected, and the lead of the first over the second at both.

    Inputs that are equal at both points are one: which of them is selected is a matter of rounding.
    """
    assert selected is not None
    where, window = np.nonzero(selected[:-1] != selected[1:])
    i, j = selected[where, window], selected[where + 1, window]
    a, b = values[where, i] - values[where, j], values[where + 1, i] - values[where + 1, j]
    size = np.abs(values).max(initial=0) * _SAME
    differ = np.maximum(np.abs(a), np.abs(b)) > size
    return where[differ], a[differ], b[differ]


def of_formula(task: tmi.TemplateTask, start: Array, end: Array) -> Array:
    """Return every α in (0, 1) at which φ, as σ(ε − Σ_S |x − t|) of all windows, changes its linear piece.

    A window changes its piece where it becomes active or inactive, and, while it is active, where a pixel of its support passes
    the tile's value. Between such values ε − Σ|x − t| is linear in α, so that all of them are computed exactly.

    Parameters
    ----------
    task : TemplateTask
    start, end : ndarray of float64, shape (C, m, n)

    Returns
    -------
    ndarray of float64
        Sorted, each once.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    breakpoints = [np.array([0.0, 1.0])]
    for tile in task.tiles:
        at_start, at_end = (sliding_window_view(image, tile.shape)[0][..., tile.support] for image in (start, end))
        c = tile.values[tile.support]
        before, after = (tile.epsilon - np.abs(y - c).sum(-1) for y in (at_start, at_end))
        # ε − t(window) changes by at most Σ|end − start|, so it is above 0 somewhere only where this is.
        reached = (before + after + np.abs(at_end - at_start).sum(-1)) / 2 > 0
        for row, col in np.argwhere(reached):
            breakpoints.append(_of_window(at_start[row, col], at_end[row, col], c, tile.epsilon))
    return _merged(breakpoints)[1:-1]


def _of_window(start: Array, end: Array, c: Array, epsilon: float) -> Array:
    """Return the breakpoints of one window's σ(ε − Σ|y − c|)."""
    moving = start != end
    alpha = (c[moving] - start[moving]) / (end[moving] - start[moving])
    kinks = np.unique(np.concatenate([[0.0, 1.0], alpha[(alpha > 0) & (alpha < 1)]]))
    y = start + kinks[:, None] * (end - start)
    z = epsilon - np.abs(y - c).sum(1)
    before, after = z[:-1], z[1:]
    crossed = (before > 0) != (after > 0)
    a, b, low, high = before[crossed], after[crossed], kinks[:-1][crossed], kinks[1:][crossed]
    switches: Array = np.concatenate([kinks[z > 0], low + (high - low) * (a / (a - b))])
    return switches


def _merged(parts: list[Array]) -> Array:
    """Return the values of [0, 1] sorted, with both ends; of values that differ by rounding alone one stays."""
    values = np.unique(np.concatenate(parts))
    inside = values[(values > _SAME) & (values < 1 - _SAME)]
    if len(inside):
        inside = inside[np.concatenate([[True], np.diff(inside) > _SAME])]
    return np.concatenate([[0.0], inside, [1.0]])
