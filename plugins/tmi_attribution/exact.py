"""Exact attributions of φ: the windows that can be active, what each gives to its pixels, and its integral along a straight path.

A constructed network computes φ of its task: the logit of a class is the sum of σ(z) over all windows of the class's tiles, with
z = ε − Σ_S |x − t|. So everything here follows from the tiles and the images; no network is evaluated. Like the networks, it
rounds the tiles to the images' dtype and then computes in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]
    Whole = NDArray[np.int64]

_WINDOWS = 2**15  # examined together: one number for each fits into the processor's cache
_NUMBERS = 2**20  # windows × pixels in memory at a time
_EVERY = 16  # after so many pixels, images in which no window can be active any more are dropped


@dataclass(frozen=True)
class Windows:
    """M windows of tiles in images, sorted by tile, image, row and column.

    Attributes
    ----------
    image, tile, row, col : ndarray of int64, shape (M,)
        Index of the image and of the tile; the window's top left corner.
    """

    image: Whole
    tile: Whole
    row: Whole
    col: Whole

    def __len__(self) -> int:
        return len(self.image)


def applies(network: tmi.Network) -> bool:
    """Return whether the network was constructed and its logits are φ of its task, so that the functions of this module hold."""
    from tmi.networks.certificate import is_phi

    return is_phi(network)


def possible_windows(task: tmi.TemplateTask, low: Any, high: Any, targets: Any) -> Windows:
    """Return the windows of the target's tiles that are active for some image between ``low`` and ``high``, pixel by pixel.

    Parameters
    ----------
    task : TemplateTask
    low, high : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
        The bounds of each pixel, low ≤ high. With one image for both, the windows are those that are active on it.
    targets : sequence of int, shape (N,)
        The class of each image.

    Returns
    -------
    Windows
        Those with ``Σ_S distance(t, [low, high]) < ε``: pixels are chosen independently, so that this least distance is reached.
    """
    low, high, targets = _array(low), _array(high), _array(targets)
    parts = []
    for index, tile in enumerate(task.tiles):
        relevant = np.flatnonzero(targets == task.tile_class[index])
        down, across = task.windows[index]
        step = max(1, _WINDOWS // (down * across))
        for images in (relevant[start : start + step] for start in range(0, len(relevant), step)):
            which, row, col = _within(tile, low[images], high[images], (down, across))
            parts.append((images[which], np.full(len(which), index), row, col))
    windows = np.concatenate([np.stack(part) for part in parts], axis=1) if parts else np.empty((4, 0))
    return Windows(*windows.astype(np.int64))


def null_region(task: tmi.TemplateTask, images: Any, baselines: Any, targets: Any) -> NDArray[np.bool_]:
    """Return the pixels on which the target's logit provably does not depend, anywhere between baseline and image.

    Parameters
    ----------
    task : TemplateTask
    images, baselines : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    targets : sequence of int, shape (N,)

    Returns
    -------
    ndarray of bool, shape (N, m, n)
        The pixels outside the support of every window that can be active. That holds for every image each of whose pixels lies
        between those of baseline and image: on the straight path, and with any pixels replaced. The bounds are widened by the
        rounding of points that are computed in the images' dtype.
    """
    images, baselines = _array(images), _array(baselines)
    beyond = 2 * np.finfo(images.dtype).eps
    low, high = np.minimum(images, baselines) - beyond, np.maximum(images, baselines) + beyond
    windows = possible_windows(task, low, high, targets)
    return ~covered(task, images.shape, windows)


def active_pixels(task: tmi.TemplateTask, images: Any, targets: Any) -> NDArray[np.bool_]:
    """Return the supports of the target's windows that are active on the image, bool (N, m, n); the target's logit is their sum.

    Parameters
    ----------
    task : TemplateTask
    images : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    targets : sequence of int, shape (N,)
    """
    images = _array(images)
    return covered(task, images.shape, possible_windows(task, images, images, targets))


def covered(task: tmi.TemplateTask, shape: tuple[int, ...], windows: Windows) -> NDArray[np.bool_]:
    """Return the pixels in the support of any of these windows.

    Parameters
    ----------
    task : TemplateTask
    shape : (int, int, int, int)
        N images, channels, rows and columns.
    windows : Windows

    Returns
    -------
    ndarray of bool, shape (N, m, n)
    """
    count, _, m, n = shape
    covered = np.zeros((count, m * n), bool)
    for index, tile in enumerate(task.tiles):
        own = windows.tile == index
        row, col = np.nonzero(tile.support.any(0))
        corner = windows.row[own] * n + windows.col[own]
        covered[windows.image[own][:, None], corner[:, None] + row * n + col] = True
    return covered.reshape(count, m, n)


def signed(task: tmi.TemplateTask, images: Any, targets: Any) -> Array:
    """Return the exact signed attribution of the target's logit.

    Every active window of the target class gives ε/|S| − |x − t| to each pixel of its support: the pixel's share of ε, minus its
    distance.

    Parameters
    ----------
    task : TemplateTask
    images : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    targets : sequence of int, shape (N,)

    Returns
    -------
    ndarray of float64, shape (N, C, m, n)
        It adds up to the logit, and is 0 where no active window counts the pixel.
    """
    return signed_of(task, images, possible_windows(task, images, images, targets))


def signed_of(task: tmi.TemplateTask, images: Any, windows: Windows) -> Array:
    """Return the exact signed attribution by given windows, summed over each image's windows; see `signed`.

    Parameters
    ----------
    task : TemplateTask
    images : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    windows : Windows
        Windows that are not active give 0.

    Returns
    -------
    ndarray of float64, shape (N, C, m, n)
    """
    images = _array(images)
    total = np.zeros(images.size)
    for tile, values, places in _supports(task, images, windows):
        distance = np.abs(images.reshape(-1)[places].astype(float) - values)
        active = distance.cumsum(1)[:, -1] < tile.epsilon  # summed one after another, as in the networks
        np.add.at(total, places[active], tile.epsilon / len(values) - distance[active])
    return total.reshape(images.shape)


def integrated_gradients(task: tmi.TemplateTask, images: Any, baselines: Any, targets: Any) -> Array:
    """Return integrated gradients of the target's logit on the straight path, in closed form (Sundararajan et al. 2017).

    On the path y(α) = b + α d, d = x − b, a window's z(α) = ε − Σ_S |y − t| is concave and piecewise linear, with a kink where a
    pixel meets its value: α_p = (t_p − b_p) / d_p. So it is active on one interval (α0, α1). There the derivative by y_p is
    −sign(y_p − t_p), and the pixel's share is |d_p| · (length of the interval before its kink − length after it).

    Parameters
    ----------
    task : TemplateTask
    images, baselines : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    targets : sequence of int, shape (N,)

    Returns
    -------
    ndarray of float64, shape (N, C, m, n)
        It adds up to the change of the logit from the baseline to the image, up to rounding.
    """
    images, baselines = _array(images), _array(baselines)
    windows = possible_windows(task, np.minimum(images, baselines), np.maximum(images, baselines), targets)
    return integrated_gradients_of(task, images, baselines, windows)


def integrated_gradients_of(task: tmi.TemplateTask, images: Any, baselines: Any, windows: Windows) -> Array:
    """Return integrated gradients of given windows, summed over each image's windows; see `integrated_gradients`.

    Parameters
    ----------
    task : TemplateTask
    images, baselines : Tensor or ndarray, float32 or float64, shape (N, C, m, n)
    windows : Windows

    Returns
    -------
    ndarray of float64, shape (N, C, m, n)
    """
    images, baselines = _array(images), _array(baselines)
    total = np.zeros(images.size)
    for tile, values, places in _supports(task, images, windows):
        start, end = (part.reshape(-1)[places].astype(float) for part in (baselines, images))
        np.add.at(total, places, _shares(start, end - start, values, tile.epsilon))
    return total.reshape(images.shape)


def _shares(start: Array, change: Array, values: Array, epsilon: float) -> Array:
    """Return each pixel's share of the integral, (M, |S|), for windows on the path from ``start`` to ``start + change``."""
    weight = np.abs(change)
    moving = weight > 0
    kink = np.where(moving, (values - start) / np.where(moving, change, 1), 0).clip(0, 1)
    begin, end = _active(kink, weight, np.abs(start - values).sum(1), epsilon)
    shares: Array = weight * (2 * kink.clip(begin, end) - begin - end)
    return shares


def _active(kink: Array, weight: Array, distance: Array, epsilon: float) -> tuple[Array, Array]:
    """Return where on the path each window becomes active and inactive, (M, 1) each; equal numbers if it is never active.

    The distance falls by a pixel's weight for each step before its kink and rises by it after: it is convex.
    """
    order = kink.argsort(1)
    ordered = np.take_along_axis(weight, order, 1)
    count = len(kink)
    # Between the kinks, and before the first and after the last of them.
    alpha = np.concatenate([np.zeros((count, 1)), np.take_along_axis(kink, order, 1), np.ones((count, 1))], 1)
    passed = np.concatenate([np.zeros((count, 1)), ordered.cumsum(1)], 1)
    slope = 2 * passed - passed[:, -1:]
    z = epsilon - distance[:, None] - np.concatenate([np.zeros((count, 1)), (slope * np.diff(alpha)).cumsum(1)], 1)
    active = z > 0
    rows, final = np.arange(count), active.shape[1] - 1
    first, last = active.argmax(1), final - active[:, ::-1].argmax(1)
    begin, end = alpha[rows, first], np.where(active.any(1), alpha[rows, last], alpha[rows, first])
    # z crosses 0 in the piece that ends at the first kink with z > 0, and in the piece that begins at the last.
    up, down = np.flatnonzero(active.any(1) & (first > 0)), np.flatnonzero(active.any(1) & (last < final))
    begin[up] += z[up, first[up]] / slope[up, first[up] - 1]
    end[down] += z[down, last[down]] / slope[down, last[down]]
    return begin[:, None], end[:, None]


def _within(tile: tmi.FeatureTile, low: Any, high: Any, windows: tuple[int, int]) -> tuple[Whole, Whole, Whole]:
    """Return the image, row and column of the windows of one tile that can be active between low and high, (N, C, m, n) each."""
    down, across = windows
    values = tile.values.astype(low.dtype).astype(float)
    kept = np.arange(len(low))
    least = np.zeros((len(low), down, across))
    # One slice of the images for each pixel of the tile, so that no window is copied.
    for number, (channel, row, col) in enumerate(np.argwhere(tile.support)):
        if number % _EVERY == 0:
            near = (least < tile.epsilon).any((1, 2))
            kept, least, low, high = kept[near], least[near], low[near], high[near]
        view = slice(None), channel, slice(row, row + down), slice(col, col + across)
        value = values[channel, row, col]
        least += np.maximum(np.maximum(low[view] - value, value - high[view]), 0)
    which, row, col = np.nonzero(least < tile.epsilon)
    return kept[which], row, col


def _supports(task: tmi.TemplateTask, images: Any, windows: Windows) -> Iterator[tuple[tmi.FeatureTile, Array, Whole]]:
    """Yield for each tile, some windows at a time, the tile, its support's values (|S|,) and their flat indices (M, |S|)."""
    _, channels, m, n = images.shape
    for index in np.unique(windows.tile):
        tile = task.tiles[index]
        channel, row, col = np.nonzero(tile.support)
        offset = (channel * m + row) * n + col
        values = tile.values[tile.support].astype(images.dtype).astype(float)
        own = np.flatnonzero(windows.tile == index)
        corner = (windows.image[own] * channels * m + windows.row[own]) * n + windows.col[own]
        step = max(1, _NUMBERS // len(offset))
        for start in range(0, len(own), step):
            yield tile, values, corner[start : start + step, None] + offset


def _array(values: Any) -> Any:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
