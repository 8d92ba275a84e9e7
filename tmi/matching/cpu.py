"""The fast match on the CPU, compiled by numba.

Two passes. The first eliminates: in float32, 32 images side by side in the fastest axis, the support pixels in scattered order,
it leaves a window once every lane's partial sum has passed a bound. The bound lies above ε by more than float32 can err, so that
no match is lost. The second pass sums the few survivors again in float64 and keeps those with t < ε. What comes out is what the
plain formula gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..tiles import FeatureTile

LANES = 32  # images side by side: two AVX-512 registers of float32
STEP = 8  # support pixels between two looks at the bound


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
    packed = _Packed(tiles, images)
    blocks = range(0, len(images), LANES)

    def work(start: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        block = np.ascontiguousarray(images[start : start + LANES])
        # Images last, and empty lanes filled with the first image: they are dropped below.
        lanes = np.repeat(block[:1], LANES, axis=0)
        lanes[: len(block)] = block
        lanes = np.ascontiguousarray(np.moveaxis(lanes, 0, -1).astype(np.float32)).reshape(-1, LANES)
        survivors = _eliminate(lanes, len(block), images.shape[2], images.shape[3], *packed.eliminate)
        slack = _exact(block.reshape(len(block), -1), survivors, images.shape[3], *packed.exact)
        keep = slack > 0
        places = survivors[keep]
        places[:, 0] += start
        return places, slack[keep]

    with ThreadPoolExecutor(min(len(blocks), _threads())) as pool:
        parts = list(pool.map(work, blocks))
    return np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts])


def _threads() -> int:
    import torch

    # The setting that a worker of a cluster makes for torch holds here too.
    return max(1, torch.get_num_threads())


class _Packed:
    """All tiles' support pixels, row by row: offset into the flat image and value; and a scattered order."""

    def __init__(self, tiles: Sequence[FeatureTile], images: NDArray[Any]) -> None:
        _, _, m, n = images.shape
        offsets, values, orders, starts = [], [], [], [0]
        for tile in tiles:
            channel, row, col = np.nonzero(tile.support)
            value = tile.values[tile.support].astype(images.dtype)
            # Neighbouring pixels say nearly the same; scattered ones pass the bound soonest.
            orders.append(starts[-1] + np.random.default_rng(0).permutation(len(value)))
            offsets.append((channel * m + row) * n + col)
            values.append(value)
            starts.append(starts[-1] + len(value))
        self.offset = np.concatenate(offsets).astype(np.int64)
        self.value = np.concatenate(values)
        self.scattered = np.concatenate(orders)
        self.start = np.array(starts, np.int64)
        self.epsilon = np.array([tile.epsilon for tile in tiles])
        self.size = np.array([tile.shape[1:] for tile in tiles], np.int64)
        count = np.diff(self.start)
        # |x − t| errs by at most 2^-24 through rounding x and t to float32 and 2^-24 relative through the subtraction; each of
        # at most `count` additions adds 2^-24 relative. Twice that is a safe bound.
        slop = (count + 2) * 2.0**-23
        bound = np.minimum(self.epsilon * (1 + slop) + slop, 1e38)  # more than any sum, and a float32
        self.bound = np.nextafter(bound.astype(np.float32), np.float32(np.inf))

    @property
    def eliminate(self) -> tuple[NDArray[Any], ...]:
        return self.offset[self.scattered], self.value[self.scattered].astype(np.float32), self.start, self.bound, self.size

    @property
    def exact(self) -> tuple[NDArray[Any], ...]:
        return self.offset, self.value, self.start, self.epsilon


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with numba and keep the machine code where a folder can be written, else for this process alone."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written
            return numba.njit(**options)(function)

    return compiled


@_compiled(nogil=True, fastmath={"contract", "nsz", "arcp"})
def _eliminate(lanes, used, m, n, offset, value, start, bound, size):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return rows (lane, tile, row, col) of every window whose float32 sum stays below the bound."""
    found = np.empty((256, 4), np.int64)
    count = 0
    total = np.empty(LANES, np.float32)
    for tile in range(len(bound)):
        limit = bound[tile]
        first, last = start[tile], start[tile + 1]
        for row in range(m - size[tile, 0] + 1):
            for col in range(n - size[tile, 1] + 1):
                corner = row * n + col
                for lane in range(LANES):
                    total[lane] = np.float32(0)
                alive = True
                pixel = first
                while pixel < last and alive:
                    stop = min(pixel + STEP, last)
                    for p in range(pixel, stop):
                        x = lanes[corner + offset[p]]
                        t = value[p]
                        for lane in range(LANES):
                            total[lane] += abs(x[lane] - t)
                    pixel = stop
                    below = 0
                    for lane in range(LANES):
                        below += total[lane] < limit
                    alive = below > 0
                if alive:
                    for lane in range(used):
                        if total[lane] < limit:
                            if count == len(found):
                                longer = np.empty((2 * count, 4), np.int64)
                                longer[:count] = found
                                found = longer
                            found[count, 0] = lane
                            found[count, 1] = tile
                            found[count, 2] = row
                            found[count, 3] = col
                            count += 1
    return found[:count].copy()


@_compiled(nogil=True)
def _exact(images, places, n, offset, value, start, epsilon):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return ε − t for each place, summed in float64, row by row as the reference does."""
    slack = np.empty(len(places))
    for i in range(len(places)):
        lane, tile, row, col = places[i]
        corner = row * n + col
        total = 0.0
        for p in range(start[tile], start[tile + 1]):
            total += abs(np.float64(images[lane, corner + offset[p]]) - np.float64(value[p]))
        slack[i] = epsilon[tile] - total
    return slack
