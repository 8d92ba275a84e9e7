"""The inner steps of the match in plain numba, to measure what the vector code of `tmi.tasks.matching.lanes` gains.

The quickest of several ways to write them that were tried, and equal to the vector code to the last bit.
"""

from __future__ import annotations

import types
from typing import Any

import numba
import numpy as np

from tmi.tasks.matching import cpu
from tmi.tasks.matching.lanes import LANES, STEP


@numba.njit(nogil=True)
def below(planes, corner, offset, low, high, first, last, limit):  # type: ignore[no-untyped-def]
    """`tmi.tasks.matching.lanes.lanes_below` as loops over lanes."""
    total = np.zeros(LANES, np.uint8)
    block = first
    while True:
        for k in range(block, block + STEP):
            start = np.uint64((corner + offset[k]) * LANES)
            top, bottom = np.uint8(high[k] & 255), np.uint8(low[k] & 255)
            for lane in range(np.uint64(LANES)):
                x = planes[start + lane]
                difference = np.uint8(max(x, top) - top) | np.uint8(bottom - min(x, bottom))
                summed = np.uint8(total[lane] + difference)
                total[lane] = np.uint8(255) if summed < difference else summed  # saturates
        block += STEP
        some = np.uint8(0)
        for lane in range(np.uint64(LANES)):
            some |= np.uint8(total[lane] < limit)
        if some == 0:
            return np.uint64(0)
        if block >= last:
            break
    mask = np.uint64(0)
    for lane in range(LANES):
        mask |= np.uint64(total[lane] < limit) << np.uint64(lane)
    return mask


@numba.njit(nogil=True)
def turned(bytes_, stride, planes, place):  # type: ignore[no-untyped-def]
    """`tmi.tasks.matching.lanes.lanes_last` as a double loop."""
    for p in range(LANES):
        for lane in range(LANES):
            planes[place + p * LANES + lane] = bytes_[lane * stride + p]


def compiled() -> Any:
    """Return `tmi.tasks.matching.cpu._match` compiled with these steps in place of the vector code."""
    names: dict[str, Any] = {**vars(cpu), "lanes_below": below, "lanes_last": turned}
    for name in ("block_sums", "_match"):
        function = vars(cpu)[name].py_func
        names[name] = numba.njit(nogil=True)(types.FunctionType(function.__code__, names, name))
    return names["_match"]
