"""The fast match on the CPU, compiled by numba.

There are three passes over 64 images at a time, each over the windows that the one before could not exclude:

1. Block sums in bytes (`blocks`): a window is excluded once its blocks alone differ by ε. This excludes nearly every window.
2. Where many images of a window are left, float32 sums over single pixels in scattered order, 64 images side by side.
3. For the remaining windows sums in float64, row by row as in the reference, several windows at once.

The bounds of the first two lie above ε by more than their rounding, so that no match is lost; the third is the plain formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tmi.tasks.tiles import FeatureTile

from .blocks import LEVELS, Blocks
from .lanes import LANES, lanes_below, lanes_last
from .pixels import support_pixels

GROUP = 4  # windows summed at once in float64: the additions of one depend on each other, those of four overlap
PIXELS = 16  # support pixels between two comparisons with the bound
MANY = 4  # with at least so many lanes left, all 64 together are cheaper than one by one


def match_arrays(images: NDArray[Any], tiles: Sequence[FeatureTile]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the windows with t < ε as rows (image, tile, row, col), and their slack ε − t.

    Parameters
    ----------
    images : ndarray of float32 or float64, shape (N, C, m, n)
        At least one.
    tiles : sequence of FeatureTile
        At least one, none larger than the images.

    Returns
    -------
    places : ndarray of int64, shape (M, 4)
        In no particular order.
    slack : ndarray of float64, shape (M,)
    """
    packed = _packed(tuple((tile, tile.epsilon) for tile in tiles), images.shape[1:], images.dtype)
    threads = _threads()
    # A few parts for each thread, in whole blocks of lanes: small enough to copy, large enough for a call to pay.
    share = LANES * max(1, min(16, len(images) // (LANES * 4 * threads)))
    shares = range(0, len(images), share)

    def work(start: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        part = np.ascontiguousarray(images[start : start + share])
        places, slack = _match(part.reshape(len(part), -1), images.shape[2], images.shape[3], *packed)
        places[:, 0] += start
        return places, slack

    if len(shares) == 1 or threads == 1:
        parts = [work(start) for start in shares]
    else:
        with ThreadPoolExecutor(min(len(shares), threads)) as pool:
            parts = list(pool.map(work, shares))
    return np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts])


def _threads() -> int:
    import torch

    # A worker of a cluster limits torch's threads; the limit holds here too.
    return max(1, torch.get_num_threads())


@lru_cache(maxsize=4)
def _packed(tiles: tuple[tuple[FeatureTile, float], ...], shape: tuple[int, int, int], dtype: Any) -> tuple[Any, ...]:
    """All tiles' blocks and support pixels as flat arrays; cached, because every batch needs the same ones."""
    alone = [tile for tile, _ in tiles]
    pixels, blocks = support_pixels(alone, shape, dtype), Blocks(alone, shape, dtype)
    single = pixels.value[pixels.scattered].astype(np.float32, copy=False)
    return (
        np.array([tile.shape[1:] for tile in alone], np.int64),
        (blocks.side, blocks.scale),
        (blocks.start, blocks.offset, blocks.low, blocks.high, blocks.limit),
        (pixels.start, pixels.offset[pixels.scattered], single, pixels.bound),
        (pixels.start, pixels.offset, pixels.value, pixels.epsilon),
    )


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with numba; the machine code is cached on disk where a folder can be written, else in this process."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written
            return numba.njit(**options)(function)

    return compiled


@_compiled(nogil=True)
def _match(images, m, n, size, planes, blocks, pixels, exact):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return places (lane, tile, row, col) and slack of the windows with t < ε, of flat images (N, C·m·n)."""
    start, offset, low, high, limit = blocks
    places, slack, count = np.empty((256, 4), np.int64), np.empty(256), 0
    area = images.shape[1]
    padded = -(-area // LANES) * LANES
    byte = np.zeros((len(planes[0]), LANES, padded), np.uint8)
    sums = _aligned(len(planes[0]) * padded * LANES)
    floats = np.empty((area if len(images) >= MANY else 0, LANES), np.float32)
    # The remaining windows of a tile are collected until a group is full.
    waiting = np.empty((GROUP, 3), np.int64)
    flat = images.reshape(-1)
    for begin in range(0, len(images), LANES):
        used = min(LANES, len(images) - begin)
        block_sums(images[begin : begin + used], n, planes[0], planes[1], byte, sums)
        filled = False
        everyone = ~np.uint64(0) >> np.uint64(LANES - used)
        for tile in range(len(size)):
            waits = 0
            for row in range(m - size[tile, 0] + 1):
                for col in range(n - size[tile, 1] + 1):
                    corner = row * n + col
                    mask = everyone
                    for level in range(LEVELS * tile, LEVELS * (tile + 1)):
                        if mask and start[level] < start[level + 1]:
                            mask &= lanes_below(sums, corner, offset, low, high, start[level], start[level + 1], limit[level])  # type: ignore[call-arg]
                    if mask == 0:
                        continue
                    if _ones(mask) >= MANY:
                        if not filled:
                            _floats_last(images[begin : begin + used], floats)
                            filled = True
                        mask &= _pixels_below(floats, corner, tile, pixels)
                    for lane in range(used):
                        if mask >> np.uint64(lane) & np.uint64(1):
                            waiting[waits, 0], waiting[waits, 1], waiting[waits, 2] = begin + lane, row, col
                            waits += 1
                            if waits == GROUP:
                                places, slack, count = _finish(flat, area, n, tile, exact, waiting, waits, places, slack, count)
                                waits = 0
            if waits:
                places, slack, count = _finish(flat, area, n, tile, exact, waiting, waits, places, slack, count)
    return places[:count].copy(), slack[:count].copy()


@_compiled(nogil=True)
def _aligned(size):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return bytes whose address is a multiple of LANES, as aligned loads need."""
    room = np.empty(size + LANES, np.uint8)
    skip = -room.ctypes.data % LANES
    return room[skip : skip + size]


@_compiled(nogil=True)
def block_sums(images, n, side, scale, byte, sums):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill the planes of quantised block sums, lanes last; lanes without an image hold arbitrary values.

    Sums across an image's edge are computed and never read.
    """
    area = images.shape[1]
    padded = -(-area // LANES) * LANES
    work = np.zeros(padded + 8 * n + 8, np.float32)
    other = np.zeros(padded + 8 * n + 8, np.float32)
    for lane in range(len(images)):
        image = images[lane]
        for p in range(area):
            work[p] = np.float32(image[p])
        reached = 1
        for plane in range(len(side)):  # sides rise: each level is four sums of the one below
            while reached < side[plane]:
                _add(work, work[reached:], other, area)
                _add(other, other[reached * n :], work, area)
                reached *= 2
            _quantise(work, scale[plane], byte[plane, lane])
    for plane in range(len(side)):
        rows = byte[plane].reshape(-1)
        for p in range(0, padded, LANES):
            lanes_last(rows[p:], padded, sums, (plane * padded + p) * LANES)  # type: ignore[call-arg]


@_compiled(nogil=True)
def _add(one, other, total, count):  # type: ignore[no-untyped-def]  # pragma: no cover
    for p in range(count):
        total[p] = one[p] + other[p]


@_compiled(nogil=True)
def _quantise(values, scale, result):  # type: ignore[no-untyped-def]  # pragma: no cover
    for p in range(len(result)):
        result[p] = np.uint8(np.int32(values[p] * scale))


@_compiled(nogil=True)
def _floats_last(images, floats):  # type: ignore[no-untyped-def]  # pragma: no cover
    for lane in range(LANES):
        image = images[lane if lane < len(images) else 0]
        for p in range(len(image)):
            floats[p, lane] = np.float32(image[p])


@_compiled(nogil=True)
def _ones(mask):  # type: ignore[no-untyped-def]  # pragma: no cover
    count = 0
    while mask:
        mask &= mask - np.uint64(1)
        count += 1
    return count


@_compiled(nogil=True, fastmath={"contract", "nsz", "arcp"})
def _pixels_below(floats, corner, tile, pixels):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return, one bit a lane, where the float32 sum over the support stays below the bound."""
    start, offset, value, bound = pixels
    limit = bound[tile]
    pixel, last = start[tile], start[tile + 1]
    total = np.zeros(LANES, np.float32)
    alive = True
    while pixel < last and alive:
        stop = min(pixel + PIXELS, last)
        for p in range(pixel, stop):
            x = floats[corner + offset[p]]
            t = value[p]
            for lane in range(LANES):
                total[lane] += abs(x[lane] - t)
        pixel = stop
        below = 0
        for lane in range(LANES):
            below += total[lane] < limit
        alive = below > 0
    mask = np.uint64(0)
    if alive:
        for lane in range(LANES):
            mask |= np.uint64(total[lane] < limit) << np.uint64(lane)
    return mask


@_compiled(nogil=True)
def _finish(flat, area, n, tile, exact, waiting, waits, places, slack, count):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sum the collected windows in float64, row by row, and append those with t < ε to the results."""
    epsilon = exact[3][tile]
    base = np.empty(GROUP, np.uint64)
    for j in range(GROUP):
        i = j if j < waits else 0
        base[j] = waiting[i, 0] * area + waiting[i, 1] * n + waiting[i, 2]
    if waits == 1:
        one = _sum(flat, base[0], tile, exact)
        total = one, one, one, one
    else:
        total = _sums(flat, base[0], base[1], base[2], base[3], tile, exact)
    for j in range(waits):
        if total[j] < epsilon:
            if count == len(slack):
                places, slack = _longer(places, slack)
            places[count, 0], places[count, 1] = waiting[j, 0], tile
            places[count, 2], places[count, 3] = waiting[j, 1], waiting[j, 2]
            slack[count] = epsilon - total[j]
            count += 1
    return places, slack, count


@_compiled(nogil=True)
def _sum(flat, corner, tile, exact):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the sum of a window, or of a part of it that reaches ε: adding more terms never lowers a rounded sum."""
    start, offset, value, epsilon = exact
    first, last, limit = np.uint64(start[tile]), np.uint64(start[tile + 1]), epsilon[tile]
    total = 0.0
    while first < last and total < limit:
        stop = min(first + np.uint64(PIXELS), last)
        for p in range(first, stop):  # unsigned: numba looks for negative indices otherwise
            total += abs(np.float64(flat[corner + np.uint64(offset[p])]) - np.float64(value[p]))
        first = stop
    return total


@_compiled(nogil=True)
def _sums(flat, a, b, c, d, tile, exact):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the sums of four windows side by side, or of parts of them once all four have reached ε."""
    start, offset, value, epsilon = exact
    first, last, limit = np.uint64(start[tile]), np.uint64(start[tile + 1]), epsilon[tile]
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    while first < last and min(min(one, two), min(three, four)) < limit:
        stop = min(first + np.uint64(PIXELS), last)
        for p in range(first, stop):
            at, t = np.uint64(offset[p]), np.float64(value[p])
            one += abs(np.float64(flat[a + at]) - t)
            two += abs(np.float64(flat[b + at]) - t)
            three += abs(np.float64(flat[c + at]) - t)
            four += abs(np.float64(flat[d + at]) - t)
        first = stop
    return one, two, three, four


@_compiled(nogil=True)
def _longer(places, slack):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Double the capacity, element by element: numba takes five seconds to compile an assignment to a slice."""
    more_places, more_slack = np.empty((2 * len(slack), 4), np.int64), np.empty(2 * len(slack))
    for i in range(len(slack)):
        more_slack[i] = slack[i]
        for j in range(4):
            more_places[i, j] = places[i, j]
    return more_places, more_slack
